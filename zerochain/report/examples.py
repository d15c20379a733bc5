"""A few test utterances to look at and to listen to.

Each has a picture, a spectrogram under tiers of gold phones and units, and players: the recording
and everything that was synthesised from it. Every sound has a small mel spectrogram; those of one
utterance share both axes, so that they can be compared by eye.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Collection, Iterator, Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.phones import Phone
from zerochain.formats.synthesis import Synthesis
from zerochain.formats.units import UnitFile
from zerochain.metrics import names
from zerochain.modules.mel import mel_filters
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.run import Run
from zerochain.report.score_tables import ScoreTable

# Functions import matplotlib and Pillow themselves, see `figures`.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Named = tuple[str, UnitFile]
"""A unit file under the name of its system."""


class Sound(NamedTuple):
    """A sound to be played."""

    what: str
    by: str
    """Who made it."""
    wave: audio.Waveform
    """Samples (n,) at 16 kHz."""
    part_s: tuple[float, float] | None = None
    """From when to when in it what matters is, where it has context around it."""


MOST_BYTES = 5_000_000
"""Of all examples on a page: browsers and mail servers dislike larger ones."""
LONGEST_S = 10.0

# Players: FLAC and a small mel spectrogram.
_MEL_WINDOW, _MEL_HOP, _MEL_FFT, _N_MELS = 400, 160, 512, 80
_MEL_RANGE_DB, _FLOOR_DB = 65.0, -200.0
_LEVELS = 32  # of 2 dB each: finer ones are invisible, and cost bytes in a PNG
_CLEAR = _LEVELS  # the palette's transparent entry, behind the end of a sound

# Pictures of utterances: spectrogram and tiers.
_WINDOW, _HOP, _FFT = 400, 80, 512
_RANGE_DB = 65.0
_PX_PER_S, _NARROWEST_PX, _MARGIN_PX = 220, 960, 75
_SEEN_PX, _LINES_PX = 6.0, 11.0
_TIER_PX, _SPECTROGRAM_PX, _AXIS_PX = 24, 190, 46
_LABEL = 24  # characters: longer labels would squeeze the picture
_GOLDEN = 0.618033988749895  # hues at its multiples are spread evenly


@dataclass(frozen=True)
class Example:
    """An utterance to look at and listen to."""

    utterance: Utterance
    corpus: str
    clipped: bool
    svg: str
    seconds: float
    """What the picture shows."""
    left: float
    right: float
    """Where its time axis begins and ends, as parts of its width."""
    tiers: str
    """JSON: label and segments (begin and end in s, text) of each tier of the picture."""
    players: list[Player]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.svg) + len(self.tiers) + sum(player.size for player in self.players)


def examples(
    run: Run, table: ScoreTable | None, named: Sequence[Named], n: int
) -> tuple[list[Example], list[str]]:
    """At most n test utterances, with the units of the best and of the resynthesised system.

    Returns:
        The examples, and why there are fewer: recordings that can't be read, or too large a page.
    """
    tiers = systems_to_show(run, table, named)
    corpus = run.corpora.get(tiers[-1][1].corpus_id) if tiers else None
    if corpus is None:
        return [], []
    voices = {synthesis.voice for synthesis in run.syntheses}
    chosen = choose(corpus, tiers[-1][1].ids, n, voices)
    made: list[Example] = []
    try:
        for utterance in track(chosen, "Drawing utterances"):
            example = _example(run, corpus, utterance, tiers)
            if made and sum(e.size for e in [*made, example]) > MOST_BYTES:
                return made, [
                    f"{len(made)} of {counted(len(chosen), 'utterance')} shown: "
                    "more would make the page too large"
                ]
            made.append(example)
    except InputError as error:
        return made, [f"a recording could not be shown: {error}"]
    return made, []


def choose(
    corpus: Corpus, ids: Sequence[str], n: int, voices: Collection[str] = ()
) -> list[Utterance]:
    """n utterances of typical length, of as many speakers as possible, the same every time.

    The first is by one of the `voices`, where these have utterances.
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

    The boundaries of the last tier's units continue through the spectrogram, unless there are so
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
    """A pale colour for the unit; units with consecutive numbers differ most in hue."""
    level = (unit * _GOLDEN * 7) % 1
    rgb = hsv_to_rgb(unit * _GOLDEN % 1, 0.2 + 0.25 * level, 0.95)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


