"""A neural inverter with random weights: what it promises whatever it was trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inverters import N_UNITS, PITCHES, untrained_neural
from zerochain.errors import InputError
from zerochain.features.f0 import F0Statistics, track_f0
from zerochain.formats.bundle import read_bundle, write_bundle
from zerochain.inversion import WaveformMethod as Method
from zerochain.inversion import inverter as inverters
from zerochain.inversion.inverter import NeuralInverter, frame_f0_units, hop_of_frames
from zerochain.inversion.voices import Voice

BOTH = pytest.mark.parametrize("method", ["convnext", "hifigan"])


def units(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, N_UNITS, n).astype(np.int32)


def pitch(n_frames: int) -> np.ndarray:
    """Moves, with pauses."""
    frame = np.arange(n_frames)
    f0 = (120 + 30 * np.sin(frame / 9)) * (frame % 40 < 28)
    return f0.astype(np.float32)


@BOTH
def test_chunks_are_the_whole(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained_neural(method)
    voice, steps, f0 = model.voice("béa"), units(150), pitch(300)
    whole = model.synthesize(steps, voice, f0, seed=3)
    monkeypatch.setattr(inverters, "_CHUNK_S", 0.35)
    chunks = list(model.stream(np.repeat(steps, 2), voice, f0, seed=3))
    assert [len(c) for c in chunks] == [35 * 160] * 8 + [20 * 160]
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-4 * np.abs(whole).max())
    assert len(whole) == 150 * 320


@BOTH
def test_ten_thousand_units_take_the_memory_of_a_chunk(method: Method) -> None:
    model = untrained_neural(method, step_ms=10)
    given: list[int] = []
    model.generator.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].shape[1]))
    steps, voice = units(10_000), model.voice("ana")
    chunks = model.stream(steps, voice, model.f0_of(steps, voice))
    first = next(chunks)
    assert len(given) == 1  # no more than is needed was computed
    lengths = [len(first), *(len(chunk) for chunk in chunks)]
    assert lengths == [160_000] * 10
    assert max(given) == 1000 + 2 * model.generator.reach


@BOTH
@pytest.mark.parametrize("step_ms", [10.0, 12.5, 20.0, 40.0])
@pytest.mark.parametrize("n", [1, 2, 13])
def test_exactly_as_long_as_its_units(method: Method, step_ms: float, n: int) -> None:
    model = untrained_neural(method, step_ms=step_ms)
    wave = model.synthesize(units(n), model.voice("ana"))
    assert wave.dtype == np.float32
    assert len(wave) == n * step_ms * 16
    assert np.isfinite(wave).all()
    assert wave.std() > 1e-4


@pytest.mark.parametrize(("step_ms", "hop"), [(10, 160), (12.5, 100), (20, 160), (35, 140)])
def test_frames_of_at_most_10_ms_and_whole_samples(step_ms: float, hop: int) -> None:
    assert hop_of_frames(step_ms) == hop
    with pytest.raises(InputError, match=r"of 10\.01 ms can't be divided into frames"):
        hop_of_frames(10.01)


@BOTH
def test_around_an_utterance_there_is_nothing_and_no_unit(method: Method) -> None:
    model, steps = untrained_neural(method), units(20) % (N_UNITS - 1) + 1
    before = model.synthesize(steps, model.voice("ana"))
    with torch.no_grad():
        model.generator.conditioning.unit.weight[0] = 9.0  # of unit 0, which isn't said
    np.testing.assert_array_equal(model.synthesize(steps, model.voice("ana")), before)


@BOTH
def test_whispered_speech_is_noise_without_a_pitch(method: Method) -> None:
    model = untrained_neural(method, whispered=True)
    voice, steps = model.voice("ana"), units(50)
    f0 = model.f0_of(steps, voice)
    assert not f0.any()
    wave = model.synthesize(steps, voice)
    np.testing.assert_array_equal(wave, model.synthesize(steps, voice, f0))
    assert wave.std() > 1e-4
    assert np.isfinite(wave).all()


def test_it_speaks_at_the_given_pitch() -> None:
    model = untrained_neural(flat=True)
    given = np.full(100, 137, np.float32)
    measured = track_f0(model.synthesize(units(50), model.voice("ana"), given))
    assert (measured > 0).mean() > 0.9
    assert np.median(measured[measured > 0]) == pytest.approx(137, rel=0.01)


def test_pitch_is_that_of_the_voice_where_none_is_given() -> None:
    model = untrained_neural()
    for name, hz in zip(model.voices, PITCHES, strict=True):
        f0 = model.f0_of(units(200), model.voice(name))
        assert f0.shape == (400,)
        z = np.log(f0 / hz) / 0.2
        assert np.abs(z).max() < 5
        assert model.voice(name).statistics.log_mean == pytest.approx(np.log(hz))


@BOTH
def test_voices_differ_and_noise_is_the_seeds(method: Method) -> None:
    model = untrained_neural(method)
    steps, f0 = units(40), pitch(80)
    ana, bea = model.voice("ana"), model.voice("béa")
    wave = model.synthesize(steps, ana, f0)
    np.testing.assert_array_equal(model.synthesize(steps, ana, f0), wave)
    assert not np.allclose(model.synthesize(steps, bea, f0), wave, atol=1e-3 * wave.std())
    other = model.synthesize(steps, ana, f0, seed=1)
    assert np.allclose(other, wave) == (method == "hifigan")  # which needs no noise


def test_a_voice_is_chosen_by_name() -> None:
    model = untrained_neural()
    with pytest.raises(InputError, match="2 voices, and none was chosen") as error:
        model.voice()
    assert "ana, béa" in str(error.value)
    with pytest.raises(InputError, match="no voice 'carl'"):
        model.voice("carl")


@BOTH
def test_a_voice_is_told_by_a_vector(method: Method) -> None:
    model = untrained_neural(method, n_reference=6)
    references = torch.eye(2, 6)
    model.generator.conditioning.voice.references.copy_(references)
    model.prosody.network.voices.references.copy_(references)
    steps, named = units(30), model.voice("béa")
    given = Voice("like béa", np.eye(2, 6, dtype=np.float32)[1], named.statistics)
    by_name = model.synthesize(steps, named)
    np.testing.assert_array_equal(model.synthesize(steps, given), by_name)
    unknown = Voice("like x", np.ones(6, np.float32), named.statistics)
    assert not np.allclose(model.synthesize(steps, unknown), by_name, atol=1e-3 * by_name.std())


@pytest.mark.parametrize("vector", [np.ones(5), np.full(6, np.nan), np.ones((1, 6))])
def test_vectors_that_are_no_voice(vector: np.ndarray) -> None:
    statistics = F0Statistics(4.6, 0.2, 1)
    with pytest.raises(InputError, match="6 numbers are expected"):
        untrained_neural(n_reference=6).synthesize(units(3), Voice("x", vector, statistics))
    with pytest.raises(InputError, match="by name, not from recordings"):
        untrained_neural().synthesize(units(3), Voice("x", vector, statistics))


@pytest.mark.parametrize("wrong", [[], [N_UNITS], [-1]])
@pytest.mark.parametrize("given", [True, False])
def test_units_that_are_none_or_unknown(wrong: list[int], given: bool) -> None:
    model = untrained_neural()
    f0 = np.full(2 * len(wrong), 100, np.float32) if given else None
    with pytest.raises(InputError, match=f"unit.*, or some outside 0 … {N_UNITS - 1}"):
        model.synthesize(np.array(wrong, np.int32), model.voice("ana"), f0)


@pytest.mark.parametrize(
    "f0",
    [
        np.full(19, 100, np.float32),
        np.full(21, 100, np.float32),
        np.full((20, 1), 100, np.float32),
        np.full(20, np.nan, np.float32),
        np.full(20, np.inf, np.float32),
        np.full(20, -100, np.float32),
    ],
    ids=["short", "long", "matrix", "nan", "inf", "negative"],
)
@BOTH
def test_f0_that_does_not_fit(method: Method, f0: np.ndarray) -> None:
    model = untrained_neural(method)
    with pytest.raises(InputError, match="F0 of shape"):
        model.synthesize(units(10), model.voice("ana"), f0)


def test_each_frame_has_the_f0_unit_in_which_it_lies() -> None:
    model = untrained_neural("hifigan")
    voice, f0 = model.voice("ana"), pitch(100)
    fine = np.repeat(f0, 2)[:-1]
    fine[1::2] = np.where((f0[:-1] > 0) & (f0[1:] > 0), np.sqrt(f0[:-1] * f0[1:]), f0[1:])
    fine = np.append(fine, f0[-1])
    expected = np.repeat(model.f0_quantizer.units(fine, voice.statistics), 8)[:100]
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(frame_f0_units(model.f0_quantizer, f0, 10.0, voice), expected)


@BOTH
@pytest.mark.parametrize("n_reference", [0, 6])
def test_saved_and_loaded_it_speaks_the_same(
    method: Method, n_reference: int, tmp_path: Path
) -> None:
    model = untrained_neural(method, n_reference=n_reference)
    replace(model, trained_on={"units": "a" * 64}).save(tmp_path / "i")
    again = NeuralInverter.load(tmp_path / "i")
    steps = units(20)
    for name in model.voices:
        np.testing.assert_array_equal(
            again.synthesize(steps, again.voice(name)), model.synthesize(steps, model.voice(name))
        )
    assert (again.voices, again.method) == (model.voices, method)
    assert (again.trained_on, again.training) == ({"units": "a" * 64}, model.training)
    assert again.speaker_encoder_id == model.speaker_encoder_id
    np.testing.assert_array_equal(again.prosody.durations(steps), model.prosody.durations(steps))


Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, _: c.pop("voices"), "lacks voices"),
        (lambda c, _: c.pop("prosody"), "lacks prosody"),
        (lambda c, _: c["f0_quantizer"].pop("report"), "lacks f0_quantizer.report"),
        (
            lambda c, _: c["generator"].update(depth=3),
            "has an unknown key: generator.depth",
        ),
        (lambda c, _: c["generator"].update(width=16), "of its weights are not those"),
        (lambda c, _: c.update(n_units=9), r"numbers of units: \(9, 8, 8\)"),
        (lambda c, _: c["voices"].append("carl"), r"numbers of voices: \(3, 2, 2\)"),
        (lambda c, _: c["prosody"].update(step_ms=10), "numbers of ms per step"),
        (lambda c, _: c.update(step_ms=10), "numbers of ms per step"),
        (lambda c, _: c.update(step_ms="20"), "'step_ms' is '20'"),
        (lambda c, _: c["prosody"].update(statistics=[{"log_mean": 4}]), "log_deviation"),
        (lambda c, _: c.update(generator=None), "None"),
        (lambda _, t: t.pop("generator.filters.bias"), "filters.bias is None"),
        (lambda _, t: t.update({"prosody.extra": np.ones(3)}), "extra is"),
        (lambda _, t: t.update({"generator.filters.bias": np.ones(3)}), "filters.bias is"),
    ],
)
def test_an_edited_bundle_is_bad_input(tmp_path: Path, change: Change, said: str) -> None:
    untrained_neural().save(tmp_path / "i")
    whole = read_bundle(tmp_path / "i")
    config, tensors = json.loads(json.dumps(whole.config)), dict(whole.tensors)
    change(config, tensors)
    write_bundle(tmp_path / "edited", whole.model, config, tensors, whole.trained_on)
    with pytest.raises(InputError, match=rf"not a valid inverter: .*{said}") as error:
        NeuralInverter.load(tmp_path / "edited")
    assert "edited" in str(error.value)


def test_a_bundle_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "km", "kmeans", {}, {"codebook": np.ones((2, 3))}, {})
    with pytest.raises(InputError, match="holds a kmeans, not a convnext or hifigan"):
        NeuralInverter.load(tmp_path / "km")
