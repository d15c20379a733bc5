from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from zerochain.formats.corpus import Corpus
from zerochain.formats.units import UnitFile
from zerochain.report import style
from zerochain.report.examples import choose, colour, picture, recording, segmented


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
