"""Mixtures whose front end adapts to speakers, and units that don't depend on the company."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import (
    DPGMMConfig,
    DPGMMUnits,
    GMMUnits,
    MixtureConfig,
    MixtureUnits,
)
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features

D = 13
RNG = np.random.default_rng(0)
CENTRES = 2 * RNG.normal(size=(6, D))
ACCENTS = {name: np.eye(D) + 0.15 * RNG.normal(size=(D, D)) for name in ("ana", "béa", "cem")}
OPTIONS = SpectralOptions(n_deltas=0).model_dump()


def speech(
    *speakers: str | None, n: int = 3, n_frames: int = 150, seed: int = 0, corpus_id: str = "c"
) -> Features:
    """Utterances of phones that last ten frames, as each speaker pronounces them."""
    rng = np.random.default_rng(seed)
    arrays, who = {}, {}
    for speaker in speakers:
        for i in range(n):
            phones = np.repeat(rng.integers(0, 6, n_frames // 10), 10)
            frames = CENTRES[phones] + 0.5 * rng.normal(size=(len(phones), D))
            name = f"{speaker}{i}"
            arrays[name] = (frames @ ACCENTS.get(speaker, ACCENTS["cem"])).astype(np.float32)
            who[name] = speaker
    made = Features.from_arrays(arrays, speakers=who, extractor="mfcc", options=OPTIONS)
    return replace(made, corpus_id=corpus_id)


def adaptive(adapt: str, **settings: object) -> MixtureConfig:
    return MixtureConfig(adapt=adapt, lda_context=1, lda_dims=8, max_iterations=10, **settings)


def fitted(adapt: str, features: Features | None = None, stride: int = 1) -> MixtureUnits:
    model = GMMUnits(6, stride, config=adaptive(adapt))
    return model.fit(features or speech("ana", "béa"))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("adapt", ["fmllr", "lda", "lda+fmllr"])
def test_saved_and_loaded_encodes_the_same(tmp_path: Path, adapt: str, stride: int) -> None:
    model = fitted(adapt, stride=stride)
    words = {"fmllr": "fmllr", "lda": "lda ±1→8", "lda+fmllr": "lda ±1→8 fmllr"}
    assert model.method == f"gmm K=6 {stride}T mfcc norm=speaker {words[adapt]}"
    assert ("2 fMLLR transforms" in model.summary) == ("fmllr" in adapt)
    model.save(tmp_path / "m")
    again = load_unit_model(tmp_path / "m")
    assert again.id == model.id
    for other in (speech("ana", "béa"), speech("cem", None, "ana", n=1, seed=1, corpus_id="d")):
        mine, theirs = model.encode(other), again.encode(other)
        for name in other.ids:
            np.testing.assert_array_equal(mine.units[name], theirs.units[name])
        for _, posteriors in again.posteriors(other):
            assert np.isfinite(posteriors).all()


def test_adaptation_makes_speakers_alike() -> None:
    parts = [speech(name, n=4) for name in ACCENTS]  # the same phones, frame by frame
    arrays = {name: part[name] for part in parts for name in part.ids}
    who = {name: speaker for part in parts for name, speaker in part.speakers.items()}
    features = Features.from_arrays(arrays, speakers=who, extractor="mfcc", options=OPTIONS)
    plain, moved = (fitted(adapt, features) for adapt in ("none", "fmllr"))
    assert moved.outcome.log_likelihood > plain.outcome.log_likelihood + 0.2
    assert moved.outcome.n_full == 3

    def apart(model: MixtureUnits) -> float:
        """How far speakers are from each other, beside how far frames are."""
        frames = dict(model.latents(features))
        same = [np.concatenate([frames[f"{name}{i}"] for i in range(4)]) for name in ACCENTS]
        return float(np.std(same, axis=0).mean() / np.std(same, axis=1).mean())

    assert apart(moved) < 0.6 * apart(plain)


@pytest.mark.parametrize(
    "model",
    [
        GMMUnits(6, config=adaptive("lda+fmllr")),
        KMeansUnits(6, options=FrontEndOptions(warp=True)),
    ],
    ids=["gmm", "kmeans"],
)
def test_a_recording_has_the_same_units_in_any_company(model: GMMUnits | KMeansUnits) -> None:
    model.fit(speech("ana", "béa"))
    for together in (
        speech("cem", "ana", n=2, seed=3),  # unknown, and known
        speech("cem", "ana", n=2, seed=3, corpus_id="d"),
    ):
        all_ = model.encode(together)
        for name in together.ids:
            alone = model.encode(together.restrict([name]))
            np.testing.assert_array_equal(alone.units[name], all_.units[name])


def test_unknown_speakers_can_be_pooled_and_a_line_says_on_how_much_speech() -> None:
    model = fitted("fmllr")
    later = speech("cem", None, "ana", n=2, seed=3)
    front_end = model.front_end
    assert front_end.rests_on(speech("ana", seed=4)) is None
    assert front_end.rests_on(later) == (
        "1 speaker unknown to the model and 2 utterances without a speaker: each utterance by "
        "itself normalised and adapted, on 1.5 to 1.5 s of speech (median 1.5 s)"
    )
    elsewhere = front_end.rests_on(replace(later, corpus_id="d")).splitlines()
    assert elsewhere[0].startswith("2 speakers unknown to the model and 2 utterances without")
    assert elsewhere[1:] == [
        "the model was fitted on another corpus, with speakers of the same names: ana; whether "
        "they are the same people, names don't say. Where they are: encode from the corpus that "
        "the model was fitted on, or fit the model on this one"
    ]
    pooled = front_end.rests_on(later, pool=True)
    assert pooled.endswith("normalised and adapted, on 1.5 to 3.0 s of speech (median 1.5 s)")
    alone = dict(model.latents(later))
    model.pool_speakers = True
    together = dict(model.latents(later))
    changed = {name for name in later.ids if not np.array_equal(alone[name], together[name])}
    assert changed == {"cem0", "cem1"}
    one = dict(model.latents(later.restrict(["cem0"])))
    assert not np.array_equal(one["cem0"], together["cem0"])


@pytest.mark.parametrize("adapt", ["fmllr", "lda", "lda+fmllr"])
def test_hard_speech_gives_no_nan(adapt: str) -> None:
    features = speech("ana", "béa", n=2)
    silence = np.zeros((40, D), np.float32)
    flat = features["ana1"].copy()
    flat[:, 3] = 5  # as a constant F0
    arrays = {name: features[name] for name in features.ids} | {"s": silence, "f": flat}
    arrays |= {"short": features["béa0"][:3]}
    who = {**features.speakers, "s": "sil", "f": "flo", "short": None}
    hard = Features.from_arrays(arrays, speakers=who, extractor="mfcc", options=OPTIONS)
    model = fitted(adapt, hard)
    for _, frames in model.latents(hard):
        assert np.isfinite(frames).all()
    assert all(np.isfinite(t).all() for t in model.front_end.tensors().values())


def test_one_speaker_is_reported() -> None:
    model = fitted("fmllr", speech("ana"))
    assert "there is one only" in model.findings[0]
    assert fitted("none", speech("ana")).findings == []


def test_little_speech_gives_a_bias_and_a_scale() -> None:
    features = speech("ana", "béa", n=1, n_frames=120)
    assert "2 fMLLR transforms, 2 of them a bias and a scale" in fitted("fmllr", features).summary


def test_lda_refuses_another_projection() -> None:
    options = FrontEndOptions(context=2, speaker_attenuation=8)
    with pytest.raises(InputError, match=r"context=2 and speaker_attenuation=8.*adapt=lda"):
        GMMUnits(6, options=options, config=adaptive("lda")).fit(speech("ana"))


def test_a_dirichlet_process_adapts_too() -> None:
    config = DPGMMConfig(adapt="fmllr", max_iterations=5, adapt_rounds=1)
    model = DPGMMUnits(8, config=config).fit(speech("ana", "béa", n=2))
    assert model.outcome.n_transforms == 2
    assert model.outcome.n_used <= 8
