"""What each step of the way back loses before any network: one thing is taken away at a time.

    python evaluation/inversion/ceilings.py corpora/luxembourgish --units "K-Means" km.parquet \
        --units "K-Means, 1024 units" km1024.parquet --out ceilings.csv

What is left of the recording in each row:

- spectra: magnitudes of 1025 bins every 10 ms; PGHI and fast Griffin-Lim find the phase
- mel spectra: the same through 80 mel bands and their pseudo-inverse
- envelopes and F0: smooth envelopes every 10 ms filter the excitation of the convnext inverter, at
  the recording's F0
- units and F0: the same with each unit's mean envelope over split train, where the convnext
  inverter's training begins; a row for each unit file, with its bit rate in the split (segments of
  equal units)

Means over utterances of a split, the same for all rows, beside the recordings themselves, and for
ESTOI the ends of the 95 % interval over utterances. DNSMOS
was trained on other speech; without its package the columns stay empty.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.features.f0 import F0Options, track_f0
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.text_files import write_csv
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.phase import SpectrogramOptions, reconstruct
from zerochain.inversion.prosody import frames_per_step
from zerochain.listeners.outside import Dnsmos
from zerochain.metrics.bitrate import unit_bitrates
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.resynthesis import estoi, log_spectral_distance, mcd_sp2mc24
from zerochain.modules.mel import mel_filters
from zerochain.modules.source_filter import SourceFilterConfig, SourceFilterGenerator, excite

HOP, N_MELS = 160, 80
PHASE = SpectrogramOptions()
COLUMNS = ("system", "bit/s", "utterances", "estoi", "estoi_from", "estoi_to", "mcd_sp2mc24_dB",
           "log_spectral_distance_dB", "dnsmos_overall", "dnsmos_p808")  # fmt: skip


def spectra(wave: Waveform) -> torch.Tensor:
    """Magnitudes (T, n_bins), frame i centred at sample i · HOP."""
    n_frames = len(wave) // HOP
    padded = np.zeros((n_frames - 1) * HOP + PHASE.n_fft, np.float32)
    inside = wave[: len(padded) - PHASE.n_fft // 2]
    padded[PHASE.n_fft // 2 :][: len(inside)] = inside
    return PHASE.magnitude(torch.from_numpy(padded)[None])[0]


def from_spectra(wave: Waveform) -> Waveform:
    """Only the phase is lost."""
    return reconstruct(spectra(wave), PHASE, "pghi-fgla")


def from_mel(wave: Waveform) -> Waveform:
    """The phase and what lies within a mel band are lost."""
    filters = torch.from_numpy(mel_filters(PHASE.n_fft, N_MELS))
    flat = spectra(wave) @ filters @ torch.linalg.pinv(filters)
    return reconstruct(flat.clamp(min=1e-5), PHASE, "pghi-fgla")


class SourceFilter:
    """The excitation and filters of the convnext inverter, without its network."""

    def __init__(self) -> None:
        self.generator = SourceFilterGenerator(SourceFilterConfig(n_units=1, n_voices=1, hop=HOP))
        self.transform = self.generator.transform
        self.level = float(self.transform.analysis_window.square().sum().log()) / 2

    def envelopes(self, wave: Waveform) -> torch.Tensor:
        """Log gains (T, n_bins)."""
        whole = torch.from_numpy(wave[: len(wave) // HOP * HOP])[None]
        return self.generator.log_magnitude(whole)[0] - self.level

    def speech(self, wave: Waveform, gains: torch.Tensor) -> Waveform:
        """Filter a buzz at the F0 of a recording, and noise, by gains (T, n_bins)."""
        n = len(gains)
        f0 = track_f0(wave, F0Options(step_ms=10.0))
        pitch = torch.zeros(1, n)
        pitch[0, : min(n, len(f0))] = torch.from_numpy(f0[:n])
        source = excite(pitch, HOP)
        noise = gains + self.generator.noise_where_voiced * (pitch[0] > 0)[:, None]
        buzz = self.transform.analyse(source.harmonic) * gains.exp()
        hiss = self.transform.analyse(source.noise) * noise.exp()
        return self.transform.synthesise(buzz + hiss)[0].numpy()

    def from_envelopes(self, wave: Waveform) -> Waveform:
        """No units: the phase, the harmonics' strengths and the fine structure are lost."""
        return self.speech(wave, self.envelopes(wave))

    def means(self, corpus: Corpus, systems: Mapping[str, UnitFile]) -> dict[str, torch.Tensor]:
        """Each unit's mean envelope over a corpus: system → (n_units, n_bins)."""
        sums = {name: torch.zeros(u.n_units, self.transform.n_bins) for name, u in systems.items()}
        counts = {name: torch.zeros(u.n_units) for name, u in systems.items()}
        for u, wave in zip(corpus.utterances, corpus.waves(corpus.utterances), strict=True):
            envelopes = self.envelopes(wave)
            for name, units in systems.items():
                codes = frames(units, u.id)[: len(envelopes)]
                sums[name].index_add_(0, codes, envelopes[: len(codes)])
                counts[name] += torch.bincount(codes, minlength=units.n_units)
        return {
            name: torch.where(
                counts[name][:, None] > 0,
                sums[name] / counts[name].clamp(min=1)[:, None],
                sums[name].sum(dim=0) / counts[name].sum(),
            )
            for name in systems
        }


