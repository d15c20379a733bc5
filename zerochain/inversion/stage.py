"""The stage as one function of files: train an inverter on units and recordings of voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerochain import audio
from zerochain.formats.bundle import SAMPLE
from zerochain.inversion import SPECTRAL_METHODS, Method, pitch, prosody, spectral, waveform
from zerochain.inversion.inverter import Inverter
from zerochain.inversion.prosody import fit_prosody
from zerochain.inversion.spectral import SpectralConfig, train_spectral
from zerochain.inversion.voice_data import Material
from zerochain.inversion.waveform import WaveformConfig, train_waveform
from zerochain.training.device import is_main_process
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, finish


def train_inverter(
    units: Path,
    corpus: Path,
    out: Path,
    *,
    method: Method = "code2spec",
    voices: Sequence[str] | None = (),
    speakers: Path | None = None,
    split: str | None = None,
    config: SpectralConfig | WaveformConfig | None = None,
    recipe: Recipe | None = None,
    f0: Recipe = pitch.RECIPE,
    prosody: Recipe | None = prosody.RECIPE,
    running: Running | None = None,
) -> tuple[Inverter, dict[str, Any]]:
    """Train an inverter on voices' units and recordings and save it as the bundle `out`.

    Checkpoints and logs stand beside it in the folder `<out>.training`; called again after it was
    interrupted, training goes on from there with the same result.

    Args:
        method: "code2spec" and its baseline "unit-means" predict spectrograms; "convnext" and
            "hifigan" predict waveforms.
        voices: the speakers; none named if the corpus has only one, None for all of them.
        speakers: the bundle of a speaker encoder, by whose vectors voices are known, so that any
            voice can speak, from a recording. None: by their numbers.
        split: train on this split alone.
        config: of the method's kind; None is the default one.
        recipe: None is the method's own.
        f0: recipe of the F0 units, of methods that predict waveforms.
        prosody: recipe of the durations (and F0) of units that come without any; None: none are
            learned, where spectrograms are predicted.

    Returns:
        The inverter, and how its training went.

    Raises:
        InputError: no such voice, units of another corpus, too little speech, unit means of
            several voices, a speaker encoder for one, an adversary that would begin after the
            last step, or divergence.
        TypeError: a config of another kind, or no prosody where waveforms are predicted.
    """
    running = (running or Running()).beside(out)
    running.discard()
    if config is None:
        config = SpectralConfig() if method in SPECTRAL_METHODS else WaveformConfig()
    if recipe is None:
        recipe = spectral.RECIPE if method in SPECTRAL_METHODS else waveform.RECIPE
    if method != "unit-means":
        config.check_begins(recipe.max_steps)
    material = Material.read(units, corpus, voices, speakers, split, running.device)
    inverter: Inverter
    fitted: Fitted | None
    match method, config:
        case "code2spec" | "unit-means", SpectralConfig():
            inverter, fitted = train_spectral(method, material, config, recipe, running)
            inverter = replace(inverter, prosody=_prosody(material, prosody, running))
        case "convnext" | "hifigan", WaveformConfig() if prosody is not None:
            inverter, fitted = train_waveform(
                method,
                material,
                config,
                recipe,
                running,
                f0=f0,
                prosody=prosody,
            )
        case _:
            raise TypeError(f"a {method} inverter can't be trained with {config=}, {prosody=}")

    def write() -> None:
        sample = inverter.synthesize(*material.sample())  # an inverter that can't isn't saved
        inverter.save(out)
        audio.write(out / SAMPLE, sample)

    if fitted is not None:
        finish(fitted, out, write)
    elif is_main_process():
        write()
    seconds = {} if fitted is None else {"seconds": fitted.seconds}
    return inverter, {**inverter.training, **seconds}


def _prosody(material: Material, recipe: Recipe | None, running: Running) -> Any:
    if recipe is None:
        return None
    return fit_prosody(
        material.units,
        material.contours,
        material.numbers,
        material.statistics,
        references=material.references,
        recipe=recipe,
        running=running.part("prosody"),
    )
