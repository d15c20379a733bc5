"""Examples of a report: players of sounds, and pictures of utterances."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from zerochain import audio
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.synthesis import Synthesis
from zerochain.formats.units import UnitFile
from zerochain.report import style
from zerochain.report.examples import (
    Player,
    choose,
    colour,
    mel_picture,
    picture,
    players,
    recording,
    segmented,
    shade,
)
from zerochain.report.run import Run, RunFiles

N = 16_000
WAVE = np.sin(2 * np.pi * 300 * np.arange(N) / 16_000).astype(np.float32)
CORPUS = Corpus("c", (Utterance("u", "u.wav", 1.0, "béa"),))


def pixels(png: bytes) -> np.ndarray:
    """RGBA, (height, width, 4)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)


def brightness(png: bytes) -> np.ndarray:
    return pixels(png)[..., :3].sum(2)


def spoken(
    root: Path, folder: str, method: str, voice: str = "ana", n: int = N, corpus: str = ""
) -> Synthesis:
    audio.write(root / folder / "u.wav", np.resize(WAVE, n))
    return Synthesis(
        "i", method, "u", "km", corpus, voice, 16_000, 20.0, ("u",), folder=root / folder
    )


def heard(root: Path, *syntheses: Synthesis, speaker: str | None = "béa") -> list[Player]:
    corpus = write_corpus(root / "corpus", CORPUS)
    own = [replace(s, corpus_id=s.corpus_id or corpus.id) for s in syntheses]
    run = Run(RunFiles(roots=(root,)), {}, {}, {}, own, [], {})
    return players(run, corpus, replace(corpus.utterances[0], speaker=speaker), WAVE)


def test_captions_tell_resynthesis_from_conversion(tmp_path: Path) -> None:
    one, other = spoken(tmp_path, "a", "x", "ana"), spoken(tmp_path, "b", "y", "béa")
    captions = [p.caption for p in heard(tmp_path, one, other)]
    assert captions == ["original, béa", "resynthesis, y", "béa’s words in ana’s voice, x"]
    captions = [p.caption for p in heard(tmp_path, one, other, speaker=None)]
    assert captions == ["original, unknown speaker", "in ana’s voice, x", "in béa’s voice, y"]


def test_inverters_of_one_method_are_told_by_their_folders(tmp_path: Path) -> None:
    found = heard(
        tmp_path,
        spoken(tmp_path, "wavs/code2spec", "code2spec"),
        spoken(tmp_path, "wavs/code2spec-mse", "code2spec"),
        spoken(tmp_path, "1/wavs", "convnext"),
        spoken(tmp_path, "2/wavs", "convnext"),
        spoken(tmp_path, "wavs/means", "unit-means"),
    )
    assert [p.by for p in found[1:]] == [
        "code2spec",
        "code2spec (code2spec-mse)",
        "convnext (1/wavs)",
        "convnext (2/wavs)",
        "unit-means",
    ]


def test_only_wavs_of_the_utterance_itself(tmp_path: Path) -> None:
    elsewhere = spoken(tmp_path, "a", "x", corpus="another corpus")
    other = replace(spoken(tmp_path, "b", "x"), ids=("v",))
    assert [p.what for p in heard(tmp_path, elsewhere, other)] == ["original"]


def test_pictures_of_one_utterance_have_one_time_axis(tmp_path: Path) -> None:
    found = heard(tmp_path, spoken(tmp_path, "a", "x", n=2 * N), spoken(tmp_path, "b", "y", n=N))
    pictures = [pixels(base64.b64decode(p.picture.split(",")[1])) for p in found]
    assert {p.shape for p in pictures} == {(80, 201, 4)}
    ends = [int(np.flatnonzero(p[0, :, 3]).max()) for p in pictures]
    assert ends[0] == ends[2] == pytest.approx(100, abs=3)
    assert ends[1] == pytest.approx(200, abs=3)


@pytest.mark.parametrize("frequency", [200, 1000, 5000])
def test_a_tone_is_a_line_at_its_mel_frequency(frequency: float) -> None:
    wave = np.sin(2 * np.pi * frequency * np.arange(N) / 16_000).astype(np.float32)
    row = int(brightness(mel_picture(wave, N)).sum(1).argmax())
    from librosa import mel_frequencies

    at = mel_frequencies(82, fmin=0, fmax=8000)[1:-1][79 - row]  # low frequencies lie below
    assert abs(at - frequency) < 0.06 * frequency + 30


