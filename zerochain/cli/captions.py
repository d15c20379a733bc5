"""`zerochain chain`: pictures that join the speech chain."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from zerochain.cli.chain import estimate_text
from zerochain.cli.common import (
    FILE,
    FOLDER,
    TABLE,
    Command,
    device_option,
    out_option,
    split_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import left_out_text, print_facts, training_text
from zerochain.cli.score import save_scores, system_option
from zerochain.cli.training import running_options
from zerochain.errors import counted
from zerochain.metrics import names
from zerochain.modules.captioner import CaptionerSizes
from zerochain.scoring.common import Common, Scored
from zerochain.speechchain.captioning import Captions
from zerochain.speechchain.captioning import caption as caption_corpus
from zerochain.speechchain.captions import RECIPE, CaptionConfig
from zerochain.speechchain.captions import train_captioner as train
from zerochain.speechchain.recogniser import BEAM
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


@click.command(
    cls=Command,
    example="zerochain chain train-captioner corpora/demo/en features/pictures --split train "
    "--paired 0.3 --chain chains/paired --out captioners/chain",
)
@click.argument("corpus", type=FOLDER)
@click.argument("pictures", type=FOLDER)
@split_option
@click.option(
    "--chain", type=FOLDER, required=True, help="The speech chain that transcribes the speech."
)
@options_of(CaptionConfig, RECIPE)
@options_of(CaptionerSizes, into="sizes")
@out_option("the captioner; <out>.training gets the checkpoint and the log")
@running_options
def train_captioner(
    corpus: Path,
    pictures: Path,
    split: str | None,
    chain: Path,
    config: CaptionConfig,
    recipe: Recipe,
    sizes: CaptionerSizes,
    out: Path,
    running: Running,
) -> None:
    """Train a captioner on PICTURES with texts, and on those whose speech a CHAIN transcribes.

    PICTURES are features of the CORPUS, regions × values for each utterance. Utterances with a text
    are pairs. Those without have a transcript as their picture's caption, which counts as much as
    the recogniser is sure of it. If it is interrupted, the same command continues it.
    """
    report = train(
        corpus,
        pictures,
        chain,
        out,
        split=split,
        config=config,
        sizes=sizes,
        recipe=recipe,
        running=running,
    )
    if is_main_process():
        print_facts(
            f"captioner {out}",
            {
                "trained on": f"{counted(report.n_pairs, 'picture')} with texts, "
                f"{report.n_spoken} with transcripts, and {counted(report.n_texts, 'text')} alone",
                "training": training_text(asdict(report)),
                "held-out pairs": f"CER {report.valid_cer:.1f} % without a beam",
                "left out": left_out_text(report.excluded),
            },
        )


NEAREST = "text of the nearest picture"
"""The baseline, as a system of scores."""


@click.command(
    cls=Command,
    example="zerochain chain caption captioners/chain corpora/demo/en features/pictures "
    "--split test --out captions.parquet",
)
@click.argument("captioner", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@click.argument("pictures", type=FOLDER)
@split_option
@click.option(
    "--nearest",
    help="A split: beside the captions, give each picture the text of the nearest picture there.",
)
@click.option(
    "--paired",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="With --nearest, as for the captioner: the fraction of the texts that stay paired.",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 100),
    default=BEAM,
    show_default=True,
    help="Width of the beam search; 1 is greedy.",
)
@out_option("the captions", TABLE)
@click.option("--scores", type=FILE, help="A scores.jsonl to which the scores are appended.")
@system_option
@device_option
def caption(
    captioner: Path,
    corpus: Path,
    pictures: Path,
    split: str | None,
    nearest: str | None,
    paired: float | None,
    beam: int,
    out: Path,
    scores: Path | None,
    system: str | None,
    device: str,
) -> None:
    """Caption the PICTURES of a CORPUS, and find pictures by its texts, if any.

    Scores have 95 % intervals over pictures. A text is looked for among all pictures that are
    captioned. --nearest gives a baseline, which copies texts of the pictures that the captioner
    learned from.
    """
    if nearest is None and paired is not None:
        raise click.UsageError("--paired only applies with --nearest")
    result = caption_corpus(
        captioner,
        corpus,
        pictures,
        out,
        split=split,
        nearest=nearest,
        paired=paired,
        beam=beam,
        device=resolve_device(device),
    )
    print_facts(
        f"captions {out}",
        {
            "pictures": f"{len(result.captions.texts):,}",
            "CER": estimate_text(result.cer),
            "without an error": estimate_text(result.exact),
            "CER of the nearest picture's text": estimate_text(result.nearest_cer),
            "… without an error": estimate_text(result.nearest_exact),
            "picture found first": estimate_text(result.first),
            "… among the first five": estimate_text(result.five),
        },
    )
    if scores is not None:
        name = system or f"captioner {captioner.name}"
        save_scores(_scored(result, name, split, f"beam {beam}"), scores)


def _scored(result: Captions, system: str, split: str | None, protocol: str) -> Scored:
    """The scores as lines of scores.jsonl."""
    made = result.captions
    about = {"n_of": "utterances", "split": split}
    own = Common(system, {"captioner": made.model_id, "corpus": made.corpus_id}, about)
    baseline = Common(NEAREST, {"corpus": made.corpus_id}, about)
    found = [
        (own, names.CAPTION_CER, result.cer),
        (own, names.CAPTION_EXACT, result.exact),
        (own, names.PICTURE_FIRST, result.first),
        (own, names.PICTURE_FIVE, result.five),
        (baseline, names.CAPTION_CER, result.nearest_cer),
        (baseline, names.CAPTION_EXACT, result.nearest_exact),
    ]
    return Scored(
        [
            common.score(metric, one.value, one.interval, one.n, protocol)
            for common, metric, one in found
            if one is not None
        ]
    )
