"""Stage 4 on the command line: from speech to the units, or the speech, of another language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zerochain.audio import check_other
from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    TABLE,
    Command,
    F,
    channel_option,
    device_option,
    jobs_option,
    out_option,
    seed_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import training_text
from zerochain.cli.training import running_options
from zerochain.errors import counted, listed
from zerochain.inversion.speaking import Manner, Speaking
from zerochain.recordings import translate as translate_recording
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.translation import pretraining, task
from zerochain.translation.baselines import STEP_MS, frequent_baseline, nearest_baseline
from zerochain.translation.data import Parallel, Part
from zerochain.translation.pretraining import PretrainingConfig
from zerochain.translation.pretraining import pretrain as pretrain_denoiser
from zerochain.translation.pseudo import Pseudo
from zerochain.translation.splicing import spliced_translation
from zerochain.translation.stage import train_translator
from zerochain.translation.stage import translate as translate_files
from zerochain.translation.task import TranslationConfig, TranslationTraining
from zerochain.translation.translator import Search

corpora_option = click.option(
    "--corpus",
    "corpora",
    type=FOLDER,
    multiple=True,
    help="Corpus in which --split is looked up: that of either side, or both.",
)
beam_option = click.option(
    "--beam",
    type=click.IntRange(min=1),
    default=Search.beam,
    show_default=True,
    help="Hypotheses kept in beam search; 5 is better and slower, 1 is greedy decoding.",
)


@click.command(
    cls=Command,
    example="zerochain extract corpora/en --features log-mel --out en\n"
    "zerochain translate train en es.parquet corpora/pairs.parquet --corpus corpora/en "
    "--split train --out translators/en-es\n"
    "zerochain translate train en es.parquet corpora/pairs.parquet --source-units en.parquet "
    "--out translators/en-es",
)
@click.argument("source", type=PATH)
@click.argument("target", metavar="TARGET_UNITS", type=FILE)
@click.argument("pairs", type=FILE)
@click.option(
    "--also",
    type=(PATH, FILE, FILE),
    multiple=True,
    metavar="SOURCE TARGET_UNITS PAIRS",
    help="Further training data, such as another source language. Can be repeated.",
)
@corpora_option
@click.option("--split", help="Only the pairs of this split of --corpus.")
@click.option(
    "--source-units",
    type=FILE,
    multiple=True,
    help="Units of the source's recordings, which a middle layer predicts as well; once for each "
    "source.",
)
@click.option(
    "--variant",
    "variants",
    type=PATH,
    multiple=True,
    help="The source's recordings in other voices, of 'encode --voice-factor'; each step takes the "
    "source or one of these. Repeatable.",
)
@click.option(
    "--start-from",
    type=FOLDER,
    multiple=True,
    help="A denoiser of the source's or the target's units, of 'translate pretrain'. Repeatable.",
)
@click.option(
    "--pseudo",
    type=(PATH, FILE),
    multiple=True,
    metavar="SOURCE TARGET_UNITS",
    help="Pairs of which a machine made one side, under one id in both: sources by a translator "
    "in the other direction, or targets of the nearest source. Repeatable.",
)
@options_of(TranslationConfig, task.RECIPE)
@out_option("the translator; <out>.training gets the checkpoint and log.csv")
@running_options
def train(
    source: Path,
    target: Path,
    pairs: Path,
    also: tuple[tuple[Path, Path, Path], ...],
    source_units: tuple[Path, ...],
    corpora: tuple[Path, ...],
    split: str | None,
    variants: tuple[Path, ...],
    start_from: tuple[Path, ...],
    pseudo: tuple[tuple[Path, Path], ...],
    config: TranslationConfig,
    recipe: Recipe,
    out: Path,
    running: Running,
) -> None:
    """Train a translator from SOURCE (a features folder or a unit file) to TARGET_UNITS.

    PAIRS lists the utterances that are translations of each other; for the other direction give the
    same pairs, and exchange source and target. Training stops when the unit-BLEU of held-out
    pairs no longer improves. If it is interrupted, the same command continues it.

    \b
    Recordings without pairs can be used too:
    translate pretrain en.parquet --out pretrained/en, and es; then --start-from both
    translate decode translators/es-en es.parquet --sample 5 --out made.en.parquet;
      then --pseudo made.en.parquet es.parquet, where SOURCE is units
    translate baseline nearest … --unpaired --out near.es.parquet;
      then --pseudo en near.es.parquet, the baseline to beat
    """
    _, report = train_translator(
        _parallel([(source, target, pairs), *also], source_units),
        out,
        config=config,
        recipe=recipe,
        running=running,
        part=_part_of(corpora, split),
        variants=variants,
        start_from=start_from,
        pseudo=[Pseudo(*files) for files in pseudo],
    )
    if not is_main_process():
        return
    click.echo(
        f"{out}: {report.architecture} from {counted(report.n_pairs, 'pair')}, "
        f"{report.n_held_out} of them held out"
    )
    if pseudo:
        left = [f"{n} {why.replace('_', ' ')}" for why, n in report.pseudo_left_out.items() if n]
        without = f"; left out: {', '.join(left)}" if left else ""
        click.echo(f"  and from {counted(report.n_pseudo, 'pseudo pair')}{without}")
    echo_training(report)


def echo_training(report: TranslationTraining) -> None:
    """Print how the training of a translator, or of what is trained like one, went."""
    reached = f"unit-BLEU {report.unit_bleu:.1f}, cross-entropy {report.cross_entropy:.2f}"
    click.echo(f"  {training_text(asdict(report), reached)}")


def _parallel(
    sides: Sequence[tuple[Path, Path, Path]], source_units: tuple[Path, ...]
) -> list[Parallel]:
    if source_units and len(source_units) != len(sides):
        raise click.BadParameter(
            f"--source-units is given {counted(len(source_units), 'time')} for "
            f"{counted(len(sides), 'source')}"
        )
    own = source_units or (None,) * len(sides)
    return [Parallel(*side, units) for side, units in zip(sides, own, strict=True)]


def _part_of(corpora: tuple[Path, ...], split: str | None) -> Part | None:
    """The part that --corpus and --split name; None without them."""
    if bool(corpora) != (split is not None):
        raise click.BadParameter(
            "--split requires --corpus, whose splits are meant, and --corpus requires --split"
        )
    return None if split is None else Part(corpora, split)


@click.command(
    cls=Command,
    example="zerochain translate pretrain en.parquet --out pretrained/en\n"
    "zerochain translate pretrain es.parquet more.es.parquet --out pretrained/es\n"
    "zerochain translate train en.parquet es.parquet pairs.parquet --start-from pretrained/en "
    "--start-from pretrained/es --out translators/en-es",
)
@click.argument("units", type=FILE, nargs=-1, required=True)
@options_of(
    PretrainingConfig,
    pretraining.RECIPE,
    without=("subsampling", "auxiliary", "auxiliary_weight", "pseudo_cap"),
)
@out_option("the denoiser, for 'translate train --start-from'")
@running_options
def pretrain(
    units: tuple[Path, ...],
    config: PretrainingConfig,
    recipe: Recipe,
    out: Path,
    running: Running,
) -> None:
    """Learn which UNITS follow which in a language: predict them from units with masked spans.

    No pairs are needed, so give all unit files there are of one unit model. Translators from these
    units start from the encoder, translators into them from the decoder.
    """
    model, report = pretrain_denoiser(units, out, config=config, recipe=recipe, running=running)
    if is_main_process():
        click.echo(
            f"{out}: {model.architecture} from {counted(report.n_utterances, 'utterance')}, "
            f"{report.n_held_out} held out"
        )
        echo_training(report)


@click.command(
    cls=Command,
    example="zerochain translate decode translators/en-es en --corpus corpora/en --split test "
    "--beam 5 --out test.es.parquet\n"
    "zerochain translate decode translators/en-es en --id en0004 --attention maps "
    "--out one.parquet",
)
@click.argument("translator", type=FOLDER)
@click.argument("source", type=PATH)
@beam_option
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Sample each unit from this many of the most probable ones instead, with --seed.",
)
@click.option("--id", "ids", multiple=True, help="Translate only this utterance. Can be repeated.")
@corpora_option
@click.option("--split", help="Translate only this split of --corpus.")
@click.option(
    "--attention",
    type=FOLDER,
    help="A folder for maps of which part of the source each unit comes from, <id>.npz.",
)
@click.option(
    "--scores", type=FILE, help="A scores.jsonl to which the real-time factor is appended."
)
@click.option("--system", help="Name of the system there.")
@out_option("the unit file; its units have no durations", TABLE)
@seed_option
@device_option
def decode(
    translator: Path,
    source: Path,
    beam: int,
    sample: int | None,
    ids: tuple[str, ...],
    corpora: tuple[Path, ...],
    split: str | None,
    attention: Path | None,
    scores: Path | None,
    system: str | None,
    out: Path,
    seed: int,
    device: str,
) -> None:
    """Translate SOURCE, a features folder or a unit file like the TRANSLATOR's, into units."""
    if sample is not None and beam > 1:
        raise click.BadParameter(
            "--beam and --sample exclude each other: best or varied translations"
        )
    done = translate_files(
        translator,
        source,
        out,
        search=Search(beam, sample, seed),
        ids=ids,
        part=_part_of(corpora, split),
        attention=attention,
        scores=scores,
        system=system,
        device=resolve_device(device),
    )
    units = done.unit_file.units
    click.echo(
        f"{out}: {counted(len(units), 'translation')}, {done.n_distinct} different, "
        f"{counted(sum(map(len, units.values())), 'unit')}"
    )
    click.echo(
        f"  {done.seconds:.2f} s for {done.source_s:.1f} s of recordings (real-time factor "
        f"{done.real_time_factor:.3f}, in batches, without encoding and synthesis)"
    )
    if len(units) > 1 and done.n_distinct == 1:
        click.echo("  all are the same: the translator ignores its input", err=True)
    if done.silent:
        click.echo(f"  silent, so the translation is hallucinated: {listed(done.silent)}", err=True)
    if done.cut:
        click.echo(
            f"  cut at the length limit, as decoding did not end: {listed(done.cut)}", err=True
        )


