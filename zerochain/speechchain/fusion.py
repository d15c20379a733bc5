"""The stage that makes a language model for a chain: from texts to a bundle.

It learns from the texts of the chain's pairs and from texts alone, and its weight in decoding is
the one with the lowest error rate on held-out paired speech, which neither the chain nor the model
was trained on. If nothing is gained there, the weight is 0 and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zerochain.errors import InputError, ModelMismatchError
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.progress import track
from zerochain.speechchain.chain import SpeechChain, pairs_id
from zerochain.speechchain.data import Material, Pairs
from zerochain.speechchain.language_model import WEIGHTS, LanguageModel, LanguageModelConfig
from zerochain.speechchain.recogniser import BEAM, ChainRecogniser
from zerochain.speechchain.sources import Method, Sources, read_material


@dataclass(frozen=True)
class LanguageModelTraining:
    """How a language model came out.

    Attributes:
        n_texts: texts that it was made of.
        n_states: known contexts.
        perplexity: per symbol of the held-out pairs' texts, with their ends.
        n_valid: held-out pairs.
        excluded: reason → how many texts or utterances were left out.
        error_rates: weight → error rate in % on held-out paired speech.
    """

    n_texts: int
    n_states: int
    perplexity: float
    n_valid: int
    excluded: Mapping[str, int]
    error_rates: Mapping[float, Estimate]
    weight: float


def train_language_model(
    chain: Path,
    sources: Sources,
    out: Path,
    *,
    config: LanguageModelConfig | None = None,
    paired: float | None = None,
    longest_s: float = 20.0,
    beam: int = BEAM,
    device: str = "cpu",
) -> LanguageModelTraining:
    """Make a language model of a chain's symbols, and save it as the bundle `out`.

    Args:
        sources: as for the chain, whose pairs decide what is held out; its texts alone may be
            others.
        paired: as for the chain.
        longest_s: as for the chain, in seconds.
        beam: at which the weight is chosen, 2 or more.

    Raises:
        InputError: not a chain, other pairs than the chain's, no texts, or a beam of 1.
        ModelMismatchError: other symbols than the chain's.
    """
    check_beam(beam)
    config = config or LanguageModelConfig()
    model = SpeechChain.load(chain, device)
    recogniser = model.recogniser
    sources = replace(sources, speech=None, speakers=None, start=None)
    method: Method = "paired" if paired is None and sources.texts is None else "chain"
    if model.training.get("method") == "all":
        method = "all"
    with read_material(
        sources,
        method,
        paired=paired,
        longest_s=longest_s,
        languages=recogniser.spelling.languages,
        encoder=None,
        device=device,
        speech_alone=False,
    ) as (material, trained_on):
        _check_pairs(model, material, chain)
        texts = [*material.train.texts, *material.texts]
        made = LanguageModel.of(texts, material.symbols, config.order)
        rates = {
            weight: _rate(recogniser, material.valid, replace(made, weight=weight), beam)
            for weight in track(WEIGHTS, "Choosing the weight")
        }
        weight = min(WEIGHTS, key=lambda w: (rates[w].value, w))
        report = LanguageModelTraining(
            len(texts),
            len(made.logs),
            made.perplexity(material.valid.texts),
            len(material.valid),
            material.excluded,
            rates,
            weight,
        )
    record = {
        **config.model_dump(),
        "n_texts": report.n_texts,
        "perplexity": report.perplexity,
        "beam": beam,
        "error_rates": {f"{w:g}": one.value for w, one in rates.items()},
    }
    trained_on = {**trained_on, "chain": model.id}
    replace(made, weight=weight, training=record, trained_on=trained_on).save(out)
    return report


def check_beam(beam: int) -> None:
    """Refuses a language model without a beam.

    Raises:
        InputError: a beam of 1, which is CTC's best path.
    """
    if beam < 2:
        raise InputError(
            f"a language model chooses between the hypotheses of a beam, and beam={beam}",
            remedy=f"use beam={BEAM}, or leave the language model out",
        )


def _check_pairs(model: SpeechChain, material: Material, path: Path) -> None:
    """Refuses pairs on which the chain may have been trained as held out ones."""
    own = model.recogniser.spelling
    if own.unit_model != material.symbols.unit_model:
        raise ModelMismatchError(
            "the texts are of other symbols than the chain's",
            cause="units= was left out, or is of another unit model",
            remedy="give what the chain was trained with",
        )
    if own.names != material.symbols.names or model.training.get("pairs") != pairs_id(material):
        raise InputError(
            "was trained on other pairs, perhaps on what is held out here",
            path=path,
            cause="the corpus, split=, paired= or longest_s= was another one",
            remedy="give those of the chain",
        )


def _rate(recogniser: ChainRecogniser, valid: Pairs, model: LanguageModel, beam: int) -> Estimate:
    """The error rate in % of held-out pairs with a language model."""
    paths = recogniser.transcribe(valid.speech.frames, beam, model if model.weight else None)
    return error_rate(
        [path.symbols.tolist() for path in paths], [[text.tolist()] for text in valid.texts]
    )
