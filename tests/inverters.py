"""A corpus of three voices with units, and inverters of it: trained a little, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from conftest import small_corpus
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode
from zerochain.features.f0 import F0Statistics
from zerochain.features.spectral import SpectralOptions
from zerochain.inversion import WaveformMethod as Method
from zerochain.inversion.inverter import NeuralInverter, hop_of_frames
from zerochain.inversion.pitch import F0Quantizer
from zerochain.inversion.prosody import Prosody
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.waveform import KINDS, WaveformConfig, make_generator
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.prosody import ProsodyConfig, ProsodyNet
from zerochain.modules.source_filter import SourceFilterGenerator
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig
from zerochain.modules.vqvae import F0Vqvae, F0VqvaeConfig
from zerochain.training.recipe import Recipe

VOICES = ("ana", "béa", "carl")
N_UNITS = 8
PITCHES = (100.0, 160.0)
FEW = Recipe(max_steps=4, validate_every=2, batch_size=2)


def three_voices(root: Path) -> Path:
    """A folder with a corpus, its units and a speaker encoder that nobody trained."""
    corpus = small_corpus(root, n_utterances=9, speakers=VOICES, seconds=0.8, test_every=9)
    assert corpus.folder is not None
    discover(KMeansUnits(N_UNITS, 2), corpus.folder, root / "km", features=SpectralOptions())
    encode(root / "km", corpus.folder, root / "units.parquet")
    speaker_encoder(root / "speakers")
    return root


def speaker_encoder(folder: Path, seed: int = 0) -> None:
    """Write one that nobody trained."""
    torch.manual_seed(seed)
    net = SpeakerNet(SpeakerNetConfig(width=8, n_blocks=1, dim=6))
    SpeakerEncoder(net).save(folder)


def trained_neural(
    prepared: Path, out: Path, width: int = 8, losses: dict[str, Any] | None = None, **options: Any
) -> NeuralInverter:
    """A neural inverter of all of `three_voices`, a few steps old."""
    config = WaveformConfig(width=width, **(losses or {}))
    few = {"f0": FEW, "prosody": FEW, "recipe": FEW}
    settings = {"method": "convnext", "voices": None, "config": config, **few, **options}
    made, _ = train_inverter(prepared / "units.parquet", prepared / "tiny", out, **settings)
    assert isinstance(made, NeuralInverter)
    return made


def f0_vqvae() -> F0Vqvae:
    """With random weights, and codes that are in use."""
    network = F0Vqvae(F0VqvaeConfig(width=8, n_blocks=1, dim=8)).eval()
    z, voiced = torch.randn(1, 320), (torch.rand(1, 320) < 0.7).float()
    with torch.no_grad():
        network.quantizer.start(network.latents(z, voiced, torch.tensor([320]))[0])
    return network


def untrained_neural(
    method: Method = "convnext",
    *,
    n_reference: int = 0,
    step_ms: float = 20.0,
    whispered: bool = False,
    flat: bool = False,
    unit_model: str = "f" * 64,
) -> NeuralInverter:
    """A small neural inverter of ana and béa, at 100 and 160 Hz, with random weights.

    Args:
        whispered: nothing voiced was seen in training; otherwise predicted F0 is voiced throughout.
        flat: the generator filters nothing, so that its excitation is heard.
    """
    torch.manual_seed(0)
    settings = {
        "n_units": N_UNITS,
        "n_f0_units": 20 if method == "hifigan" else 0,
        "n_voices": len(PITCHES),
        "n_reference": n_reference,
        "hop": hop_of_frames(step_ms),
        "width": 32 if method == "hifigan" else 8,
    }
    generator = make_generator(method, **settings)
    for name, weight in generator.named_parameters():
        if name.endswith("original0"):  # of HiFi-GAN's layers: louder than at first
            torch.nn.init.ones_(weight)
    if flat and isinstance(generator, SourceFilterGenerator):
        generator.start_from(torch.zeros_like(generator.means.weight))
    prosody = ProsodyConfig(
        n_units=N_UNITS, width=8, n_f0_layers=3, n_voices=len(PITCHES), n_reference=n_reference
    )
    net = ProsodyNet(prosody)
    torch.nn.init.constant_(net.f0_layers.last.bias[1:], 0 if whispered else 5)  # all is voiced
    statistics = tuple(F0Statistics(float(np.log(p)), 0.2, int(not whispered)) for p in PITCHES)
    report = {"duration_rmse": 0.1, "voicing_error": 0.1, "z_rmse": 0.5}
    return KINDS[method](
        generator=generator.eval(),
        f0_quantizer=F0Quantizer(
            f0_vqvae(),
            5.0,
            {"voiced": float(not whispered), "n_used": 20},
        ),
        prosody=Prosody(net.eval(), step_ms, statistics, 1.0, report),
        unit_model=unit_model,
        n_units=N_UNITS,
        step_ms=step_ms,
        voices=VOICES[:2],
        speaker_encoder_id="e" * 64 if n_reference else "",
        training={"minutes": 1.0},
    )
