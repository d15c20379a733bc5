"""`zerochain import`: other people's recordings become a corpus (stage 0)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    TABLE,
    Command,
    as_options,
    jobs_option,
    out_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import print_facts
from zerochain.corpora.build import findings
from zerochain.corpora.folder import import_folder
from zerochain.corpora.long_recordings import import_recordings
from zerochain.corpora.parallel import import_pairs
from zerochain.corpora.speaker_clusters import Vectors
from zerochain.errors import InputError, counted, listed, printable, speech_time
from zerochain.exchange.kaldi import import_kaldi
from zerochain.features.voice_activity import VoiceActivityConfig
from zerochain.formats.corpus import Corpus, CorpusWarning, read_corpus
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.metrics.silences import SILENCES

F = TypeVar("F", bound=Callable[..., Any])


def corpus_options(function: F) -> F:
    """The options of every import: the name of the corpus and how its files are treated."""
    options = [
        out_option("the corpus"),
        click.option("--name", help="The corpus's name.  [default: that of --out]"),
        click.option("--language", default="", help="Its language, for the report."),
        click.option("--licence", default="", help="Its licence, for the report."),
        click.option("--source", default="", help="Where it comes from, for the report."),
        click.option(
            "--alignments", type=PATH, help="Gold phones: .phn, .TextGrid, .eaf or .ctm files."
        ),
        click.option(
            "--channel",
            metavar="CHANNEL",
            help="mix (the mean of all), left, right, a number counted from 1, or each: one "
            "utterance and one speaker per channel, for calls and interviews with two "
            "microphones.  [default: mix]",
        ),
        click.option(
            "--tier",
            help="The tier of phones in TextGrids and ELAN files: a name, a pattern such as "
            "'* - phones', '#2' for the second, or in ELAN 'type:NAME' (linguistic type) or "
            "'participant:NAME'.  [default: phones, phone, … or a name that ends like these]",
        ),
        click.option(
            "--alignment-times",
            type=click.Choice(["utterance", "recording"]),
            help="If utterances are parts of a recording: whether the alignments' times count "
            "from the start of the utterance or of the recording.  [default: whichever fits]",
        ),
        click.option(
            "--strip-word-positions", is_flag=True, help="Kaldi's phones: AA1_B becomes AA1."
        ),
        click.option("--skip-bad", is_flag=True, help="Leave out and list unusable files."),
        click.option("--copy", is_flag=True, help="Convert to 16 kHz mono FLAC in the corpus."),
        jobs_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def label_options(function: F) -> F:
    """Where speakers and splits come from."""
    options = [
        click.option(
            "--speaker-from",
            metavar="PATTERN",
            help="name:ana (all are ana), folder:1 (the first folder's name), or a regular "
            "expression such as '(?P<speaker>[^_]+)_' matched with the file's name (with a slash: "
            "its path).",
        ),
        click.option("--split-from", metavar="PATTERN", help="The same for splits: (?P<split>…)."),
        click.option(
            "--test-fraction",
            type=float,
            help="Fraction of utterances for the split test; the others are train.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    cls=Command,
    example="zerochain import folder recordings/ --out corpora/mine --speaker-from folder:1\n"
    "zerochain import folder recordings/ --out corpora/mine --table utterances.tsv "
    "--test-fraction 0.1\n"
    "zerochain import folder recordings/ --out corpora/mine --segments-from elan/ "
    "--segment-tier type:utterance",
)
@click.argument("recordings", type=FOLDER)
@corpus_options
@click.option(
    "--table",
    type=FILE,
    help="TSV or CSV with a column 'file' and any of id, speaker, start, end, channel, split and "
    "text.",
)
@click.option(
    "--segments-from",
    type=PATH,
    help="Files of ELAN (.eaf), Praat (TextGrid), Transcriber (.trs) or FLEx (.flextext), a folder "
    "or one of them: each annotation is an utterance with its text, and with its tier's "
    "participant as the speaker.",
)
@click.option(
    "--segment-tier",
    metavar="TIER",
    help="Whose annotations: a name, a pattern, '#2', 'type:NAME' (linguistic type) or "
    "'participant:NAME'.  [default: the tiers without a parent, if they are of one type]",
)
@click.option("--text-tier", metavar="TIER", help="The tier with their texts.  [default: the same]")
@label_options
def folder(recordings: Path, out: Path, **options: Any) -> None:
    """Import a folder of RECORDINGS (WAV, FLAC, OGG, MP3, SPHERE, AIFF, …; any rate).

    Its subfolders are searched as well, and links to folders are followed.

    An utterance's id is its path in the folder without the suffix. Every file is decoded, and
    all unusable ones are listed.
    """
    report(out, lambda: import_folder(recordings, out, **options))


@click.command(
    cls=Command,
    example="zerochain import recordings field/ --out corpora/field --speaker-from folder:1\n"
    "zerochain import recordings interviews/ --out corpora/talk --channel each\n"
    "zerochain import recordings field/ --out corpora/field --speakers cluster --pause 0.5",
    elsewhere=dict.fromkeys(
        ("--segments-from", "--segment-tier", "--text-tier"),
        "where annotations mark the utterances, nothing has to be detected. "
        "Use 'zerochain import folder' with --segments-from.",
    ),
)
@click.argument("recordings", type=FOLDER)
@corpus_options
@options_of(VoiceActivityConfig, into="activity")
@click.option(
    "--rttm",
    type=FILE,
    help="Take the turns in this file, with their speakers, instead of looking for speech.",
)
@click.option(
    "--speakers",
    type=click.Choice(["given", "cluster"]),
    default="given",
    show_default=True,
    help="given: by --speaker-from or --channel each, otherwise unknown; cluster: voices that are "
    "alike, with a remark on how sure that is.",
)
@click.option(
    "--n-speakers",
    type=click.IntRange(min=1),
    help="How many speakers to cluster voices into.  [default: as many as look clear]",
)
@click.option(
    "--speaker-encoder",
    type=FOLDER,
    help="Compare voices by a speaker encoder (zerochain speakers train).  [default: by the "
    "statistics of MFCCs]",
)
@label_options
def recordings(
    recordings: Path,
    out: Path,
    activity: VoiceActivityConfig,
    speaker_encoder: Path | None,
    **options: Any,
) -> None:
    """Import long RECORDINGS of a folder: cut them into utterances where somebody speaks.

    Recordings may be of any length and are read block by block. Nothing is copied unless --copy is
    given: utterances are times in the original files. Where ELAN files, TextGrids and the like mark
    the utterances already, use 'zerochain import folder --segments-from'.
    """
    vectors = None if speaker_encoder is None else _encoded_by(speaker_encoder)
    # With --rttm nothing is detected, which only settings that were given contradict.
    settings = activity if activity.model_fields_set or options["rttm"] is None else None
    report(
        out,
        lambda: import_recordings(recordings, out, activity=settings, vectors=vectors, **options),
    )


def _encoded_by(folder: Path) -> Vectors:
    from zerochain.listeners.speaker_encoder import SpeakerEncoder  # torch is slow

    return SpeakerEncoder.load(folder).embed_short


@click.command(
    cls=Command,
    example="zerochain import kaldi data/train --out corpora/train --split train",
)
@click.argument("data", type=FOLDER)
@corpus_options
@click.option("--recordings", type=FOLDER, help="Where relative paths start.  [default: DATA]")
@click.option("--split", help="The split of its utterances.")
def kaldi(data: Path, out: Path, **options: Any) -> None:
    """Import a Kaldi DATA directory: wav.scp, and segments, utt2spk and text if there are any.

    Utterances may lack a text or a speaker, and segments reach up to half a second beyond their
    recording (they are cut there). Of commands in wav.scp that only decode a file (sph2pipe, sox,
    ffmpeg, flac, …) the file and the channel are taken; nothing is run. Channels are those of
    segments' fifth column (from 0) and reco2file_and_channel.
    """
    report(out, lambda: import_kaldi(data, out, **options))


@click.command(
    cls=Command,
    example="zerochain import pairs pairs.tsv --source corpora/en --target corpora/es "
    "--out pairs.parquet",
)
@click.argument("table", type=FILE)
@click.option("--source", type=FOLDER, required=True, help="The corpus translated from.")
@click.option("--target", type=FOLDER, required=True, help="The corpus translated into.")
@out_option("the pairs", TABLE)
@click.option(
    "--source-column",
    default="source",
    show_default=True,
    help="Column of the utterance ids in the source corpus.",
)
@click.option(
    "--target-column",
    default="target",
    show_default=True,
    help="Column of the utterance ids in the target corpus.",
)
def pairs(
    table: Path, source: Path, target: Path, out: Path, source_column: str, target_column: str
) -> None:
    """Import a TABLE (TSV or CSV) of utterance ids that say the same in two corpora."""
    made = import_pairs(
        table,
        read_corpus(source),
        read_corpus(target),
        out,
        source_column=source_column,
        target_column=target_column,
    )
    click.echo(f"{out}: {counted(len(made.pairs), 'pair')}")


def report(out: Path, make: Callable[[], Corpus]) -> None:
    """Run an import and print a summary, and what became of a corpus that was there."""
    before = _corpus_at(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorpusWarning)  # the summary says the same
        corpus = make()
    summarise(corpus)
    if before is not None and before.id == corpus.id:
        click.echo(f"{out}: the same corpus as was there before")
    elif before is not None:
        n_before = counted(len(before.utterances), "utterance")
        click.echo(
            f"Warning: {out}: replaced the corpus {before.name!r} of {n_before} that was there; "
            "features and units that were made of it belong to no corpus now",
            err=True,
        )


def _corpus_at(folder: Path) -> Corpus | None:
    """The corpus in a folder; None if there is none that can be read."""
    try:
        return read_corpus(folder)
    except (InputError, OSError):
        return None


def summarise(corpus: Corpus) -> None:
    """Print what a corpus holds, and on the error stream what deserves a look."""
    print_facts(f"{corpus.folder}: corpus {corpus.name!r}", _facts(corpus))
    for line in noticed(corpus):
        click.echo(f"Warning: {printable(line, lines=True)}", err=True)


def noticed(corpus: Corpus) -> list[str]:
    """What an import noticed, in the words of the command line."""
    assert isinstance(folder, Command)
    return [as_options(line, folder.options) for line in findings(corpus)]


def _facts(corpus: Corpus) -> dict[str, str]:
    speakers: Counter[str | None] = Counter(u.speaker for u in corpus.utterances)
    unknown = speakers.pop(None, 0)
    known = f"{len(speakers)}" + (
        f", {counted(unknown, 'utterance')} of unknown speakers" if unknown else ""
    )
    names = sorted({u.split for u in corpus.utterances if u.split is not None})
    splits = [f"{name} {speech_time(corpus.select(split=name).duration)}" for name in names]
    rates = corpus.record.get("sample_rates", {})
    return {
        "source": corpus.source,
        "utterances": str(len(corpus.utterances)),
        "speakers": known,
        "duration": speech_time(corpus.duration),
        "cut from": _cut_from(corpus),
        "voices": corpus.record.get("voice_activity", {}).get("voices", ""),
        "splits": ", ".join(splits) or "none",
        "sample rates": ", ".join(f"{rate} Hz ({counted(n, 'file')})" for rate, n in rates.items()),
        "phones": _phones(corpus),
        "columns": ", ".join(
            f"{name!r} read as {meant!r}"
            for name, meant in corpus.record.get("renamed_columns", {}).items()
        ),
        "ignored columns": ", ".join(corpus.record.get("ignored_columns", [])),
        "skipped": _skipped(corpus.record.get("skipped", [])),
        "left out": str(corpus.record.get("left_out") or ""),
        "other files": ", ".join(
            f"{n} {suffix or 'without suffix'}"
            for suffix, n in corpus.record.get("other_files", {}).items()
        ),
    }


def _cut_from(corpus: Corpus) -> str:
    """How much of long recordings the utterances are."""
    seconds = corpus.record.get("voice_activity", {}).get("recordings_s", 0.0)
    if not seconds:
        return ""
    share = f"{corpus.duration / seconds:.0%} is speech"
    return f"{speech_time(seconds)} of recordings, of which {share}"


def _skipped(entries: Sequence[Mapping[str, str]]) -> str:
    n_utterances = sum(bool(entry.get("id")) for entry in entries)
    rest = len(entries) - n_utterances
    counts = ((n_utterances, "utterance"), (rest, "file"))
    return ", ".join(counted(n, one) for n, one in counts if n)


def _phones(corpus: Corpus) -> str:
    """How many labels there are, and which of them count as silence in scores."""
    path = (corpus.folder or Path()) / PHONES_FILE
    if not path.exists():
        return ""
    by_id = read_phones(path).by_id
    kinds = Counter(phone.phone for line in by_id.values() for phone in line)
    silent = [f"{label!r} {n:,}" for label, n in kinds.most_common() if label in SILENCES]
    taken = f"; taken for silence: {listed(silent)}" if silent else ""
    n_utterances = counted(len(by_id), "utterance")
    return f"{kinds.total()} of {counted(len(kinds), 'kind')}, in {n_utterances}{taken}"
