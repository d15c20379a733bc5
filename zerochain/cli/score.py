"""Scores on the command line: ABX, bit rate, codebook usage, resynthesis, speakers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, device_option, jobs_option, seed_option
from zerochain.cli.score_beside import beside_option, text_beside

if TYPE_CHECKING:
    from zerochain.formats.scores import Score
    from zerochain.scoring.common import Scored

corpus_option = click.option("--corpus", type=FOLDER, required=True, help="The corpus.")
split_option = click.option("--split", help="Only the utterances of this split.")
system_option = click.option("--system", help="What the scores are called in tables.")
silence_option = click.option(
    "--silence",
    help="Labels that are no phones, with commas between them, as they are spelled.  "
    "[default: pauses and noise as aligners write them, in any case]",
)
out_option = click.option(
    "--out", type=FILE, required=True, help="The scores.jsonl that the scores are appended to."
)


@click.command(
    cls=Command, example="zerochain score bitrate units.parquet --corpus corpora/mine --out s.jsonl"
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@system_option
@beside_option
@out_option
@seed_option
def bitrate(beside: str | None, out: Path, **options: Any) -> None:
    """Bits per second of UNITS: every unit, segments, segments with durations.

    \b
    bitrate                   the challenge's: a symbol is a unit of the file, as it stands there
    segment_bitrate           repeats are merged, and nothing is paid for how long a segment lasts
    timed_segment_bitrate     run-length: a symbol is a unit and the steps it lasts
    factored_segment_bitrate  run-length, units and lengths coded apart

    Where units have durations, a unit of the file is a segment, and the first is nearly the second:
    compare it with the challenge's only where a submission has one line a segment as well.
    """
    from zerochain.scoring.units import score_bitrate

    save_scores(score_bitrate(**options), out, beside)


@click.command(cls=Command, example="zerochain score usage units.parquet --out scores.jsonl")
@click.argument("units", type=FILE)
@system_option
@out_option
@seed_option
def usage(out: Path, **options: Any) -> None:
    """How much of the codebook UNITS use: the fraction of units, and perplexity. No alignment."""
    from zerochain.scoring.units import score_usage

    save_scores(score_usage(**options), out)


@click.command(
    cls=Command,
    example="zerochain score resynthesis wavs/ --corpus corpora/mine --split test --out s.jsonl",
)
@click.argument("wavs", type=FOLDER)
@corpus_option
@split_option
@click.option("--voice", help="The speaker in whose voice the WAVS are.  [default: as they say]")
@click.option(
    "--against",
    type=click.Choice(["voice", "source"]),
    default="voice",
    show_default=True,
    help="Recordings of the voice itself, or of the speakers that it was converted from.",
)
@click.option(
    "--max-difference-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Lengths may differ by so much.  [default: one unit, or 80]",
)
@system_option
@out_option
@seed_option
@jobs_option
def resynthesis(out: Path, **options: Any) -> None:
    """How near WAVS, a folder of <id>.wav, are to the recordings of the same utterances.

    \b
    log_spectral_distance      dB, frame by frame, levels aligned
    multi_resolution_distance  spectral convergence + log magnitudes, FFTs of 512, 1024, 2048
    mcd_sp2mc24                mel-cepstral distortion in dB along the exact DTW path; our own
                               fixed definition, not comparable with other packages'
    estoi                      intelligibility, about 0 … 1
    log_f0_rmse                cents (1200 an octave), frames voiced in both
    voicing_decision_error     % of frames voiced in one and not in the other
    f0_frame_error             % of frames with wrong voicing or F0 more than 20 % off

    These mean something only where the voice is the original speaker's own, so only the
    utterances of the voice that the WAVS are in are scored. Of other speakers' utterances,
    converted into the voice, --against source tells how much of the melody is kept: the
    correlation of log F0 and the voicing error, frame by frame against what the speaker said.
    """
    from zerochain.scoring.resynthesis import score_resyntheses

    save_scores(score_resyntheses(**options), out)


@click.command(
    cls=Command,
    example="zerochain score speakers wavs/ --corpus corpora/mine --encoder speakers/ "
    "--split test --out s.jsonl",
)
@click.argument("wavs", type=FOLDER)
@corpus_option
@click.option(
    "--encoder",
    type=FOLDER,
    required=True,
    help="A speaker encoder ('zerochain speakers train') that no inverter was conditioned by.",
)
@split_option
@click.option("--voice", help="The voice that was meant.  [default: the voice of the wavs]")
@system_option
@out_option
@seed_option
@device_option
def speakers(out: Path, device: str, **options: Any) -> None:
    """Whose voice WAVS are in: cosine of each and the mean of the target voice's recordings.

    \b
    speaker_similarity             the voice's own utterances, resynthesised
    speaker_similarity_converted   other speakers' utterances, converted to the voice
    speaker_similarity_to_source   the same, to the speakers whom they are converted from
    speaker_similarity_recordings  real recordings of the voice: as high as it gets
    speaker_similarity_others      real recordings of other speakers

    No recording is compared with itself, nor a wav with the recording it was made from.
    """
    from zerochain.scoring.speakers import score_speakers
    from zerochain.training.device import resolve_device

    save_scores(score_speakers(device=resolve_device(device), **options), out)


def save_scores(scored: Scored, out: Path, beside: str | None = None) -> None:
    """Append the scores to the file and show them.

    All that is shown is made first: where that fails nothing is appended, and afterwards all is.

    Args:
        beside: `--beside`, the published systems that they are shown among.
    """
    from rich.console import Console
    from rich.table import Table

    from zerochain.formats.scores import append_scores

    protocols = "; ".join(dict.fromkeys(one.protocol for one in scored.scores))
    title = f"{scored.scores[0].system} ({protocols})"
    table = Table(title=title, title_justify="left")
    with_chance = any("chance" in one.options for one in scored.scores)
    for column in ("metric", "value", "95 % interval", "n", *["chance"] * with_chance):
        table.add_column(column, no_wrap=column != "n")  # which gives way first
    for one in scored.scores:
        interval = "" if one.interval is None else _interval(*one.interval)
        count = f"{one.n:,} {one.options['n_of']}"
        value = f"{one.value:.{_decimals(one.value)}f}"
        table.add_row(one.metric, value, interval, count, *_chance(one, with_chance))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    published = text_beside(out, beside, scored.scores)
    append_scores(out, scored.scores)
    click.echo(captured.get(), nl=False)
    for note in scored.notes:
        click.echo(note)
    click.echo(f"appended to {out}")
    click.echo(published, nl=False)


def _interval(low: float, high: float) -> str:
    decimals = _decimals(max(abs(low), abs(high)))
    return f"{low:.{decimals}f} … {high:.{decimals}f}"


def _decimals(value: float) -> int:
    return 3 if abs(value) <= 1 else 2 if abs(value) < 100 else 1


def _chance(one: Score, with_chance: bool) -> list[str]:
    """A cell with what one that knows nothing would score, in tables that have such a column."""
    chance = one.options.get("chance")
    return ["" if chance is None else f"{chance:.{_decimals(chance)}f}"] * with_chance
