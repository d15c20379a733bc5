"""Whose voice synthesised speech is in, by a speaker encoder.

A similarity is the cosine between the embedding of a wav and the mean embedding of a speaker's
recordings. The encoder must be an independent judge: an inverter that was conditioned on an encoder
has learned to please that one. Two reference values are computed in the same way, from real
recordings of the voice (the ceiling) and of other speakers (the floor). No recording is compared
with itself, nor a wav with the recording that it was made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis
from zerochain.listeners.speaker_encoder import SpeakerEncoder, Vectors, mean_voice, unusable
from zerochain.metrics import names
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.names import Metric
from zerochain.progress import track
from zerochain.scoring.common import Common, Scored, Wavs, exclusion_notes

_MOST_RECORDINGS = 200  # of one speaker, drawn at random


def score_speakers(
    wavs: Path,
    corpus: Path,
    encoder: Path,
    *,
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
        split: only the wavs and the recordings of this split; mean voices are of all splits.
        voice: the target voice; None takes it from synthesis.json in the folder.

    Raises:
        InputError: the encoder conditioned the wavs' inverter, no such voice, ids that the corpus
            lacks, or no wav with enough speech.
    """
    made, whole = Wavs.of(wavs), read_corpus(corpus)
    judge = SpeakerEncoder.load(encoder, device)
    _check_independent(judge, made.synthesis, encoder)
    target = made.voice(voice)
    whole.select(speaker=target)  # raises where there is no such voice
    part = whole if split is None else whole.select(split=split)
    spoken, notes = _spoken(made, whole, part)
    voices = _Voices(judge, whole, seed)
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
    if not found[names.SIMILARITY_RECORDINGS].values:
        notes.append(
            f"{names.SIMILARITY_RECORDINGS.key} is undefined and left out: it takes two recordings "
            f"of {target!r}"
        )
    if made.synthesis is None:
        notes.append(
            "what the wavs' inverter was conditioned on is unknown: if it was this encoder, the "
            "scores mean nothing"
        )
    if judge.trained_on.get("corpus") != whole.id:
        notes.append("the speaker encoder was trained on another corpus than this one")
    inputs = {"corpus": whole.id, "speaker_encoder": judge.id, **made.inputs}
    options = {"n_of": "utterances", "voice": target, "split": split, "seed": seed}
    common, protocol = Common(system or made.system, inputs, options), f"encoder {short(judge.id)}"
    scores = [
        similarities.score(metric, protocol, common, seed)
        for metric, similarities in found.items()
        if similarities.values
    ]
    return Scored(scores, [*notes, *exclusion_notes(scores)])


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

    def __init__(self, judge: SpeakerEncoder, corpus: Corpus, seed: int) -> None:
        self._judge, self._corpus, self._seed = judge, corpus, seed
        self._known: dict[str, dict[str, Vectors]] = {}

    def embedding(self, wave: audio.Waveform, excluded: Counter[str]) -> Vectors | None:
        """A wave's embedding; None, and counted in `excluded`, where it has too little speech."""
        why = unusable(wave)
        if why is not None:
            excluded[why] += 1
            return None
        return self._judge.embed(wave)

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
        vector = voices.embedding(audio.read(wavs / f"{name}.wav"), group.excluded)
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


def _check_independent(judge: SpeakerEncoder, synthesis: Synthesis | None, path: Path) -> None:
    if synthesis is not None and synthesis.speaker_encoder_id == judge.id:
        raise InputError(
            "is the speaker encoder that the wavs' inverter is conditioned on",
            path=path,
            cause="an inverter is trained with its own encoder, which therefore can't judge it",
            remedy="train another for scoring: 'zerochain speakers train … --seed 1'",
        )
