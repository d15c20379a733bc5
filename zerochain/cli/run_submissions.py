"""`zerochain export submission`: a submission to ZeroSpeech from the folder of a run.

The run's own records say what belongs together: its scores name the unit files of its test sets, a
unit file names its model and its corpus, and resynthesised speech names its units.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.submissions import incomplete
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.submissions import (
    Part,
    export_abxls,
    export_zerospeech2019,
    export_zerospeech2021,
    zip_submission,
)
from zerochain.exchange.zerospeech import LANGUAGES, SUBSETS, check_2019, check_2021
from zerochain.formats.corpus import Corpus
from zerochain.formats.synthesis import Synthesis
from zerochain.formats.units import UnitFile
from zerochain.report.run import Run, Source, read_run, run_files

DISTANCES = {
    "2019": ("dtw_cosine", "dtw_kl", "levenshtein"),
    "2021": ("cosine", "euclidean", "kl", "kl_symmetric"),
    "abxLS": ("cosine", "euclidean", "kl", "kl_symmetric"),
}
"""Challenge → the distances that its metadata may ask for; the first is the default."""


@dataclass(frozen=True)
class Chosen:
    """What a part of the submission is made from."""

    units: Source
    model: Path | None
    """Whose vectors are written; None: one-hot."""
    corpus: Corpus | None
    """None where it is neither in the run nor near it."""
    speech: Synthesis | None

    @property
    def unit_file(self) -> UnitFile:
        """The units, as they were read."""
        made: UnitFile = self.units.value
        return made

    @property
    def splits(self) -> set[str | None]:
        """The splits of the corpus that were encoded."""
        assert self.corpus is not None
        return {u.split for u in self.corpus.utterances if u.id in self.unit_file.units}

    def expected(self) -> Collection[str] | None:
        """The names of the files that the encoded splits make; None without the corpus."""
        if self.corpus is None:
            return None
        splits = self.splits
        ids = [u.id for u in self.corpus.utterances if u.split in splits]
        suffixes = (".txt", ".wav") if self.speech is not None else (".txt",)
        return {f"{Path(name).name}{suffix}" for name in ids for suffix in suffixes}


@click.command(
    "submission",
    cls=Command,
    example="zerochain export submission runs/evaluate --system kmeans-100 --author 'A. Author' "
    "--affiliation 'A University' --out submission\n"
    "zerochain export submission runs/tradeoff --part english=mine --system km-256-1t-speaker "
    "--author 'A. Author' --affiliation 'A University' --out submission",
)
@click.argument("run", type=FOLDER)
@click.option(
    "--challenge",
    type=click.Choice(list(DISTANCES)),
    help="2019: units and speech, also of 2020. abxLS: the phonetic part of 2021 as "
    "zerospeech-benchmarks takes it today. 2021: as that year's server did.  [default: 2019 for "
    f"{' and '.join(LANGUAGES)}, abxLS for {', '.join(SUBSETS)}]",
)
@click.option(
    "--part",
    "parts",
    metavar="PART=DATASET",
    multiple=True,
    help="The run's dataset, or unit file, for a language or subset of the challenge; may be "
    "repeated.  [default: the datasets that are called as the challenge does]",
)
@click.option("--system", help="The system, where the run has several.")
@click.option("--wavs", help="The run's folder of speech, where it spoke the units several times.")
@click.option("--one-hot", is_flag=True, help="Not the model's vectors: a one among zeros.")
@click.option("--author", required=True, help="Who submits.")
@click.option("--affiliation", required=True, help="Of the author.")
@click.option("--description", help="The system.  [default: how its units were made]")
@click.option("--train-set", help="Of abxLS and 2021, required there: what it was trained on.")
@click.option(
    "--distance",
    type=click.Choice(sorted({d for names in DISTANCES.values() for d in names})),
    help="For ABX.  [default: dtw_cosine for 2019, cosine otherwise]",
)
@click.option("--gpu-budget", type=click.FloatRange(min=0), help="Of abxLS and 2021: GPU hours.")
@click.option("--parallel-train", is_flag=True, help="Of 2019: parallel recordings were used.")
@click.option("--external-data", is_flag=True, help="Of 2019: other data were used.")
@click.option("--code", type=FOLDER, help="Of 2019 and 2021: source code; makes it open source.")
@click.option("--code-url", help="Of abxLS: where the source code is; makes it open source.")
@out_option("the submission; its archive is beside it, <out>.zip", FOLDER)
def from_run(
    run: Path,
    challenge: str | None,
    parts: tuple[str, ...],
    system: str | None,
    wavs: str | None,
    one_hot: bool,
    out: Path,
    **options: Any,
) -> None:
    """Make a submission to ZeroSpeech from a RUN's units, check it and pack it.

    The units that the run has scored go in, as vectors of their model (one-hot where it has no
    codebook), with the speech that was made from them. It prints what was not checked.
    """
    archive = out.with_name(f"{out.name}.zip")
    if there := [f"{path}" for path in (out, archive) if path.exists()]:
        raise InputError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already, and a "
            "submission is never overwritten",
            remedy="remove what is there, or choose another --out",
        )
    made = read_run(run_files(run))
    given = _given(parts)
    names = given or _datasets(made, challenge)
    challenge = challenge or ("2019" if next(iter(names)) in LANGUAGES else "abxLS")
    _check_challenge(challenge, names, options)
    chosen = {part: _chosen(made, part, name, system, wavs) for part, name in names.items()}
    if challenge != "2019":
        chosen = {name: replace(c, speech=None) for name, c in chosen.items()}
    if one_hot:
        chosen = {name: replace(c, model=None) for name, c in chosen.items()}
    folders = any("/" in name for c in chosen.values() for name in c.unit_file.units)
    for part, one in chosen.items():
        speech = "" if one.speech is None else f", speech of {made.shown(one.speech.folder)}"
        vectors = "one-hot" if one.model is None else f"vectors of {made.shown(one.model)}"
        click.echo(
            f"{part}: {counted(len(one.unit_file.units), 'utterance')} of "
            f"{made.shown(one.units.path)}, {vectors}{speech}"
        )
    if folders:
        click.echo("ids have folders, and a submission has none: their last parts are the names")
    _write(challenge, out, chosen, folders, options)
    expected = {part: files for part, c in chosen.items() if (files := c.expected()) is not None}
    if challenge == "2019":
        incomplete(out, check_2019(out, expected))
    else:
        incomplete(out, check_2021(out, expected))
    zip_submission(out, archive)
    click.echo(f"{archive}: the same, to upload")
    for line in _unchecked(challenge, chosen):
        click.echo(f"not checked: {line}")


def _given(values: tuple[str, ...]) -> dict[str, str]:
    """Part of the challenge → dataset of the run."""
    known = (*LANGUAGES, *SUBSETS)
    parts = {}
    for value in values:
        part, equals, name = value.partition("=")
        if part not in known or not equals or not name:
            raise click.BadParameter(
                f"{value!r} is not PART=DATASET with one of {', '.join(known)}",
                param_hint="--part",
            )
        parts[part] = name
    return parts


def _check_challenge(challenge: str, parts: Collection[str], options: Mapping[str, Any]) -> None:
    """Refuse parts and options of another challenge."""
    known = LANGUAGES if challenge == "2019" else SUBSETS
    if others := [part for part in parts if part not in known]:
        raise click.BadParameter(
            f"{challenge} has no {listed(others)}; it has {listed(list(known))}",
            param_hint="--part",
        )
    if options["distance"] not in {None, *DISTANCES[challenge]}:
        raise click.BadParameter(
            f"{challenge} has {listed(list(DISTANCES[challenge]))}", param_hint="--distance"
        )
    only = {
        "train_set": ("2021", "abxLS"),
        "gpu_budget": ("2021", "abxLS"),
        "parallel_train": ("2019",),
        "external_data": ("2019",),
        "code": ("2019", "2021"),
        "code_url": ("abxLS",),
    }
    for name, challenges in only.items():
        if options[name] and challenge not in challenges:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} only applies to {' and '.join(challenges)}")
    if challenge != "2019" and not options["train_set"]:
        raise click.UsageError(f"{challenge} wants to know the --train-set")


def _candidates(run: Run) -> list[Source]:
    """The unit files of the run's models; of these, those that were scored if there are any."""
    ours = [s for s in run.sources if s.kind == "units" and s.value.model_id in run.models]
    scored = {score.inputs.get("units") for score in run.scores}
    return [source for source in ours if source.id in scored] or ours


