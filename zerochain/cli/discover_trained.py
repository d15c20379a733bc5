"""Stage 2 on the command line: discover units with networks that are trained."""

from __future__ import annotations

from typing import Any

import click

from zerochain.cli.common import (
    Command,
    checked,
    device_option,
    seed_option,
    training_config,
    training_options,
)
from zerochain.cli.discover import discovery_options, fit_and_say, front_end_options
from zerochain.cli.options import options_of, running_options
from zerochain.discovery.vqvae import RECIPE as VQVAE
from zerochain.discovery.vqvae import VQVAEConfig, VQVAEUnits
from zerochain.training.config import TrainingConfig
from zerochain.training.run import Running


@click.command(
    cls=Command,
    example="zerochain discover vqvae corpora/mine --units 256 --out models/vq256",
    context_settings={"default_map": {"stride": 4}},
)
@discovery_options
@options_of(VQVAEConfig, VQVAE)
@running_options
def vqvae(
    units: int,
    stride: int,
    config: VQVAEConfig,
    recipe: TrainingConfig,
    running: Running,
    **rest: Any,
) -> None:
    """Conditional VQ-VAE: codes from which a decoder that knows the speaker rebuilds the features.

    <out>.training gets the checkpoint and log.csv. Interrupted, it goes on where it stopped when
    the same command is given again.
    """
    model = VQVAEUnits(
        units,
        stride,
        options=front_end_options(rest),
        config=config,
        training=recipe,
        device=running.device,
    )
    model.restart, model.tensorboard = running.restart, running.tensorboard
    fit_and_say(model, **rest)


@click.command(
    cls=Command,
    example="zerochain discover vqcpc corpora/mine --features log-mel --units 512 --stride 2 "
    "--out models/cpc512",
)
@discovery_options
@seed_option
@device_option
@click.option("--published", is_flag=True, help="The network of van Niekerk et al. 2020.")
@click.option(
    "--encoder",
    type=click.Choice(["narrow", "conv"]),
    help="See a step's own frames, or its neighbours as well.  [default: narrow]",
)
@click.option("--width", type=click.IntRange(min=1), help="Channels of a layer.  [default: 256]")
@click.option("--layers", "n_layers", type=click.IntRange(min=0), help="[default: 4]")
@click.option("--codebook-dim", type=click.IntRange(min=1), help="[default: 64]")
@click.option("--context-dim", type=click.IntRange(min=1), help="Of the GRU.  [default: 256]")
@click.option(
    "--predictions",
    "n_predictions",
    type=click.IntRange(min=1),
    help="Steps ahead that are predicted.  [default: 6]",
)
@click.option(
    "--negatives",
    type=click.Choice(["speaker", "utterance", "any"]),
    help="Where what might have come is from.  [default: speaker]",
)
@click.option(
    "--n-negatives", type=click.IntRange(min=1), help="For each prediction.  [default: 17]"
)
@click.option(
    "--group-size",
    "n_per_group",
    type=click.IntRange(min=1),
    help="Segments of a batch that take negatives from each other.  [default: 8]",
)
@click.option(
    "--quantise/--continuous",
    default=None,
    help="Predict codes, or latents that K-Means makes units of.  [default: quantise]",
)
@click.option(
    "--warm-up-steps",
    type=click.IntRange(min=0),
    help="Of training before there is a codebook.  [default: 0]",
)
@click.option("--decay", type=float, help="Of the codebook's averages.  [default: 0.99]")
@click.option("--commitment", type=float, help="Weight of that loss.  [default: 0.25]")
@click.option(
    "--restart-below",
    type=float,
    help="Share of a unit, in mean shares, below which it begins again.  [default: 0.03]",
)
@click.option(
    "--latents",
    type=click.Choice(["encoder", "context"]),
    help="What units are found in: each step, or the GRU's view of all so far.  [default: encoder]",
)
@click.option(
    "--codebook-from",
    type=click.Choice(["training", "kmeans"]),
    help="The codebook in the end: as trained, or K-Means of the latents.  [default: training]",
)
@click.option(
    "--augment", is_flag=True, help="Let a segment's past and future sound like two speakers."
)
@click.option(
    "--segment-frames",
    "n_frames",
    type=click.IntRange(min=1),
    help="Length of a training segment.  [default: 128]",
)
@training_options(steps=20_000, batch_size=64, learning_rate=4e-4, validate_every=200, patience=10)
def vqcpc(
    units: int,
    stride: int,
    published: bool,
    augment: bool,
    seed: int,
    device: str,
    **rest: Any,
) -> None:
    """VQ-CPC: codes from which what comes next is told from what else the same speaker said.

    The derivatives among MFCCs already hold some of what is to be told; log-mel does not.

    <out>.training gets the checkpoint and log.csv. Interrupted, it goes on where it stopped when
    the same command is given again.
    """
    from zerochain.discovery.cpc import CPCConfig, CPCUnits
    from zerochain.features.augmentation import AugmentationOptions
    from zerochain.training.device import resolve_device

    base = CPCConfig.published() if published else CPCConfig()
    given = {name: rest.pop(name) for name in CPCConfig.model_fields if name in rest}
    chosen = {name: value for name, value in given.items() if value is not None}
    if augment:
        chosen["augmentation"] = AugmentationOptions().model_dump()
    model = CPCUnits(
        units,
        stride,
        options=front_end_options(rest),
        config=checked(CPCConfig, **{**base.model_dump(), **chosen}),
        training=training_config(rest, seed),
        device=resolve_device(device),
    )
    model.restart, model.tensorboard = rest.pop("restart"), rest.pop("tensorboard")
    fit_and_say(model, **rest)


