"""`zerochain find`, query by example, and `zerochain score find`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from zerochain import audio
from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    Command,
    SpansPath,
    corpus_option,
    device_option,
    out_option,
    seed_option,
    split_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import print_table
from zerochain.cli.score import out_option as scores_out_option
from zerochain.cli.score import save_scores, system_option
from zerochain.discovery.adapted import KIND as ADAPTED
from zerochain.discovery.adapted import AdaptedOptions
from zerochain.discovery.model import UnitModel
from zerochain.discovery.stage import (
    encode_frames,
    features_in_memory,
    load_unit_model,
    needed_options,
)
from zerochain.errors import InputError, ModelMismatchError, counted, printable
from zerochain.exchange.textgrid_export import export_spans
from zerochain.features.extraction import extracted
from zerochain.features.extraction import options_of as extractor_of
from zerochain.features.spectral import SpectralOptions
from zerochain.formats import corpus as corpora
from zerochain.formats import features as feature_files
from zerochain.formats import units as unit_files
from zerochain.formats.atomic import scratch
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.identity import short
from zerochain.formats.kinds import kind_of
from zerochain.formats.spans import LabelledSpan, Spans, clock, in_files, write_spans
from zerochain.formats.units import UnitFile, codebook_of, read_units
from zerochain.report.listening import write_hits_page
from zerochain.scoring.find import score_find
from zerochain.search.find import FindConfig, Found, Place, Query, query_at
from zerochain.search.find import find as find_all
from zerochain.search.queries import Example, examples, pause_notes
from zerochain.search.sources import (
    FrameSource,
    PooledSource,
    Source,
    UnitSource,
    unit_distances,
)
from zerochain.training.device import resolve_device

_SHOWN = 20
_OF_MODELS = ("posteriors", "latents")


@click.command(
    cls=Command,
    example="zerochain find word.wav corpora/mine --out hits.csv\n"
    "zerochain find session1/u7:1.20-1.85 latents/ --corpus corpora/mine --out hits.parquet "
    "--page hits.html\n"
    "zerochain find words.csv posteriors/ --word mwana --index units.parquet --model models/gmm256 "
    "--out hits.parquet",
)
@click.argument("query", metavar="QUERY")
@click.argument("source", metavar="CORPUS|FEATURES|UNITS", type=PATH)
@click.option("--word", help="Of a QUERY that is a table: only its rows with this label.")
@click.option(
    "--label", help="What hits are called.  [default: the row's label, or the clip's name]"
)
@click.option(
    "--corpus",
    type=FOLDER,
    help="The corpus of FEATURES or UNITS: for --split, --page and queries in whole recordings.",
)
@split_option
@click.option(
    "--model",
    type=FOLDER,
    help="The unit model: of UNITS or --index, whose code vectors say how far units are apart; of "
    "posteriors or latents, to encode a clip; of a CORPUS, to search its posteriors or latents "
    "instead of MFCCs.",
)
@click.option(
    "--index",
    type=FILE,
    metavar="UNITS",
    help="Units of the same utterances, of --model: the first pass reads these alone, so that no "
    "more of FEATURES is read than what is compared.",
)
@options_of(FindConfig)
@click.option("--page", type=FILE, help="Also write an HTML page with players.")
@click.option("--textgrids", type=FOLDER, help="Also write a TextGrid per utterance with hits.")
@out_option("the hits, .parquet or .csv", SpansPath())
@seed_option
@device_option
def find(
    query: str,
    source: Path,
    word: str | None,
    label: str | None,
    corpus: Path | None,
    split: str | None,
    model: Path | None,
    index: Path | None,
    config: FindConfig,
    page: Path | None,
    textgrids: Path | None,
    out: Path,
    seed: int,
    device: str,
) -> None:
    """Find where a QUERY is said again in recordings: query by example, without any text.

    \b
    QUERY is  word.wav               a clip
              word.wav:0.20-0.85     a part of one, in seconds
              ID:1.20-1.85           a part of an utterance, or of a recording of the corpus
              words.csv              annotations: recording, start_s, end_s, label; rows with one
                                     label are examples of one word, whose hits are merged

    Subsequence DTW on features, posteriors or latents ('zerochain encode --latents'), or on units.
    A CORPUS is searched by its MFCCs, or by what --model makes of it; that is computed anew each
    time, so extract or encode once what you search often.

    The score is in standard deviations above random windows of the same recordings, so scores of
    different queries compare. Hits are a table that 'zerochain export elan' takes.
    """
    if index is not None and model is None:
        raise click.UsageError("--index needs the --model of its units")
    config = config.model_copy(update={"seed": seed})
    known = None if corpus is None else read_corpus(corpus)
    with _opened(source, known, split, model, index, resolve_device(device)) as searched:
        if page is not None and searched.corpus is None:
            raise click.UsageError("--page needs the --corpus, whose recordings it plays")
        given = examples(query, searched.ids, searched.corpus, word=word, label=label)
        notes = [] if searched.corpus is None else pause_notes(given, searched.corpus)
        recordings, coarse = searched.sources(config, index, model)
        queries = [searched.query(one, recordings, coarse) for one in given]
        found = find_all(queries, recordings, coarse, config)
        found = replace(found, notes=[*notes, *found.notes])
        hits = _spans(found, recordings, searched.corpus)
        write_spans(out, hits)
        if page is not None:
            assert searched.corpus is not None
            write_hits_page(page, found, given, searched.corpus, recordings.words)
        if textgrids is not None:
            export_spans(hits, recordings.durations_s(), textgrids)
    _print(found, hits, recordings.words, out)


@click.command(
    "find",
    cls=Command,
    example="zerochain find words.csv latents/ --most 9999 --min-score -99 --out hits.parquet\n"
    "zerochain score find hits.parquet --queries words.csv --corpus corpora/mine --out s.jsonl",
)
@click.argument("hits", type=FILE)
@click.option(
    "--queries",
    type=FILE,
    required=True,
    help="The table that was searched for; its labels are words.",
)
@corpus_option
@split_option
@click.option(
    "--words",
    type=FILE,
    help="Gold words, a table of spans: compare places with these.  [default: compare utterances "
    "with their texts]",
)
@click.option(
    "--beta",
    type=click.FloatRange(min=0),
    help="Weight of false alarms in MTWV.  [default: 12.49 of QUESST 2014 for utterances, 66.66 of "
    "SWS 2013 for places]",
)
@system_option
@scores_out_option
@seed_option
def score(hits: Path, corpus: Path, out: Path, **options: Any) -> None:
    """Compare HITS of 'zerochain find' with what is said: MAP, precision at 10, MTWV.

    \b
    mean_average_precision  of each query's ranking of utterances (with --words: of places)
    precision@10            how many of the first ten are right
    mtwv                    maximum term-weighted value: one threshold for all queries

    Utterances that an example was cut from are left out, and queries that nobody says again. What
    was not returned counts as missed, so search with --most and --min-score that return all.
    """
    save_scores(score_find(hits, corpus, **options), out)


class _Searched(NamedTuple):
    """What is searched, and how a clip becomes the same kind of thing."""

    made: Features | UnitFile
    corpus: Corpus | None
    model: UnitModel | None
    model_path: Path | None
    path: Path
    device: str

    @property
    def ids(self) -> Sequence[str]:
        return self.made.ids

    def sources(
        self, config: FindConfig, index: Path | None, model: Path | None
    ) -> tuple[Source, Source | None]:
        """The recordings, and a coarser view of them for the first pass."""
        if isinstance(self.made, UnitFile):
            return _units(self.made, model), None
        frames = FrameSource(self.made)
        if index is not None:
            units = read_units(index)
            return frames, _units(units.restrict(self.ids), model)
        factor = round(config.first_pass_ms / frames.step_ms)
        return frames, PooledSource(frames, factor) if factor > 1 else None

    def query(self, example: Example, recordings: Source, coarse: Source | None) -> Query:
        """An example as a query."""
        if example.place is not None:
            return query_at(recordings, coarse, example.place, label=example.label)
        assert example.clip is not None
        clip, units = self._clip(recordings, coarse, example.clip)
        place = _whole(clip, example.clip)
        made = query_at(clip, units, place, label=example.label, own=False)
        return replace(made, name=example.name)

    def _clip(
        self, recordings: Source, coarse: Source | None, wave: audio.Waveform
    ) -> tuple[Source, Source | None]:
        waves = {"query": wave}
        if isinstance(recordings, UnitSource):
            return recordings.like(self._units_of(waves)), None
        assert isinstance(recordings, FrameSource)
        assert isinstance(self.made, Features)
        like = recordings.like(self._frames_of(self.made, waves))
        match coarse:
            case UnitSource():
                return like, coarse.like(self._units_of(waves))
            case PooledSource():
                return like, PooledSource(like, coarse.factor)
            case _:
                return like, None

    def _units_of(self, waves: dict[str, audio.Waveform]) -> UnitFile:
        fitted, path = self._needed_model("a clip")
        needed = needed_options(fitted, path)
        return fitted.encode(features_in_memory(waves, needed, device=self.device))

    def _frames_of(self, made: Features, waves: dict[str, audio.Waveform]) -> Features:
        options = dict(made.options)
        if made.extractor in _OF_MODELS:
            fitted, path = self._needed_model(f"a clip for these {made.extractor}")
            if options.get("model") != fitted.id:
                raise ModelMismatchError(
                    f"{made.extractor} of unit model {short(str(options.get('model')))}, and "
                    f"model= is {short(fitted.id)}",
                    path=self.path,
                    cause="the model was fitted again, or they are of several models",
                    remedy="give the model that they were encoded with",
                )
            given = features_in_memory(waves, needed_options(fitted, path), device=self.device)
            is_latents = made.extractor == "latents"
            arrays = dict(fitted.latents(given) if is_latents else fitted.posteriors(given))
            return Features.from_arrays(
                arrays, extractor=made.extractor, options=options, step_ms=made.step_ms
            )
        if made.extractor == ADAPTED:
            return features_in_memory(waves, AdaptedOptions(**options), device=self.device)
        needed = extractor_of(made.extractor, options, self.path)
        return features_in_memory(waves, needed, device=self.device)

    def _needed_model(self, what: str) -> tuple[UnitModel, Path]:
        if self.model is None or self.model_path is None:
            raise InputError(
                f"{what} has to be encoded",
                path=self.path,
                remedy="give model=, or cut the query from an utterance that is searched",
            )
        return self.model, self.model_path


def _whole(clip: Source, wave: audio.Waveform) -> Place:
    lasts_s = clip.n_frames("query") * clip.step_ms / 1000
    return Place("query", 0.0, min(lasts_s, len(wave) / audio.SAMPLE_RATE))


def _units(unit_file: UnitFile, model: Path | None) -> UnitSource:
    codebook = None
    if model is not None:
        codebook = codebook_of(unit_file, model, without="all different units are equally far")
    return UnitSource(unit_file, unit_distances(codebook, unit_file.n_units))


@contextmanager
def _opened(
    source: Path,
    corpus: Corpus | None,
    split: str | None,
    model: Path | None,
    index: Path | None,
    device: str,
) -> Iterator[_Searched]:
    """Open what is searched; the frames of a corpus are made for as long as they are needed."""
    kind = kind_of(source)
    fitted = None if model is None else load_unit_model(model, device)
    if kind is corpora.FILE_KIND:
        if corpus is not None:
            raise click.UsageError("a corpus is searched: leave --corpus out")
        whole = read_corpus(source).select(split=split)
        with scratch() as folder:
            if model is not None and fitted is not None:
                what: Literal["posteriors", "latents"] = (
                    "posteriors" if fitted.has_posteriors else "latents"
                )
                out = folder / what
                made = encode_frames(what, model, source, out, split=split, device=device)
                yield _Searched(made, whole, fitted, model, source, device)
                return
            with extracted(whole, SpectralOptions(kind="mfcc"), device=device) as made:
                yield _Searched(made, whole, None, None, source, device)
        return
    if split is not None and corpus is None:
        raise click.UsageError("--split needs the --corpus, which has the splits")
    if kind is feature_files.FILE_KIND:
        found: Features | UnitFile = read_features(source, verified=index is None)
    elif kind is unit_files.FILE_KIND:
        if index is not None:
            raise click.UsageError("--index only applies to features")
        found = read_units(source)
    else:
        raise InputError(
            f"can't be searched: it is {kind.name}",
            path=source,
            remedy="give a corpus, a features folder or a unit file",
        )
    if corpus is not None:
        if found.corpus_id not in {"", corpus.id} and not corpus.has_recordings_of(found.corpus_id):
            raise InputError(
                f"is of corpus {short(found.corpus_id)}, not of {corpus.name} ({short(corpus.id)})",
                path=source,
                cause="the corpus was imported again, or two arguments were swapped",
                remedy="give the corpus that it was made of",
            )
        corpus = corpus.select(split=split)
        if split is not None:
            found = found.restrict(corpus.ids)
    yield _Searched(found, corpus, fitted, model, source, device)


def _spans(found: Found, recordings: Source, corpus: Corpus | None) -> Spans:
    """The hits as a table; with their times in longer sound files, where there is a corpus."""
    rows = [
        LabelledSpan(
            hit.place.id,
            round(hit.place.start_s, 4),
            round(hit.place.end_s, 4),
            hit.label,
            round(hit.score, 4),
            recordings.speakers[hit.place.id],
        )
        for hit in found.hits
    ]
    rows = rows if corpus is None else in_files(rows, corpus)
    return Spans(tuple(rows), "hits", recordings.words, recordings.corpus_id)


def _print(found: Found, hits: Spans, words: str, out: Path) -> None:
    rows = [
        [
            hit.label,
            f"{hit.score:.1f}",
            hit.recording,
            f"{hit.start_s:.2f}",
            f"{hit.end_s:.2f}",
            hit.speaker or "",
            "" if hit.audio_start_s is None else f"{hit.audio} {clock(hit.audio_start_s)}",
        ]
        for hit in hits.rows
    ]
    heads = ["query", "score", "utterance", "from s", "to s", "speaker", "in the file at"]
    if not any(row[-1] for row in rows):
        rows, heads = [row[:-1] for row in rows], heads[:-1]
    print_table("hits", heads, rows, _SHOWN)
    for note in found.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(f"{out}: {counted(len(rows), 'hit')} in {words}")
