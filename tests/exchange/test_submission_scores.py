"""Submissions of ours, taken in again: they score as what they were made of."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from conftest import small_corpus
from zerochain.errors import InputError, ModelMismatchError
from zerochain.exchange import zerospeech
from zerochain.exchange.importing import import_units, import_zerospeech2019, import_zerospeech2021
from zerochain.exchange.submissions import Part, export_zerospeech2019, export_zerospeech2021
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import read_features, write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.scoring.abx import score_abx
from zerochain.scoring.units import score_bitrate

LINE = ["a", "b", "a", "c", "a", "b", "a", "c"]
STEP_MS = 20.0
ABOUT = {"author": "Ana", "affiliation": "Une École", "description": "K = 8: a test"}
Spoken = tuple[Corpus, Path, Path, Path]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    """A corpus with gold phones; units that know them a little, their model, posteriors."""
    root = tmp_path_factory.mktemp("spoken")
    corpus = small_corpus(root, 8, ("ana", "béa"), test_every=2)
    rng = np.random.default_rng(0)
    phones, units = {}, {}
    for u in corpus.utterances:
        width = u.duration / len(LINE)
        phones[u.id] = [Phone(i * width, (i + 1) * width, p) for i, p in enumerate(LINE)]
        middles = (np.arange(int(u.duration * 1000 / STEP_MS)) + 0.5) * STEP_MS / 1000
        encoded = np.array(["abc".find(LINE[int(t / width)]) for t in middles])
        noise = rng.integers(3, 8, len(encoded))
        units[u.id] = np.where(rng.random(len(encoded)) < 0.4, noise, encoded).astype(np.int32)
    corpus = write_corpus(root / "with-phones", corpus, Phones(phones, "gold"))
    speakers = {u.id: u.speaker for u in corpus.utterances}
    codebook = rng.normal(size=(8, 5)).astype(np.float32)
    model = write_bundle(root / "model", "kmeans", {}, {"codebook": codebook}, {})
    write_units(root / "u.parquet", UnitFile(units, 8, STEP_MS, model, "K = 8", speakers))
    with write_features(
        root / "posteriors", extractor="posteriors", options={}, step_ms=STEP_MS, corpus_id=""
    ) as writer:
        for name, line in units.items():
            raw = np.exp(np.eye(8)[line] * 2 + rng.normal(size=(len(line), 8)))
            writer.add(name, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32))
    return corpus, root / "u.parquet", root / "model", root / "posteriors"


def abx(source: Path, corpus: Corpus, **options: object) -> list[float]:
    assert corpus.folder is not None
    scored = score_abx(source, corpus.folder, jobs=1, **options)  # type: ignore[arg-type]
    return [score.value for score in scored.scores]


def rates(units: Path, corpus: Corpus) -> list[float]:
    assert corpus.folder is not None
    return [score.value for score in score_bitrate(units, corpus.folder).scores]


def test_code_vectors_score_as_the_units_do(spoken: Spoken, tmp_path: Path) -> None:
    corpus, units, model, _ = spoken
    out = tmp_path / "submission"
    export_zerospeech2019(
        out,
        {"english": Part(units, model), "surprise": Part(units)},
        distance="dtw_cosine",
        **ABOUT,
    )
    assert list(zerospeech.check_2019(out)) == []
    theirs = import_zerospeech2019(
        out, tmp_path / "in", "english", step_ms=STEP_MS, corpus=corpus.folder
    )
    assert (theirs.distance, theirs.missing) == ("dtw_cosine", ())
    features = read_features(tmp_path / "in" / "features")
    assert features.speakers["u1"] == "béa"
    # Twenty-odd pairs of codes are at distances of their own: no tie hides a difference.
    assert abx(tmp_path / "in" / "features", corpus) == abx(units, corpus, model=model)
    assert rates(tmp_path / "in" / "units.parquet", corpus) == pytest.approx(rates(units, corpus))

    import_zerospeech2019(out, tmp_path / "hot", "surprise", step_ms=STEP_MS)
    same_or_not = abx(units, corpus)
    assert abx(tmp_path / "hot" / "features", corpus) == same_or_not
    assert abx(tmp_path / "hot" / "units.parquet", corpus) == same_or_not


def test_posteriors_score_as_they_did(spoken: Spoken, tmp_path: Path) -> None:
    corpus, _, _, posteriors = spoken
    out = tmp_path / "submission"
    export_zerospeech2019(out, {"english": Part(posteriors)}, distance="dtw_kl", **ABOUT)
    assert [str(v) for v in zerospeech.check_2019(out)] == ["2019/surprise: is missing"]
    import_zerospeech2019(out, tmp_path / "in", "english", step_ms=STEP_MS, corpus=corpus.folder)
    back, whole = read_features(tmp_path / "in" / "features"), read_features(posteriors)
    assert all(np.array_equal(back[name], whole[name]) for name in whole.ids)
    theirs = abx(tmp_path / "in" / "features", corpus, distance="kl")
    assert theirs == abx(posteriors, corpus, distance="kl")
    units = read_units(tmp_path / "in" / "units.parquet")
    assert units.n_units == len(whole.frames)  # every line is another symbol


def test_the_bit_rate_is_the_challenge_s_own(spoken: Spoken, tmp_path: Path) -> None:
    """Read as the challenge does: a symbol is the tuple of a line's numbers."""
    corpus, units, model, _ = spoken
    export_zerospeech2019(
        tmp_path / "s", {"english": Part(units, model)}, distance="dtw_cosine", **ABOUT
    )
    counts: Counter[tuple[float, ...]] = Counter()
    folder = zerospeech.language_folder(tmp_path / "s", "english")
    for u in corpus.utterances:
        lines = (folder / f"{u.id}.txt").read_text().split("\n")[:-1]
        counts.update(tuple(float(word) for word in line.split(" ")) for line in lines)
    n = counts.total()
    entropy = -math.fsum(c / n * math.log2(c / n) for c in counts.values())
    expected = n / corpus.duration * entropy
    import_zerospeech2019(tmp_path / "s", tmp_path / "in", "english", step_ms=STEP_MS)
    assert rates(tmp_path / "in" / "units.parquet", corpus)[0] == pytest.approx(expected, rel=1e-12)
    assert rates(units, corpus)[0] == pytest.approx(expected, rel=1e-12)


