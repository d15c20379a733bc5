import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.metrics.abx import abx, abx_on
from zerochain.metrics.abx_engine import distance_table
from zerochain.metrics.abx_plan import (
    PHONE,
    PROTOCOLS,
    TRIPHONE,
    ZS2019,
    ZS2021,
    Conditions,
    NoCellsError,
    variant,
)
from zerochain.metrics.items import Item, item_frames

PHONES, SPEAKERS = ("a", "b", "c"), ("s", "t", "u")


def whole_files(seed, draw, n_dropped=0, longest=6):
    """One file per token, as in ZeroSpeech 2019: items and frames."""
    rng = np.random.default_rng(seed)
    items, frames = [], {}
    for i, (phone, speaker, context) in enumerate(product(PHONES, SPEAKERS, ("#", "k"))):
        n = int(rng.integers(2, longest + 1))
        frames[f"f{i}"] = draw(rng, n).astype(np.float32)
        times = sorted(rng.choice([0, 0.25, 0.5, 0.8, 1], 2, replace=False).tolist())
        items.append(Item(f"f{i}", *times, phone, context, "#", speaker))
    dropped = rng.permutation(len(items))[:n_dropped]
    return [item for i, item in enumerate(items) if i not in dropped], frames


def vectors(rng, n):
    """Every other frame is a zero vector."""
    return rng.normal(size=(n, 2)) * rng.integers(0, 2, (n, 1))


def posteriors(rng, n):
    """Of any sum, with probabilities of 0 here and there."""
    return rng.dirichlet(np.ones(3), n) * rng.choice([1, 1, 1, 0], (n, 3)) + [0.01, 0, 0]


def three_directions(rng, n):
    """Zero vectors and opposite ones: at 0 or 1 from each other, so that paths tie."""
    return rng.integers(-1, 2, (n, 1)) * [1, 0]


def three_posteriors(rng, n):
    """All different ones at the same distance, so that paths tie."""
    return np.array([[2, 1, 1], [1, 2, 1], [1, 1, 2]])[rng.integers(0, 3, n)]


def bits(rng, n):
    return rng.integers(0, 2, (n, 2))


def zs2019(items, frames, distance):
    """Our result, and the definition's own error."""
    features = Features.from_arrays(frames, step_ms=10)
    result = abx(features, items, protocol=ZS2019, distance=distance)
    spans = [item_frames(i, len(features[i.file]), 10, "fraction") for i in items]
    usable = [item for item, span in zip(items, spans, strict=True) if not isinstance(span, str)]
    assert sum(result.exclusions.values()) == len(items) - len(usable)
    plain = [(i.file, i.onset, i.offset, i.phone, i.previous, i.speaker) for i in usable]
    return result, reference.abx_2019(plain, frames, distance)


@pytest.mark.parametrize(
    ("distance", "draw"), [("angular", vectors), ("kl", posteriors), ("levenshtein", bits)]
)
@pytest.mark.parametrize("seed", range(3))
def test_zs2019_equals_the_challenge_s_definition(distance, draw, seed):
    result, slow = zs2019(*whole_files(seed, draw, n_dropped=4), distance)
    assert result.value == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize(
    ("distance", "draw"), [("angular", three_directions), ("kl", three_posteriors)]
)
def test_zs2019_takes_dtw_from_a_to_x_where_paths_tie(distance, draw):
    items, frames = whole_files(10, draw, longest=12)
    result, slow = zs2019(items, frames, distance)
    assert result.value == pytest.approx(slow, abs=1e-6)
    backwards = replace(ZS2019, direction="xa")
    features = Features.from_arrays(frames, step_ms=10)
    other = abx(features, items, protocol=backwards, distance=distance)
    assert other.value != pytest.approx(slow, abs=1e-3)


def test_zs2019_has_no_score_within_speakers():
    items, frames = whole_files(0, bits)
    with pytest.raises(InputError, match="not defined within speakers"):
        abx(Features.from_arrays(frames, step_ms=10), items, mode="within", protocol=ZS2019)