@click.command(
    cls=Command,
    example="zerochain translate speech translators/en-es inverters/es in.wav out.wav",
)
@click.argument("translator", type=FOLDER)
@click.argument("inverter", type=FOLDER)
@click.argument("recording", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--source-model",
    type=FOLDER,
    help="The unit model of the source, where the translator takes units.",
)
@click.option("--voice", help="Voice of the output; not needed if the inverter has only one.")
@click.option(
    "--like", type=FILE, help="Speak in the voice of this recording; requires --speakers."
)
@click.option(
    "--speakers", type=FOLDER, help="The speaker encoder that the inverter was trained with."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Speaking rate: 2 is twice as fast.",
)
@beam_option
@channel_option
@seed_option
@device_option
def speech(
    translator: Path,
    inverter: Path,
    recording: Path,
    out: Path,
    source_model: Path | None,
    voice: str | None,
    like: Path | None,
    speakers: Path | None,
    rate: float,
    beam: int,
    channel: str,
    seed: int,
    device: str,
) -> None:
    """Speak the translation of a RECORDING with an INVERTER, into the WAV called OUT."""
    if (like is None) != (speakers is None) or (like is not None and voice is not None):
        raise click.BadParameter("--like requires --speakers, and excludes --voice")
    check_other(out, recording)
    made = translate_recording(
        translator,
        inverter,
        recording,
        out,
        Speaking(voice, like, speakers, manner=Manner(rate=rate), seed=seed),
        source_model=source_model,
        search=Search(beam),
        channel=channel,
        device=resolve_device(device),
    )
    click.echo(f"{out}: {counted(made.n_units, 'unit')}, {made.duration_s:.2f} s of speech")
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in made.seconds.items())
    click.echo(
        f"  {stages} for a recording of {made.source_s:.2f} s (real-time factor "
        f"{made.real_time_factor:.2f}, with reading the models)"
    )
    if made.is_silent:
        click.echo("  the recording is silent, so the translation is hallucinated", err=True)
    if made.is_cut:
        click.echo("  cut at the length limit, as decoding did not end", err=True)