@click.command(
    cls=Command,
    example="zerochain discover selftrain corpora/mine --units 256 --bitrate 150 --out models/self",
    context_settings={"default_map": {"normalisation": "utterance"}},
)
@discovery_options
@seed_option
@device_option
@click.option("--width", type=click.IntRange(min=1), help="Channels of a layer.  [default: 128]")
@click.option(
    "--blocks", "n_blocks", type=click.IntRange(min=0), help="Residual blocks.  [default: 4]"
)
@click.option(
    "--tail",
    type=click.Choice(["none", "gru", "transformer"]),
    help="What sees the whole segment after the convolutions.  [default: none]",
)
@click.option(
    "--instance-norm/--no-instance-norm",
    default=None,
    help="Take mean and variance over the utterance out of the bottleneck.  [default: no]",
)
@click.option("--bottleneck", "dim", type=click.IntRange(min=1), help="Dimensions.  [default: 64]")
@click.option(
    "--teacher-penalty",
    type=click.FloatRange(min=0),
    help="Of the teachers' segmentation.  [default: 1]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    help="At most; fewer if units become less robust to a change of voice.  [default: 1]",
)
@click.option(
    "--augment/--no-augment",
    default=True,
    show_default=True,
    help="Train on speech as other vocal tracts and rooms would have it.",
)
@click.option(
    "--segment-frames",
    "n_frames",
    type=click.IntRange(min=1),
    help="Length of a training segment.  [default: 128]",
)
@training_options(
    steps=700,
    batch_size=24,
    learning_rate=1e-3,
    validate_every=100,
    patience=5,
    annealing="cosine",
)
def selftrain(units: int, stride: int, augment: bool, seed: int, device: str, **rest: Any) -> None:
    """Self-training: a network learns K-Means units under other voices; K-Means of what it learned.

    <out>.training/round-N gets checkpoint and log.csv of each round. Interrupted, it goes on
    where it stopped when the same command is given again.
    """
    from zerochain.discovery.self_training import SelfTrainedUnits, SelfTrainingConfig
    from zerochain.training.device import resolve_device

    given = {name: rest.pop(name) for name in SelfTrainingConfig.model_fields if name in rest}
    chosen = {name: value for name, value in given.items() if value is not None}
    if not augment:
        chosen["augmentation"] = None
    model = SelfTrainedUnits(
        units,
        stride,
        options=front_end_options(rest),
        config=checked(SelfTrainingConfig, **chosen),
        training=training_config(rest, seed),
        device=resolve_device(device),
    )
    model.restart, model.tensorboard = rest.pop("restart"), rest.pop("tensorboard")
    fit_and_say(model, **rest)