@given(st.integers(0, 400), st.integers(1, 200), st.sampled_from([10.0, 20.0]), st.integers(1, 40))
def test_slices_are_those_of_the_reference_implementations(start_ms, length_ms, step_ms, n):
    onset, offset = start_ms / 1000, (start_ms + length_ms) / 1000
    item = Item("f", onset, offset, "a", "b", "c", "s")
    rate = 1 / (step_ms / 1000)
    first = max(0, math.ceil(rate * onset - 0.5))
    last = min(n, math.floor(rate * offset - 0.5))  # Libri-Light: not included
    found = item_frames(item, n, step_ms, "middle-less-one")
    assert isinstance(found, str) if first >= n or last <= first else found == (first, last)
    times = [i for i in range(n) if onset - 1e-9 <= i / n <= offset + 1e-9]  # ABXpy
    found = item_frames(item, n, step_ms, "fraction")
    assert isinstance(found, str) if not times else found == (times[0], times[-1] + 1)


def test_reference_slicing_loses_the_last_frame_and_nothing_else():
    rng = np.random.default_rng(0)
    items, frames = [], {}
    for i, (phone, speaker, _) in enumerate(product(PHONES, SPEAKERS, range(2))):
        frames[f"f{i}"] = rng.normal(size=(6, 3)).astype(np.float32)
        items.append(Item(f"f{i}", 0.0, 0.06, phone, "#", "#", speaker))
    features = Features.from_arrays(frames, step_ms=10)
    shorter = Features.from_arrays({name: array[:-1] for name, array in frames.items()}, step_ms=10)
    cut = [i._replace(offset=0.05) for i in items]
    sliced = variant(TRIPHONE, reference_slicing=True)
    assert abx(features, items, protocol=sliced).cells.equals(abx(shorter, cut).cells)
    assert sliced.name == "triphone, reference slicing"


def test_variants_say_so_in_their_names():
    assert (ZS2021.context, ZS2021.max_tokens, ZS2021.max_speakers) == ("within", 10, 5)
    anywhere = variant(ZS2021, context="any")
    assert (anywhere.context, anywhere.span, anywhere.name) == (
        "any",
        "phone",
        "zs2021 any context",
    )
    assert variant(PHONE, context="any") == PHONE
    drawn = variant(ZS2021, max_tokens=3, max_speakers="all")
    assert (drawn.name, drawn.max_tokens, drawn.max_speakers) == (
        "zs2021, 3 tokens, all speakers",
        3,
        None,
    )
    assert variant(ZS2021, max_tokens=10, max_speakers=5) == ZS2021
    assert variant(TRIPHONE, max_tokens="all") == TRIPHONE
    with pytest.raises(InputError, match="max_speakers=0 must be ≥ 1"):
        variant(PHONE, max_speakers=0)
    for changes in ({"context": "any"}, {"reference_slicing": True}):
        with pytest.raises(InputError, match="'zs2019'"):
            variant(ZS2019, **changes)
    assert list(PROTOCOLS) == ["triphone", "phone", "zs2019", "zs2021", "discophon"]


@pytest.mark.parametrize("distance", ["identical", "levenshtein"])
def test_vectors_that_are_the_same_or_not_score_as_units(distance):
    items, frames = whole_files(5, bits)
    items = [i._replace(onset=0, offset=1) for i in items]
    units = {name: (2 * f[:, 0] + f[:, 1]).astype(np.int32) for name, f in frames.items()}
    as_units = UnitFile(units, 4, 10, "m", "x")
    signed = {name: np.where(f == 0, np.float32(-0.0), f) for name, f in frames.items()}
    signed["f0"] = frames["f0"]
    scores = [
        abx(given, items, protocol=ZS2019, distance=distance).cells
        for given in (as_units, Features.from_arrays(signed, step_ms=10))
    ]
    assert scores[0].equals(scores[1])


def test_kl_symmetric_is_libri_light_s():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 4).astype(np.float32)
    p[0] = [1, 0, 0, 0, 0]
    wide, e = p.astype(float), 1e-6
    expected = [
        [0.5 * (a * np.log((a + e) / (b + e)) + b * np.log((b + e) / (a + e))).sum() for b in wide]
        for a in wide
    ]
    np.testing.assert_allclose(distance_table(p, "kl_symmetric"), expected, rtol=1e-5, atol=1e-6)


