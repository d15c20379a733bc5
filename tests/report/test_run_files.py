from collections.abc import Callable
from pathlib import Path

import pytest

from runs import add_system, make_run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.kinds import KINDS
from zerochain.formats.phones import Phone, Phones, write_phones
from zerochain.report.run import _PARTS, RunFiles, read_run, run_files


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus(6)


def names(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_finds_everything_by_kind(tmp_path: Path, corpus: Corpus) -> None:
    root = make_run(tmp_path / "run", corpus)
    assert corpus.folder is not None
    files = run_files(root, [corpus.folder])
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
    assert {kind.name: kind for kind in KINDS if kind.name != "phones"} == {
        name: part.kind for name, part in _PARTS.items()
    }
    fields = {name for name in RunFiles.__dataclass_fields__ if name not in {"root", "passed_over"}}
    assert {part.field for part in _PARTS.values()} == fields


def test_a_corpus_inside_the_run_is_listed_once(tmp_path: Path, make_corpus: Callable) -> None:
    (tmp_path / "run").mkdir()
    corpus = make_corpus(3, name="run/corpus")
    add_system(tmp_path / "run", corpus, "km")
    assert len(run_files(tmp_path / "run").corpora) == 1
    assert len(run_files(tmp_path / "run", [corpus.folder]).corpora) == 1


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
