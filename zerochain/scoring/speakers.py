"""Whose voice a folder of wavs is in, by a speaker encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import MARKER, Synthesis, read_synthesis
from zerochain.listeners.speaker_encoder import SpeakerEncoder, Vectors, mean_voice, unusable
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.progress import track
from zerochain.scoring.selection import Scored, exclusion_notes

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
    """Cosine of each wav and the target voice: the mean vector of its recordings in the corpus.

    Apart for the voice's own utterances, resynthesised, and other speakers', converted; these are
    compared with their source speaker as well. Beside them two reference values computed alike:
    the voice's own recordings, which is as high as it gets, and other speakers' recordings. A
    recording is never compared with itself or with the wav made from it: the mean is then of the
    voice's other recordings.

    Args:
        split: only the wavs and the recordings of this split; the mean is of all splits'.
        voice: that the wavs should be in; None takes what synthesis.json in the folder says.

    Raises:
        InputError: the encoder conditioned the wavs' inverter, no such voice, ids that the corpus
            lacks, or no wav in which a voice can be heard.
    """
    synthesis = read_synthesis(wavs) if (wavs / MARKER).exists() else None
    judge, whole = SpeakerEncoder.load(encoder, device), read_corpus(corpus)
    _check_independent(judge, synthesis, encoder)
    target = _voice(voice, synthesis, wavs)
    whole.select(speaker=target)  # or there is no such voice
    part = whole if split is None else whole.select(split=split)
    spoken, notes = _spoken(wavs, whole, part, synthesis)
    found = _of_wavs(wavs, spoken, target, voices := _Voices(judge, whole, seed))
    if not found["speaker_similarity"].values and not found["speaker_similarity_converted"].values:
        reasons = sum((one.excluded for one in found.values()), Counter[str]())
        raise InputError(
            f"none of {len(spoken)} wavs can be scored: {dict(reasons)}",
            path=wavs,
            cause="they are silent or too short, or made from the voice's only recording",
            remedy="synthesise longer utterances, or such as the voice did not say",
        )
    found |= _of_recordings(part, target, voices)
    if not found["speaker_similarity_recordings"].values:
        notes.append(
            "speaker_similarity_recordings is undefined and left out: it takes two recordings of "
            f"{target!r}"
        )
    if synthesis is None:
        notes.append(
            "nothing tells what the wavs' inverter was conditioned by: this encoder can't judge "
            "them if it was by this one"
        )
    if judge.trained_on.get("corpus") != whole.id:
        notes.append("the speaker encoder was trained on another corpus than this one")
    inputs, name = {"corpus": whole.id, "speaker_encoder": judge.id}, system or wavs.name
    if synthesis:
        inputs |= {"inverter": synthesis.inverter_id, "units": synthesis.units_id}
        name = system or f"{synthesis.unit_method} → {synthesis.method}"
    protocol = f"encoder {short(judge.id)}"
    options = {"n_of": "utterances", "voice": target, "split": split, "seed": seed}
    scores = [
        similarities.score(metric, protocol, name, inputs, options)
        for metric, similarities in found.items()
        if similarities.values
    ]
    return Scored(scores, [*notes, *exclusion_notes(scores)])


@dataclass(eq=False)
class _Similarities:
    """Cosines by utterance, and why others have none."""

    values: dict[str, float] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, vector: Vectors, mean: Vectors | None) -> None:
        if mean is None:
            self.excluded["no_other_recording_of_the_voice"] += 1
        else:
            self.values[name] = float(vector @ mean)

    def score(
        self,
        metric: str,
        protocol: str,
        system: str,
        inputs: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> Score:
        array = np.array(list(self.values.values()))
        interval = bootstrap_mean(array, seed=options["seed"])
        stated = {**options, "exclusions": dict(self.excluded)}
        value = float(array.mean())
        return Score(metric, value, interval, len(array), protocol, system, inputs, stated)


class _Voices:
    """The vectors of a corpus's recordings, by speaker, each heard once."""

    def __init__(self, judge: SpeakerEncoder, corpus: Corpus, seed: int) -> None:
        self._judge, self._corpus, self._seed = judge, corpus, seed
        self._known: dict[str, dict[str, Vectors]] = {}

    def hear(self, wave: audio.Waveform, excluded: Counter[str]) -> Vectors | None:
        """A wave's vector; None, and counted, where no voice can be heard."""
        why = unusable(wave)
        if why is not None:
            excluded[why] += 1
            return None
        return self._judge.embed(wave)

    def recordings(self, utterances: tuple[Utterance, ...]) -> Iterator[tuple[Utterance, Any]]:
        """Utterances drawn at random, as far as there are too many, and their vectors or None."""
        rng = np.random.default_rng(self._seed)
        chosen = sorted(rng.permutation(len(utterances))[:_MOST_RECORDINGS].tolist())
        drawn = [utterances[i] for i in chosen]
        recordings = zip(drawn, self._corpus.waves(drawn), strict=True)
        for u, wave in track(recordings, "Listening to recordings", len(drawn)):
            yield u, self.hear(wave, Counter())

    def mean(self, speaker: str, without: str) -> Vectors | None:
        """A speaker's mean vector over recordings other than one; None where there is no other."""
        if speaker not in self._known:
            own = self._corpus.select(speaker=speaker).utterances
            heard = {u.id: vector for u, vector in self.recordings(own) if vector is not None}
            self._known[speaker] = heard
        rest = [vector for name, vector in self._known[speaker].items() if name != without]
        return mean_voice(np.stack(rest)) if rest else None


