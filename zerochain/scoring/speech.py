"""Synthesised speech, a folder of wavs, compared with recordings: its quality and its voice.

Against the voice's own recordings, all measures apply, since the same words were spoken by the same
voice at the same times. For conversions there is no such recording: only what should survive is
compared with the source speaker's recording, the course of F0 and the voicing.

The voice is judged by a speaker encoder. A similarity is the cosine between the embedding of a wav
and the mean embedding of a speaker's recordings. The encoder must be an independent judge: an
inverter that was conditioned on an encoder has learned to please that one. Two reference values are
computed in the same way, from real recordings of the voice (the ceiling) and of other speakers (the
floor). No recording is compared with itself, nor a wav with the recording that it was made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError, counted
from zerochain.features.f0 import F0Options, track_f0
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis
from zerochain.listeners.outside import Resemblyzer
from zerochain.listeners.speaker_encoder import SpeakerEncoder, Vectors, mean_voice, unusable
from zerochain.machine import cores
from zerochain.metrics import names
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.names import Metric
from zerochain.metrics.resynthesis import (
    LSD_OPTIONS,
    MCD_OPTIONS,
    MULTI_RESOLUTION_OPTIONS,
    cropped,
    estoi,
    f0_correlation,
    f0_frame_error,
    log_f0_rmse,
    log_spectral_distance,
    mcd_sp2mc24,
    mean_score,
    multi_resolution_distance,
    voicing_decision_error,
)
from zerochain.progress import track
from zerochain.scoring.common import Common, Scored, Wavs, exclusion_notes, wav_of
from zerochain.scoring.judges import OpinionJudge, SpeakerJudge, VoiceJudge, voice_judges
from zerochain.scoring.opinions import opinion_scores

Against = Literal["voice", "source", "text"]
"""The voice's own recordings of the same utterances, those of the speakers converted from, or each
utterance's own recording of a text that was spoken at another pace."""
Values = Mapping[Metric, float | str]
"""Metric → its value, or why there is none."""
_F0 = F0Options()
_DIFFERENCE_MS = 80.0
_WORTH_A_PROCESS_S = 600.0  # starting a process takes as long as scoring this much speech
_AT_ONCE = 100  # utterances of one recording that a process takes at a time


class Method(NamedTuple):
    """How a metric is computed: the protocol and the options of its score."""

    protocol: str
    options: Mapping[str, Any] = {}


_BY_F0 = Method(f"F0 every {_F0.step_ms:g} ms", {"f0": _F0.model_dump()})
METHODS: Mapping[Against, Mapping[Metric, Method]] = {
    "voice": {
        names.LOG_SPECTRAL_DISTANCE: Method("lsd-512-160", LSD_OPTIONS),
        names.MULTI_RESOLUTION_DISTANCE: Method("stft-512-1024-2048", MULTI_RESOLUTION_OPTIONS),
        names.MCD: Method("exact DTW", MCD_OPTIONS),
        names.ESTOI: Method("pystoi"),
        names.LOG_F0_RMSE: _BY_F0,
        names.VOICING_ERROR: _BY_F0,
        names.F0_FRAME_ERROR: _BY_F0,
    },
    "source": {names.SOURCE_F0_CORRELATION: _BY_F0, names.SOURCE_VOICING_ERROR: _BY_F0},
    # Only what doesn't compare frame by frame.
    "text": {names.MCD: Method("exact DTW, another pace", MCD_OPTIONS)},
}


