"""Import a local copy of Mboshi as a zerochain corpus; see README.md beside this file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.importing import report
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.folder import import_folder
from zerochain.corpora.sounds import sound_files
from zerochain.errors import InputError
from zerochain.exchange.alignments import read_alignments
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.text_files import read_text

ABOUT = {
    "language": "Mboshi",
    "licence": "for research, see the corpus's own repository",
    "source": "Mboshi-French parallel corpus (Godard et al., LREC 2018)",
}
SPLITS = {"train": "train", "dev": "test"}


def prepare(
    copy: Path, out: Path, *, test_fraction: float, alignments: Path | None, skip_bad: bool
) -> Corpus:
    """Import a flat copy with utterances.tsv, or the published full_corpus_newsplit/{train,dev}."""
    if (copy / "utterances.tsv").exists():
        return import_folder(
            copy,
            out,
            name="mboshi",
            table=copy / "utterances.tsv",
            test_fraction=test_fraction,
            alignments=alignments or copy,
            skip_bad=skip_bad,
            **ABOUT,
        )
    root = copy / "full_corpus_newsplit" if (copy / "full_corpus_newsplit").is_dir() else copy
    draft = Corpus("mboshi", published(root), audio_root=str(root.absolute()), **ABOUT)
    align = partial(read_alignments, alignments) if alignments else None
    return build_corpus(out, draft, align=align, skip_bad=skip_bad)


def published(root: Path) -> tuple[Utterance, ...]:
    """The utterances of train/ and dev/: `speaker_date…wav` with its text in `….mb` beside it."""
    files = sound_files(root).files
    wanted = [Path(file) for file in files if Path(file).parts[0] in SPLITS]
    if not wanted:
        raise InputError(
            "holds neither utterances.tsv nor recordings in train/ and dev/",
            path=root,
            remedy="give the folder that holds full_corpus_newsplit",
        )
    return tuple(
        Utterance(
            id=file.stem,
            audio=file.as_posix(),
            duration=UNKNOWN,
            speaker=file.stem.split("_")[0],
            split=SPLITS[file.parts[0]],
            text=words((root / file).with_suffix(".mb")),
        )
        for file in wanted
    )


def words(sidecar: Path) -> str | None:
    """The transcript, if there is one."""
    return read_text(sidecar).strip() or None if sidecar.exists() else None


@click.command(
    cls=Command,
    example="python data/mboshi/prepare.py mboshi-french-parallel-corpus --out corpora/mboshi",
)
@click.argument("copy", type=FOLDER)
@out_option("the corpus")
@click.option(
    "--test-fraction",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of a flat copy to hold out; the published one has its own split.",
)
@click.option("--alignments", type=FOLDER, help="Folder with one alignment per recording.")
@click.option("--skip-bad", is_flag=True, help="Leave out, and list, unusable files.")
def main(
    copy: Path, out: Path, test_fraction: float, alignments: Path | None, skip_bad: bool
) -> None:
    """Make a zerochain corpus of a COPY of the Mboshi-French parallel corpus."""
    options = {"test_fraction": test_fraction, "alignments": alignments, "skip_bad": skip_bad}
    report(out, lambda: prepare(copy, out, **options))


if __name__ == "__main__":
    main()
