import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runs import add_synthesis, add_system, add_training, make_run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.kinds import KINDS
from zerochain.formats.phones import Phone, Phones, write_phones
from zerochain.report.page import write_report
from zerochain.report.run import _PARTS, RunFiles, read_run, run_files


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus(6)


def names(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_finds_everything_by_kind(tmp_path: Path, corpus: Corpus) -> None:
    root = make_run(tmp_path / "run", corpus)
    assert corpus.folder is not None
    files = run_files(root, corpora=[corpus.folder])
    assert files.corpora == (corpus.folder,)
    assert names(files.units, root) == ["units/km16-1t.parquet", "units/km8-4t.parquet"]
    assert names(files.scores, root) == ["scores/6.jsonl", "scores/resynthesis.jsonl"]
    assert names(files.syntheses, root) == ["wavs/code2spec", "wavs/unit-means"]
    assert names(files.trainings, root) == ["inverters/x.training"]
    assert len(files.bundles) == 4
    assert files.passed_over == ()
    run = read_run(files)
    assert len(run.sources) == 1 + 2 + 2 + 2 + 1 + 4
    assert {s.kind for s in run.sources} >= {"corpus", "units", "scores", "model"}
    assert all(len(source.id) == 64 for source in run.sources)
    assert {run.shown(source.path) for source in run.sources} >= {"units/km8-4t.parquet"}


def test_every_kind_has_a_place_in_a_report_or_is_known_to_have_none() -> None:
    none = {"phones", "spans", "transcripts"}
    assert {kind.name: kind for kind in KINDS if kind.name not in none} == {
        name: part.kind for name, part in _PARTS.items()
    }
    meta = {"roots", "names", "present", "passed_over"}
    fields = {name for name in RunFiles.__dataclass_fields__ if name not in meta}
    assert {part.field for part in _PARTS.values()} == fields


def test_a_corpus_inside_the_run_is_listed_once(tmp_path: Path, make_corpus: Callable) -> None:
    (tmp_path / "run").mkdir()
    corpus = make_corpus(3, name="run/corpus")
    add_system(tmp_path / "run", corpus, "km")
    assert len(run_files(tmp_path / "run").corpora) == 1
    assert len(run_files(tmp_path / "run", corpora=[corpus.folder]).corpora) == 1


def test_what_has_no_place_in_a_report_is_listed(tmp_path: Path, corpus: Corpus) -> None:
    root = make_run(tmp_path / "run", corpus)
    write_phones(root / "phones.parquet", Phones({"a": [Phone(0, 1, "a")]}))
    (root / "damaged.parquet").write_bytes(b"PAR1")
    passed = {path.name: why for path, why in run_files(root).passed_over}
    assert set(passed) == {"phones.parquet", "damaged.parquet"}


def test_a_folder_without_a_run_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no scores, units") as caught:
        run_files(tmp_path / "empty")
    assert caught.value.path == tmp_path / "empty"
    assert corpus.folder is not None
    with pytest.raises(InputError, match="holds no scores, units"):
        run_files(corpus.folder)
    with pytest.raises(InputError, match="no such folder"):
        run_files(tmp_path / "none")


def test_a_damaged_file_of_ours_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    root = make_run(tmp_path / "run", corpus)
    (root / "models" / "km8-4t" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="can't be read"):
        read_run(run_files(root))


def test_a_corpus_beside_the_run_or_in_its_settings_is_found(
    tmp_path: Path, corpus: Corpus, make_corpus: Callable[..., Corpus]
) -> None:
    root = make_run(tmp_path / "deep" / "runs" / "run", corpus)
    assert read_run(run_files(root)).corpora == {}
    (root / "config.yaml").write_text(f"corpora:\n  mine: {corpus.folder}\nother: [1, null]\n")
    assert {*read_run(run_files(root)).corpora} == {corpus.id}
    (root / "config.yaml").write_text("corpus: [")
    assert read_run(run_files(root)).corpora == {}
    (tmp_path / "deep" / "corpora").mkdir()
    make_corpus(6, name="deep/corpora/other")  # of other recordings: not what is wanted
    beside = make_corpus(6, name="deep/corpora/tiny")
    units = add_system(root, beside, "km9", n_units=9)
    assert units.corpus_id == beside.id
    assert beside.id in read_run(run_files(root)).corpora


def test_outputs_of_former_settings_are_listed_and_not_shown(
    tmp_path: Path, corpus: Corpus
) -> None:
    root = tmp_path / "run"
    spoken = add_system(root, corpus, "now")
    now = next((root / "scores").iterdir()).rename(root / "scores" / "now.jsonl")
    add_system(root, corpus, "former", n_units=8)
    former = next(p for p in (root / "scores").iterdir() if p != now)
    former.rename(root / "scores" / "former.jsonl")
    add_synthesis(root, spoken, "code2spec", "ana")
    spoken_scores = (root / "scores" / "resynthesis.jsonl").rename(root / "scores" / "c2s.jsonl")
    add_synthesis(root, spoken, "unit-means", "ana")
    for name in ("inverters/code2spec", "inverters/unit-means"):
        add_training(root, f"{name}.training")
    run = read_run(run_files(root, corpora=[corpus.home], present=[now, spoken_scores]))
    assert {score.system for score in run.scores} == {"now", "code2spec"}
    assert [units.n_units for units in run.units.values()] == [16]
    assert [synthesis.method for synthesis in run.syntheses] == ["code2spec"]
    assert [path.name for path in run.trainings] == ["code2spec.training"]
    assert {run.shown(source.path) for source in run.former} == {
        "units/former.parquet",
        "models/former",
        "inverters/unit-means",
        "inverters/unit-means.training",
        "wavs/unit-means",
        "scores/former.jsonl",
        "scores/resynthesis.jsonl",
    }
    assert read_run(run_files(root)).former == []


def test_systems_of_several_runs_are_named_after_them(tmp_path: Path, corpus: Corpus) -> None:
    for name in ("one", "two"):
        add_system(tmp_path / name, corpus, "km", n_units=8 if name == "one" else 16)
    run = read_run(run_files(tmp_path / "one", tmp_path / "two"))
    assert {score.system for score in run.scores} == {"one: km", "two: km"}
    assert {run.shown(source.path) for source in run.sources} >= {
        "one/units/km.parquet",
        "two/units/km.parquet",
    }


def several(root: Path, corpus: Corpus) -> Path:
    """A pipeline's run of two parts, with scores of its own of the parts' systems."""
    for way, n_units in (("forth", 8), ("back", 16)):
        add_system(root / "parts" / way, corpus, "km", n_units=n_units)
        (root / "scores").mkdir(exist_ok=True)
        shutil.copy(root / f"parts/{way}/scores/6.jsonl", root / f"scores/{way}.jsonl")
    (root / "config.yaml").write_text("{}\n")
    return root


def test_of_a_run_of_several_parts_each_system_is_shown_once(
    tmp_path: Path, corpus: Corpus
) -> None:
    """The parts' scores where its own page shows these, else its own: never both."""
    root, other = several(tmp_path / "run", corpus), tmp_path / "other"
    add_system(other, corpus, "km")
    parts = [root / "parts/forth", root / "parts/back"]
    assert len({*parts, *run_files(root).roots}) == 3  # it has no page that says what to show

    write_report(root / "report", run_files(*parts), n_examples=0, n_units=0)
    alone, beside = run_files(root), run_files(root, other)
    assert [*alone.roots] == parts
    systems = [score.system for score in read_run(alone).scores]
    assert {*systems} == {"forth: km", "back: km"}
    both = [score.system for score in read_run(beside).scores]
    assert {*both} == {"run/forth: km", "run/back: km", "other: km"}
    assert sorted(both) == sorted([f"run/{s}" for s in systems] + ["other: km"] * (len(both) // 3))
    assert [why for path, why in beside.passed_over if path == root] == [
        "only its parts/forth, parts/back, as on its own page"
    ]

    moved = root.rename(tmp_path / "moved")
    own = moved / "scores/forth.jsonl"
    files = run_files(moved / "scores", present=[own])
    write_report(moved / "report", files, n_examples=0, n_units=0)
    run = read_run(run_files(moved, other))
    assert {score.system for score in run.scores} == {"moved: km", "other: km"}
    assert [run.shown(source.path) for source in run.former] == ["moved/back.jsonl"]
    given = run_files(moved, present=[moved / "parts/forth/scores/6.jsonl"])
    assert given.roots == (moved,)  # what is asked for need not be in those folders


def test_parts_of_several_runs_have_names_that_set_them_apart(
    tmp_path: Path, corpus: Corpus
) -> None:
    roots = [several(tmp_path / name, corpus) / "parts/forth" for name in ("one", "two")]
    systems = {score.system for score in read_run(run_files(*roots)).scores}
    assert systems == {"one/parts/forth: km", "two/parts/forth: km"}