def labelled(seed=0, n=60):
    rng = np.random.default_rng(seed)
    columns = {"tone": rng.choice(["high", "low"], n), "style": rng.choice(["read", "said"], n)}
    labels = {name: values.tolist() for name, values in columns.items()}
    frames = rng.normal(size=(3 * n, 2)).astype(np.float32)
    phones, speakers = rng.choice(["a", "b"], n).tolist(), rng.choice(["s", "t"], n).tolist()
    items = [
        Item("f", 0.03 * i, 0.03 * i + 0.03, phone, "#", "#", speaker)
        for i, (phone, speaker) in enumerate(zip(phones, speakers, strict=True))
    ]
    return Features.from_arrays({"f": frames}, step_ms=10), items, labels


def test_on_by_and_across_any_labels_equal_a_loop_over_triples():
    features, items, labels = labelled()
    columns = {**labels, "speaker": [i.speaker for i in items], "phone": [i.phone for i in items]}
    tokens = [features["f"][3 * i : 3 * i + 3] for i in range(len(items))]

    def angular(x, y):
        x, y = (v / np.linalg.norm(v.astype(float), axis=1, keepdims=True) for v in (x, y))
        return reference.dtw(np.arccos(np.clip(x @ y.T, -1, 1)) / np.pi)

    table = {(i, j): angular(tokens[i], tokens[j]) for i, j in product(range(len(items)), repeat=2)}
    conditions = Conditions("tone", ("phone",), ("speaker", "style"))
    cells = {}
    for x, a, b in product(range(len(items)), repeat=3):
        tone = columns["tone"]
        same = all(columns[c][a] == columns[c][b] for c in ("phone", "speaker", "style"))
        other = all(columns[c][a] != columns[c][x] for c in ("speaker", "style"))
        if (
            tone[a] == tone[x] != tone[b]
            and same
            and other
            and columns["phone"][a] == columns["phone"][x]
        ):
            key = (tone[a], columns["phone"][a], columns["speaker"][a], columns["style"][a])
            cells.setdefault(key, []).append(float(table[x, a] < table[x, b]))
    result = abx_on(features, items, conditions, labels=labels)
    assert result.n_triples == sum(map(len, cells.values()))
    found = {
        (row["tone_a"], row["phone"], row["speaker"], row["style"]): row["score"]
        for row in result.cells.to_pylist()
    }
    assert found == pytest.approx({key: np.mean(values) for key, values in cells.items()})
    rows = [dict(zip("tpsy", key, strict=True)) | {"score": s} for key, s in found.items()]
    slow = reference.collapse(rows, ["p", "sy", "t"], {})
    assert result.value == pytest.approx(100 * (1 - slow))


def test_any_labels_give_the_protocols_back():
    features, items, _ = labelled(1)
    for mode in ("within", "across"):
        conditions = PHONE.conditions(mode)
        mine = abx_on(features, items, conditions, levels=PHONE.collapse, max_tokens=10, max_x=5)
        assert mine.value == abx(features, items, mode=mode, protocol=PHONE).value


def test_labels_that_make_no_sense_are_refused():
    features, items, labels = labelled()
    with pytest.raises(InputError, match="no label 'stress'"):
        abx_on(features, items, Conditions("stress"))
    with pytest.raises(InputError, match="given twice"):
        abx_on(features, items, Conditions("phone", ("speaker",), ("speaker",)))
    with pytest.raises(InputError, match="1 values of label 'tone' for 60 items"):
        abx_on(features, items, Conditions("tone"), labels={"tone": ["high"]})
    with pytest.raises(InputError, match="already have"):
        abx_on(features, items, Conditions("tone"), labels={**labels, "speaker": labels["tone"]})
    with pytest.raises(NoCellsError, match="only one file"):
        abx_on(features, items, Conditions("phone", (), ("file",)))
