"""Quality of resynthesis, of a folder of wavs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
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
_AT_ONCE = 100  # utterances of one recording that a process takes at a time


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
    batches = [
        (path, group[i : i + _AT_ONCE])
        for path, them in groupby(part, key=corpus.audio_path)
        for group in [list(them)]
        for i in range(0, len(group), _AT_ONCE)
    ]
    calls = (
        delayed(_compared)(path, group, wavs, against, max_difference_s) for path, group in batches
    )
    results = Parallel(n_jobs=jobs, return_as="generator")(calls)
    return [one for some in track(results, "Resynthesis", total=len(batches)) for one in some]


def _compared(
    recording: Path,
    utterances: Sequence[Utterance],
    wavs: Path,
    against: Against,
    max_difference_s: float,
) -> list[Values]:
    """Of utterances of one recording, which is read in one pass."""
    limit = max_difference_s * audio.SAMPLE_RATE
    originals = audio.read_parts(recording, [u.part for u in utterances])
    return [
        measure(*cropped(u.id, original, audio.read(wavs / f"{u.id}.wav"), limit), against)
        for u, original in zip(utterances, originals, strict=True)
    ]
