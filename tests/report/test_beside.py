import pytest

from zerochain.errors import InputError
from zerochain.formats.scores import Score
from zerochain.report.published import places, published_systems


def scores(abx, bitrate, *, system="ours", split=None, protocol="triphone", distance="angular"):
    inputs, options = {"corpus": "c"}, {"split": split}
    return [
        Score(
            "abx_across_%",
            abx,
            None,
            9,
            protocol,
            system,
            inputs,
            {**options, "distance": distance},
        ),
        Score("bitrate_bit/s", bitrate, None, 9, "zs2019", system, inputs, options),
    ]


def test_every_published_system_among_themselves():
    """A system with the numbers of a published one shares its rank, and is better than none."""
    for language in ("english", "surprise"):
        systems = published_systems(language)
        for one in systems:
            (place,) = places(scores(one.abx, one.bitrate), language)
            assert len(place.systems) == len(systems)
            assert place.rank == 1 + sum(s.abx < one.abx for s in systems)
            assert one in place.as_cheap
            assert one not in place.better
            assert one not in place.worse
            assert all(s.abx <= one.abx and s.bitrate <= one.bitrate for s in place.better)
            assert place.rank_as_cheap <= place.rank


def test_the_open_corner_is_the_front():
    (place,) = places(scores(19.0, 150.0), "english")
    assert place.better == []
    assert place.rank_as_cheap == 1
    assert {s.name for s in place.as_cheap} >= {"Cho et al.", "Pandia et al."}
    assert all(s.abx >= 19 and s.bitrate >= 150 for s in place.worse)
    assert any(s.name == "Chen et al." for s in place.worse)
    (bad,) = places(scores(49.0, 2000.0), "english")
    assert bad.rank == len(bad.systems) + 1
    assert len(bad.better) == len(bad.systems)


def test_scores_are_joined_by_system_corpus_and_split():
    rows = scores(20, 100, split="test") + scores(30, 50, system="other")[:1]
    rows += scores(21, 101, split="test")  # scored again: the later ones count
    rows += scores(25, 1, split="test", distance="identical")[:1]
    found = places(rows, "english")
    assert [(p.ours.abx.value, p.ours.bitrate.value) for p in found] == [(21, 101), (25, 101)]
    assert places(rows[:1], "english") == []
    assert places(scores(20, 100)[:1] + scores(20, 100, split="test")[1:], "english") == []
    with pytest.raises(InputError, match="english or surprise"):
        places(rows, "klingon")
