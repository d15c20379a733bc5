from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansConfig, KMeansUnits, lloyd, nearest
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id, write_bundle
from zerochain.formats.features import Features


def blobs(k: int = 5, n: int = 400, dim: int = 3, seed: int = 0) -> Features:
    """`k` well separated clusters, cut into utterances of two speakers."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 30, (k, dim))
    frames = centres[rng.integers(0, k, n)] + rng.normal(0, 0.3, (n, dim))
    arrays = {f"u{i}": part.astype(np.float32) for i, part in enumerate(np.array_split(frames, 7))}
    speakers = {name: "ab"[i % 2] for i, name in enumerate(arrays)}
    return Features.from_arrays(arrays, speakers=speakers, extractor="array")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 99))
def test_nearest_equals_all_distances(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, centroids = rng.normal(size=(n, 4)), rng.normal(size=(k, 4))
    distances = ((points[:, None] - centroids[None]) ** 2).sum(-1)
    units, _ = nearest(torch.tensor(points), torch.tensor(centroids))
    np.testing.assert_array_equal(units, distances.argmin(1))


def test_lloyd_equals_scikit_learn_from_the_same_start() -> None:
    frames = np.random.default_rng(3).normal(size=(3000, 5)).astype(np.float32)
    start = frames[:20]
    theirs = KMeans(20, init=start, n_init=1, max_iter=300, tol=0).fit(frames)
    centroids, inertia, _ = lloyd(torch.from_numpy(frames), torch.from_numpy(start), 300, 0.0)
    np.testing.assert_allclose(inertia, theirs.inertia_ / len(frames), rtol=1e-4)
    np.testing.assert_allclose(centroids, theirs.cluster_centers_, atol=1e-3)


def test_inertia_never_rises_with_more_rounds() -> None:
    frames = torch.from_numpy(np.random.default_rng(4).normal(size=(2000, 6)).astype(np.float32))
    inertias = [lloyd(frames, frames[:30], n, 0.0)[1] for n in (1, 2, 3, 5, 9, 20)]
    assert inertias == sorted(inertias, reverse=True)


def test_an_empty_cluster_is_filled() -> None:
    frames = torch.cat([torch.zeros(50, 2), torch.full((50, 2), 9.0), torch.tensor([[40.0, 40]])])
    start = torch.tensor([[0.0, 0], [9, 9], [-500, -500]])
    centroids, inertia, _ = lloyd(frames, start, 50, 1e-6)
    assert inertia == pytest.approx(0, abs=1e-4)
    assert sorted(centroids[:, 0].tolist()) == pytest.approx([0, 9, 40])


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_units_are_nearest_centroids_of_averaged_frames(stride: int) -> None:
    features = blobs()
    model = KMeansUnits(5, stride, options=FrontEndOptions(normalisation="none")).fit(features)
    units = model.encode(features)
    assert units.step_ms == 10 * stride
    assert units.n_units == 5
    for name in features.ids:
        frames = features[name]
        blocks = [frames[i : i + stride].mean(0) for i in range(0, len(frames), stride)]
        distances = ((np.stack(blocks)[:, None] - model.codebook) ** 2).sum(-1)
        np.testing.assert_array_equal(units.units[name], distances.argmin(1))


def test_clusters_are_found() -> None:
    model = KMeansUnits(5, options=FrontEndOptions(normalisation="none")).fit(blobs())
    assert model.inertia < 1


def test_saved_and_loaded_encodes_the_same(tmp_path: Path) -> None:
    features = blobs()
    model = KMeansUnits(5, 2).fit(features)
    units = model.encode(features)
    assert model.save(tmp_path / "km") == model.id == bundle_id(tmp_path / "km") == units.model_id
    again = load_unit_model(tmp_path / "km")
    assert again.id == model.id
    assert again.method == "kmeans K=5 2T array norm=speaker"
    for name, expected in units.units.items():
        np.testing.assert_array_equal(again.encode(features).units[name], expected)


def test_the_seed_decides() -> None:
    features = blobs(k=40, n=1500)
    models = [KMeansUnits(16, seed=seed).fit(features) for seed in (1, 1, 2)]
    assert models[0].id == models[1].id != models[2].id


def test_a_random_subset_where_frames_exceed_the_budget() -> None:
    features = blobs(n=4000)
    model = KMeansUnits(
        5, options=FrontEndOptions(normalisation="none"), config=KMeansConfig(max_frames=500)
    ).fit(features)
    assert model.n_frames == 500
    assert model.inertia < 1  # all five clusters are in the subset


def test_more_units_than_distinct_frames_leaves_some_unused() -> None:
    features = Features.from_arrays({"u": np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)})
    model = KMeansUnits(8, options=FrontEndOptions(normalisation="none")).fit(features)
    assert np.isfinite(model.codebook).all()
    assert len(np.unique(model.encode(features).units["u"])) == 3


def test_constant_frames_of_one_speaker() -> None:
    features = Features.from_arrays(
        {"u": np.full((30, 2), 5, np.float32)}, speakers={"u": "only one"}
    )
    units = KMeansUnits(2).fit(features).encode(features)
    assert len(np.unique(units.units["u"])) == 1


def test_fewer_frames_than_units_is_refused() -> None:
    features = Features.from_arrays({"u": np.ones((3, 2), np.float32)})
    with pytest.raises(InputError, match="8 units can't be found in 3 frames") as caught:
        KMeansUnits(8).fit(features)
    assert "n_units=3 at most" in str(caught.value)
    few = KMeansUnits(8, config=KMeansConfig(max_frames=2))
    with pytest.raises(InputError, match="can't be found in max_frames=2\n  fix: use max_frames=8"):
        few.fit(features)


def test_one_frame_is_enough_to_encode() -> None:
    features = blobs()
    model = KMeansUnits(5, 4).fit(features)
    one = Features.from_arrays(
        {"short": np.ones((1, 3), np.float32)}, speakers={"short": "new"}, extractor="array"
    )
    assert len(model.encode(one).units["short"]) == 1


def test_encoding_before_the_fit_is_refused() -> None:
    with pytest.raises(InputError, match="not fitted"):
        KMeansUnits(5).encode(blobs())


def test_loading_something_else_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", "code2spec", {}, {"a": np.zeros(1)}, {})
    with pytest.raises(InputError, match="code2spec, not a unit model"):
        load_unit_model(tmp_path / "x")
