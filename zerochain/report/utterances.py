"""Utterances to look at: spectrogram, phones, units."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import median
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

from zerochain import audio
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.phones import Phone
from zerochain.formats.units import UnitFile
from zerochain.report import style
from zerochain.report.players import LONGEST_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINDOW, _HOP, _FFT = 400, 80, 512
_RANGE_DB = 65.0
_PX_PER_S, _NARROWEST_PX, _MARGIN_PX = 220, 960, 75
_SEEN_PX, _LINES_PX = 6.0, 11.0
_TIER_PX, _SPECTROGRAM_PX, _AXIS_PX = 24, 190, 46
_LABEL = 24  # characters, or the label takes the picture's place
_GOLDEN = 0.618033988749895


def choose(
    corpus: Corpus, ids: Sequence[str], n: int, voices: Collection[str] = ()
) -> list[Utterance]:
    """n utterances of usual length, of as many speakers as there are, the same every time.

    The first is of one of the `voices`, where these speak at all.
    """
    known = [corpus.by_id[name] for name in ids if name in corpus.by_id]
    test = [u for u in known if u.split == "test"] or known
    if not test:
        return []
    usual = min(median(u.duration for u in test), LONGEST_S)
    nearest = sorted(test, key=lambda u: (u.duration > LONGEST_S, abs(u.duration - usual), u.id))
    chosen = [u for u in nearest if u.speaker in voices][: min(1, n)]
    nearest = [u for u in nearest if u not in chosen]
    while nearest and len(chosen) < n:
        seen = {u.speaker for u in chosen[len(chosen) // _n_speakers(test) * _n_speakers(test) :]}
        one = next((u for u in nearest if u.speaker not in seen), nearest[0])
        chosen.append(one)
        nearest.remove(one)
    return chosen


def _n_speakers(utterances: Sequence[Utterance]) -> int:
    return len({u.speaker for u in utterances})


def recording(corpus: Corpus, utterance: Utterance) -> audio.Waveform:
    """An utterance's samples, at most LONGEST_S seconds of them."""
    begin = utterance.start or 0.0
    end = utterance.end
    if utterance.duration > LONGEST_S:
        end = begin + LONGEST_S
    return corpus.wave(replace(utterance, end=end))


def picture(
    wave: audio.Waveform, phones: Sequence[Phone], tiers: Sequence[tuple[str, UnitFile]], name: str
) -> Figure:
    """A spectrogram under tiers of gold phones (if any) and of the units of some systems.

    The boundaries of the last tier's units run down through the spectrogram, unless they are so
    many that they would cover it.

    Args:
        tiers: (label, unit file) from top to bottom.
        name: the utterance's id in the unit files.
    """
    duration_s = len(wave) / audio.SAMPLE_RATE
    n_tiers = bool(phones) + len(tiers)
    heights = [_TIER_PX] * n_tiers + [_SPECTROGRAM_PX]
    width = max(_NARROWEST_PX, _MARGIN_PX + duration_s * _PX_PER_S)
    figure = style.new_figure(width, sum(heights) + _AXIS_PX)
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0)
    *rows, bottom = figure.subplots(
        n_tiers + 1, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    if phones:
        segments = [(p.onset, p.offset, p.phone) for p in phones]
        _tier(rows.pop(0), "phones", segments, [style.LINE] * len(segments), style.INK, width)
    boundaries: NDArray[np.float64] = np.zeros(0)
    for axes, (label, unit_file) in zip(rows, tiers, strict=True):
        units, times = segmented(unit_file, name)
        kept = int(np.searchsorted(times[:-1], duration_s))
        segments = [(times[i], times[i + 1], str(units[i])) for i in range(kept)]
        _tier(axes, label, segments, [colour(u) for u in units[:kept]], "#16191d", width)
        boundaries = times[1:kept]
    _spectrogram(bottom, wave)
    if len(boundaries) * _LINES_PX < width - _MARGIN_PX:
        bottom.vlines(boundaries, 0, 8, color="#ffffff", lw=0.5, alpha=0.5)
    bottom.set_xlim(0, duration_s)
    return figure


def segmented(unit_file: UnitFile, name: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """An utterance's units with repeats merged (N,), and their boundaries in seconds (N + 1,)."""
    steps = unit_file.steps(name)
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    return steps[starts], np.append(starts, len(steps)) * unit_file.step_ms / 1000


def colour(unit: int) -> str:
    """A pale colour of the unit's own; neighbours in number are far apart in hue."""
    from matplotlib.colors import hsv_to_rgb, to_hex

    level = (unit * _GOLDEN * 7) % 1
    red, green, blue = hsv_to_rgb((unit * _GOLDEN % 1, 0.2 + 0.25 * level, 0.95))
    return to_hex((red, green, blue))


def _tier(
    axes: Axes,
    label: str,
    segments: Sequence[tuple[float, float, str]],
    colours: Sequence[str],
    ink: str,
    width_px: float,
) -> None:
    px_per_s = (width_px - _MARGIN_PX) / max((end for _, end, _ in segments), default=1.0)
    starts = [start for start, _, _ in segments]
    lengths = [end - start for start, end, _ in segments]
    axes.bar(
        starts,
        1,
        width=lengths,
        align="edge",
        color=colours,
        edgecolor=style.PAPER,
        linewidth=0.6 if sum(lengths) * px_per_s > _SEEN_PX * len(lengths) else 0.0,
    )
    for start, end, text in segments:
        size = 8 if (end - start) * px_per_s > 6.5 * len(text) + 1 else 6
        if (end - start) * px_per_s > 0.9 * size * len(text):
            axes.text(
                (start + end) / 2,
                0.48,
                text,
                ha="center",
                va="center",
                size=size,
                color=ink,
                in_layout=False,
            )
    axes.set_ylim(0, 1)
    axes.set_yticks([0.5], [shorten(label, _LABEL, placeholder="…")], size=8)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _spectrogram(axes: Axes, wave: audio.Waveform) -> None:
    padded = np.pad(wave, (0, max(0, _WINDOW - len(wave))))
    _, times, spectrum = stft(
        padded,
        audio.SAMPLE_RATE,
        nperseg=_WINDOW,
        noverlap=_WINDOW - _HOP,
        nfft=_FFT,
        padded=False,
    )
    level = 20 * np.log10(np.abs(spectrum) + 1e-10)
    top = max(level.max(), _RANGE_DB - 200)  # silence is dark
    axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=top - _RANGE_DB,
        vmax=top,
        extent=(times[0], times[-1], 0, audio.SAMPLE_RATE / 2000),
        interpolation="nearest",
        resample=False,
    )
    axes.set_ylim(0, audio.SAMPLE_RATE / 2000)
    axes.set_yticks([0, 2, 4, 6, 8])
    axes.set_ylabel("kHz")
    axes.set_xlabel("seconds")