@dataclass(frozen=True)
class Player:
    """A sound to play and to see."""

    what: str
    """ "original", "resynthesis", or whose words in whose voice."""
    by: str
    """The speaker, or the inverter."""
    uri: str
    """A FLAC file as a data URI."""
    picture: str
    """A PNG file as a data URI: 10 ms per column, mel bands up to 8 kHz."""
    part_s: tuple[float, float] | None = None
    """From when to when in the sound what matters is; None where all of it is."""
    seconds: float = 0.0
    """The length of the picture's time axis."""

    @property
    def caption(self) -> str:
        part = "" if self.part_s is None else ", the place at {:.2f}–{:.2f} s".format(*self.part_s)
        return f"{self.what}, {self.by}{part}"

    @property
    def mark(self) -> str:
        """Where `part_s` is on the picture, as CSS."""
        if self.part_s is None:
            return ""
        left, right = (100 * time_s / self.seconds for time_s in self.part_s)
        return f"left: {left:.2f}%; width: {right - left:.2f}%"

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.uri) + len(self.picture)


def players(
    run: Run, corpus: Corpus, utterance: Utterance, recorded: audio.Waveform
) -> list[Player]:
    """The start of the recording, then resyntheses in the speaker's voice, then conversions.

    Raises:
        InputError: a wav that can't be read.
    """
    there = [
        s
        for s in run.syntheses
        if utterance.id in s.ids and s.corpus_id == corpus.id and not s.is_translation
    ]
    there.sort(key=lambda s: s.voice != utterance.speaker)
    sounds = [Sound("original", utterance.speaker or "unknown speaker", recorded)]
    sounds += [
        Sound(_what(utterance, s), _inverter(run, s), start(s.audio_path(utterance.id)))
        for s in there
    ]
    return played(sounds)


def played(sounds: Sequence[Sound]) -> list[Player]:
    """Players of sounds to be compared: their pictures share one time axis."""
    n_samples = max(len(sound.wave) for sound in sounds)
    return [
        Player(
            sound.what,
            sound.by,
            _data("audio/flac", audio.encoded(Path("sound.flac"), sound.wave)),
            _data("image/png", mel_picture(sound.wave, n_samples)),
            sound.part_s,
            n_samples / audio.SAMPLE_RATE,
        )
        for sound in sounds
    ]


def start(path: Path) -> audio.Waveform:
    """A sound file's samples, at most LONGEST_S seconds of them."""
    end = LONGEST_S if audio.info(path).duration_s > LONGEST_S else None
    return audio.read(path, end=end)


