"""Quality of resynthesis, of a folder of wavs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zerochain import audio
from zerochain.cores import cores
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import MARKER, read_synthesis
from zerochain.metrics.resynthesis import cropped, mean_score
from zerochain.progress import track
from zerochain.scoring.result import Scored, exclusion_notes
from zerochain.scoring.resynthesis_measures import METRICS, Against, Values, measure

_DIFFERENCE_MS = 80.0
_WORTH_A_PROCESS_S = 600.0  # a process starts in the time that so much speech takes


def score_resyntheses(
    wavs: Path,
    corpus: Path,
    *,
    split: str | None = None,
    voice: str | None = None,
    against: Against = "voice",
    max_difference_ms: float | None = None,
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> Scored:
    """How near a folder of <id>.wav is to the corpus's recordings of the same utterances.

    A measure that no utterance has is left out, and a note says so.

    Args:
        voice: that the wavs are in; None takes what synthesis.json in the folder says.
        against: "voice" scores the voice's own utterances alone, by all measures: other speakers'
            have no recording to compare with. "source" scores the other speakers' utterances,
            which were converted, against what those speakers said: voicing, and the correlation
            of F0, for which each speaker's mean and range don't matter.
        max_difference_ms: lengths may differ so much; None takes the step of the units that were
            spoken (synthesis.json in the folder), else 80 ms.
        jobs: processes; None takes the cores, as far as there is work for them.

    Raises:
        InputError: an id missing on either side, lengths that don't match, or no utterance that
            can be scored.
    """
    whole = read_corpus(corpus)
    synthesis = read_synthesis(wavs) if (wavs / MARKER).exists() else None
    there = {p.relative_to(wavs).with_suffix("").as_posix() for p in wavs.rglob("*.wav")}
    check_same_ids(sorted(there), whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    voice = voice or (synthesis.voice if synthesis else None)
    part = _part(whole, split, voice, against, there, wavs)
    limit_ms = max_difference_ms or (synthesis.step_ms if synthesis else _DIFFERENCE_MS)
    measured = _measured(whole, part, wavs, against, limit_ms / 1000, jobs)
    inputs, name = {"corpus": whole.id}, system or wavs.name
    if synthesis:
        inputs |= {"inverter": synthesis.inverter_id, "units": synthesis.units_id}
        name = system or f"{synthesis.unit_method} → {synthesis.method}"
    common = {"n_of": "utterances", "split": split, "max_difference_ms": limit_ms, "seed": seed}
    others = len(there) - len(part)
    notes = [f"{others} wavs of other speakers or splits are not scored"] if others else []
    scores = []
    for metric in METRICS[against]:
        values = {u.id: row[metric.name] for u, row in zip(part, measured, strict=True)}
        mean = mean_score(values, seed=seed)
        if mean is None:
            notes.append(f"{metric.name} is undefined for every utterance and left out")
            continue
        options = {**common, "exclusions": mean.exclusions, **metric.options}
        scores.append(
            Score(
                metric.name,
                mean.value,
                mean.interval,
                mean.n,
                metric.protocol,
                name,
                inputs,
                options,
            )
        )
    if not scores:
        raise InputError(
            f"none of {len(part)} utterances can be scored",
            path=wavs,
            cause="the recordings are silent",
            remedy="score other recordings",
        )
    return Scored(scores, [*notes, *exclusion_notes(scores)])


def _part(
    whole: Corpus,
    split: str | None,
    voice: str | None,
    against: Against,
    there: set[str],
    wavs: Path,
) -> tuple[Utterance, ...]:
    """The utterances to score."""
    if against == "voice":
        own = whole.select(split=split, speaker=voice)
        check_same_ids(own.ids, there, f"corpus {whole.name}", f"folder {wavs}")
        return own.utterances
    if voice is None:
        raise InputError(
            "nothing says in which voice the wavs are",
            path=wavs,
            cause="the folder has no synthesis.json",
            remedy="give --voice",
        )
    spoken = whole.select(split=split).utterances
    part = tuple(u for u in spoken if u.id in there and u.speaker not in {voice, None})
    if not part:
        raise InputError(
            f"no wav is of an utterance by another speaker than {voice!r}",
            path=wavs,
            cause="the voice's own utterances were resynthesised",
            remedy="leave --against source out",
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
    from joblib import Parallel, delayed

    seconds = sum(u.duration for u in part)
    jobs = jobs or max(1, min(cores(), int(seconds / _WORTH_A_PROCESS_S)))
    calls = (
        delayed(_compared)(u, corpus.audio_path(u), wavs / f"{u.id}.wav", against, max_difference_s)
        for u in part
    )
    results = Parallel(n_jobs=jobs, return_as="generator")(calls)
    return list(track(results, "Resynthesis", total=len(part)))


def _compared(
    utterance: Utterance, recording: Path, wav: Path, against: Against, max_difference_s: float
) -> Values:
    original = audio.read(recording, **utterance.part._asdict())
    limit = max_difference_s * audio.SAMPLE_RATE
    return measure(*cropped(utterance.id, original, audio.read(wav), limit), against)