def test_a_click_is_a_line_at_its_time() -> None:
    wave = np.zeros(N, np.float32)
    wave[12_000] = 1
    columns = brightness(mel_picture(wave, N)).sum(0)
    assert int(columns.argmax()) == pytest.approx(75, abs=2)


def test_loudness_does_not_matter() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, N).astype(np.float32)
    loud, soft = (brightness(mel_picture(wave, N)) for wave in (noise, noise / 16))
    assert (loud == soft).mean() > 0.999  # a shade may be rounded the other way


@pytest.mark.parametrize("n", [1, 100, 399, 400, 16_000])
def test_silence_is_dark_and_any_length_can_be_drawn(n: int) -> None:
    dark = brightness(mel_picture(np.zeros(n, np.float32), n))
    assert dark.shape == (80, 1 + n // 160)
    assert (dark < 20).all()


def test_pictures_are_small() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * N).astype(np.float32)
    assert len(mel_picture(noise, len(noise))) < 60_000


def test_shades_are_of_equal_steps_below_the_loudest() -> None:
    level = np.array([0.0, -32.5, -65.0, -100.0])
    assert shade(level, 33).tolist() == [32, 16, 0, 0]
    assert shade(level - 20, 33).tolist() == [32, 16, 0, 0]
    assert shade(np.full(3, -200.0), 32).tolist() == [0, 0, 0]


def units(line: list[int], **changes: object) -> UnitFile:
    return UnitFile({"u": np.array(line, np.int32)}, 600, 20.0, "m", "x", **changes)  # type: ignore[arg-type]


def test_repeats_are_merged_and_times_are_seconds() -> None:
    found, times = segmented(units([5, 5, 7, 5]), "u")
    assert found.tolist() == [5, 7, 5]
    assert times.tolist() == pytest.approx([0, 0.04, 0.06, 0.08])
    lasting = units([5, 7], durations={"u": np.array([3, 2])})
    assert segmented(lasting, "u")[1].tolist() == pytest.approx([0, 0.06, 0.1])


def test_colours_are_pale_enough_for_dark_numbers() -> None:
    for unit in range(600):
        red, green, blue = to_rgb(colour(unit))
        assert 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.25
    assert len({colour(unit) for unit in range(256)}) == 256


def test_choose_takes_test_utterances_of_every_speaker(
    make_corpus: Callable[..., Corpus],
) -> None:
    corpus = make_corpus(24, speakers=("a", "b", "c", "d"), seconds=0.05)
    chosen = choose(corpus, corpus.ids, 4)
    assert {u.split for u in chosen} == {"test"}
    assert len({u.speaker for u in chosen}) == 4
    assert choose(corpus, corpus.ids, 4) == chosen
    assert len(choose(corpus, corpus.ids, 100)) == 8
    assert len({u.id for u in choose(corpus, corpus.ids, 100)}) == 8
    assert choose(corpus, corpus.ids, 0) == []
    assert choose(corpus, ["elsewhere"], 3) == []


def test_choose_takes_one_of_the_voice_first(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(24, speakers=("a", "b", "c", "d"), seconds=0.05)
    for voice in "abcd":
        chosen = choose(corpus, corpus.ids, 2, {voice})
        assert chosen[0].speaker == voice
        assert chosen[1].speaker != voice
    assert choose(corpus, corpus.ids, 4, {"nobody"}) == choose(corpus, corpus.ids, 4)
    assert choose(corpus, corpus.ids, 0, {"a"}) == []
    assert len({u.id for u in choose(corpus, corpus.ids, 100, {"a"})}) == 8


def test_choose_without_splits_or_speakers(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3, speakers=(None,), seconds=0.05, test_every=9)
    assert len(choose(corpus, corpus.ids, 2)) == 2


def test_a_long_recording_is_cut(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(1, seconds=11.0)
    assert len(recording(corpus, corpus.utterances[0])) == 160_000


@pytest.mark.parametrize("n", [1, 100, 16_000])
@pytest.mark.parametrize("silent", [True, False])
def test_any_recording_can_be_drawn(n: int, silent: bool) -> None:
    wave = np.zeros(n, np.float32) if silent else np.random.default_rng(0).uniform(-1, 1, n)
    line = list(range(max(1, n // 320)))
    with style.figure_style():
        figure = picture(wave.astype(np.float32), [], [("km", units(line))], "u")
        svg = style.inline_svg(figure, "alt", "x")
    assert svg.startswith("<svg ")
    assert "data:image/png" in svg