def test_segments_are_written_per_step_or_per_line(spoken: Spoken, tmp_path: Path) -> None:
    corpus, units, model, _ = spoken
    given = read_units(units)
    merged = {name: given.segments(name) for name in given.ids}
    segments = replace(
        given,
        units={name: m[0] for name, m in merged.items()},
        durations={name: m[1] for name, m in merged.items()},
    )
    write_units(tmp_path / "segments.parquet", segments)
    part = {"english": Part(tmp_path / "segments.parquet", model)}
    export_zerospeech2019(tmp_path / "steps", part, distance="dtw_cosine", **ABOUT)
    import_zerospeech2019(tmp_path / "steps", tmp_path / "a", "english", step_ms=STEP_MS)
    assert abx(tmp_path / "a" / "features", corpus) == abx(units, corpus, model=model)

    export_zerospeech2019(tmp_path / "units", part, distance="dtw_cosine", lines="unit", **ABOUT)
    with pytest.raises(InputError, match="fix: give the right step_ms=; spread=True"):
        import_zerospeech2019(
            tmp_path / "units", tmp_path / "b", "english", step_ms=STEP_MS, corpus=corpus.folder
        )
    assert not any((tmp_path / "b").iterdir())
    import_zerospeech2019(
        tmp_path / "units", tmp_path / "b", "english", spread=True, corpus=corpus.folder
    )
    back = read_units(tmp_path / "b" / "units.parquet")
    assert rates(tmp_path / "b" / "units.parquet", corpus)[0] == pytest.approx(
        rates(tmp_path / "segments.parquet", corpus)[0]
    )
    assert back.durations is not None
    for u in corpus.utterances:
        durations = back.durations[u.id]
        assert durations.max() - durations.min() <= 1
        assert back.duration_s(u.id) == pytest.approx(u.duration, abs=0.005)
    features = read_features(tmp_path / "b" / "features")
    assert features.index["u0"][1] == back.durations["u0"].sum()


