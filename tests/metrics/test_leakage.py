import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.formats.units import UnitFile
from zerochain.metrics.speakers import speaker_probe, unit_histograms

RNG = np.random.default_rng(0)
SPEAKERS = ["ana"] * 30 + ["béa"] * 20 + ["cleo"] * 10


def test_vectors_that_are_the_speaker_s_name_give_it_away():
    vectors = np.eye(3)[[sorted(set(SPEAKERS)).index(s) for s in SPEAKERS]]
    found = speaker_probe(vectors, SPEAKERS)
    assert found.accuracy == 100
    assert found.interval == (100, 100)
    assert (found.majority, found.uniform) == (50, pytest.approx(100 / 3))
    assert (found.n_utterances, found.n_speakers, found.n_folds) == (60, 3, 5)


def test_vectors_that_know_nothing_are_at_chance():
    found = speaker_probe(np.ones((60, 4)), SPEAKERS)
    assert found.accuracy == found.majority == 50
    random = speaker_probe(RNG.standard_normal((60, 5)), SPEAKERS)
    assert random.accuracy < 65


def test_a_probe_never_sees_what_it_is_asked():
    one_hot = np.eye(60)  # identifies every utterance, and no speaker
    assert speaker_probe(one_hot, SPEAKERS).accuracy <= 50


def test_speakers_with_few_utterances_are_left_out_and_named():
    found = speaker_probe(RNG.standard_normal((64, 3)), [*SPEAKERS, "dora", "dora", "dora", "dora"])
    assert (found.left_out, found.n_utterances) == ({"dora": 4}, 60)
    assert found.majority == 50
    more = speaker_probe(RNG.standard_normal((64, 3)), [*SPEAKERS, *["dora"] * 4], n_folds=4)
    assert (more.left_out, more.n_speakers) == ({}, 4)


@pytest.mark.parametrize("speakers", [["ana"] * 9, ["ana"] * 8 + ["béa"], []])
def test_a_single_speaker_is_refused(speakers):
    with pytest.raises(InputError, match="needs two speakers"):
        speaker_probe(np.zeros((len(speakers), 2)), speakers)


def test_nan_is_refused():
    with pytest.raises(InputError, match="NaN"):
        speaker_probe(np.full((60, 2), np.nan), SPEAKERS)


def test_histograms_are_shares_of_time():
    lasting = {"u": np.array([3, 1], np.int32)}
    units = UnitFile({"u": np.array([2, 0], np.int32)}, 4, 10, "m", "x", durations=lasting)
    assert unit_histograms(units, ["u"]).tolist() == [[0.25, 0, 0.75, 0]]
