"""Stage 4 on the command line: translate speech into the units of another language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    Command,
    checked,
    device_option,
    out_option,
    seed_option,
    training_config,
    training_options,
)
from zerochain.cli.printing import training_text

if TYPE_CHECKING:
    from zerochain.translation.data import Parallel, Part

corpus_option = click.option(
    "--corpus",
    "corpora",
    type=FOLDER,
    multiple=True,
    help="Where --split is looked up: the corpus of either side, or both.",
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
    help="More of the same: another source language, say. Repeatable.",
)
@corpus_option
@click.option("--split", help="Only the pairs of this split of --corpus.")
@click.option(
    "--source-units",
    type=FILE,
    multiple=True,
    help="Units of the source's recordings, to be predicted from a middle layer as well; once "
    "for each source.",
)
@click.option(
    "--auxiliary",
    type=click.Choice(["none", "ce", "ctc"]),
    help="How they are predicted: by a small decoder or by CTC.  [default: ctc if there are any]",
)
@click.option(
    "--auxiliary-weight", type=click.FloatRange(min=0), help="Of that loss.  [default: 8]"
)
@click.option(
    "--architecture",
    type=click.Choice(["conformer", "rnn", "ctc"]),
    default="conformer",
    show_default=True,
    help="Conformer and Transformer; the published LSTMs; or a conformer that says all at once.",
)
@click.option("--width", type=click.IntRange(min=2), help="Of layers.  [default: 192; rnn: 256]")
@click.option(
    "--encoder-layers", "n_encoder_layers", type=click.IntRange(min=1), help="[default: 4; rnn: 3]"
)
@click.option(
    "--decoder-layers", "n_decoder_layers", type=click.IntRange(min=1), help="[default: 3]"
)
@click.option("--heads", "n_heads", type=click.IntRange(min=1), help="[default: 4]")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="[default: 0.1]")
@click.option(
    "--subsampling",
    type=click.Choice(["1", "2", "4", "8"]),
    help="Frames of the source that become one.  [default: 4; units: 1; rnn: 8]",
)
@click.option(
    "--label-smoothing", type=click.FloatRange(0, 1, max_open=True), help="[default: 0.2]"
)
@click.option(
    "--concatenated",
    type=click.FloatRange(0, 1),
    help="Part of the pairs that are followed by another in training.  [default: 0.25]",
)
@click.option(
    "--augment/--no-augment",
    default=True,
    show_default=True,
    help="Warp and mask the source, or hide some of its units, in training.",
)
@click.option(
    "--longest",
    "longest_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds; longer utterances are refused.  [default: 60]",
)
@click.option(
    "--start-from",
    type=FOLDER,
    multiple=True,
    help="What 'translate pretrain' made of the source's or the target's units. Repeatable.",
)
@click.option(
    "--pseudo",
    type=(PATH, FILE),
    multiple=True,
    metavar="SOURCE TARGET_UNITS",
    help="Pairs of which a machine made one side, under one id in both: sources by a translator "
    "the other way round, or targets of the nearest source. Repeatable.",
)
@click.option(
    "--pseudo-cap",
    "cap",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="The most of those for a true pair; true ones are taken more often where there are more.",
)
@training_options(
    steps=4000,
    batch_size=24,
    learning_rate=1e-3,
    validate_every=100,
    patience=8,
    annealing="cosine",
)
@out_option("the translator; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train(
    source: Path,
    target: Path,
    pairs: Path,
    also: tuple[tuple[Path, Path, Path], ...],
    source_units: tuple[Path, ...],
    corpora: tuple[Path, ...],
    split: str | None,
    architecture: str,
    augment: bool,
    start_from: tuple[Path, ...],
    pseudo: tuple[tuple[Path, Path], ...],
    cap: float,
    out: Path,
    seed: int,
    device: str,
    **options: Any,
) -> None:
    """Train a translator from SOURCE (a features folder or a unit file) to TARGET_UNITS.

    PAIRS say which utterances say the same; for the other direction give the same pairs, and the
    other source and target. Some pairs are held out to see when to stop, by their unit-BLEU. What
    is kept are moving averages of the weights, in place of an average of the last checkpoints.
    Interrupted, it goes on where it stopped when the same command is given again.

    \b
    Recordings without pairs help as well:
    translate pretrain en.parquet --out pretrained/en, and es; then --start-from both
    translate decode translators/es-en es.parquet --sample 5 --out made.en.parquet;
      then --pseudo made.en.parquet es.parquet, where SOURCE is units
    translate baseline nearest … --unpaired --out near.es.parquet;
      then --pseudo en near.es.parquet, the baseline to beat
    """
    from zerochain.training.device import is_main_process, resolve_device
    from zerochain.translation.pseudo import Pseudo
    from zerochain.translation.stage import train_translator
    from zerochain.translation.task import TranslationConfig

    training = training_config(options, seed)
    flags = {name: options.pop(name) for name in ("restart", "tensorboard")}
    given = {name: value for name, value in options.items() if value is not None}
    if "subsampling" in given:
        given["subsampling"] = int(given["subsampling"])
    losses = {n: given.pop(n) for n in TranslationConfig.model_fields if n in given}
    if not augment:
        losses |= {"warp": 0, "tilt_db": 0, "n_time_masks": 0, "n_band_masks": 0}
        losses |= {"hidden_units": 0}
    _, report = train_translator(
        _files([(source, target, pairs), *also], source_units),
        out,
        network={**given, "architecture": architecture},
        config=checked(TranslationConfig, **losses),
        training=training,
        part=part_of(corpora, split),
        start_from=start_from,
        pseudo=[Pseudo(*files) for files in pseudo],
        cap=cap,
        device=resolve_device(device),
        **flags,
    )
    if not is_main_process():
        return
    click.echo(
        f"{out}: {architecture} from {report['n_pairs']} pairs, {report['n_held_out']} of them "
        "held out"
    )
    if pseudo:
        left = [f"{n} {why.replace('_', ' ')}" for why, n in report["pseudo_left_out"].items() if n]
        without = f"; left out: {', '.join(left)}" if left else ""
        click.echo(f"  and from {report['n_pseudo']} made-up pairs{without}")
    say_training(report)


def say_training(report: Mapping[str, Any]) -> None:
    """Say how the training of a translator's network went."""
    reached = f"unit-BLEU {report['unit_bleu']:.1f}, cross-entropy {report['cross_entropy']:.2f}"
    click.echo(f"  {training_text(report, reached)}")


def _files(sides: list[tuple[Path, Path, Path]], source_units: tuple[Path, ...]) -> list[Parallel]:
    from zerochain.translation.data import Parallel

    if source_units and len(source_units) != len(sides):
        raise click.BadParameter(
            f"--source-units is given {len(source_units)} times for {len(sides)} sources"
        )
    own = source_units or (None,) * len(sides)
    return [Parallel(*side, units) for side, units in zip(sides, own, strict=True)]


def part_of(corpora: tuple[Path, ...], split: str | None) -> Part | None:
    """What --corpus and --split name; None without them."""
    from zerochain.translation.data import Part

    if bool(corpora) != (split is not None):
        raise click.BadParameter("--split and --corpus go together: whose split is it?")
    return None if split is None else Part(corpora, split)
