"""Discovered terms or a lexicon compared with gold phones and words: `zerochain score terms`.

The phones are a corpus's, or a file of ZeroSpeech's; the words a table of spans, or such a file.
All utterances of the split with gold phones count, those without a discovered span included.
Without words there are NED, its weighted form, coverage and grouping, which take phones alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zerochain.errors import InputError, counted, listed
from zerochain.exchange.term_classes import TABLES, read_gold, read_terms
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, file_id, ids_by_name
from zerochain.formats.phones import PHONES_FILE, Phone
from zerochain.formats.scores import Score
from zerochain.formats.spans import LabelledSpan, Spans, by_recording, read_spans
from zerochain.metrics import names
from zerochain.metrics.names import Metric
from zerochain.metrics.silences import SILENCES, recorded
from zerochain.metrics.tde import Found, Terms, Value, score_clusters
from zerochain.scoring.common import Common, Scored, exclusion_notes, gold_phones, in_utterances

PROTOCOL = "tde"
_LATE_S = 1.0
"""How much later than gold phones a span may end: silence after them may have no label."""


def score_terms(
    terms: Path,
    *,
    corpus: Path | None = None,
    phones: Path | None = None,
    words: Path | None = None,
    split: str | None = None,
    folders: bool = True,
    silences: Collection[str] = SILENCES,
    shift_ms: float = 0.0,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Score clusters of spans by ZeroSpeech's term discovery evaluation.

    Args:
        terms: a table of spans, or ZeroSpeech's file of classes; of utterances, or of the
            recordings that they were cut from, as words may be.
        corpus: with gold phones; or `phones`, a file with lines "name onset offset phone".
        words: gold words, a table of spans or a file with lines "name onset offset word"; None
            leaves out the scores that take words.
        split: of the corpus; spans of other splits are left out.
        folders: whether names are whole ids; otherwise they are the last part of the corpus's ids.
        silences: labels that are neither phones nor words.
        shift_ms: added to the times of phones and words: automatic alignments can be late.

    Raises:
        InputError: neither a corpus nor phones, or both; ids that don't join; no span or no gold
            phones in what is scored; or as `score_clusters`.
    """
    if (corpus is None) == (phones is None):
        raise InputError("give either corpus= or phones=, where the gold phones are")
    if corpus is None and (split is not None or not folders):
        raise InputError("split= and folders=False only apply to corpus=")
    found = read_terms(terms)
    inputs = {"terms": file_id(terms)}
    if corpus is not None:
        whole = read_corpus(corpus)
        gold = gold_phones(whole, silences).by_id
        inputs |= {"corpus": whole.id, "phones": file_id(whole.home / PHONES_FILE)}
        joined, n_between = _joined(found.rows, whole, folders)
        scored, exclusions = _of_split(joined, whole, gold, split)
        if n_between:
            exclusions["spans_outside_every_utterance"] = n_between
        wanted = whole.ids if split is None else whole.select(split=split).ids
        gold = {name: gold[name] for name in wanted if name in gold}
        ends = {u.id: u.duration for u in whole.utterances}
    else:
        assert phones is not None
        gold = read_gold(phones).by_id
        inputs["phones"] = file_id(phones)
        scored, exclusions = found.rows, {}
        ends = {name: max(phone.offset for phone in line) for name, line in gold.items() if line}
    spoken: Mapping[str, Sequence[Phone]] | None = None
    if words is not None:
        spoken = _words(words, whole if corpus is not None else None, folders)
        inputs["words"] = file_id(words)
    clusters, n_again = _clusters(scored)
    result = score_clusters(
        clusters,
        _shifted(gold, shift_ms),
        None if spoken is None else _shifted(spoken, shift_ms),
        silences=silences,
        seed=seed,
    )
    if n_again:
        exclusions["spans_listed_again_in_their_cluster"] = n_again
    if result.n_outside:
        exclusions["spans_that_cover_no_phone"] = result.n_outside
    common = Common(
        system or found.system or terms.stem,
        inputs,
        {
            "split": split,
            "silences": recorded(silences),
            "shift_ms": shift_ms,
            "n_utterances": len(gold),
            "n_clusters": len(clusters),
            "n_spans": result.n_spans,
            "exclusions": exclusions,
            "seed": seed,
        },
    )
    made = _scored(common, result, has_words=words is not None)
    n_alone = sum(not row.label for row in scored)
    alone = f"{counted(n_alone, 'span')} without a label, each a cluster of its own"
    return replace(made, notes=[*_late(scored, ends), *([alone] if n_alone else []), *made.notes])


def _clusters(rows: Sequence[LabelledSpan]) -> tuple[dict[str, list[Found]], int]:
    """Spans by label, and how many are left out as they stand there already.

    The pair of a span with itself would be a perfect match. Without a label it is nobody's match.
    """
    clusters: dict[str, dict[Found, None]] = {}
    for i, row in enumerate(rows):
        label = row.label or f"\0{i}"  # no label of a file holds such a character
        clusters.setdefault(label, {})[Found(*row[:3])] = None
    kept = {label: list(spans) for label, spans in clusters.items()}
    return kept, len(rows) - sum(map(len, kept.values()))