targets_argument = click.argument("targets", type=FILE)
pairs_argument = click.argument("pairs", type=FILE)
corpus_option = click.option("--corpus", type=FOLDER, required=True, help="Corpus of the sources.")
train_split_option = click.option(
    "--train-split", default="train", show_default=True, help="Whose pairs are the examples."
)
split_option = click.option(
    "--split", default="test", show_default=True, help="Whose sources are translated."
)


normalisation_option = click.option(
    "--normalisation",
    type=click.Choice(["auto", "none", "corpus", "speaker", "utterance"]),
    default="auto",
    show_default=True,
    callback=lambda context, option, value: None if value == "auto" else value,
    help="Of the features; auto: per speaker where all are known, else per utterance.",
)
step_option = click.option(
    "--step-ms",
    type=click.FloatRange(min=1),
    default=STEP_MS,
    show_default=True,
    help="Frames are averaged to steps of this length.",
)


def example_options(function: F) -> F:
    """What baselines that take training sources as examples need."""
    options = [
        click.argument("features", type=FOLDER),
        targets_argument,
        pairs_argument,
        corpus_option,
        train_split_option,
        split_option,
        normalisation_option,
        step_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    cls=Command,
    example="zerochain translate baseline nearest features/en units/es.parquet "
    "corpora/pairs.parquet --corpus corpora/en --out nearest.parquet",
)
@example_options
@click.option(
    "--unpaired",
    is_flag=True,
    help="Translate the utterances of --split without a pair: pseudo pairs for 'translate train "
    "--pseudo'.",
)
@out_option("the units", TABLE)
@jobs_option
def nearest(out: Path, **options: Any) -> None:
    """The units in TARGETS of the training source whose FEATURES are nearest, by DTW."""
    found = nearest_baseline(out=out, **options)
    n_examples = len(set(found.values()))
    click.echo(
        f"{counted(len(found), 'utterance')}, {counted(n_examples, 'different example')} → {out}"
    )