def test_a_subset_of_2021(spoken: Spoken, tmp_path: Path) -> None:
    corpus, units, model, posteriors = spoken
    out = tmp_path / "submission"
    parts = {"dev-clean": Part(units, model), "dev-other": Part(posteriors)}
    about = {**ABOUT, "train_set": "none", "metric": "cosine"}
    export_zerospeech2021(out, parts, **about)
    assert list(zerospeech.check_2021(out, subsets=["dev-clean", "dev-other"])) == []
    meta = yaml.safe_load((out / "meta.yaml").read_text(encoding="utf-8"))
    assert meta["parameters"]["phonetic"] == {"metric": "cosine", "frame_shift": 0.02}
    theirs = import_zerospeech2021(out, tmp_path / "in", "dev-clean", corpus=corpus.folder)
    assert theirs.unit_file.step_ms == STEP_MS
    assert abx(tmp_path / "in" / "features", corpus) == abx(units, corpus, model=model)
    (out / "meta.yaml").write_text("author: x\n")
    with pytest.raises(InputError, match="gives no frame_shift"):
        import_zerospeech2021(out, tmp_path / "in2", "dev-clean")


def test_speech_and_code_go_in(spoken: Spoken, tmp_path: Path) -> None:
    corpus, units, model, _ = spoken
    wavs, code = Path(corpus.audio_root), tmp_path / "code"
    code.mkdir()
    (code / "run.py").write_text("pass\n")
    out = tmp_path / "submission"
    part = Part(units, model, wavs)
    export_zerospeech2019(
        out, {"english": part, "surprise": part}, distance="levenshtein", code=code, **ABOUT
    )
    expected = {f"{name}.{kind}" for name in corpus.ids for kind in ("txt", "wav")}
    assert list(zerospeech.check_2019(out, {"english": expected})) == []
    assert (out / "2019" / "code" / "run.py").read_text() == "pass\n"
    with pytest.raises(InputError, match="is there already, and a submission is never overwritten"):
        export_zerospeech2019(out, {"english": part}, distance="levenshtein", **ABOUT)


def test_ids_lose_their_folders_only_where_it_is_asked_for(spoken: Spoken, tmp_path: Path) -> None:
    _, units, _, _ = spoken
    given = read_units(units)
    corpus = Corpus("deep", tuple(Utterance(f"d/{n}", "a.wav", 1.2) for n in ("u0", "v")))
    write_corpus(tmp_path / "deep", corpus)
    deep = replace(given, units={"d/u0": given.units["u0"]}, speakers={})
    write_units(tmp_path / "deep.parquet", deep)
    out = tmp_path / "s"
    part = Part(tmp_path / "deep.parquet", folders=False)
    export_zerospeech2019(out, {"english": part}, distance="dtw_cosine", **ABOUT)
    assert (zerospeech.language_folder(out, "english") / "u0.txt").exists()

    def take(folders: bool) -> list[str]:
        options = {"step_ms": STEP_MS, "corpus": tmp_path / "deep", "folders": folders}
        return import_zerospeech2019(out, tmp_path / "in", "english", **options).unit_file.ids

    assert take(folders=False) == ["d/u0"]
    with pytest.raises(InputError, match="missing in the corpus deep: u0"):
        take(folders=True)
    write_units(
        tmp_path / "two.parquet",
        replace(deep, units=dict.fromkeys(("d/u0", "e/u0"), given.units["u0"])),
    )
    part = Part(tmp_path / "two.parquet", folders=False)
    with pytest.raises(
        InputError, match=r"'d/u0' and 'e/u0' of the file two.parquet have the same last part"
    ):
        export_zerospeech2019(tmp_path / "t", {"english": part}, distance="dtw_cosine", **ABOUT)


