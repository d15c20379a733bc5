"""Import a local copy of LibriSpeech as a zerochain corpus; see README.md beside this file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.importing import report
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.folder import import_folder
from zerochain.corpora.sounds import sound_files
from zerochain.errors import InputError, listed
from zerochain.exchange.alignments import read_alignments
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.text_files import read_text

ABOUT = {
    "language": "English",
    "licence": "CC BY 4.0",
    "source": "LibriSpeech (Panayotov et al., ICASSP 2015), openslr.org/12",
}


def prepare(
    copy: Path, out: Path, *, subsets: tuple[str, ...], alignments: Path | None, skip_bad: bool
) -> Corpus:
    """Import a flat copy with utterances.tsv, or the published subset/speaker/chapter/*.flac."""
    if (copy / "utterances.tsv").exists():
        return import_folder(
            copy,
            out,
            name="librispeech",
            table=copy / "utterances.tsv",
            keep=lambda u: u.audio.startswith("librispeech/"),
            alignments=alignments,
            skip_bad=skip_bad,
            **ABOUT,
        )
    root = copy / "LibriSpeech" if (copy / "LibriSpeech").is_dir() else copy
    utterances = published(root, subsets)
    draft = Corpus("librispeech", utterances, audio_root=str(root.absolute()), **ABOUT)
    align = partial(read_alignments, alignments) if alignments else None
    return build_corpus(out, draft, align=align, skip_bad=skip_bad)


def published(root: Path, subsets: tuple[str, ...]) -> tuple[Utterance, ...]:
    """The utterances of the subsets (all by default); the subset is the split."""
    files = [Path(file) for file in sound_files(root).files]
    files = [f for f in files if f.stem.startswith("-".join(f.parts[1:3]) + "-")]
    there = sorted({file.parts[0] for file in files})
    missing = [name for name in subsets if name not in there]
    if missing or not there:
        raise InputError(
            f"has no subset {listed(missing)}" if missing else "is not a copy of LibriSpeech",
            path=root,
            cause=f"there are {listed(there) or 'no folders subset/speaker/chapter'}",
            remedy="give the folder that holds train-clean-100, dev-clean, …",
        )
    texts = transcripts(root)
    return tuple(
        Utterance(
            id=file.stem,
            audio=file.as_posix(),
            duration=UNKNOWN,
            speaker=file.parts[1],
            split=file.parts[0],
            text=texts.get(file.stem),
        )
        for file in files
        if not subsets or file.parts[0] in subsets
    )


def transcripts(root: Path) -> dict[str, str]:
    """Lines `id TEXT` of every speaker/chapter/*.trans.txt."""
    lines = [
        line.split(maxsplit=1)
        for path in sorted(root.glob("*/*/*/*.trans.txt"))
        for line in read_text(path).splitlines()
    ]
    return {line[0]: line[1] for line in lines if len(line) == 2}


@click.command(
    cls=Command,
    example="python data/librispeech/prepare.py LibriSpeech --subset dev-clean --out corpora/dev",
)
@click.argument("copy", type=FOLDER)
@out_option("the corpus")
@click.option("--subset", "subsets", multiple=True, help="Such as train-clean-100.  [default: all]")
@click.option("--alignments", type=FOLDER, help="Folder of alignments (.TextGrid, .phn).")
@click.option("--skip-bad", is_flag=True, help="Leave out, and list, unusable files.")
def main(
    copy: Path, out: Path, subsets: tuple[str, ...], alignments: Path | None, skip_bad: bool
) -> None:
    """Make a zerochain corpus of a COPY of LibriSpeech."""
    options = {"subsets": subsets, "alignments": alignments, "skip_bad": skip_bad}
    report(out, lambda: prepare(copy, out, **options))


if __name__ == "__main__":
    main()
