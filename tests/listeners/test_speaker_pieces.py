from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.listeners.speaker_pieces import Division, Piece, divide, trial_pieces


def corpus(counts: list[int], n_frames: int = 200) -> list[Piece]:
    return [
        Piece(f"{speaker}-{i}", f"s{speaker}", 0, n_frames)
        for speaker, n in enumerate(counts)
        for i in range(n)
    ]


def spans(pieces: list[Piece]) -> set[tuple[str, int]]:
    return {(p.utterance, frame) for p in pieces for frame in range(p.start, p.start + p.n_frames)}


def who(pieces: list[Piece]) -> set[str]:
    return {piece.speaker for piece in pieces}


def check(division: Division, whole: list[Piece]) -> None:
    """Every frame is somewhere, none in two places, and validation knows its speakers."""
    parts = [spans(part) for part in (division.train, division.valid, division.test)]
    assert not any(a & b for a, b in combinations(parts, 2))
    assert set.union(*parts) == spans(whole)
    assert who(division.valid) <= who(division.train)


@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=40),
    st.integers(60, 900),
    st.sampled_from([0.05, 0.1, 0.5]),
)
def test_nothing_is_heard_twice(counts: list[int], n_frames: int, held_out: float) -> None:
    whole = corpus(counts, n_frames)
    if max(counts) == 1 and n_frames < 300:
        with pytest.raises(InputError, match="only one recording"):
            divide(whole, held_out)
        return
    try:
        division = divide(whole, held_out)
    except InputError:  # all who had several recordings are held out
        assert n_frames < 300
        return
    check(division, whole)
    if len(counts) >= 10:
        assert division.held == "speakers"
        assert not who(division.test) & who(division.train)
        assert len(who(division.test)) == max(3, round(held_out * len(counts)))
    else:
        assert division.held == "utterances"
        assert who(division.train) == who(whole)
        tested = {f"s{i}" for i, n in enumerate(counts) if n >= 4}
        assert who(division.test) == tested


def test_speakers_of_several_recordings_are_tested_first_but_half_are_kept() -> None:
    division = divide(corpus([1] * 50 + [10] * 6, 1000), 0.1)
    several = {f"s{i}" for i in range(50, 56)}
    assert len(who(division.test)) == 6
    assert len(who(division.test) & several) == 3
    assert len(who(division.train) & several) == 3


def test_many_speakers_hold_no_more_than_a_hundred_out() -> None:
    assert len(who(divide(corpus([2] * 1500), 0.1).test)) == 100


def test_an_only_recording_gives_its_end_to_validation() -> None:
    division = divide(corpus([1, 1], 2000), 0.1)
    assert [(p.start, p.n_frames) for p in division.train] == [(0, 1800)] * 2
    assert [(p.start, p.n_frames) for p in division.valid] == [(1800, 200)] * 2
    assert division.test == []


def test_a_corpus_in_another_order_is_divided_alike() -> None:
    whole = corpus([5] * 12)
    one, two = divide(whole, 0.2), divide(whole[::-1], 0.2)
    assert set(one.test) == set(two.test)
    assert set(one.valid) == set(two.valid)


@pytest.mark.parametrize("counts", [[], [7]])
def test_one_speaker_is_refused(counts: list[int]) -> None:
    with pytest.raises(InputError, match=rf"on {len(counts)} known speaker"):
        divide(corpus(counts), 0.1)


def test_pieces_for_trials_cover_utterances_and_are_limited() -> None:
    whole = [Piece("u", "a", 0, 60), Piece("v", "a", 10, 640), Piece("w", "b", 0, 250 * 90)]
    pieces = trial_pieces(whole)
    assert [(p.utterance, p.start, p.n_frames) for p in pieces[:4]] == [
        ("u", 0, 60),
        ("v", 10, 213),
        ("v", 223, 213),
        ("v", 436, 214),
    ]
    of_b = pieces[4:]
    assert len(of_b) == len(set(of_b)) == 40
    assert all(p.n_frames == 250 and p.speaker == "b" for p in of_b)