def _late(rows: Sequence[LabelledSpan], ends: Mapping[str, float]) -> list[str]:
    """A note on spans that end long after their recordings or the last gold phones."""
    late = [row for row in rows if row.end_s > ends.get(row.recording, math.inf) + _LATE_S]
    if not late:
        return []
    one = late[0]
    return [
        f"{counted(len(late), 'span')} of {len(rows)} end after the recording does, such as "
        f"{one.start_s:g} to {one.end_s:g} s of {one.recording!r} ({ends[one.recording]:g} s): "
        "these scores are wrong if times are not in seconds, or of other recordings"
    ]


def _joined(
    rows: Sequence[LabelledSpan], corpus: Corpus, folders: bool
) -> tuple[Sequence[LabelledSpan], int]:
    """The spans with the ids of utterances, and how many of recordings are outside of these."""
    if not folders:
        ids = ids_by_name(corpus.ids, f"corpus {corpus.name}")
        rows = [row._replace(recording=ids.get(row.recording, row.recording)) for row in rows]
    rows, n_outside = in_utterances(rows, corpus)
    check_same_ids({r.recording for r in rows}, corpus.ids, "spans", f"corpus {corpus.name}")
    return rows, n_outside


def _of_split(
    rows: Sequence[LabelledSpan],
    corpus: Corpus,
    gold: Mapping[str, object],
    split: str | None,
) -> tuple[Sequence[LabelledSpan], dict[str, int]]:
    """The spans of a split's utterances with gold phones, and how many have none."""
    if split is not None:
        inside = set(corpus.select(split=split).ids)
        rows = [row for row in rows if row.recording in inside]
        if not rows:
            raise InputError(
                f"no span is of split {split!r}",
                cause="the terms were discovered in another split",
                remedy="score the split that they were discovered in",
            )
    aligned = [row for row in rows if row.recording in gold]
    if rows and not aligned:
        raise InputError(
            f"none of {counted(len({r.recording for r in rows}), 'utterance')} with spans has "
            f"gold phones: {listed(sorted({row.recording for row in rows}))}",
            path=corpus.home / PHONES_FILE,
            remedy="score another split",
        )
    left_out = len(rows) - len(aligned)
    return aligned, {"spans_without_alignment": left_out} if left_out else {}


def _words(path: Path, corpus: Corpus | None, folders: bool) -> dict[str, list[Phone]]:
    if path.suffix.lower() not in TABLES:
        gold = read_gold(path)
        rows = [LabelledSpan(name, *one) for name, line in gold.by_id.items() for one in line]
        spans = Spans(tuple(rows))
    else:
        spans = read_spans(path)
    # Words outside of every utterance are nobody's to find.
    joined = spans.rows if corpus is None else _joined(spans.rows, corpus, folders)[0]
    return {
        name: [Phone(row.start_s, row.end_s, row.label) for row in line]
        for name, line in by_recording(joined).items()
    }


def _shifted(gold: Mapping[str, Sequence[Phone]], shift_ms: float) -> dict[str, list[Phone]]:
    by_s = shift_ms / 1000
    return {
        name: [Phone(on + by_s, off + by_s, text) for on, off, text in line]
        for name, line in gold.items()
    }


def _scored(common: Common, result: Terms, *, has_words: bool) -> Scored:
    values: list[tuple[Metric, Value | None, str]] = [
        (names.NED, result.ned, "pairs"),
        (names.WEIGHTED_NED, result.weighted_ned, "spans"),
        (names.INVERSE_NED, result.inverse_ned, "tokens"),
        (names.COVERAGE, result.coverage, "phones"),
    ]
    for kind, rates, n_of in (
        ("grouping", result.grouping, "tokens"),
        ("token", result.token, "tokens"),
        ("type", result.type, "types"),
        ("word_boundary", result.boundary, "boundaries"),
    ):
        metrics = names.TERM_RATES[kind]
        parts = (rates.precision, rates.recall, rates.f1) if rates else (None, None, None)
        values += [(metric, one, n_of) for metric, one in zip(metrics, parts, strict=True)]
    scores: list[Score] = []
    undefined: list[str] = []
    for metric, one, n_of in values:
        if one is None:
            continue
        if one.value is None:
            undefined.append(metric.key)
            continue
        scores.append(common.score(metric, one.value, one.interval, one.n, PROTOCOL, n_of=n_of))
    notes = exclusion_notes(scores)
    if undefined:
        notes.append(f"undefined, as there is nothing to count: {', '.join(undefined)}")
    if not has_words:
        notes.append("without gold words: no inverse NED, token, type and word boundary scores")
    return Scored(scores, notes)
