import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import rel_entr

import reference
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.metrics import abx_engine, abx_kernel
from zerochain.metrics.abx import AbxResult, abx
from zerochain.metrics.abx_engine import distance_table
from zerochain.metrics.abx_plan import PHONE, TRIPHONE, NoCellsError, Protocol
from zerochain.metrics.items import Item

ANY = Protocol("any", span="phone", context="any")
STEP_S = 0.01


def dataset(tokens, dim=1):
    """One utterance per speaker, its tokens one after the other; features and items."""
    frames, items = {}, []
    for phone, speaker, (before, after), array in tokens:
        spoken = frames.setdefault(speaker, [])
        start = sum(map(len, spoken))
        spoken.append(np.asarray(array, np.float32).reshape(len(array), dim))
        onset, offset = start * STEP_S, (start + len(array)) * STEP_S
        items.append(Item(speaker, onset, offset, phone, before, after, speaker))
    arrays = {speaker: np.concatenate(list(blocks)) for speaker, blocks in frames.items()}
    return Features.from_arrays(arrays, step_ms=1000 * STEP_S), items


def as_units(features, n_units=8, step_ms=1000 * STEP_S):
    units = {name: features[name][:, 0].astype(np.int32) for name in features.ids}
    return UnitFile(units, n_units, step_ms, model_id="m", method="test")


def random_tokens(seed, n=20, n_phones=3, n_speakers=2, n_contexts=2, dim=None, high=3):
    rng = np.random.default_rng(seed)
    tokens = []
    for _ in range(n):
        length = int(rng.integers(1, 6))
        frames = (
            rng.integers(0, high, (length, 1))
            if dim is None
            else rng.normal(size=(length, dim)).astype(np.float32)
        )
        context = ("l", f"r{rng.integers(n_contexts)}")
        tokens.append(
            (f"p{rng.integers(n_phones)}", f"s{rng.integers(n_speakers)}", context, frames)
        )
    return tokens


def scored(function, *args, **kwargs):
    """A result, or None where no cell exists."""
    try:
        return function(*args, **kwargs)
    except NoCellsError:
        return None


def euclidean(x, y):
    return reference.dtw(np.linalg.norm(x[:, None].astype(float) - y[None], axis=2))


def angular(x, y):
    def unit(v):
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    x, y = unit(x.astype(float)), unit(y.astype(float))
    return reference.dtw(np.arccos(np.clip(x @ y.T, -1, 1)) / np.pi)


def identical(x, y):
    return reference.dtw((x[:, 0, None] != y[None, :, 0]).astype(float))


def levenshtein(x, y):
    return reference.edit_distance(list(x[:, 0]), list(y[:, 0]))


small = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=st.integers(0, 2).map(float),
)


@settings(deadline=None)
@given(small, st.integers(0, 3))
def test_dtw_equals_the_slow_loop_in_both_directions_and_at_any_column(local, before):
    n, m = local.shape
    padded = np.pad(local, ((0, 0), (before, 2)), constant_values=9)
    there, back = abx_kernel.dtw(padded, before, m, n, np.empty((n + 1, m + 1)))
    assert there == reference.dtw(local)
    assert back == reference.dtw(local.T)


