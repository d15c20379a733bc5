from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.listeners.outside import Resemblyzer
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig
from zerochain.scoring.common import Scored
from zerochain.scoring.speech import score_speakers


class Setting:
    """Wavs in ana's voice of everybody's utterances, and an encoder of no training."""

    def __init__(self, corpus: Corpus, root: Path) -> None:
        self.corpus, self.wavs, self.encoder_path = corpus, root / "wavs", root / "speakers"
        torch.manual_seed(0)
        network = SpeakerNet(SpeakerNetConfig(width=8, dim=6))
        SpeakerEncoder(network, trained_on={"corpus": corpus.id}).save(self.encoder_path)
        self.encoder = SpeakerEncoder.load(self.encoder_path)
        rng = np.random.default_rng(0)
        self.real = {u.id: audio.read(corpus.audio_path(u)) for u in corpus.utterances}
        self.made = {}
        for name, wave in self.real.items():
            spoiled = wave + 0.01 * rng.normal(size=len(wave)).astype(np.float32)
            audio.write(self.wavs / f"{name}.wav", spoiled)
            self.made[name] = audio.read(self.wavs / f"{name}.wav")
        self.describe()

    def describe(self, **changes: object) -> None:
        described = Synthesis(
            inverter_id="i",
            method="code2spec",
            units_id="u",
            unit_method="kmeans",
            corpus_id=self.corpus.id,
            voice="ana",
            sample_rate=16_000,
            step_ms=10.0,
            ids=tuple(self.made),
            folder=self.wavs,
        )
        write_synthesis(replace(described, **changes))  # type: ignore[arg-type]

    def score(self, **options: object) -> Scored:
        assert self.corpus.folder is not None
        return score_speakers(self.wavs, self.corpus.folder, self.encoder_path, **options)  # type: ignore[arg-type]

    def ids(self, speaker: str, split: str | None = None) -> list[str]:
        return [
            u.id
            for u in self.corpus.utterances
            if u.speaker == speaker and split in {None, u.split}
        ]

    def cosine(self, wave: np.ndarray, others: list[str]) -> float:
        """With the mean direction of some recordings, one after the other."""
        mean = sum(self.encoder.embed(self.real[name]) for name in others)
        return float(self.encoder.embed(wave) @ mean / np.linalg.norm(mean))


@pytest.fixture
def setting(make_corpus: Callable[..., Corpus], tmp_path: Path) -> Setting:
    return Setting(make_corpus(9, speakers=("ana", "béa", "çem"), test_every=2), tmp_path)


def by_metric(scored: Scored) -> dict[str, Score]:
    return {score.metric: score for score in scored.scores}


@pytest.mark.parametrize("split", [None, "test"])
def test_equals_the_definition(setting: Setting, split: str | None) -> None:
    scores = by_metric(setting.score(split=split))
    ana, own = setting.ids("ana"), setting.ids("ana", split)
    others = [(name, who) for who in ("béa", "çem") for name in setting.ids(who, split)]

    def without(names: list[str], name: str) -> list[str]:
        return [other for other in names if other != name]

    expected = {
        "speaker_similarity": [setting.cosine(setting.made[n], without(ana, n)) for n in own],
        "speaker_similarity_converted": [setting.cosine(setting.made[n], ana) for n, _ in others],
        "speaker_similarity_to_source": [
            setting.cosine(setting.made[n], without(setting.ids(who), n)) for n, who in others
        ],
        "speaker_similarity_recordings": [
            setting.cosine(setting.real[n], without(ana, n)) for n in own
        ],
        "speaker_similarity_others": [setting.cosine(setting.real[n], ana) for n, _ in others],
    }
    assert list(scores) == list(expected)
    for metric, values in expected.items():
        assert scores[metric].value == pytest.approx(np.mean(values), abs=1e-5)
        assert scores[metric].n == len(values)
    score = scores["speaker_similarity_converted"]
    assert score.interval is not None
    assert score.interval[0] <= score.value <= score.interval[1]
    assert score.protocol == "encoder"
    assert score.system == "kmeans → code2spec"
    assert score.inputs["speaker_encoder"] == setting.encoder.id
    assert (score.options["voice"], score.options["split"]) == ("ana", split)


def test_the_encoder_that_conditioned_the_inverter_is_refused(setting: Setting) -> None:
    setting.describe(speaker_encoder_id=setting.encoder.id)
    with pytest.raises(InputError, match=r"conditioned on(.|\n)*--seed 1"):
        setting.score()
    setting.describe(speaker_encoder_id="f" * 64)
    assert setting.score().scores