@click.command(
    cls=Command,
    example="zerochain translate baseline spliced features/en units/es.parquet "
    "corpora/pairs.parquet --corpus corpora/en --out spliced.parquet",
)
@example_options
@click.option(
    "--penalty",
    type=click.FloatRange(min=0, min_open=True),
    help="The price of another piece, in distances of frames, of which 1 is the largest.  "
    "[default: chosen on the training pairs]",
)
@out_option("the units", TABLE)
@jobs_option
def spliced(out: Path, **options: Any) -> None:
    """The units in TARGETS of pieces of training sources whose FEATURES, joined, are nearest.

    Each source is explained by pieces of one or several training sources, and translated into the
    pieces of their targets at the same times: so the two languages need roughly one order of words.
    It takes no training, and with few pairs it is far better than the nearest source as a whole.
    """
    found = spliced_translation(out=out, **options)
    if found.tuned:
        tried = ", ".join(f"{one:g}: {value:.1f}" for one, value in found.tuned.items())
        click.echo(f"unit-BLEU of training pairs without themselves, by penalty: {tried}")
    click.echo(
        f"{counted(len(found.pieces), 'utterance')}, penalty {found.penalty:g}, "
        f"{found.n_pieces:.1f} pieces per utterance → {out}"
    )


@click.command(
    cls=Command,
    example="zerochain translate baseline frequent units/es.parquet corpora/pairs.parquet "
    "--corpus corpora/en --out frequent.parquet",
)
@targets_argument
@pairs_argument
@corpus_option
@train_split_option
@split_option
@out_option("the units", TABLE)
def frequent(out: Path, **options: Any) -> None:
    """The same units for all sources: the most frequent of TARGETS, or the most central of them."""
    click.echo(f"the units of {frequent_baseline(out=out, **options)} for all sources → {out}")