def frames(units: UnitFile, name: str) -> torch.Tensor:
    """The unit of every 10 ms."""
    steps = units.steps(name).astype(np.int64)
    return torch.from_numpy(np.repeat(steps, frames_per_step(units.step_ms)))


def scores(original: Waveform, made: Waveform, judge: Dnsmos | None) -> NDArray[np.float64]:
    """One value per column after the first three; NaN where undefined."""
    n = min(len(original), len(made))
    original, made = original[:n], made[:n].astype(np.float32)
    opinion = None if judge is None else judge(made)
    values = (
        estoi(original, made),
        mcd_sp2mc24(original, made),
        log_spectral_distance(original, made),
        None if opinion is None else opinion.overall,
        None if opinion is None else opinion.p808,
    )
    return np.array([np.nan if value is None else value for value in values])


def _summary(values: NDArray[np.float64]) -> list[float]:
    """Scores (n, columns) → their means, after the first the ends of its 95 % interval."""
    means = np.nanmean(values, axis=0).round(3).tolist()
    ends = bootstrap_mean(values[:, 0]) or (np.nan, np.nan)
    return [means[0], *(round(end, 3) for end in ends), *means[1:]]


@torch.inference_mode()
def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument(
        "--units", nargs=2, action="append", metavar=("NAME", "FILE"), required=True
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--speaker", help="the voice; not needed where the corpus has only one")
    parser.add_argument("--most", type=int, default=20, help="utterances, drawn at random")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    whole = read_corpus(given.corpus)
    systems = {name: read_units(Path(path)) for name, path in given.units}
    if given.speaker is not None:
        whole = whole.select(speaker=given.speaker)
    test = whole.select(split=given.split).utterances
    order = np.random.default_rng(0).permutation(len(test))[: given.most]
    chosen = [test[i] for i in sorted(order)]
    model, judge = SourceFilter(), None if Dnsmos.missing() else Dnsmos()
    means = model.means(whole.select(split="train"), systems)
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for u, wave in zip(chosen, whole.waves(chosen), strict=True):
        made: dict[str, Callable[[Waveform], Waveform]] = {
            "recordings": lambda w: w,
            "spectra": from_spectra,
            "mel spectra": from_mel,
            "envelopes and F0": model.from_envelopes,
        }
        for name, units in systems.items():
            gains = means[name][frames(units, u.id)[: len(wave) // HOP]]
            made[f"{name} and F0"] = partial(model.speech, gains=gains)
        for name, make in made.items():
            rows.setdefault(name, []).append(scores(wave, make(wave), judge))
    ids = [u.id for u in test]
    durations = {u.id: u.duration for u in test}
    rates = {
        f"{name} and F0": round(unit_bitrates(units.restrict(ids), durations).segments.value)
        for name, units in systems.items()
    }
    write_csv(
        given.out,
        COLUMNS,
        [
            [name, rates.get(name, ""), len(values), *_summary(np.array(values))]
            for name, values in rows.items()
        ],
    )


if __name__ == "__main__":
    main()