def test_another_voice_and_wavs_of_another_program(setting: Setting) -> None:
    (setting.wavs / "synthesis.json").unlink()
    with pytest.raises(InputError, match="give voice="):
        setting.score()
    scored = setting.score(voice="béa", system="theirs")
    assert any("conditioned on" in note for note in scored.notes)
    scores = by_metric(scored)
    assert scores["speaker_similarity"].n == len(setting.ids("béa"))
    assert scores["speaker_similarity"].system == "theirs"
    assert "inverter" not in scores["speaker_similarity"].inputs
    with pytest.raises(InputError, match="no utterance of speaker 'dan'"):
        setting.score(voice="dan")


def test_units_of_another_corpus_have_no_known_source(setting: Setting) -> None:
    """Even where its ids happen to be the same."""
    setting.describe(corpus_id="another")
    scored = setting.score()
    scores = by_metric(scored)
    assert "speaker_similarity" not in scores
    assert "speaker_similarity_to_source" not in scores
    assert scores["speaker_similarity_converted"].n == 9
    assert any("source speakers are unknown" in note for note in scored.notes)


def test_wavs_without_a_voice_are_counted(setting: Setting) -> None:
    first, second, _ = setting.ids("béa")
    audio.write(setting.wavs / f"{first}.wav", np.zeros(16_000, np.float32))
    audio.write(setting.wavs / f"{second}.wav", np.ones(4_000, np.float32) / 2)
    scored = setting.score()
    converted = by_metric(scored)["speaker_similarity_converted"]
    assert converted.options["exclusions"] == {"silent": 1, "under_0.5_s": 1}
    assert converted.n == 4
    assert "left out: 1 silent" in scored.notes
    for name in setting.made:
        audio.write(setting.wavs / f"{name}.wav", np.zeros(16_000, np.float32))
    with pytest.raises(InputError, match="none of 9 wavs can be scored"):
        setting.score()


def test_a_voice_with_one_recording(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    """Conversions into it can be scored; its own wav and recording can't be."""
    setting = Setting(make_corpus(3, speakers=("ana", "béa", "béa")), tmp_path)
    scored = setting.score()
    scores = by_metric(scored)
    assert scores["speaker_similarity_converted"].n == 2
    assert not {"speaker_similarity", "speaker_similarity_recordings"} & scores.keys()
    assert any("takes two recordings" in note for note in scored.notes)


def test_unknown_and_missing_utterances(setting: Setting) -> None:
    audio.write(setting.wavs / "unknown.wav", np.ones(16_000, np.float32) / 2)
    with pytest.raises(InputError, match="missing in the corpus tiny: unknown"):
        setting.score()
    (setting.wavs / "unknown.wav").unlink()
    for name in (
        setting.ids("ana", "test") + setting.ids("béa", "test") + setting.ids("çem", "test")
    ):
        (setting.wavs / f"{name}.wav").unlink()
        del setting.made[name]
    setting.describe()
    with pytest.raises(InputError, match="holds no wav of the 4 utterances"):
        setting.score(split="test")


def test_an_encoder_of_another_corpus_is_said(setting: Setting) -> None:
    replace(setting.encoder, trained_on={"corpus": "another"}).save(setting.encoder_path)
    assert any("trained on another corpus" in note for note in setting.score().notes)


def test_an_encoder_from_outside_has_scores_of_its_own(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Resemblyzer, "missing", classmethod(lambda cls: ""))
    monkeypatch.setattr(Resemblyzer, "label", "Resemblyzer, trained on English")
    monkeypatch.setattr(Resemblyzer, "embed", lambda self, wave: setting.encoder.embed(wave))
    both = setting.score(judge="resemblyzer").scores
    alone = score_speakers(setting.wavs, setting.corpus.home, judge="resemblyzer").scores
    assert len(both) == 2 * len(alone)
    for own, outside, same in zip(both, both[len(alone) :], alone, strict=False):
        assert own.value == outside.value == same.value
        assert outside.protocol == same.protocol == "encoder Resemblyzer, trained on English"
        assert "speaker_encoder" not in outside.inputs
    monkeypatch.setattr(Resemblyzer, "embed", lambda self, wave: None)
    with pytest.raises(InputError, match="no_speech_detected"):
        score_speakers(setting.wavs, setting.corpus.home, judge="resemblyzer")


def test_without_the_outside_encoder_s_package(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Resemblyzer, "missing", classmethod(lambda cls: "resemblyzer"))
    scored = setting.score(judge="resemblyzer")
    assert {score.protocol for score in scored.scores} == {"encoder"}
    assert any("left out" in note and "--no-deps resemblyzer" in note for note in scored.notes)
    with pytest.raises(InputError, match="Resemblyzer needs the package"):
        score_speakers(setting.wavs, setting.corpus.home, judge="resemblyzer")
    with pytest.raises(InputError, match="give encoder= or judge="):
        score_speakers(setting.wavs, setting.corpus.home)