def measure(original: Waveform, resynthesised: Waveform, against: Against) -> Values:
    """All measures of two waveforms at 16 kHz, (n,) each, of equal length unless against="text".

    Raises:
        InputError: unequal lengths, or NaN.
    """
    if not original.any():
        return dict.fromkeys(METHODS[against], "silent_original")
    if against == "text":
        return {names.MCD: _or(mcd_sp2mc24(original, resynthesised), "silent_resynthesis")}
    f0, other = track_f0(original, _F0), track_f0(resynthesised, _F0)
    voicing = voicing_decision_error(f0, other)
    if against == "source":
        correlation = f0_correlation(f0, other)
        return {
            names.SOURCE_F0_CORRELATION: _or(correlation, "under_10_frames_voiced_in_both"),
            names.SOURCE_VOICING_ERROR: voicing,
        }
    return {
        names.LOG_SPECTRAL_DISTANCE: log_spectral_distance(original, resynthesised),
        names.MULTI_RESOLUTION_DISTANCE: multi_resolution_distance(original, resynthesised),
        names.MCD: _or(mcd_sp2mc24(original, resynthesised), "silent_resynthesis"),
        names.ESTOI: _or(estoi(original, resynthesised), "under_0.4_s"),
        names.LOG_F0_RMSE: _or(log_f0_rmse(f0, other), "nothing_voiced_in_both"),
        names.VOICING_ERROR: voicing,
        names.F0_FRAME_ERROR: f0_frame_error(f0, other),
    }


def _or(value: float | None, why: str) -> float | str:
    return why if value is None else value


