"""One inverter for several voices: by name, or like a recording."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from conftest import small_corpus
from inverters import VOICES, speaker_encoder, three_voices
from zerochain import audio
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.f0 import F0Statistics
from zerochain.formats.bundle import bundle_id, read_bundle, write_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.units import read_units
from zerochain.inversion.inverter import SpectralInverter
from zerochain.inversion.phase import SpectrogramOptions
from zerochain.inversion.speaking import Speaking, synthesize
from zerochain.inversion.spectral import AdversaryConfig, SpectralConfig
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.voice_data import Material, chosen_voices, timeline, voice_data
from zerochain.inversion.voices import Voice, read_contours, reference_vectors, statistics_of
from zerochain.listeners.speaker_encoder import SpeakerEncoder, mean_voice
from zerochain.modules.code2spec import REACH, Code2Spec, Code2SpecConfig
from zerochain.training.recipe import Recipe

QUICK = Recipe(max_steps=30, validate_every=15, batch_size=4)
NONE = AdversaryConfig(form="none")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_voices(tmp_path_factory.mktemp("voices"))


def trained(
    prepared: Path, out: Path, adversary: AdversaryConfig = NONE, **options: Any
) -> SpectralInverter:
    config = SpectralConfig(width=16, adversary=adversary)
    settings = {"voices": None, "config": config, "recipe": QUICK, "prosody": None, **options}
    made, _ = train_inverter(prepared / "units.parquet", prepared / "tiny", out, **settings)
    assert isinstance(made, SpectralInverter)
    return made


@pytest.fixture(scope="module")
def many(prepared: Path) -> Path:
    """An inverter of all voices, by name."""
    trained(prepared, prepared / "many")
    return prepared / "many"


@pytest.fixture(scope="module")
def by_encoder(prepared: Path) -> Path:
    """An inverter of two voices, conditioned on a speaker encoder's vectors."""
    voices, speakers = ["béa", "ana"], prepared / "speakers"
    trained(prepared, prepared / "by_encoder", voices=voices, speakers=speakers)
    return prepared / "by_encoder"


def like_vector(vector: np.ndarray) -> Voice:
    return Voice("like", vector.astype(np.float32), F0Statistics(5.0, 0.2, 1))


def network(**options: int) -> Code2Spec:
    torch.manual_seed(0)
    net = Code2Spec(Code2SpecConfig(n_units=10, n_bins=33, width=16, **options)).train()
    voices = torch.zeros(8, dtype=torch.long) if net.config.has_voices else None
    net(torch.randint(0, 11, (8, 50)), voices)
    return net.eval()


def test_a_voice_of_each_frame_or_of_the_utterance() -> None:
    net, units = network(n_voices=3), torch.randint(0, 10, (2, 20))
    whole = net(units, torch.tensor([2, 1]))
    frames = net(units, torch.tensor([[2] * 20, [1] * 20]))
    torch.testing.assert_close(whole, frames)
    assert not torch.allclose(whole, net(units, torch.tensor([0, 0])), atol=1e-3)
    with pytest.raises(ValueError, match="needs voices="):
        net(units)


def test_a_vector_that_is_a_voices_reference_is_that_voice() -> None:
    net, units = network(n_voices=3, n_reference=4), torch.randint(0, 10, (1, 20))
    net.voice.references.copy_(torch.randn(3, 4))
    by_number = net(units, torch.tensor([1]))
    torch.testing.assert_close(net(units, net.voice.references[1][None]), by_number)
    assert not torch.allclose(net(units, torch.randn(1, 4)), by_number, atol=1e-3)


def test_a_neighbours_voice_is_never_heard() -> None:
    """Two utterances on a timeline: the second's voice doesn't reach the first."""
    net, gap = network(n_voices=2), [10] * REACH
    units = torch.tensor([[*gap, 1, 2, 3, *gap, 4, 5, *gap]])
    first = slice(REACH, REACH + 3)
    voices = torch.zeros_like(units)
    base = net(units, voices)[0, first]
    voices[0, REACH + 3 :] = 1
    torch.testing.assert_close(net(units, voices)[0, first], base, rtol=0, atol=0)


def test_a_timeline_knows_who_speaks() -> None:
    options = SpectrogramOptions(n_fft=256, n_window=256)
    units = [np.zeros(n, np.int32) for n in (3, 5)]
    waves = [np.ones(n * options.hop, np.float32) for n in (3, 5)]
    arrays = timeline(units, waves, options, 9, [7, 2]).arrays
    assert arrays["voices"][arrays["units"] == 0].tolist() == [7] * 3 + [2] * 5