def test_directions_differ_where_left_and_up_tie():
    local = np.array([[0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)
    rng = np.random.default_rng(0)
    candidates = [local, *(rng.integers(0, 3, (4, 5)).astype(np.float32) for _ in range(200))]
    assert any(reference.dtw(c) != reference.dtw(c.T) for c in candidates)


@pytest.mark.parametrize("mode", ["within", "across"])
@pytest.mark.parametrize("name", ["euclidean", "identical", "levenshtein"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_error_equals_the_slow_loop_with_many_ties(name, mode, seed):
    tokens = random_tokens(seed)
    features, items = dataset(tokens)
    slow = {"euclidean": euclidean, "identical": identical, "levenshtein": levenshtein}[name]
    given_ = features if name == "euclidean" else as_units(features)
    value, n_triples = reference.abx_error(tokens, slow, mode)
    if n_triples == 0:
        with pytest.raises(NoCellsError):
            abx(given_, items, mode=mode, distance=name)
    else:
        result = abx(given_, items, mode=mode, distance=name)
        assert result.value == pytest.approx(value, abs=1e-9)
        assert result.n_triples == n_triples == sum(result.cells["n"].to_pylist())


@pytest.mark.parametrize("mode", ["within", "across"])
@pytest.mark.parametrize("dim", [1, 3, 4, 13])
def test_angular_error_equals_the_slow_loop(mode, dim):
    tokens = random_tokens(dim, n=40, dim=dim)
    features, items = dataset(tokens, dim)
    value, n_triples = reference.abx_error(tokens, angular, mode)
    result = abx(features, items, mode=mode)
    assert (result.value, result.n_triples) == (pytest.approx(value, abs=1e-9), n_triples)


@pytest.mark.parametrize("mode", ["within", "across"])
def test_any_context_puts_all_contexts_together(mode):
    tokens = random_tokens(1, n=30, dim=2)
    features, items = dataset(tokens, 2)
    joined = [(p, s, ("", ""), f) for p, s, _, f in tokens]
    value, _ = reference.abx_error(joined, angular, mode)
    assert abx(features, items, mode=mode, protocol=ANY).value == pytest.approx(value, abs=1e-9)


def test_the_other_direction_swaps_the_sequences():
    tokens = random_tokens(5, n=40, n_contexts=1)
    features, items = dataset(tokens)
    backwards = Protocol("ax", span="triphone", context="within", direction="ax")
    for mode in ("within", "across"):
        value, _ = reference.abx_error(tokens, lambda x, y: identical(y, x), mode)
        result = abx(as_units(features), items, mode=mode, protocol=backwards)
        assert result.value == pytest.approx(value, abs=1e-9)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (6, 5), elements=st.floats(-5, 5, width=32)),
    st.sampled_from(["angular", "euclidean"]),
)
def test_frame_distances_are_metrics_and_right(vectors, name):
    table = distance_table(vectors, name)
    assert (np.diag(table) == 0).all()
    np.testing.assert_array_equal(table, table.T)
    wide = vectors.astype(float)
    if name == "euclidean":
        expected = np.linalg.norm(wide[:, None] - wide[None], axis=2)
    else:
        norms = np.linalg.norm(wide, axis=1)
        cosine = (wide @ wide.T) / np.maximum(np.outer(norms, norms), 1e-300)
        expected = np.arccos(np.clip(cosine, -1, 1)) / np.pi
        silent = norms == 0
        expected[silent] = expected[:, silent] = 1
        expected[np.ix_(silent, silent)] = 0
    np.testing.assert_allclose(table, expected, atol=4e-4)
    np.testing.assert_allclose(np.median(np.abs(table - expected)), 0, atol=2e-6)


def test_angles_are_exact_where_they_are_known():
    angles = np.linspace(0, np.pi, 181)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    np.testing.assert_allclose(distance_table(circle, "angular")[0], angles / np.pi, atol=2e-4)
    np.testing.assert_allclose(
        distance_table(circle, "angular")[0, :91], angles[:91] / np.pi, atol=1e-7
    )
    table = distance_table(
        np.array([[0, 0], [0, 0], [3, 0], [-9, 0], [0, 1]], np.float32), "angular"
    )
    assert table[0].tolist() == [0, 0, 1, 1, 1]
    assert table[2].tolist() == pytest.approx([1, 1, 0, 1, 0.5], abs=1e-7)


def test_kl_is_symmetrised_and_never_infinite():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), 4).astype(np.float32)
    p[0] = [1, 0, 0, 0, 0]
    safe = p.astype(float) / p.sum(axis=1, keepdims=True, dtype=float) + np.finfo(float).eps
    safe /= safe.sum(axis=1, keepdims=True)
    expected = [[0.5 * (rel_entr(a, b) + rel_entr(b, a)).sum() for b in safe] for a in safe]
    np.testing.assert_allclose(distance_table(p * 7, "kl"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [[[1, -1]], [[0, 0]]])
def test_kl_refuses_what_are_no_probabilities(bad):
    with pytest.raises(InputError, match="not probabilities"):
        distance_table(np.array(bad, np.float32), "kl")


def test_codebook_vectors_score_as_the_vectors_themselves():
    tokens = random_tokens(3, n=40, high=6)
    codebook = np.random.default_rng(0).normal(size=(8, 7)).astype(np.float32)
    features, items = dataset(tokens)
    vectors, _ = dataset([(p, s, c, codebook[f[:, 0]]) for p, s, c, f in tokens], dim=7)
    for distance in ("angular", "euclidean"):
        by_table = abx(as_units(features), items, distance=distance, codebook=codebook)
        assert by_table.value == abx(vectors, items, distance=distance).value
    assert abx(as_units(features), items, codebook=codebook).distance == "angular"


def separated(n_tokens=3, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (phone, speaker, ("l", "r"), centre + noise * rng.normal(size=(4, 2)).astype(np.float32))
        for phone, centre in (("a", [[1, 0]] * 4), ("b", [[0, 1]] * 4), ("c", [[-1, 0]] * 4))
        for speaker in ("s", "t", "u")
        for _ in range(n_tokens)
    ]


@pytest.mark.parametrize("mode", ["within", "across"])
def test_perfect_separation_is_0_and_no_difference_exactly_50(mode):
    features, items = dataset(separated(noise=0.01), 2)
    assert abx(features, items, mode=mode).value == 0
    alike = [(p, s, c, np.full((3 + i % 3, 2), 0.3)) for i, (p, s, c, _) in enumerate(separated())]
    for distance in ("angular", "euclidean"):
        features, items = dataset(alike, 2)
        assert abx(features, items, mode=mode, distance=distance).value == 50


def test_labels_that_say_nothing_are_at_chance():
    rng = np.random.default_rng(0)
    tokens = [(f"p{i % 4}", f"s{i % 3}", ("l", "r"), rng.normal(size=(5, 6))) for i in range(360)]
    features, items = dataset(tokens, 6)
    result = abx(features, items, mode="across")
    assert result.value == pytest.approx(50, abs=3)
    assert result.interval[0] < 50 < result.interval[1]


def test_names_and_orders_don_t_matter():
    tokens = random_tokens(2, n=60, n_speakers=3, dim=3)
    features, items = dataset(tokens, 3)
    whole = abx(features, items)
    shuffled = [items[i] for i in np.random.default_rng(0).permutation(len(items))]
    assert abx(features, shuffled).value == pytest.approx(whole.value, abs=1e-9)
    renamed = [i._replace(phone=f"{9 - int(i.phone[1:])}", speaker=i.speaker[::-1]) for i in items]
    assert abx(features, renamed).value == pytest.approx(whole.value, abs=1e-9)
    backwards = Features.from_arrays({n: features[n] for n in features.ids[::-1]})
    assert abx(backwards, items).value == whole.value


@pytest.mark.parametrize("mode", ["within", "across"])
def test_chunks_and_threads_don_t_matter(mode, monkeypatch):
    features, items = dataset(random_tokens(4, n=60, n_speakers=3, dim=3), 3)
    whole = abx(features, items, mode=mode)
    for pairs, size in ((1, 16_000_000), (7, 16_000_000), (100_000, 100)):
        monkeypatch.setattr(abx_engine, "_PAIRS", pairs)
        monkeypatch.setattr(abx_engine, "_BYTES", size)
        cut = abx(features, items, mode=mode, jobs=3)
        assert cut.cells.equals(whole.cells)
        assert cut.value == whole.value


def test_a_context_scores_the_same_alone_and_among_others():
    features, items = dataset(random_tokens(6, n=80, n_contexts=4, dim=3), 3)

    def scores(result: AbxResult) -> dict:
        return {
            tuple(row[k] for k in row if k != "score"): row["score"]
            for row in result.cells.to_pylist()
        }

    alone = {}
    for context in {i.next for i in items}:
        part = scored(abx, features, [i for i in items if i.next == context])
        alone |= scores(part) if part else {}
    assert scores(abx(features, items)) == alone


def test_a_token_is_never_compared_with_itself():
    tokens = [("a", "s", ("l", "r"), [[1, 0]]), ("a", "s", ("l", "r"), [[0, 1]]),
              ("b", "s", ("l", "r"), [[1, 1]])]  # fmt: skip
    features, items = dataset(tokens, 2)
    result = abx(features, items, mode="within")
    assert (result.value, result.n_triples, result.n_cells) == (100, 2, 1)
    assert result.interval is None  # a single pair of phones


def test_unit_durations_are_spelt_out():
    lasting = UnitFile(
        {"u": np.array([3, 1, 2], np.int32)}, 4, 10, "m", "x",
        durations={"u": np.array([2, 1, 3], np.int32)},
    )  # fmt: skip
    plain = UnitFile({"u": np.array([3, 3, 1, 2, 2, 2], np.int32)}, 4, 10, "m", "x")
    items = [Item("u", i / 100, (i + 2) / 100, p, "l", "r", "s") for i, p in enumerate("aabba")]
    assert abx(lasting, items, mode="within").cells.equals(abx(plain, items, mode="within").cells)


def test_long_steps_take_the_frames_whose_middle_is_inside():
    units = UnitFile({"u": np.array([0, 1, 0, 1, 2], np.int32)}, 3, 40, "m", "x")
    items = [
        Item("u", 0.00, 0.03, "a", "l", "r", "s"),  # frame 0 alone
        Item("u", 0.05, 0.11, "a", "l", "r", "s"),  # 1 and 2
        Item("u", 0.10, 0.17, "b", "l", "r", "s"),  # 2 and 3
        Item("u", 0.03, 0.05, "b", "l", "r", "s"),  # none
        Item("u", 0.15, 0.23, "b", "l", "r", "s"),  # 4 and a fifth that isn't there
    ]
    result = abx(units, items, mode="within")
    assert result.exclusions == {"without_a_frame": 1, "outside_the_audio": 1}
    assert result.n_items == 3
    # X = [0]: to A = [1, 0] ½ a step, to B = [0, 1] as much; X = [1, 0]: to [0] ½, to [0, 1] ⅔
    assert result.value == pytest.approx(100 * (1 - (0.5 + 1) / 2))


def test_subsampling_is_seeded_and_stated_in_the_counts():
    rng = np.random.default_rng(0)
    tokens = [
        (p, f"s{s}", ("l", f"r{i}"), rng.normal(size=(2, 2)))
        for p in "ab" for s in range(8) for i in range(13)
    ]  # fmt: skip
    features, items = dataset(tokens, 2)
    result = abx(features, items, protocol=PHONE)
    assert result.n_items == 2 * 8 * 10
    assert result.n_cells == 2 * 8 * 5
    assert set(result.cells["n"].to_pylist()) == {10 * 10 * 10}
    shuffled = [items[i] for i in rng.permutation(len(items))]
    assert abx(features, shuffled, protocol=PHONE).value == result.value
    assert abx(features, items, protocol=PHONE, seed=1).value != result.value


@pytest.mark.parametrize(
    ("keep", "mode", "why"),
    [
        (lambda i: i.speaker == "s0", "across", "only one speaker"),
        (lambda i: i.phone == "p0", "within", "only one phone"),
        (lambda i: i.speaker[1] == i.phone[1], "across", "two values of speaker"),
    ],
)  # fmt: skip
def test_undefined_is_an_error_that_says_why(keep, mode, why):
    features, items = dataset(random_tokens(0, dim=2), 2)
    with pytest.raises(NoCellsError, match=why):
        abx(features, [i for i in items if keep(i)], mode=mode)


def test_single_tokens_within_and_no_items_are_undefined():
    features, items = dataset([("a", "s", ("l", "r"), [[1]]), ("b", "s", ("l", "r"), [[2]])])
    with pytest.raises(
        NoCellsError, match="no phone occurs twice with the same previous and next and speaker"
    ):
        abx(features, items, mode="within")
    with pytest.raises(NoCellsError):
        abx(features, [])


def test_items_outside_every_recording_say_so():
    features, items = dataset(random_tokens(0, dim=2), 2)
    late = [one._replace(onset=one.onset * 1000, offset=one.offset * 1000) for one in items]
    late = [one._replace(onset=max(one.onset, 900), offset=one.offset + 1000) for one in late]
    with pytest.raises(
        NoCellsError, match=f"none has a frame .{len(items)} outside the audio"
    ) as error:
        abx(features, late, mode="within")
    assert "milliseconds" in error.value.cause


def test_bad_input_is_refused():
    features, items = dataset(random_tokens(0, n=40, dim=2), 2)
    with pytest.raises(InputError, match="missing in the units or features: nobody"):
        abx(features, [items[0]._replace(file="nobody"), *items])
    broken = Features(features.frames.copy(), features.index, features.speakers, "x", {}, 10)
    broken.frames[5] = np.nan
    with pytest.raises(InputError, match="NaN"):
        abx(broken, items)
    huge = Features(features.frames * 1e25, features.index, features.speakers, "x", {}, 10)
    with pytest.raises(InputError, match="overflow"):
        abx(huge, items, distance="euclidean")
    assert abx(huge, items).value == pytest.approx(abx(features, items).value, abs=1)
    with pytest.raises(InputError, match="NaN"):
        abx(broken, items, distance="identical")
    units = as_units(features)
    with pytest.raises(InputError, match="give the unit model"):
        abx(units, items, distance="angular")
    with pytest.raises(InputError, match="3 vectors for 8 units"):
        abx(units, items, codebook=np.eye(3, dtype=np.float32))


def test_protocols_say_what_they_do():
    assert (TRIPHONE.span, TRIPHONE.context, TRIPHONE.max_tokens) == ("triphone", "within", None)
    assert (PHONE.span, PHONE.context, PHONE.max_tokens, PHONE.max_speakers) == (
        "phone",
        "any",
        10,
        5,
    )