def score_resyntheses(
    wavs: Path,
    corpus: Path,
    *,
    split: str | None = None,
    voice: str | None = None,
    against: Against = "voice",
    max_difference_ms: float | None = None,
    judge: OpinionJudge | None = "dnsmos",
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> Scored:
    """Compare a folder of <id>.wav with the corpus's recordings of the same utterances.

    A measure that is undefined for every utterance is left out, and a note says so.

    Args:
        voice: the wavs' voice; None takes it from synthesis.json in the folder.
        against: "voice" scores only the voice's own utterances, by all measures: for the others
            there is no recording to compare with. "source" scores the other speakers' utterances,
            which were converted, against the recordings of these speakers: voicing, and the
            correlation of F0, which does not depend on a speaker's mean and range. "text" scores
            texts that were spoken anew, each in the voice of its recording, as a synthesiser of
            texts has a pace of its own.
        max_difference_ms: the most that lengths may differ by; None takes the step of the units
            that were synthesised (synthesis.json in the folder), else 80 ms.
        judge: who rates the speech without comparing it, and the recordings in the same way; None
            is nobody. Where its package is missing, a note says so and its scores are left out.
        jobs: processes at most; None takes the cores. One is started for every 10 minutes of
            speech: with less it would take longer to start than to score.

    Raises:
        InputError: an id missing on either side, lengths that don't match, or no utterance that
            can be scored.
    """
    whole, made = read_corpus(corpus), Wavs.of(wavs)
    check_same_ids(made.ids, whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    part = _part(whole, split, voice, against, made)
    limit_ms = max_difference_ms or _usual_difference_ms(made.synthesis)
    measured = _measured(whole, part, wavs, against, limit_ms / 1000, jobs)
    common = Common(
        system or made.system,
        {"corpus": whole.id, **made.inputs},
        {
            "n_of": "utterances",
            "split": split,
            **({"voice": target} if (target := voice or made.known_voice) else {}),
            **({} if against == "text" else {"max_difference_ms": limit_ms}),
            "seed": seed,
        },
    )
    others = len(made.ids) - len(part)
    notes = [f"not scored: {counted(others, 'wav')} of other speakers or splits"] if others else []
    scores = []
    for metric, method in METHODS[against].items():
        values = {u.id: row[metric] for u, row in zip(part, measured, strict=True)}
        mean = mean_score(values, seed=seed)
        if mean is None:
            notes.append(f"{metric.key} is undefined for every utterance and left out")
            continue
        options = {"exclusions": mean.exclusions, **method.options}
        scores.append(
            common.score(metric, mean.value, mean.interval, mean.n, method.protocol, **options)
        )
    if not scores:
        raise InputError(
            f"none of {counted(len(part), 'utterance')} can be scored",
            path=wavs,
            cause="the recordings are silent",
            remedy="score other recordings",
        )
    named = names.DNSMOS_CONVERTED if against == "source" else names.DNSMOS
    opinions, more = opinion_scores(whole, part, wavs, judge, common, named, seed)
    scores += opinions
    return Scored(scores, [*notes, *more, *exclusion_notes(scores)])


def _usual_difference_ms(synthesis: Synthesis | None) -> float:
    """A resynthesis lasts whole units, so up to a step longer than the recording."""
    return _DIFFERENCE_MS if synthesis is None else synthesis.step_ms


def _part(
    whole: Corpus, split: str | None, voice: str | None, against: Against, made: Wavs
) -> tuple[Utterance, ...]:
    """The utterances to score."""
    if against != "source":
        if against == "text":
            voice = None
        elif voice is None and made.synthesis is not None:
            voice = made.synthesis.voice
        own = whole.select(split=split, speaker=voice)
        check_same_ids(own.ids, made.ids, f"corpus {whole.name}", f"folder {made.folder}")
        return own.utterances
    voice = made.voice(voice)
    spoken, there = whole.select(split=split).utterances, set(made.ids)
    part = tuple(u for u in spoken if u.id in there and u.speaker not in {voice, None})
    if not part:
        raise InputError(
            f"no wav is of an utterance by another speaker than {voice!r}",
            path=made.folder,
            cause="only the voice's own utterances were resynthesised",
            remedy="score with against='voice'",
        )
    return part


def _measured(
    corpus: Corpus,
    part: Sequence[Utterance],
    wavs: Path,
    against: Against,
    max_difference_s: float,
    jobs: int | None,
) -> list[Values]:
    """The values of each utterance, in the order of `part`."""
    seconds = sum(u.duration for u in part)
    n_jobs = max(1, min(jobs or cores(), int(seconds / _WORTH_A_PROCESS_S)))
    batches = [
        (path, group[i : i + _AT_ONCE])
        for path, them in groupby(part, key=corpus.audio_path)
        for group in [list(them)]
        for i in range(0, len(group), _AT_ONCE)
    ]
    calls = (
        delayed(_compared)(path, group, wavs, against, max_difference_s) for path, group in batches
    )
    results = Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    return [one for some in track(results, "Resynthesis", total=len(batches)) for one in some]


def _compared(
    recording: Path,
    utterances: Sequence[Utterance],
    wavs: Path,
    against: Against,
    max_difference_s: float,
) -> list[Values]:
    """The values of utterances of one recording, which is read in one pass."""
    limit = max_difference_s * audio.SAMPLE_RATE
    originals = audio.read_parts(recording, [u.part for u in utterances])
    found = []
    for u, original in zip(utterances, originals, strict=True):
        both = original, audio.read(wav_of(wavs, u.id))
        if against != "text":
            both = cropped(u.id, *both, limit)
        found.append(measure(*both, against))
    return found


_MOST_RECORDINGS = 200  # of one speaker, drawn at random


def score_speakers(
    wavs: Path,
    corpus: Path,
    encoder: Path | None = None,
    *,
    judge: SpeakerJudge | None = None,
    split: str | None = None,
    voice: str | None = None,
    system: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Scored:
    """Similarity of each wav to the target voice, and of converted ones to their source speaker.

    The voice's own utterances (resynthesised) and other speakers' (converted) are scored
    separately.

    Args:
        encoder, judge: one of them or both: a bundle, and "resemblyzer", which was trained on other
            speech. Beside an encoder, a note says where the judge's package is missing.
        split: only the wavs and the recordings of this split; mean voices are of all splits.
        voice: the target voice; None takes it from synthesis.json in the folder.

    Raises:
        InputError: the encoder conditioned the wavs' inverter, no such voice, ids that the corpus
            lacks, no wav with enough speech, or the judge alone, whose package is missing.
    """
    made, whole = Wavs.of(wavs), read_corpus(corpus)
    judges, left_out = voice_judges(encoder, judge, device)
    for one in judges:
        _check_independent(one, made.synthesis, encoder)
    target = made.voice(voice)
    whole.select(speaker=target)  # raises where there is no such voice
    part = whole if split is None else whole.select(split=split)
    spoken, notes = _spoken(made, whole, part)
    inputs = {"corpus": whole.id, **made.inputs}
    options = {"n_of": "utterances", "voice": target, "split": split, "seed": seed}
    scores: list[Score] = []
    for one in judges:
        common = Common(system or made.system, {**inputs, **one.inputs}, options)
        scores += _similarities(one, wavs, spoken, target, whole, part, common)
        notes += _doubts(one, made.synthesis, whole)
    notes += left_out
    if names.SIMILARITY_RECORDINGS.key not in {score.metric for score in scores}:
        notes.append(
            f"{names.SIMILARITY_RECORDINGS.key} is undefined and left out: it takes two recordings "
            f"of {target!r}"
        )
    return Scored(scores, [*notes, *exclusion_notes(scores)])


def _similarities(
    judge: VoiceJudge,
    wavs: Path,
    spoken: Mapping[str, str | None],
    target: str,
    whole: Corpus,
    part: Corpus,
    common: Common,
) -> list[Score]:
    """All similarities by one judge."""
    seed = common.options["seed"]
    voices = _Voices(judge.encoder, whole, seed)
    found = _of_wavs(wavs, spoken, target, voices)
    if not (found[names.SPEAKER_SIMILARITY].values or found[names.SIMILARITY_CONVERTED].values):
        reasons = sum((one.excluded for one in found.values()), Counter[str]())
        raise InputError(
            f"none of {counted(len(spoken), 'wav')} can be scored: {dict(reasons)}",
            path=wavs,
            cause="they are silent or too short, or made from the voice's only recording",
            remedy="synthesise longer utterances, or utterances of other speakers",
        )
    found |= _of_recordings(part, target, voices)
    return [
        similarities.score(metric, judge.protocol, common, seed)
        for metric, similarities in found.items()
        if similarities.values
    ]


@dataclass(eq=False)
class _Similarities:
    """Cosines by utterance, and the reasons why other utterances have none."""

    values: dict[str, float] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, vector: Vectors, mean: Vectors | None) -> None:
        if mean is None:
            self.excluded["no_other_recording_of_the_voice"] += 1
        else:
            self.values[name] = float(vector @ mean)

    def score(self, metric: Metric, protocol: str, common: Common, seed: int) -> Score:
        array = np.array(list(self.values.values()))
        interval = bootstrap_mean(array, seed=seed)
        excluded = dict(self.excluded)
        mean = float(array.mean())
        return common.score(metric, mean, interval, len(array), protocol, exclusions=excluded)


class _Voices:
    """The embeddings of a corpus's recordings, by speaker, each computed once."""

    def __init__(self, judge: SpeakerEncoder | Resemblyzer, corpus: Corpus, seed: int) -> None:
        self._judge, self._corpus, self._seed = judge, corpus, seed
        self._known: dict[str, dict[str, Vectors]] = {}

    def embedding(self, wave: audio.Waveform, excluded: Counter[str]) -> Vectors | None:
        """A wave's embedding; None, and counted in `excluded`, where it has too little speech."""
        why = unusable(wave)
        if why is not None:
            excluded[why] += 1
            return None
        vector = self._judge.embed(wave)
        if vector is None:
            excluded["no_speech_detected"] += 1
        return vector

    def recordings(self, utterances: tuple[Utterance, ...]) -> Iterator[tuple[Utterance, Any]]:
        """Utterances and their embeddings or None; of too many, some are drawn at random."""
        rng = np.random.default_rng(self._seed)
        chosen = sorted(rng.permutation(len(utterances))[:_MOST_RECORDINGS].tolist())
        drawn = [utterances[i] for i in chosen]
        recordings = zip(drawn, self._corpus.waves(drawn), strict=True)
        for u, wave in track(recordings, "Encoding recordings", len(drawn)):
            yield u, self.embedding(wave, Counter())

    def mean(self, speaker: str, without: str) -> Vectors | None:
        """A speaker's mean embedding over all recordings but one; None where there is no other."""
        if speaker not in self._known:
            own = self._corpus.select(speaker=speaker).utterances
            known = {u.id: vector for u, vector in self.recordings(own) if vector is not None}
            self._known[speaker] = known
        rest = [vector for name, vector in self._known[speaker].items() if name != without]
        return mean_voice(np.stack(rest)) if rest else None


def _of_wavs(
    wavs: Path, spoken: Mapping[str, str | None], target: str, voices: _Voices
) -> dict[Metric, _Similarities]:
    """The wavs' similarities to the voice, and those of converted ones to the source speaker."""
    own, converted, to_source = _Similarities(), _Similarities(), _Similarities()
    for name, source in track(spoken.items(), "Encoding wavs", total=len(spoken)):
        group = own if source == target else converted
        vector = voices.embedding(audio.read(wav_of(wavs, name)), group.excluded)
        if vector is None:
            continue
        group.add(name, vector, voices.mean(target, without=name if group is own else ""))
        if group is converted and source is not None:
            to_source.add(name, vector, voices.mean(source, without=name))
    return {
        names.SPEAKER_SIMILARITY: own,
        names.SIMILARITY_CONVERTED: converted,
        names.SIMILARITY_TO_SOURCE: to_source,
    }


def _of_recordings(part: Corpus, target: str, voices: _Voices) -> dict[Metric, _Similarities]:
    """The same of real recordings: the voice's own, and other speakers'."""
    result = {}
    for metric, own in ((names.SIMILARITY_RECORDINGS, True), (names.SIMILARITY_OTHERS, False)):
        chosen = tuple(
            u for u in part.utterances if u.speaker is not None and (u.speaker == target) == own
        )
        result[metric] = similarities = _Similarities()
        for u, vector in voices.recordings(chosen):
            if vector is not None:
                similarities.add(u.id, vector, voices.mean(target, without=u.id))
    return result


def _spoken(made: Wavs, whole: Corpus, part: Corpus) -> tuple[dict[str, str | None], list[str]]:
    """The wavs to score → the source speaker in the corpus, None where it is unknown; notes."""
    if made.synthesis is not None and made.synthesis.corpus_id != whole.id:
        note = "the wavs were made from another corpus: their source speakers are unknown"
        return dict.fromkeys(made.ids), [note]
    check_same_ids(made.ids, whole.ids, f"folder {made.folder}", f"corpus {whole.name}")
    there = set(made.ids)
    chosen = {u.id: u.speaker for u in part.utterances if u.id in there}
    if not chosen:
        raise InputError(
            f"holds no wav of the {counted(len(part.utterances), 'utterance')} to score",
            path=made.folder,
            cause="other utterances were synthesised, or another split",
            remedy="synthesise these, or choose another split=",
        )
    others = len(made.ids) - len(chosen)
    return chosen, [f"not scored: {counted(others, 'wav')} of other splits"] if others else []


def _check_independent(judge: VoiceJudge, synthesis: Synthesis | None, path: Path | None) -> None:
    """Refuse the encoder that the wavs' inverter was conditioned on."""
    own = judge.inputs.get("speaker_encoder")
    if synthesis is not None and own is not None and synthesis.speaker_encoder_id == own:
        raise InputError(
            "is the speaker encoder that the wavs' inverter is conditioned on",
            path=path,
            cause="an inverter is trained with its own encoder, which therefore can't judge it",
            remedy="train another for scoring: 'zerochain speakers train … --seed 1'",
        )


def _doubts(judge: VoiceJudge, synthesis: Synthesis | None, corpus: Corpus) -> list[str]:
    """What is to be said against an encoder that was trained here."""
    if not isinstance(judge.encoder, SpeakerEncoder):
        return []
    notes = []
    if synthesis is None:
        notes.append(
            "what the wavs' inverter was conditioned on is unknown: if it was this encoder, the "
            "scores mean nothing"
        )
    if judge.encoder.trained_on.get("corpus") != corpus.id:
        notes.append("the speaker encoder was trained on another corpus than this one")
    return notes