def _of_wavs(
    wavs: Path, spoken: Mapping[str, str | None], target: str, voices: _Voices
) -> dict[str, _Similarities]:
    """How alike the wavs are to the voice, and converted ones to their source speaker."""
    own, converted, to_source = _Similarities(), _Similarities(), _Similarities()
    for name, source in track(spoken.items(), "Listening to wavs", total=len(spoken)):
        group = own if source == target else converted
        vector = voices.hear(audio.read(wavs / f"{name}.wav"), group.excluded)
        if vector is None:
            continue
        group.add(name, vector, voices.mean(target, without=name if group is own else ""))
        if group is converted and source is not None:
            to_source.add(name, vector, voices.mean(source, without=name))
    return {
        "speaker_similarity": own,
        "speaker_similarity_converted": converted,
        "speaker_similarity_to_source": to_source,
    }


def _of_recordings(part: Corpus, target: str, voices: _Voices) -> dict[str, _Similarities]:
    """The same of real recordings: the voice's own, and other speakers'."""
    result = {}
    for metric, own in (
        ("speaker_similarity_recordings", True),
        ("speaker_similarity_others", False),
    ):
        chosen = tuple(
            u for u in part.utterances if u.speaker is not None and (u.speaker == target) == own
        )
        result[metric] = similarities = _Similarities()
        for u, vector in voices.recordings(chosen):
            if vector is not None:
                similarities.add(u.id, vector, voices.mean(target, without=u.id))
    return result


def _spoken(
    wavs: Path, whole: Corpus, part: Corpus, synthesis: Synthesis | None
) -> tuple[dict[str, str | None], list[str]]:
    """The wavs to score and who said in the corpus what they say; None where it is unknown."""
    there = sorted(p.relative_to(wavs).with_suffix("").as_posix() for p in wavs.rglob("*.wav"))
    if synthesis is not None and synthesis.corpus_id != whole.id:
        return dict.fromkeys(there), ["the wavs speak another corpus: their sources are unknown"]
    check_same_ids(there, whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    chosen = {u.id: u.speaker for u in part.utterances if u.id in set(there)}
    if not chosen:
        raise InputError(
            f"holds no wav of the {len(part.utterances)} utterances to score",
            path=wavs,
            cause="other utterances were synthesised, or another --split",
            remedy="synthesise these, or choose another --split",
        )
    others = len(there) - len(chosen)
    return chosen, [f"{others} wavs of other splits are not scored"] if others else []


def _check_independent(judge: SpeakerEncoder, synthesis: Synthesis | None, path: Path) -> None:
    if synthesis is not None and synthesis.speaker_encoder_id == judge.id:
        raise InputError(
            "is the speaker encoder that the wavs' inverter is conditioned by",
            path=path,
            cause="an inverter learns what pleases its own encoder, so that can't judge it",
            remedy="train another for scoring: 'zerochain speakers train … --seed 1'",
        )


def _voice(voice: str | None, synthesis: Synthesis | None, wavs: Path) -> str:
    if voice is not None:
        return voice
    if synthesis is None:
        raise InputError(
            "does not say which voice its wavs are in: there is no synthesis.json",
            path=wavs,
            cause="another program made them",
            remedy="give --voice SPEAKER",
        )
    return synthesis.voice