def _within(run: Run, source: Source) -> str:
    """A unit file's path in the run, without its suffix, between slashes."""
    return f"/{Path(run.shown(source.path)).with_suffix('').as_posix()}/"


def _datasets(run: Run, challenge: str | None) -> dict[str, str]:
    """The datasets that are called like the parts of the challenge, or of any."""
    known = {"2019": LANGUAGES, "2021": SUBSETS, "abxLS": SUBSETS}
    paths = [_within(run, source) for source in _candidates(run)]
    for parts in [known[challenge]] if challenge else [LANGUAGES, SUBSETS]:
        if found := {part: part for part in parts if any(f"/{part}/" in path for path in paths)}:
            return found
    asked = known[challenge] if challenge else (*LANGUAGES, *SUBSETS)
    raise InputError(
        f"holds no units of a dataset called {' or '.join(asked)}",
        path=run.files.roots[0],
        cause="its datasets have other names"
        if paths
        else "no units were encoded there by a model of the run",
        remedy=f"say which is which: --part {asked[0]}=DATASET; there are "
        f"{listed([path.strip('/') for path in paths])}"
        if paths
        else "give the folder of a run of the pipelines evaluate, tradeoff or chain",
    )


def _chosen(run: Run, part: str, dataset: str, system: str | None, wavs: str | None) -> Chosen:
    """The units of a dataset, by the system, with their model, corpus and speech."""
    there = _candidates(run)
    needed = [f"/{name.removesuffix('.parquet').strip('/')}/" for name in (dataset, system) if name]
    fitting = [s for s in there if all(name in _within(run, s) for name in needed)]
    if Path(dataset).is_file():
        fitting = [s for s in there if s.path.samefile(dataset)]
    if len(fitting) != 1:
        names = [_within(run, s).strip("/") for s in fitting or there]
        raise InputError(
            f"{part}: {len(fitting) or 'no'} unit files that the run has scored are of dataset "
            f"{dataset!r}" + (f" and system {system!r}" if system else ""),
            path=run.files.roots[0],
            remedy=f"choose with --system, or --part {part}=…, among {listed(names)}",
        )
    (units,) = fitting
    has_vectors = "codebook" in run.models[units.value.model_id].tensors
    # The same model may lie there twice: the one beside these units, by its path, is named.
    bundles = [s.path for s in run.sources if s.kind == "model" and s.id == units.value.model_id]
    beside = set(units.path.with_suffix("").parts)
    model = max(bundles, key=lambda path: len(beside & set(path.parts))) if has_vectors else None
    spoken = [s for s in run.syntheses if s.units_id == units.id]
    if wavs is not None:
        name = f"/{wavs.strip('/')}/"
        spoken = [s for s in spoken if name in f"/{run.shown(s.folder)}/"]
    if len(spoken) > 1 or (wavs is not None and not spoken):
        folders = [run.shown(s.folder) for s in run.syntheses if s.units_id == units.id]
        raise InputError(
            f"{part}: these units were spoken in {listed(folders) if folders else 'no folder'}",
            path=run.files.roots[0],
            remedy="choose one with --wavs" if folders else "leave --wavs out",
        )
    return Chosen(units, model, run.corpus_of(units.value), spoken[0] if spoken else None)


