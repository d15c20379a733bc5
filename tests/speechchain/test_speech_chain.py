"""The chain from files: its methods, what it leaves out and refuses, its resumption, its work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from chains import ASR, FEW, RATE, RECIPES, TTS, say, texts_of, toned
from interruption import interrupted

from commands import run
from zerochain.audio import read
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.spectral import SpectralExtractor
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.transcripts import read_transcripts
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.listeners.recogniser import SPEECH
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.joint_recogniser import JointConfig, JointRecogniser
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig
from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig, SynthesiserSizes
from zerochain.speechchain import recogniser as listening
from zerochain.speechchain.chain import (
    ChainConfig,
    ChainTraining,
    ChainWarning,
    Recipes,
    SpeechChain,
    train_chain,
)
from zerochain.speechchain.loop import LoopTask
from zerochain.speechchain.recogniser import ChainRecogniser, RecogniserTask
from zerochain.speechchain.sources import Sources
from zerochain.speechchain.stage import speak, synthesize, transcribe
from zerochain.speechchain.synthesis_loss import magnitudes
from zerochain.speechchain.synthesiser import ChainSynthesiser, SynthesisWarning, waveform

TINY = Recipes(FEW, FEW, FEW)
pytestmark = pytest.mark.filterwarnings("ignore::zerochain.speechchain.chain.ChainWarning")


RNG = np.random.default_rng(0)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Recipes:
    """Recipes of a few steps, after which alignments are taken whatever they are worth."""
    monkeypatch.setattr("zerochain.speechchain.synthesiser._WORST_ALIGNED", -np.inf)
    return Recipes(FEW, FEW, FEW)


def trained(
    sources: Sources, out: Path, recipes: Recipes = RECIPES, **config: object
) -> ChainTraining:
    settings = ChainConfig(**{"paired": 0.5, **config})
    return train_chain(sources, out, config=settings, asr=ASR, tts=TTS, recipes=recipes)


def test_what_is_paired_decides_what_it_learns_from(tones: Corpus, paired: Path) -> None:
    record = SpeechChain.load(paired).training
    assert record["method"] == "paired"
    assert (record["n_texts"], record["n_speech"]) == (0, 0)
    n = len({u.text for u in tones.utterances if u.split == "train"})
    assert record["n_pairs"] <= round(0.5 * n) * 1.2
    assert record["valid_cer"] < 60  # it has learned something


@pytest.mark.parametrize("method", ["chain", "propagation"])
def test_the_loop_starts_from_a_chain_of_the_pairs(
    tones: Corpus, paired: Path, tmp_path: Path, method: str
) -> None:
    sources = Sources(tones.home, "train", start=paired)
    report = trained(sources, tmp_path / "c", method=method, min_confidence=0.05)
    start = SpeechChain.load(paired)
    assert report.start_cer == pytest.approx(start.training["valid_cer"])
    assert report.valid_cer <= report.start_cer
    assert report.n_pairs == start.training["n_pairs"]
    assert report.steps == FEW.max_steps
    if method == "chain":
        assert report.n_texts > 5 < report.n_speech
        assert report.texts_kept is not None
        assert report.speech_kept is not None


def test_all_texts_are_the_bound(
    tones: Corpus, tmp_path: Path, paired: Path, untrained: Recipes
) -> None:
    report = trained(Sources(tones.home, "train"), tmp_path / "all", untrained, method="all")
    n_train = sum(u.split == "train" for u in tones.utterances)
    assert n_train - 5 < report.n_pairs < n_train
    assert (report.n_texts, report.n_speech) == (0, 0)
    with pytest.raises(InputError, match="other pairs of this corpus"):
        trained(Sources(tones.home, "train", start=tmp_path / "all"), tmp_path / "x")
    with pytest.raises(InputError, match="trains on pairs from the beginning"):
        trained(Sources(tones.home, "train", start=paired), tmp_path / "x", method="paired")


def test_interrupted_it_goes_on_to_the_same_chain(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    sources = Sources(tones.home, "train", start=paired)
    trained(sources, tmp_path / "whole")
    with interrupted(LoopTask, 3), pytest.raises(KeyboardInterrupt):
        trained(sources, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="other data or other settings"):
        trained(sources, tmp_path / "c", alpha=0.25)
    trained(sources, tmp_path / "c")
    assert bundle_id(tmp_path / "c") == bundle_id(tmp_path / "whole")


def test_the_parts_on_pairs_are_not_trained_again(
    tones: Corpus, tmp_path: Path, untrained: Recipes
) -> None:
    first = Sources(tones.home, "train")
    trained(first, tmp_path / "c", untrained, method="paired")
    with interrupted(RecogniserTask, 1):  # it would stop there
        report = trained(first, tmp_path / "c", untrained, method="propagation")
    assert report.method == "propagation"


def test_texts_and_speech_come_from_files(
    tones: Corpus, paired: Path, tmp_path: Path, untrained: Recipes
) -> None:
    half = toned(tmp_path, [t if i % 2 else None for i, t in enumerate(texts_of(30))])
    (tmp_path / "texts").write_text("abba\n\nzoë\nbad cab\n", encoding="utf-8")
    sources = Sources(half.home, texts=tmp_path / "texts", speech=tones.home)
    report = trained(sources, tmp_path / "c", untrained, paired=None)
    assert report.n_texts == 2
    assert report.n_speech == 15 + 60
    assert report.excluded["texts_with_unknown_symbols"] == 1
    assert report.excluded["empty_texts"] == 1
    other = toned(tmp_path, ["ab", "ba", "aab"], "ab")
    with pytest.raises(InputError, match="other symbols"):
        trained(Sources(other.home, speech=tones.home, start=paired), tmp_path / "x", paired=None)


@pytest.mark.parametrize(
    ("texts", "config", "found"),
    [
        (["ab", "cd", "ad"], {"paired": None}, "neither speech without texts nor texts"),
        (["ab", "cd"], {"paired": None, "method": "propagation"}, "no speech without texts"),
        (
            ["ab", "cd", None],
            {"paired": None, "beta": 0.0, "feedback": "gumbel", "feedback_from": "speech"},
            "only applies to the loop with speech",
        ),
        (["ab", None], {"paired": None}, "1 pair of speech and text"),
        (["ab", "ab", "ab"], {"paired": None}, "1 different text"),
        ([None, None], {}, "has no transcripts"),
        (["ab" * 60, "cd" * 60], {"paired": None, "method": "paired"}, None),
    ],
)
def test_too_little_is_refused(
    tmp_path: Path, texts: list[str | None], config: dict[str, object], found: str | None
) -> None:
    corpus = toned(tmp_path, texts)
    if found is None:  # texts far too long for their recordings
        corpus = Corpus(
            "short",
            tuple(replace(u, text=u.text * 9) for u in corpus.utterances if u.text),
            corpus.audio_root,
        )
        corpus = write_corpus(tmp_path / "short", corpus)
        found = "no pair of speech and text can be used"
    with pytest.raises(InputError, match=found):
        trained(Sources(corpus.home), tmp_path / "c", TINY, **config)
    assert not (tmp_path / "c").exists()


def test_where_the_loop_makes_it_worse_the_models_before_are_kept(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    wild = Recipes(FEW, FEW, FEW.model_copy(update={"learning_rate": 0.5, "ema_decay": 0.0}))
    sources = Sources(tones.home, "train", start=paired)
    with pytest.warns(ChainWarning, match="the models before it are kept"):
        report = trained(sources, tmp_path / "c", wild)
    assert report.kept_start
    assert report.valid_cer == pytest.approx(report.start_cer)
    made, start = SpeechChain.load(tmp_path / "c"), SpeechChain.load(paired)
    wave = [np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)]
    assert made.recogniser.transcribe(wave)[0].score == start.recogniser.transcribe(wave)[0].score
    with pytest.warns(ChainWarning, match="keep='last' keeps its last ones"):
        last = trained(sources, tmp_path / "last", wild, keep="last")
    assert not last.kept_start
    assert last.valid_cer > last.start_cer == report.start_cer
    assert last.best_step == last.steps
    made = SpeechChain.load(tmp_path / "last")
    assert made.recogniser.transcribe(wave)[0].score != start.recogniser.transcribe(wave)[0].score


def test_a_split_is_held_out(tones: Corpus, tmp_path: Path, untrained: Recipes) -> None:
    """In place of a tenth of the pairs, without the texts that are learned as well."""
    test = [u for u in tones.utterances if u.split == "test"]
    other = replace(
        tones,
        utterances=tuple(
            replace(u, text="zz") if u == test[0] else replace(u, split=u.split)
            for u in tones.utterances
        ),
    )
    write_corpus(tmp_path / "corpus", other)
    sources = Sources(tmp_path / "corpus", "train", valid_split="test")
    report = trained(sources, tmp_path / "c", untrained, method="paired", paired=None)
    learned = {u.text for u in tones.utterances if u.split == "train"}
    assert report.n_pairs == sum(u.split == "train" for u in tones.utterances)
    assert report.excluded["held_out_texts_with_unknown_symbols"] == 1
    same = sum(u.text in learned for u in test[1:])
    assert report.excluded.get("held_out_texts_that_are_learned", 0) == same
    with pytest.raises(InputError, match="leaves nothing to learn from"):
        trained(replace(sources, split="test"), tmp_path / "d", method="paired")
    rest = trained(replace(sources, split=None), tmp_path / "e", untrained, method="paired")
    assert rest.n_pairs < report.n_pairs  # of which half are pairs
    with pytest.raises(InputError, match="other pairs of this corpus"):
        trained(Sources(tmp_path / "corpus", "train", start=tmp_path / "c"), tmp_path / "f")


def test_a_chain_of_other_speech_warns_that_little_is_used(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    noise = toned(tmp_path, [None] * 8)
    rng = np.random.default_rng(0)
    for u in noise.utterances:
        n = round(u.duration * 16_000)
        soundfile.write(tmp_path / "tones" / u.audio, 0.1 * rng.normal(size=n), 16_000)
    sources = Sources(tones.home, "train", speech=noise.home, start=paired)
    with pytest.warns(ChainWarning, match="of the transcripts are used"):
        trained(sources, tmp_path / "c", min_confidence=1.0)


def test_units_take_the_place_of_texts(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    """Letters as units of a model: the same chain, whose symbols are numbers."""
    place = {letter: i for i, letter in enumerate(" abcd")}
    units = {
        u.id: np.repeat([place[c] for c in f" {u.text} "], 12).astype(np.int32)
        for u in tones.utterances
    }
    write_units(tmp_path / "units.parquet", UnitFile(units, 5, 10.0, "m" * 64, "letters", {}, None))
    sources = Sources(tones.home, "train", units=tmp_path / "units.parquet")
    report = trained(sources, tmp_path / "c", method="paired")
    assert report.valid_cer < 60
    model = SpeechChain.load(tmp_path / "c")
    assert model.recogniser.symbols == tuple("01234")
    assert model.recogniser.unit_model == "m" * 64
    assert f"unit error rate {report.valid_cer:.1f} %" in run("show", tmp_path / "c").output
    found = transcribe(
        tmp_path / "c",
        tones.home,
        tmp_path / "t.parquet",
        split="test",
        units=sources.units,
        units_out=tmp_path / "recognised.parquet",
    )
    recognised = read_units(tmp_path / "recognised.parquet")
    recognised.check_durations({u.id: u.duration for u in tones.utterances}, "corpus")
    recognised.check_model("m" * 64, "chain")
    assert {name: " ".join(map(str, recognised.units[name])) for name in recognised.ids} == {
        name: text for name, text in found.transcripts.texts.items() if text
    }
    assert found.wer is None
    assert found.cer is not None
    assert found.cer.value < 60
    assert set(" ".join(found.transcripts.texts.values()).split()) <= set("01234")
    assert len(speak(tmp_path / "c", "0 1 2 0", tmp_path / "a.wav")) > 0
    recording = {"corpus": tones.home, "split": "test"}
    given = {**recording, "units": tmp_path / "recognised.parquet"}
    spoken = synthesize(tmp_path / "c", out=tmp_path / "wavs", **given)
    assert spoken == recognised.ids
    assert read_synthesis(tmp_path / "wavs").units_id == recognised.id
    with pytest.raises(InputError, match="no units are given"):
        synthesize(tmp_path / "c", out=tmp_path / "x", **recording)
    with pytest.raises(InputError, match="speaks texts"):
        synthesize(paired, out=tmp_path / "x", **given)
    renumbered = UnitFile(units, 5, 10.0, "n" * 64, "letters", {}, None)
    write_units(tmp_path / "renumbered.parquet", renumbered)
    elsewhere = Sources(tones.home, units=tmp_path / "renumbered.parquet", start=tmp_path / "c")
    with pytest.raises(ModelMismatchError, match=r"units of nnnn.* trained on units of mmmm"):
        trained(elsewhere, tmp_path / "x")
    other = UnitFile({"x": units["u0"]}, 5, 10.0, "m" * 64, "letters", {}, None)
    write_units(tmp_path / "other.parquet", other)
    with pytest.raises(InputError, match="none of the utterances"):
        trained(Sources(tones.home, units=tmp_path / "other.parquet"), tmp_path / "x")
    with pytest.raises(InputError, match="trained on characters, and units are given"):
        transcribe(paired, tones.home, tmp_path / "x.parquet", units=sources.units)
    with pytest.raises(InputError, match="recognises no units"):
        transcribe(paired, tones.home, tmp_path / "x", units_out=tmp_path / "y.parquet")
    assert not (tmp_path / "x").exists()


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


def test_a_chain_of_many_voices_speaks_like_one_recording(tones: Corpus, tmp_path: Path) -> None:
    encoders = [SpeakerEncoder(SpeakerNet(SpeakerNetConfig(width=8, n_blocks=1, dim=4)))]
    encoders.append(SpeakerEncoder(SpeakerNet(SpeakerNetConfig(width=8, n_blocks=1, dim=4))))
    first, _ = (e.save(tmp_path / f"speakers{i}") for i, e in enumerate(encoders))
    sizes = {"width": 8, "n_encoder_blocks": 0, "n_decoder_blocks": 1}
    config = SynthesiserConfig(**sizes, n_symbols=2, n_vector=4)
    moments = np.zeros(80, np.float32) - 30, np.ones(80, np.float32)
    made = SpeechChain(
        ChainRecogniser(JointRecogniser(JointConfig(width=8, n_layers=1, n_symbols=2)), ("a", "b")),
        ChainSynthesiser(Synthesiser(config), *moments, ("a", "b"), speaker_encoder_id=first),
    )
    made.save(tmp_path / "c")
    like = [tones.audio_path(u) for u in tones.utterances[:2]]
    given = {"like": like[0], "speakers": tmp_path / "speakers0"}
    one = speak(tmp_path / "c", "abba", tmp_path / "a.wav", **given)
    other = speak(tmp_path / "c", "abba", tmp_path / "b.wav", **{**given, "like": like[1]})
    assert one.shape != other.shape or not np.array_equal(one, other)
    for wrong, found in (
        ({}, "needs its speaker encoder"),
        ({"speakers": tmp_path / "speakers0"}, "none is given"),
        ({**given, "speakers": tmp_path / "speakers1"}, "was trained with"),
    ):
        with pytest.raises(InputError, match=found):
            speak(tmp_path / "c", "abba", tmp_path / "x.wav", **wrong)
    soundfile.write(tmp_path / "cut.wav", np.ones(800, np.float32) / 9, RATE)
    with pytest.raises(InputError, match=r"cut\.wav: .* represent a voice: under 0\.5 s"):
        speak(tmp_path / "c", "ab", tmp_path / "x.wav", **{**given, "like": tmp_path / "cut.wav"})
    assert not (tmp_path / "x.wav").exists()


def test_a_corpus_is_spoken_and_understood(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    ids = synthesize(paired, tones.home, tmp_path / "wavs", split="test")
    assert list(read_synthesis(tmp_path / "wavs").ids) == ids
    real = {"chain": paired, "corpus": tones.home, "out": tmp_path / "t.parquet", "split": "test"}
    spoken = transcribe(**real, wavs=tmp_path / "wavs")
    assert list(spoken.transcripts.texts) == ids
    silenced = tmp_path / "wavs" / f"{ids[0]}.wav"
    soundfile.write(silenced, np.zeros(RATE, np.float32), RATE)
    again = transcribe(**real, wavs=tmp_path / "wavs").transcripts.texts
    assert again == {**spoken.transcripts.texts, ids[0]: ""}
    one, other, *rest = tones.utterances
    strange = (replace(one, text="abz"), replace(other, text="ab"), *rest)
    write_corpus(tmp_path / "strange", replace(tones, utterances=strange[:2]))
    with pytest.warns(SynthesisWarning, match="1 text of 2 spoken without .*know: 'z'"):
        synthesize(paired, tmp_path / "strange", tmp_path / "z")
    assert len({(tmp_path / "z" / f"{u.id}.wav").read_bytes() for u in (one, other)}) == 1
    write_corpus(tmp_path / "zz", replace(tones, utterances=(replace(one, text="zz"),)))
    with pytest.raises(InputError, match="doesn't know: 'z'"):
        synthesize(paired, tmp_path / "zz", tmp_path / "y")
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


def test_the_commands(tones: Corpus, tmp_path: Path, untrained: Recipes) -> None:
    made = tmp_path / "chain"
    result = run(
        "chain", "train", tones.home, "--split", "train", "--paired", 0.5, "--out", made,
        "--method", "paired", "--asr-steps", 2, "--tts-steps", 1, "--steps", 1, "--asr-width", 16,
    )  # fmt: skip
    assert "CER" in result.output
    shown = run("show", made).output
    assert "model of kind 'speech-chain'" in shown
    assert "synthesiser 1 step (NOT CONVERGED: steps ran out)" in " ".join(shown.split())
    assert "damaged" not in shown
    texts, scores = tmp_path / "t.parquet", tmp_path / "s.jsonl"
    result = run(
        "chain", "transcribe", made, tones.home, "--split", "test", "--out", texts,
        "--scores", scores,
    )  # fmt: skip
    assert "WER" in result.output
    assert [score.metric for score in read_scores(scores)] == ["cer_%", "wer_%"]
    # Not the chain's id: chains share a column of the report.
    ours = "recognised by each system itself, beam 5"
    assert {score.protocol for score in read_scores(scores)} == {ours}
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


def test_pairs_alone_are_the_same_chain_whatever_the_loop_would_do(
    tones: Corpus, tmp_path: Path, untrained: Recipes
) -> None:
    """A loop that starts from it then continues when it is asked for more steps."""
    longer = replace(untrained, loop=untrained.loop.model_copy(update={"max_steps": 99}))
    for name, recipes in (("a", untrained), ("b", longer)):
        trained(Sources(tones.home, "train"), tmp_path / name, recipes, method="paired")
    assert bundle_id(tmp_path / "a") == bundle_id(tmp_path / "b")
    assert set(SpeechChain.load(tmp_path / "a").training["recipes"]) == {"asr", "tts"}


def test_a_chain_that_can_align_no_held_out_pair_is_saved(
    tones: Corpus, tmp_path: Path, untrained: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained isn't lost for a measure of it."""
    monkeypatch.setattr("zerochain.speechchain.chain.alignable", lambda recogniser, pairs: None)
    report = trained(Sources(tones.home, "train"), tmp_path / "c", untrained, min_confidence=0.0)
    assert report.valid_mel_db is None
    assert SpeechChain.load(tmp_path / "c").training["valid_mel_db"] is None


