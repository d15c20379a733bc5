"""Stage 2 on the command line: encode a corpus with a unit model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import (
    FOLDER,
    PATH,
    Command,
    asked_segmentation,
    device_option,
    jobs_option,
    out_option,
    segmentation_options,
    split_option,
)


@click.command(
    cls=Command,
    example="zerochain encode models/km256 corpora/mine --split test --out units.parquet\n"
    "zerochain encode models/gmm256 corpora/mine --posteriors --out posteriors/\n"
    "zerochain encode models/km256 corpora/mine --latents --out latents/",
)
@click.argument("model", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@click.option("--features", type=FOLDER, help="A features folder of the corpus.")
@click.option(
    "--posteriors",
    is_flag=True,
    help="Write the probability of every unit at every step, as a features folder (gmm, dpgmm).",
)
@click.option(
    "--latents",
    is_flag=True,
    help="Write what the units stand for, before quantisation, as a features folder.",
)
@segmentation_options
@split_option
@out_option("the unit file, or the folder of posteriors or latents", PATH)
@device_option
@jobs_option
def encode(
    model: Path,
    corpus: Path,
    features: Path | None,
    posteriors: bool,
    latents: bool,
    split: str | None,
    out: Path,
    device: str,
    jobs: int | None,
    **segmentation: Any,
) -> None:
    """Turn the recordings of a CORPUS into units of a unit MODEL.

    With a penalty, the model's own or one given here, units are segments with durations.
    Posteriors are scored by 'zerochain score abx FOLDER --distance kl', latents without it.
    """
    from zerochain.discovery.penalty import SegmentationOptions, segment_rates
    from zerochain.discovery.stage import encode as encode_corpus
    from zerochain.discovery.stage import encode_frames
    from zerochain.formats.corpus import read_corpus
    from zerochain.training.device import resolve_device

    common: dict[str, Any] = {
        "features": features,
        "split": split,
        "device": resolve_device(device),
        "jobs": jobs,
    }
    asked = asked_segmentation(segmentation)
    if posteriors and latents:
        raise click.BadParameter("--posteriors and --latents are two folders: ask for one")
    if (posteriors or latents) and asked != SegmentationOptions():
        raise click.BadParameter("--posteriors and --latents are of every step, not of segments")
    if posteriors or latents:
        written = encode_frames(
            "latents" if latents else "posteriors", model, corpus, out, **common
        )
        click.echo(f"{out}: {len(written)} utterances, {len(written.frames)} × {written.dim}")
        return
    if out.is_dir():
        raise click.BadParameter(f"{out} is a directory", param_hint="--out")
    made = encode_corpus(model, corpus, out, segmentation=asked, **common)
    n_units = sum(len(units) for units in made.units.values())
    are = f"units of {made.step_ms:g} ms" if made.durations is None else "segments"
    click.echo(f"{out}: {len(made.units)} utterances, {n_units} {are}")
    if made.durations is not None or asked.bitrate is not None:
        seconds = {u.id: u.duration for u in read_corpus(corpus).utterances}
        click.echo(f"{made.method}: {segment_rates(made, seconds)}")