def _write(
    challenge: str,
    out: Path,
    chosen: Mapping[str, Chosen],
    folders: bool,
    options: Mapping[str, Any],
) -> None:
    parts = {
        name: Part(
            c.units.path, c.model, None if c.speech is None else c.speech.folder, not folders
        )
        for name, c in chosen.items()
    }
    methods = list(dict.fromkeys(c.unit_file.method for c in chosen.values()))
    about = {
        "author": options["author"],
        "affiliation": options["affiliation"],
        "description": options["description"] or "; ".join(methods),
    }
    distance = options["distance"] or DISTANCES[challenge][0]
    if challenge == "2019":
        export_zerospeech2019(
            out,
            parts,
            distance=distance,
            parallel_train=options["parallel_train"],
            external_data=options["external_data"],
            code=options["code"],
            **about,
        )
        return
    trained = {"train_set": options["train_set"], "gpu_budget": options["gpu_budget"] or 0.0}
    if challenge == "2021":
        export_zerospeech2021(out, parts, metric=distance, code=options["code"], **about, **trained)
    else:
        year, url = datetime.now(tz=UTC).year, options["code_url"]
        export_abxls(out, parts, metric=distance, year=year, code_url=url, **about, **trained)


def _unchecked(challenge: str, chosen: Mapping[str, Chosen]) -> Iterator[str]:
    """What the checks don't cover, a line each."""
    kind = "zerospeech2019" if challenge == "2019" else "zerospeech2021"
    for part, one in chosen.items():
        if one.corpus is None:
            yield f"{part}: whether utterances are missing, since its corpus was not found"
            continue
        splits = sorted(str(split) for split in one.splits if split is not None)
        of = f" (split {listed(splits)})" if splits else ""
        yield (
            f"{part}: whether corpus {one.corpus.name!r}{of} is the challenge's test set; "
            f"'zerochain check {kind} --expected {part}=LIST' compares it with the challenge's list"
        )
        if challenge == "2019" and one.speech is None:
            yield f"{part}: speech, since the run spoke none of these units"
    if any(one.speech is not None for one in chosen.values()):
        yield "what the speech sounds like; only that it is there"
    yield "what the metadata say of the data and the system: they are as given"
    if challenge == "2021":
        yield "the lexical, syntactic and semantic parts, which are not in it"
