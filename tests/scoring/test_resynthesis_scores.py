from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import run
from conftest import voice
from directions import assert_better
from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.listeners.outside import Dnsmos, Opinion
from zerochain.metrics.names import METRICS, SOURCE_F0_CORRELATION, SOURCE_VOICING_ERROR, metric
from zerochain.metrics.resynthesis import estoi, log_spectral_distance
from zerochain.report.score_tables import group_of
from zerochain.scoring.opinions import score_opinions
from zerochain.scoring.speech import METHODS, Against, measure
from zerochain.scoring.speech import score_resyntheses as score_with_a_judge

VOICE = ("ana", "béa")


def spoken(corpus: Corpus, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A wav of every utterance, and a synthesis.json that gives ana's voice for all."""
    for u in corpus.utterances:
        wave = change(audio.read(corpus.audio_path(u)))
        audio.write(folder / f"{u.id}.wav", wave.astype(np.float32))
    write_synthesis(
        Synthesis(
            inverter_id="i" * 64,
            method="code2spec",
            units_id="u" * 64,
            unit_method="km8",
            corpus_id=corpus.id,
            voice="ana",
            sample_rate=16_000,
            step_ms=40,
            ids=tuple(corpus.ids),
            folder=folder,
        )
    )
    return folder


score_resyntheses = partial(score_with_a_judge, judge=None)


def by_metric(scores: list[Score]) -> dict[str, Score]:
    return {score.metric: score for score in scores}


def test_the_recordings_themselves_score_perfectly(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus()
    scored = score_resyntheses(spoken(corpus, tmp_path / "wavs", lambda w: w), corpus.home)
    scores = by_metric(scored.scores)
    assert set(scores) == {metric.key for metric in METHODS["voice"]}
    assert all(score.n == 3 for score in scores.values())
    assert scores.pop("estoi").value == pytest.approx(1)
    assert {name: score.value for name, score in scores.items()} == dict.fromkeys(scores, 0)
    assert scored.notes[0] == "not scored: 3 wavs of other speakers or splits"


def test_texts_spoken_at_another_pace_are_compared_along_the_path(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus()
    same = spoken(corpus, tmp_path / "same", lambda w: w)
    (score,) = score_resyntheses(same, corpus.home, against="text").scores
    assert (score.metric, score.value, score.n) == ("mcd_sp2mc24_dB", 0, len(corpus.ids))
    slower = spoken(corpus, tmp_path / "slower", lambda w: np.concatenate([w[:2000], w]))
    (score,) = score_resyntheses(slower, corpus.home, against="text").scores
    assert 0 < score.value < 3
    with pytest.raises(InputError, match="against='text'"):
        score_resyntheses(slower, corpus.home)


@pytest.mark.parametrize("against", ["voice", "source", "text"])
def test_every_metric_prefers_the_recordings_to_noise(
    make_corpus: Callable[..., Corpus], tmp_path: Path, against: Against
) -> None:
    corpus, rng = make_corpus(), np.random.default_rng(0)
    folders = (
        spoken(corpus, tmp_path / "same", lambda w: w),
        spoken(corpus, tmp_path / "noise", lambda w: w + 0.05 * rng.standard_normal(len(w))),
    )
    assert_better(*(score_resyntheses(f, corpus.home, against=against) for f in folders))


def test_scores_are_means_of_what_is_measured_of_each_utterance(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus()
    rng = np.random.default_rng(0)
    wavs = spoken(corpus, tmp_path / "wavs", lambda w: w + rng.normal(0, 0.01, len(w)))
    scores = by_metric(score_resyntheses(wavs, corpus.home).scores)
    pairs = [
        (audio.read(corpus.audio_path(u)), audio.read(wavs / f"{u.id}.wav"))
        for u in corpus.utterances
        if u.speaker == "ana"
    ]
    expected = [log_spectral_distance(*pair) for pair in pairs]
    assert scores["log_spectral_distance_dB"].value == pytest.approx(np.mean(expected))
    assert scores["estoi"].value == pytest.approx(np.mean([estoi(*pair) for pair in pairs]))
    measured = [measure(*pair, "voice") for pair in pairs]
    for key, score in scores.items():
        values = [float(values[metric(key)]) for values in measured]
        assert score.value == pytest.approx(np.mean(values))
        assert score.inputs["inverter"] == "i" * 64


def test_conversions_are_compared_with_their_source(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    wavs = spoken(corpus, tmp_path / "wavs", lambda w: w)
    scored = score_resyntheses(wavs, corpus.home, against="source")
    scores = by_metric(scored.scores)
    assert set(scores) == {"source_f0_correlation", "source_voicing_decision_error_%"}
    assert scores["source_f0_correlation"].value == pytest.approx(1)
    assert scores["source_voicing_decision_error_%"].value == 0
    assert all(score.n == 2 for score in scores.values())  # béa's


def test_a_conversion_set_may_lack_the_voice_s_own_utterances(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    for u in corpus.select(speaker="béa").utterances[:1]:
        audio.write(tmp_path / "wavs" / f"{u.id}.wav", audio.read(corpus.audio_path(u)))
    scored = score_resyntheses(tmp_path / "wavs", corpus.home, against="source", voice="ana")
    assert scored.scores[0].n == 1
    with pytest.raises(InputError, match="voice of its wavs is unknown"):
        score_resyntheses(tmp_path / "wavs", corpus.home, against="source")
    with pytest.raises(InputError, match="by another speaker than 'béa'"):
        score_resyntheses(tmp_path / "wavs", corpus.home, against="source", voice="béa")


def test_the_melody_is_what_correlates_whatever_the_pitch() -> None:
    low, high = (voice(np.random.default_rng(0), 2.0, pitch) for pitch in (110, 200))
    values = measure(low, high, "source")
    assert float(values[SOURCE_F0_CORRELATION]) > 0.9
    assert float(values[SOURCE_VOICING_ERROR]) < 10


def test_what_is_undefined_is_left_out_and_counted(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    wavs = spoken(corpus, tmp_path / "wavs", lambda w: w)
    first = corpus.select(speaker="ana").utterances[0]
    n = len(audio.read(wavs / f"{first.id}.wav"))
    audio.write(wavs / f"{first.id}.wav", np.zeros(n, np.float32))
    scored = score_resyntheses(wavs, corpus.home)
    scores = by_metric(scored.scores)
    assert scores["mcd_sp2mc24_dB"].options["exclusions"] == {"silent_resynthesis": 1}
    assert scores["log_f0_rmse_cents"].options["exclusions"] == {"nothing_voiced_in_both": 1}
    assert (scores["log_f0_rmse_cents"].n, scores["voicing_decision_error_%"].n) == (1, 2)
    assert "left out: 1 nothing voiced in both" in scored.notes


def test_whispers_have_no_f0_score_but_the_others(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    rng = np.random.default_rng(0)
    wavs = spoken(corpus, tmp_path / "wavs", lambda w: rng.normal(0, 0.1, len(w)))
    scored = score_resyntheses(wavs, corpus.home)
    assert "log_f0_rmse_cents" not in by_metric(scored.scores)
    assert "log_f0_rmse_cents is undefined for every utterance and left out" in scored.notes
    assert by_metric(scored.scores)["voicing_decision_error_%"].value > 20


def test_a_silent_original_has_no_value_at_all() -> None:
    values = measure(np.zeros(8000, np.float32), np.ones(8000, np.float32), "voice")
    assert set(values.values()) == {"silent_original"}
    assert set(values) == set(METHODS["voice"])


def test_the_report_knows_every_measure() -> None:
    for one in (*METHODS["voice"], *METHODS["source"]):
        assert one in METRICS
        assert one.label != one.name.replace("_", " ")
        assert one.direction
        score = Score(one.key, 1.0, None, 1, "p", "s", {"corpus": "c"})
        assert group_of(score) in ("resynthesis", "conversion")


def test_opinions_of_wavs_stand_beside_those_of_recordings(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stereo recording as well; what is silent is counted, not judged."""
    corpus = make_corpus(n_utterances=6)
    wavs = spoken(corpus, tmp_path / "wavs", lambda w: w / 2)
    first, second, third = corpus.select(speaker="ana").utterances
    both = np.stack([audio.read(corpus.audio_path(second))] * 2, axis=1)
    soundfile.write(corpus.audio_path(second), both, 16_000, subtype="FLOAT")
    audio.write(wavs / f"{third.id}.wav", np.zeros_like(audio.read(wavs / f"{third.id}.wav")))
    monkeypatch.setattr(Dnsmos, "missing", classmethod(lambda cls: ""))
    monkeypatch.setattr(Dnsmos, "label", "DNSMOS, trained on other speech")
    loudness = lambda self, w: Opinion(*(float(k * np.abs(w).max()) for k in range(1, 5)))  # noqa: E731
    monkeypatch.setattr(Dnsmos, "__call__", loudness)
    scored = score_with_a_judge(wavs, corpus.home)
    opinions = [score for score in scored.scores if score.metric.startswith("dnsmos")]
    loud = [float(np.abs(audio.read(corpus.audio_path(u))).max()) for u in (first, second, third)]
    expected = [k * np.mean(loud[:2]) / 2 for k in range(1, 5)]
    expected += [k * np.mean(loud) for k in range(1, 5)]
    assert [score.value for score in opinions] == pytest.approx(expected, rel=1e-3)
    assert [score.n for score in opinions] == [2] * 4 + [3] * 4
    assert [score.system for score in opinions] == ["km8 → code2spec"] * 4 + ["real speech"] * 4
    assert opinions[0].options["exclusions"] == {"silent": 1}
    assert opinions[0].protocol == "DNSMOS, trained on other speech"
    assert opinions[4].inputs == {"corpus": corpus.id, "recordings": corpus.id}
    monkeypatch.setattr("zerochain.scoring.opinions.MOST", 1)
    drawn = score_with_a_judge(wavs, corpus.home, seed=1)
    assert "DNSMOS: 1 of 3 utterances, drawn at random" in drawn.notes
    monkeypatch.setattr(Dnsmos, "missing", classmethod(lambda cls: "speechmos"))
    missing = score_with_a_judge(wavs, corpus.home, against="source")
    assert not any(score.metric.startswith("dnsmos") for score in missing.scores)
    note = next(note for note in missing.notes if "speechmos" in note)
    assert note.startswith("left out: dnsmos_overall_converted, dnsmos_signal_converted, ")


def test_opinions_of_translations_need_no_recordings_of_them(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(n_utterances=6)
    wavs = tmp_path / "translated"
    sources = {f"en{i}": u.id for i, u in enumerate(corpus.utterances)}
    for i, name in enumerate(sources):
        audio.write(wavs / f"{name}.wav", np.full(4000, 0.1 * (i + 1), np.float32))
    write_pairs(tmp_path / "pairs", Pairs(tuple(sources.items()), "en", corpus.id))
    monkeypatch.setattr(Dnsmos, "missing", classmethod(lambda cls: ""))
    monkeypatch.setattr(Dnsmos, "label", "DNSMOS, trained on other speech")
    monkeypatch.setattr(Dnsmos, "__call__", lambda self, w: Opinion(*4 * (float(w.max()),)))
    scored = score_opinions(wavs, corpus.home, pairs=tmp_path / "pairs", system="ours")
    assert [score.value for score in scored.scores] == pytest.approx([0.35] * 4, abs=1e-3)
    assert {score.system for score in scored.scores} == {"ours"}
    assert {group_of(score) for score in scored.scores} == {"recognition"}
    test = corpus.select(split="test").ids
    real = score_opinions(corpus.home, corpus.home, split="test", for_reference=True)
    assert {(score.system, score.n) for score in real.scores} == {("real speech", len(test))}
    with pytest.raises(InputError, match="corpus"):
        score_opinions(wavs, corpus.home)
    monkeypatch.setattr(Dnsmos, "missing", classmethod(lambda cls: "speechmos"))
    missing = score_opinions(wavs, corpus.home, pairs=tmp_path / "pairs")
    assert not missing.scores
    assert "speechmos" in missing.notes[0]
    out = tmp_path / "s.jsonl"
    said = run("score", "opinions", wavs, "--corpus", corpus.home, "--out", out).stdout
    assert "nothing was scored" in said
    assert not out.exists()