def mel_picture(wave: audio.Waveform, n_samples: int) -> bytes:
    """A mel spectrogram as a PNG file: 65 dB below the sound's own loudest moment.

    Args:
        wave: (n,), at 16 kHz.
        n_samples: the width of the picture; it is transparent behind the end of the sound.
    """
    from matplotlib import colormaps
    from PIL import Image

    padded = np.pad(wave, (0, max(0, _MEL_WINDOW - len(wave))))
    overlap = _MEL_WINDOW - _MEL_HOP
    spectrum = stft(padded, nperseg=_MEL_WINDOW, noverlap=overlap, nfft=_MEL_FFT, padded=False)[2]
    power = np.abs(spectrum.T) ** 2 @ mel_filters(_MEL_FFT, _N_MELS)
    level = 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
    shades = shade(level, _LEVELS)
    whole = np.full((1 + n_samples // _MEL_HOP, _N_MELS), _CLEAR, np.uint8)
    whole[: len(shades)] = shades[: len(whole)]
    image = Image.fromarray(np.ascontiguousarray(whole.T[::-1]))
    colours = colormaps["magma"](np.linspace(0, 1, _LEVELS), bytes=True)[:, :3]
    image.putpalette([*colours.ravel().tolist(), 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_CLEAR, optimize=True)
    return buffer.getvalue()


def shade(level: NDArray[np.floating], n: int) -> NDArray[np.uint8]:
    """Levels in dB as shades 0 … n - 1, the loudest n - 1; silence is all 0."""
    top = max(float(level.max()), _FLOOR_DB + _MEL_RANGE_DB)
    shades = np.rint((1 + (level - top) / _MEL_RANGE_DB) * (n - 1))
    return np.asarray(np.clip(shades, 0, n - 1), np.uint8)


def systems_to_show(run: Run, table: ScoreTable | None, named: Sequence[Named]) -> list[Named]:
    """The system with the lowest ABX error, then the resynthesised one if it is another."""
    known = [(name, units) for name, units in named if run.corpus_of(units)]
    unscored = [
        (units.method, units)
        for units in run.units.values()
        if run.corpus_of(units) and not units.is_translation
    ]
    spoken_ids = {synthesis.units_id for synthesis in run.syntheses}
    spoken = [one for one in known + unscored if one[1].id in spoken_ids][:1] or known[:1]
    errors = [
        (cell.score.value, row.unit_file.id)
        for row in (table.groups[0].rows if table else [])
        for column, cell in row.cells.items()
        if row.unit_file and column.metric == names.ABX_ACROSS and not cell.shortfall
    ]
    best_ids = [identity for _, identity in sorted(errors)]
    best = [
        one
        for one in known
        if one[1].id in best_ids[:1]
        and one[1].id != spoken[0][1].id
        and one[1].corpus_id == spoken[0][1].corpus_id
    ]
    return best + spoken


def _example(run: Run, corpus: Corpus, utterance: Utterance, tiers: list[Named]) -> Example:
    wave = recording(corpus, utterance)
    phones = run.phones_of(corpus)
    gold = phones.by_id.get(utterance.id, []) if phones else []
    there = [(name, units) for name, units in tiers if utterance.id in units.units]
    figure = picture(wave, gold, there, utterance.id)
    alt = f"Spectrogram of {utterance.id} under the units of {' and '.join(n for n, _ in there)}"
    svg = style.inline_svg(figure, alt, f"example-{utterance.id}")
    time_axis = figure.axes[-1].get_position()  # final once the figure is drawn
    return Example(
        utterance=utterance,
        corpus=corpus.name,
        clipped=utterance.duration > LONGEST_S,
        svg=svg,
        seconds=len(wave) / audio.SAMPLE_RATE,
        left=round(time_axis.x0, 5),
        right=round(time_axis.x1, 5),
        tiers=_tiers_text(gold, there, utterance.id, len(wave) / audio.SAMPLE_RATE),
        players=players(run, corpus, utterance, wave),
    )


def _tiers_text(
    phones: Sequence[Phone], tiers: Sequence[Named], name: str, duration_s: float
) -> str:
    """The tiers of a picture as JSON, for what the page says of a selection."""
    shown = [["phones", [[p.onset, p.offset, p.phone] for p in phones]]] if phones else []
    for label, unit_file in tiers:
        units, times = segmented(unit_file, name)
        segments = [
            [round(float(begin), 4), round(float(end), 4), str(unit)]
            for begin, end, unit in zip(times[:-1], times[1:], units, strict=True)
            if begin < duration_s
        ]
        shown.append([label, segments])
    return json.dumps(shown, ensure_ascii=False)


def _n_speakers(utterances: Sequence[Utterance]) -> int:
    return len({u.speaker for u in utterances})


def _tier(
    axes: Axes,
    label: str,
    segments: Sequence[tuple[float, float, str]],
    colours: Sequence[str],
    ink: str,
    width_px: float,
) -> None:
    # Late: it is optional (the extra `report`).
    from matplotlib.collections import PolyCollection

    px_per_s = (width_px - _MARGIN_PX) / max((end for _, end, _ in segments), default=1.0)
    total = sum(end - start for start, end, _ in segments)
    # One collection, for a bar of its own for each segment takes several times as long to draw.
    bars = PolyCollection(
        [[(start, 0), (start, 1), (end, 1), (end, 0)] for start, end, _ in segments],
        facecolors=colours,
        edgecolors=style.PAPER,
        linewidths=0.6 if total * px_per_s > _SEEN_PX * len(segments) else 0.0,
    )
    axes.add_collection(bars, autolim=False)
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
    axes.set_ylabel("frequency (kHz)")
    axes.set_xlabel("time (s)")


def _what(utterance: Utterance, synthesis: Synthesis) -> str:
    if utterance.speaker is None:
        return f"in {synthesis.voice}’s voice"
    if utterance.speaker == synthesis.voice:
        return "resynthesis"
    return f"{utterance.speaker}’s words in {synthesis.voice}’s voice"


def _inverter(run: Run, synthesis: Synthesis) -> str:
    """The inverter; with its folder where others have the same method."""
    same = [s.folder for s in _of_same_method(run, synthesis)]
    folder = synthesis.folder
    is_named_alone = [f.name for f in same].count(folder.name) == 1
    if len(same) == 1 or (is_named_alone and folder.name == synthesis.method):
        return synthesis.method
    return f"{synthesis.method} ({folder.name if is_named_alone else run.shown(folder)})"


def _of_same_method(run: Run, synthesis: Synthesis) -> Iterator[Synthesis]:
    for other in run.syntheses:
        if (other.method, other.corpus_id) == (synthesis.method, synthesis.corpus_id):
            yield other


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