def test_each_utterance_is_of_its_speaker(prepared: Path) -> None:
    units = read_units(prepared / "units.parquet")
    corpus = small_corpus(prepared, 9, VOICES, 0.8, "again", 9)
    assert corpus.folder is not None
    files = prepared / "units.parquet", corpus.folder
    material = Material.read(*files, ["ana", "carl"], None, None, "cpu")
    part = material.corpus
    assert {u.speaker for u in part.utterances} == {"ana", "carl"}
    assert part.id == corpus.id
    data = voice_data(material, SpectrogramOptions(n_fft=256, n_window=256))
    sides = (data.train.arrays, data.valid.arrays)
    n = [sum(int((s["voices"][s["units"] < 8] == i).sum()) for s in sides) for i in range(2)]
    for i, voice in enumerate(("ana", "carl")):
        ids = [u.id for u in part.utterances if u.speaker == voice]
        assert n[i] == sum(2 * len(units.steps(name)) for name in ids)


def test_voices_are_chosen_by_name_or_all(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(6, speakers=VOICES, seconds=0.1)
    assert chosen_voices(corpus, None) == VOICES
    assert chosen_voices(corpus, ["carl", "ana", "carl"]) == ("ana", "carl")
    with pytest.raises(InputError, match="3 known speakers: ana, béa, carl"):
        chosen_voices(corpus, [])
    with pytest.raises(InputError, match="no speaker dora; speakers: ana, béa, carl"):
        chosen_voices(corpus, ["ana", "dora"])


def test_a_voice_without_recordings_in_the_split_is_named(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="speaker 'ana'"):
        trained(prepared, tmp_path / "x", split="test")  # only the last utterance, carl's


def test_voices_sound_different_and_survive_the_disk(prepared: Path, many: Path) -> None:
    steps = read_units(prepared / "units.parquet").steps("u0")
    again = SpectralInverter.load(many)
    assert again.voices == VOICES
    spectra = [again.magnitudes(steps, voice) for voice in VOICES]
    assert not torch.allclose(spectra[0], spectra[1], rtol=1e-3)
    assert len(again.synthesize(steps, "béa")) == len(steps) * 320


def test_a_voice_has_to_be_chosen_and_known(prepared: Path, many: Path, tmp_path: Path) -> None:
    units = prepared / "units.parquet"
    with pytest.raises(InputError, match="3 voices, and none was chosen") as error:
        synthesize(many, units, tmp_path / "w")
    assert "ana, béa, carl" in str(error.value)
    with pytest.raises(InputError, match="no voice 'dora'"):
        synthesize(many, units, tmp_path / "w", Speaking("dora"))
    with pytest.raises(InputError, match="like= requires speakers="):
        synthesize(many, units, tmp_path / "w", Speaking(like=units))
    inverter = SpectralInverter.load(many)
    with pytest.raises(InputError, match="by name, not from recordings"):
        inverter.synthesize(np.array([1], np.int32), like_vector(np.ones(6)))
    assert not (tmp_path / "w").exists()
    synthesize(many, units, tmp_path / "w", Speaking("carl"))
    assert read_synthesis(tmp_path / "w").voice == "carl"
    assert read_synthesis(tmp_path / "w").speaker_encoder_id is None


def test_like_a_recording(prepared: Path, by_encoder: Path, tmp_path: Path) -> None:
    units, speakers = prepared / "units.parquet", prepared / "speakers"
    like = prepared / "tiny-audio" / "u2.wav"  # carl's, who is unseen in training
    synthesize(by_encoder, units, tmp_path / "w", Speaking(like=like, speakers=speakers))
    made = read_synthesis(tmp_path / "w")
    assert (made.voice, made.speaker_encoder_id) == ("like u2.wav", bundle_id(speakers))
    inverter, steps = SpectralInverter.load(by_encoder), read_units(units).steps("u0")
    vector = SpeakerEncoder.load(speakers).embed(audio.read(like))
    expected = inverter.synthesize(steps, like_vector(vector))
    np.testing.assert_allclose(audio.read(tmp_path / "w" / "u0.wav"), expected, atol=1e-4)
    assert not np.allclose(expected, inverter.synthesize(steps, "ana"), atol=1e-3)


def test_a_voices_vector_is_the_mean_of_its_recordings(prepared: Path, by_encoder: Path) -> None:
    encoder = SpeakerEncoder.load(prepared / "speakers")
    waves = [audio.read(prepared / "tiny-audio" / f"u{i}.wav") for i in (0, 3, 6)]
    ana = mean_voice(np.stack([encoder.embed(wave) for wave in waves]))
    inverter = SpectralInverter.load(by_encoder)
    assert inverter.voices == ("ana", "béa")
    assert inverter.speaker_encoder_id == encoder.id
    assert isinstance(inverter.network, Code2Spec)
    np.testing.assert_allclose(inverter.network.voice.references[0], ana, atol=1e-5)


def test_another_speaker_encoder_is_refused(
    prepared: Path, by_encoder: Path, tmp_path: Path
) -> None:
    speaker_encoder(tmp_path / "other", seed=1)
    like = prepared / "tiny-audio" / "u2.wav"
    with pytest.raises(ModelMismatchError, match=bundle_id(tmp_path / "other")[:12]):
        synthesize(
            by_encoder,
            prepared / "units.parquet",
            tmp_path / "w",
            Speaking(like=like, speakers=tmp_path / "other"),
        )


@pytest.mark.parametrize("vector", [np.ones(5), np.full(6, np.nan), np.ones((1, 6))])
def test_vectors_that_are_no_voice(by_encoder: Path, vector: np.ndarray) -> None:
    with pytest.raises(InputError, match="6 numbers are expected"):
        SpectralInverter.load(by_encoder).magnitudes(np.array([1], np.int32), like_vector(vector))


def test_choices_that_make_no_sense(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "x"
    with pytest.raises(InputError, match="unit means are of one voice"):
        trained(prepared, out, method="unit-means")
    with pytest.raises(InputError, match="needs no speaker encoder"):
        trained(prepared, out, voices=["ana"], speakers=prepared / "speakers")
    with pytest.raises(InputError, match="would begin at step 99, and training ends at step 30"):
        trained(prepared, out, adversary=AdversaryConfig(from_step=99))
    assert not out.exists()


def test_a_silent_voice_has_no_vector_but_f0_statistics(prepared: Path) -> None:
    corpus = small_corpus(prepared, 4, ("ana", "mute"), 0.8, "quiet")
    for u in corpus.select(speaker="mute").utterances:
        soundfile.write(corpus.audio_path(u), np.zeros(round(u.duration * 16_000)), 16_000)
    encoder = SpeakerEncoder.load(prepared / "speakers")
    with pytest.raises(InputError, match=r"recordings of voice 'mute'.*'u1': silent"):
        reference_vectors(corpus, ("ana", "mute"), encoder)
    voices = {u.id: ("ana", "mute").index(str(u.speaker)) for u in corpus.utterances}
    ana, mute = statistics_of(read_contours(corpus), voices, 2)
    assert ana.n_voiced > 0
    assert np.exp(ana.log_mean) == pytest.approx(100, rel=0.05)
    assert mute.n_voiced == 0


def test_the_bundle_carries_f0_statistics_and_a_sample(prepared: Path, many: Path) -> None:
    config = read_bundle(many).config
    assert len(config["f0"]) == len(config["voices"]) == 3
    pitches = [np.exp(s["log_mean"]) for s in config["f0"]]
    assert pitches == pytest.approx([100, 160, 220], rel=0.05)  # as the fixture speaks
    sample = audio.info(many / "sample.wav")
    assert 0 < sample.duration_s <= 5
    whole = bundle_id(many)
    (many / "sample.wav").write_bytes(b"another")
    assert bundle_id(many) == whole
    assert SpectralInverter.load(many).statistics[1].log_mean == config["f0"][1]["log_mean"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("voices"), "lacks voices"),
        (lambda c: c["spectrogram"].update(n_fft=512), "n_window 1024 is longer than n_fft 512"),
        (lambda c: c["network"].update(depth=3), "unknown key: network.depth"),
        (lambda c: c["network"].update(width=32), "weights are not those of such a network"),
        (lambda c: c.update(f0=[{"log_mean": 4}]), "lacks f0.0.log_deviation"),
        (lambda c: c.update(f0=c["f0"][:1]), "its voices lack their F0"),
    ],
)
def test_a_bundle_of_another_version_says_so(
    many: Path, tmp_path: Path, change: Callable[[dict[str, object]], object], said: str
) -> None:
    whole = read_bundle(many)
    config = json.loads(json.dumps(whole.config))
    change(config)
    write_bundle(tmp_path / "i", whole.model, config, whole.tensors, whole.trained_on)
    with pytest.raises(InputError, match=rf"not a valid inverter: .*{said}"):
        SpectralInverter.load(tmp_path / "i")
