"""Import a local copy of TIMIT as a zerochain corpus; see README.md beside this file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from zerochain import audio
from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.importing import report
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.folder import import_folder
from zerochain.corpora.measuring import NOISE_S, full_scale_noise
from zerochain.corpora.sounds import sound_files, stem
from zerochain.errors import InputError
from zerochain.exchange.alignments import read_alignments
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.text_files import read_text

ABOUT = {
    "language": "English",
    "licence": "LDC user agreement",
    "source": "TIMIT (Garofolo et al. 1993), LDC93S1",
}
SPLITS = ("train", "test")


def prepare(copy: Path, out: Path, *, skip_bad: bool, skip_noise: bool = False) -> Corpus:
    """Import a flat copy with utterances.tsv, or the published {TRAIN,TEST}/DR*/SPEAKER/*.WAV."""

    def keep(recording: Path) -> bool:
        return not (skip_noise and full_scale_noise(audio.read(recording))[0] >= NOISE_S)

    if (copy / "utterances.tsv").exists():
        return import_folder(
            copy,
            out,
            name="timit",
            table=copy / "utterances.tsv",
            keep=lambda u: u.audio.startswith("timit/") and keep(copy / u.audio),
            alignments=copy,
            skip_bad=skip_bad,
            **ABOUT,
        )
    root = next((p for p in (copy, *sorted(copy.glob("*"))) if holds_splits(p)), copy)
    utterances = tuple(u for u in published(root) if keep(root / u.audio))
    draft = Corpus("timit", utterances, audio_root=str(root.absolute()), **ABOUT)
    # The .PHN files count samples and are found by path, so the ids are paths.
    return build_corpus(out, draft, align=partial(read_alignments, root), skip_bad=skip_bad)


def holds_splits(folder: Path) -> bool:
    """Whether a folder has TRAIN or TEST, in upper or lower case."""
    return folder.is_dir() and any(p.name.lower() in SPLITS for p in folder.iterdir())


def published(root: Path) -> tuple[Utterance, ...]:
    """The utterances of both splits (NIST SPHERE with the suffix .WAV) and their sentences."""
    files = [Path(file) for file in sound_files(root).files]
    # Some copies hold every recording again as RIFF, "SA1.WAV.wav".
    files = [
        f
        for f in files
        if f.parts[0].lower() in SPLITS and len(f.parts) == 4 and len(f.suffixes) == 1
    ]
    if not files:
        raise InputError(
            "holds neither utterances.tsv nor recordings in TRAIN/DR*/SPEAKER or TEST/DR*/SPEAKER",
            path=root,
            remedy="give the folder that holds TRAIN and TEST",
        )
    return tuple(
        Utterance(
            id=stem(file.as_posix()),
            audio=file.as_posix(),
            duration=UNKNOWN,
            speaker=file.parent.name.lower(),
            split=file.parts[0].lower(),
            text=sentence(root / file),
        )
        for file in files
    )


def sentence(recording: Path) -> str | None:
    """The words of `0 46797 She had …` in the .TXT beside a recording."""
    sidecars = [recording.with_suffix(suffix) for suffix in (".TXT", ".txt")]
    found = [path for path in sidecars if path.exists()]
    return read_text(found[0]).split(maxsplit=2)[-1].strip() if found else None


@click.command(cls=Command, example="python data/timit/prepare.py TIMIT --out corpora/timit")
@click.argument("copy", type=FOLDER)
@out_option("the corpus")
@click.option("--skip-bad", is_flag=True, help="Leave out, and list, unusable files.")
@click.option(
    "--skip-noise", is_flag=True, help="Leave out recordings that contain noise at full scale."
)
def main(copy: Path, out: Path, skip_bad: bool, skip_noise: bool) -> None:
    """Make a zerochain corpus, with hand-labelled phones, of a COPY of TIMIT."""
    report(out, lambda: prepare(copy, out, skip_bad=skip_bad, skip_noise=skip_noise))


if __name__ == "__main__":
    main()