def test_what_cannot_be_exported(spoken: Spoken, tmp_path: Path) -> None:
    _, units, model, posteriors = spoken
    out = tmp_path / "out"

    def export(part: Part) -> None:
        export_zerospeech2019(out, {"english": part}, distance="dtw_cosine", **ABOUT)

    other = tmp_path / "other"
    write_bundle(other, "kmeans", {}, {"codebook": np.ones((8, 2), np.float32)}, {})
    with pytest.raises(ModelMismatchError):
        export(Part(units, other))
    with pytest.raises(InputError, match="these are features"):
        export(Part(posteriors, model))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="0 of 0 wavs"):
        export(Part(units, model, tmp_path / "empty"))
    given = read_units(units)
    equal = write_bundle(tmp_path / "equal", "kmeans", {}, {"codebook": np.ones((8, 2))}, {})
    write_units(tmp_path / "e.parquet", replace(given, model_id=equal))
    with pytest.raises(InputError, match="8 units have only 1 different vector"):
        export(Part(tmp_path / "e.parquet", tmp_path / "equal"))
    write_units(
        tmp_path / "n.parquet", replace(given, units={"x/u": given.units["u0"]}, speakers={})
    )
    with pytest.raises(InputError, match="folders in 1 id, and a submission has none: x/u"):
        export(Part(tmp_path / "n.parquet", model))
    assert not out.exists()


def test_what_cannot_be_imported(spoken: Spoken, tmp_path: Path) -> None:
    corpus, units, _, _ = spoken
    root = tmp_path / "s"
    export_zerospeech2019(root, {"english": Part(units)}, distance="dtw_cosine", **ABOUT)

    def take(**options: object) -> None:
        options = {"step_ms": STEP_MS, **options}
        import_zerospeech2019(root, tmp_path / "in", "english", **options)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="how long a line lasts"):
        take(step_ms=None)
    with pytest.raises(InputError, match="give corpus="):
        take(step_ms=None, spread=True)
    with pytest.raises(InputError, match=r"lacks 1 file of the list: zz.txt"):
        take(only={"u0.txt", "zz.txt", "zz.wav"})
    with pytest.raises(InputError, match="units of another length"):
        take(step_ms=2 * STEP_MS, corpus=corpus.folder)
    with pytest.raises(InputError, match="no such folder"):
        import_zerospeech2019(root, tmp_path / "in", "surprise", step_ms=STEP_MS)
    folder = zerospeech.language_folder(root, "english")
    (folder / "zz.txt").write_text("1 2\n")
    with pytest.raises(InputError, match=r"1 of 9 ids of the files in .* missing .*: zz"):
        take(corpus=corpus.folder)
    with pytest.raises(InputError, match=r"zz.txt: has 2 numbers per line, and 'u0' has 8"):
        take()
    (folder / "zz.txt").write_text("1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 nan\n")
    with pytest.raises(InputError, match=r"zz.txt:2: holds NaN"):
        take()
    assert not (tmp_path / "in" / "units.parquet").exists()
    (folder / "zz.txt").unlink()
    take(only={"u0.txt"})
    assert read_units(tmp_path / "in" / "units.parquet").ids == ["u0"]


@pytest.mark.parametrize("linked", ["2019", "2019/english", "2019/english/test", "x.txt"])
def test_a_submission_is_read_no_further_than_its_folder(tmp_path: Path, linked: str) -> None:
    theirs, elsewhere = tmp_path / "theirs", tmp_path / "elsewhere"
    folder = zerospeech.language_folder(theirs, "english")
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text("1 2\n")
    place = folder / linked if linked.endswith(".txt") else theirs / linked
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"x\.txt: is a link out of the submission"):
        import_zerospeech2019(theirs, tmp_path / "out", "english", step_ms=10)
    assert not (tmp_path / "out").exists()


