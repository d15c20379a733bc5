"""Files to files: a unit file into a lexicon or into terms, as tables of spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from zerochain.errors import InputError, counted
from zerochain.exchange.term_classes import write_classes
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.spans import LabelledSpan, Spans, in_files, read_spans, write_spans
from zerochain.formats.units import UnitFile, codebook_of, read_units
from zerochain.search.lexicon import (
    LexiconConfig,
    random_words,
    segment_words,
    spans_of,
    syllable_words,
)
from zerochain.search.sources import FrameSource
from zerochain.search.stretches import stretches_of
from zerochain.search.terms import TermsConfig, find_terms, unit_similarity


def make_lexicon(
    units: Path,
    out: Path,
    config: LexiconConfig,
    *,
    corpus: Path | None = None,
    split: str | None = None,
    random_like: Path | None = None,
    syllables: bool = False,
    seed: int = 0,
) -> str:
    """Divide the speech of a unit file into words and write them.

    Args:
        out: a table of spans, or .classes.
        corpus: the recordings, to leave out pauses and to know syllables.
        random_like: a lexicon of the same units, of whose size the random baseline is.
        syllables: the baseline that makes each syllable a word; with `corpus`.

    Returns:
        What was found, in a line.

    Raises:
        InputError: as `stretches_of` and `segment_words`, `split` or `syllables` without a corpus,
            or both baselines at once.
    """
    if syllables and (corpus is None or random_like is not None):
        raise InputError(
            "syllables= needs corpus=, whose recordings have them, and excludes random_like="
        )
    unit_file, recordings = _inputs(units, corpus, split)
    speech = stretches_of(unit_file, recordings)
    if syllables:
        words, how = syllable_words(speech), "syllables"
    elif random_like is None:
        words, how = segment_words(speech, config, seed=seed), "unigram DP"
    else:
        inside = set(unit_file.ids)
        n_words = sum(row.recording in inside for row in read_spans(random_like).rows)
        words, how = random_words(speech, n_words, seed=seed), "random words"
    rows = spans_of(words, dict(unit_file.speakers))
    rows = rows if recordings is None else in_files(rows, recordings)
    write_terms(out, rows, "words", f"{how}, {unit_file.method}", unit_file.corpus_id)
    kinds = Counter(row.label for row in rows)
    n_once = sum(n == 1 for n in kinds.values())
    left_out = f"; pauses left out: {speech.pauses_s:.0f} s" if recordings else ""
    return (
        f"{counted(len(rows), 'word')} of {speech.seconds / len(rows):.3f} s, of "
        f"{counted(len(kinds), 'kind')}, {n_once:,} of which occur once{left_out}"
    )


def make_terms(
    units: Path,
    out: Path,
    config: TermsConfig,
    *,
    corpus: Path | None = None,
    model: Path | None = None,
    features: Path | None = None,
    split: str | None = None,
) -> str:
    """Find what is said again in a unit file, and write the clusters.

    Args:
        out: a table of spans, or .classes.
        corpus: the recordings, to leave out pauses.
        model: the units' model, so that units with similar vectors agree in part.
        features: of the same utterances, which matches are compared by.

    Returns:
        What was found, in a line.

    Raises:
        InputError: as `stretches_of` and `find_terms`, or `split` without a corpus.
        ModelMismatchError: the units are of another model.
    """
    unit_file, recordings = _inputs(units, corpus, split)
    codebook = None
    if model is not None:
        codebook = codebook_of(unit_file, model, without="units agree or not")
    similarity = unit_similarity(unit_file.n_units, codebook)
    speech = stretches_of(unit_file, recordings)
    frames = None if features is None else FrameSource(read_features(features))
    found = find_terms(speech, config, unit_file.speakers, similarity, frames)
    rows = found.rows if recordings is None else in_files(found.rows, recordings)
    write_terms(out, rows, "terms", f"terms, {unit_file.method}", unit_file.corpus_id)
    seconds = covered_s(found.rows)
    return (
        f"{counted(found.n_clusters, 'cluster')} of {counted(len(found.rows), 'span')}, "
        f"in {seconds:.0f} s of {speech.seconds:.0f} s of speech; {found.matches}"
    )


def covered_s(rows: Iterable[LabelledSpan]) -> float:
    """The seconds that are in any span; spans may overlap."""
    total, name, until_s = 0.0, "", 0.0
    for row in sorted(rows, key=lambda row: (row.recording, row.start_s)):
        if row.recording != name:
            name, until_s = row.recording, 0.0
        total += max(0.0, row.end_s - max(row.start_s, until_s))
        until_s = max(until_s, row.end_s)
    return total


def _inputs(units: Path, corpus: Path | None, split: str | None) -> tuple[UnitFile, Corpus | None]:
    unit_file = read_units(units)
    if corpus is None:
        if split is not None:
            raise InputError("split= needs corpus=", remedy="give the corpus of the units")
        return unit_file, None
    whole = read_corpus(corpus)
    if split is not None:
        unit_file = unit_file.restrict(whole.select(split=split).ids)
    return unit_file, whole


def write_terms(
    out: Path, rows: list[LabelledSpan], what: str, system: str, corpus_id: str
) -> None:
    """Write spans as a table, or as ZeroSpeech's classes where the path ends in .classes."""
    spans = Spans(tuple(rows), what, system, corpus_id)
    if out.suffix.lower() == ".classes":
        write_classes(out, spans)
    else:
        write_spans(out, spans)