def test_the_published_recogniser_decodes_by_attention_and_never_runs_away() -> None:
    torch.manual_seed(0)
    config = JointConfig(architecture="published", width=8, n_symbols=4)
    made = ChainRecogniser(JointRecogniser(config), tuple("abcd"))
    frames = [frames_of(say(text, RNG)) for text in ("abcd dcba", "a")]
    for beam in (1, 3):
        many = made.transcribe(frames, beam)
        for one, path in zip(frames, many, strict=True):
            assert made.transcribe([one], beam)[0].symbols.tolist() == path.symbols.tolist()
            assert len(path.symbols) <= -(-len(one) // 2)


def test_the_published_synthesiser_is_trained_and_speaks(
    tones: Corpus, tmp_path: Path, untrained: Recipes
) -> None:
    report = train_chain(
        Sources(tones.home, "train"),
        tmp_path / "c",
        config=ChainConfig(paired=0.5, min_confidence=0.0),
        asr=ASR,
        tts=SynthesiserSizes(architecture="tacotron", width=8),
        recipes=untrained,
    )
    assert np.isfinite(report.valid_mel_db)
    made = SpeechChain.load(tmp_path / "c").synthesiser
    assert made.network.config.n_bins == len(made.magnitude_mean) == 1025
    with torch.no_grad():
        made.network.tacotron.end.bias.fill_(-50.0)
    SpeechChain(SpeechChain.load(tmp_path / "c").recogniser, made).save(tmp_path / "endless")
    with pytest.warns(SynthesisWarning, match="of 1 text, 1 was not spoken as written"):
        wave = speak(tmp_path / "endless", "ab", tmp_path / "a.wav")
    # Speech that doesn't end is cut: 250 ms for each symbol and silence, and a second.
    assert len(wave) == 2 * RATE
    with pytest.raises(InputError, match="a rate of its own"):
        speak(tmp_path / "c", "ab", tmp_path / "b.wav", rate=2.0)
    again = Sources(tones.home, "train", start=tmp_path / "c")
    assert trained(again, tmp_path / "again", untrained, min_confidence=0.0).n_texts > 0


def test_log_magnitudes_are_of_windows_around_each_frame() -> None:
    wave = RNG.normal(size=3000).astype(np.float32)
    frames = frames_of(wave)
    found = magnitudes(torch.from_numpy(wave[None]), len(frames))[0].numpy()
    assert found.shape == (len(frames), 1025)
    emphasised = wave - 0.97 * np.concatenate([[0], wave[:-1]])
    around = np.pad(emphasised, 1024)
    for i in (0, 7, len(frames) - 1):
        cut = around[160 * i + 624 : 160 * i + 1424] * scipy.signal.get_window("hann", 800)
        wanted = np.log(np.abs(np.fft.rfft(cut, 2048)) + 1e-5)
        np.testing.assert_allclose(found[i], wanted, atol=2e-2)