def test_equal_numbers_are_one_unit_however_they_are_written(tmp_path: Path) -> None:
    folder = zerospeech.language_folder(tmp_path, "english")
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("0 1\n-0.0 1.00\n1e0 1\n0 1.0000000000000002\n")
    made = import_zerospeech2019(tmp_path, tmp_path / "in", "english", step_ms=10)
    # As float64, which the challenge reads: the last line's 1 is another number than 1.
    assert made.unit_file.units["a"].tolist() == [0, 0, 1, 2]


def test_units_of_other_programs(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(2)
    path, out = tmp_path / "u.txt", tmp_path / "u.parquet"
    steps = [int(u.duration * 50) for u in corpus.utterances]
    path.write_text("".join(f"d/u{i}.wav|{'3 ' * n}\n" for i, n in enumerate(steps)))
    names = {"folders": False, "suffix": ".wav"}
    made, missing, _ = import_units(path, out, "fairseq", step_ms=20, corpus=corpus.folder, **names)
    back = read_units(out)
    assert (back.n_units, back.ids, back.speakers) == (4, ["u0", "u1"], made.speakers)
    assert missing == ()
    assert back.speakers == {"u0": "ana", "u1": "béa"}
    with pytest.raises(InputError, match=r"of another length .*\n.*repeats were merged"):
        import_units(path, out, "fairseq", step_ms=10, corpus=corpus.folder, **names)
    with pytest.raises(InputError, match=r"ids of the files in .* are missing"):
        import_units(path, out, "fairseq", step_ms=20, corpus=corpus.folder)
    with pytest.raises(InputError, match=r"outside 0 … 1"):
        import_units(path, out, "fairseq", step_ms=20, n_units=2)


def test_units_in_a_file_for_each_utterance(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(4)  # u2 is of another split
    n = [int(u.duration * 50) for u in corpus.utterances]
    folder, out = tmp_path / "hubert", tmp_path / "u.parquet"
    folder.mkdir()
    (folder / "u0.txt").write_text(" ".join(["3"] * n[0]))
    np.save(folder / "u1.npy", np.full(n[1], 7, np.int64))
    (folder / "log.json").write_text("{}")
    made, missing, others = import_units(folder, out, "files", step_ms=20, corpus=corpus.folder)
    assert {name: set(line) for name, line in made.units.items()} == {"u0": {3}, "u1": {7}}
    assert (missing, others, made.method) == (("u3",), {".json": 1}, "imported hubert")
    (folder / "u0.txt").write_text("3\n" * n[0])  # one in each line is the same
    again = import_units(folder, out, "files", step_ms=20).unit_file
    assert again.model_id == made.model_id
    assert again.units["u0"].tolist() == [3] * n[0]
    for text, said in (
        ("0 1\n1 0\n", "2 lines with several numbers each"),
        ("0.5", "'0.5' is not a unit"),
        ("", "has no units"),
    ):
        (folder / "u0.txt").write_text(text)
        with pytest.raises(InputError, match=f"u0.txt: .*{said}"):
            import_units(folder, out, "files", step_ms=20)
    (folder / "u0.txt").unlink()
    for array in (np.zeros((2, 3), int), np.array([-1]), np.array([0.0])):
        np.save(folder / "u1.npy", array)
        with pytest.raises(InputError, match=r"u1.npy: holds .* not units"):
            import_units(folder, out, "files", step_ms=20)
    with pytest.raises(InputError, match="is a folder, not a file of 'jsonl'"):
        import_units(folder, out, "jsonl", step_ms=20)
    with pytest.raises(InputError, match="is a file, not a folder"):
        import_units(out, out, "files", step_ms=20)
