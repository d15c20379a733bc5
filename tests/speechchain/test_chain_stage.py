"""A trained chain at work: transcripts, speech, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from speechchain.conftest import RATE, say, toned

from commands import run
from zerochain import audio
from zerochain.audio import read
from zerochain.errors import InputError
from zerochain.features.spectral import SpectralExtractor
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.transcripts import read_transcripts
from zerochain.listeners.recogniser import SPEECH
from zerochain.speechchain import recogniser as listening
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.stage import speak, synthesize, transcribe
from zerochain.speechchain.synthesiser import waveform

RNG = np.random.default_rng(0)


def frames_of(wave: np.ndarray) -> np.ndarray:
    return SpectralExtractor(SPEECH)([wave])[0]


@pytest.fixture(scope="module")
def chain(paired: Path) -> SpeechChain:
    return SpeechChain.load(paired)


def test_error_rates_have_intervals(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    found = transcribe(paired, tones.home, tmp_path / "t.parquet", split="test")
    n = sum(u.split == "test" for u in tones.utterances)
    assert found.cer is not None
    assert found.wer is not None
    assert found.cer.n == found.wer.n == n
    assert found.cer.interval is not None
    assert 0 <= found.cer.interval[0] <= found.cer.value <= found.cer.interval[1]
    assert read_transcripts(tmp_path / "t.parquet").texts == found.transcripts.texts


@pytest.mark.parametrize("beam", [1, 5])
def test_one_by_one_equals_many(chain: SpeechChain, beam: int) -> None:
    waves = [say(text, RNG) for text in ("abcd dcba", "a", "dd cc bb aa")]
    frames = [frames_of(wave) for wave in waves]
    many = chain.recogniser.transcribe(frames, beam)
    for one, path in zip(frames, many, strict=True):
        alone = chain.recogniser.transcribe([one], beam)[0]
        assert alone.symbols.tolist() == path.symbols.tolist()
        assert alone.score == pytest.approx(path.score, abs=1e-3)
    assert chain.recogniser.transcribe([]) == []


def test_what_is_long_is_transcribed_in_parts(
    chain: SpeechChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = np.concatenate([say("bad", RNG), np.zeros(RATE // 2, np.float32)])
    frames = frames_of(np.concatenate([word] * 4))
    monkeypatch.setattr(listening, "_LONGEST_FRAMES", 150)
    parts = listening._parts(frames)
    assert np.array_equal(np.concatenate(parts), frames)
    assert max(map(len, parts)) <= 150
    path = chain.recogniser.transcribe([frames])[0]
    assert (np.diff(path.steps) >= 0).all()
    assert path.steps.max() < len(frames) / 2 + len(parts)


def test_silence_is_an_empty_transcript(paired: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "u.wav", np.zeros(RATE, np.float32), RATE)
    corpus = Corpus("silence", (Utterance("u", "u.wav", 1.0, text="zoë ab"),), str(tmp_path))
    write_corpus(tmp_path / "c", corpus)
    found = transcribe(paired, tmp_path / "c", tmp_path / "t.parquet")
    assert found.transcripts.texts == {"u": ""}
    assert found.transcripts.confidence == {"u": 0.0}
    assert (found.n_empty, found.n_unknown) == (1, 1)
    assert found.cer is not None
    assert found.cer.value == 100


def test_a_text_is_spoken_and_a_faster_one_is_shorter(paired: Path, tmp_path: Path) -> None:
    wave = speak(paired, "Bad cab!", tmp_path / "a.wav")
    again = speak(paired, "bad cab", tmp_path / "b.wav")
    np.testing.assert_array_equal(wave, again)
    assert np.isfinite(wave).all()
    assert len(read(tmp_path / "a.wav")) == len(wave) > RATE / 10
    assert len(speak(paired, "bad cab", tmp_path / "c.wav", rate=3.0)) < len(wave)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zoë", "doesn't know: 'e', 'o', 'z'|doesn't know: 'o', 'z', 'ë'"),
        ("?!", "has 0 symbols"),
        ("a" * 2001, "2,001 symbols"),
    ],
)
def test_what_cannot_be_spoken_is_refused(
    paired: Path, tmp_path: Path, text: str, found: str
) -> None:
    with pytest.raises(InputError, match=found):
        speak(paired, text, tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()


def test_a_chain_of_one_voice_takes_none(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    recording = tones.audio_path(tones.utterances[0])
    with pytest.raises(InputError, match="one voice"):
        speak(paired, "ab", tmp_path / "a.wav", like=recording)
    with pytest.raises(InputError, match="no speaker encoder"):
        speak(paired, "ab", tmp_path / "a.wav", like=recording, speakers=tmp_path)


def test_a_corpus_is_spoken_and_understood(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    ids = synthesize(paired, tones.home, tmp_path / "wavs", split="test")
    assert list(read_synthesis(tmp_path / "wavs").ids) == ids
    real = {"chain": paired, "corpus": tones.home, "out": tmp_path / "t.parquet", "split": "test"}
    spoken = transcribe(**real, wavs=tmp_path / "wavs")
    assert list(spoken.transcripts.texts) == ids
    nothing = toned(tmp_path, [None], "no-texts")
    with pytest.raises(InputError, match="has no texts to speak"):
        synthesize(paired, nothing.home, tmp_path / "x")


def test_a_waveform_has_the_spectrogram_it_was_made_from() -> None:
    wave = say("abcd", RNG)
    frames = frames_of(wave)
    again = waveform(frames)
    assert abs(len(again) - len(wave)) <= SPEECH.hop
    n = min(len(frames), len(frames_of(again)))
    found = frames_of(again)[:n]
    loud = frames[:n] > frames.max() - 30
    assert np.abs(found - frames[:n])[loud].mean() < 3  # dB
    assert audio.SAMPLE_RATE == RATE


def test_the_commands(tones: Corpus, tmp_path: Path) -> None:
    made = tmp_path / "chain"
    result = run(
        "chain", "train", tones.home, "--split", "train", "--paired", 0.5, "--out", made,
        "--method", "paired", "--asr-steps", 40, "--tts-steps", 1, "--steps", 1,
    )  # fmt: skip
    assert "CER" in result.output
    assert "speech-chain" in run("show", made).output
    texts, scores = tmp_path / "t.parquet", tmp_path / "s.jsonl"
    result = run(
        "chain", "transcribe", made, tones.home, "--split", "test", "--out", texts,
        "--scores", scores,
    )  # fmt: skip
    assert "WER" in result.output
    assert [score.metric for score in read_scores(scores)] == ["cer_%", "wer_%"]
    assert "transcripts" in run("show", texts).output
    assert " s" in run("chain", "speak", made, "bad", tmp_path / "a.wav").output
    run(
        "chain",
        "synthesize",
        made,
        "--corpus",
        tones.home,
        "--split",
        "test",
        "--out",
        tmp_path / "w",
    )
    run("chain", "speak", made, "zzz", tmp_path / "b.wav", code=1)
