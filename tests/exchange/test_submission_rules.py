import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import yaml

from zerochain.exchange import zerospeech

TOP = {"author": "Ana", "affiliation": "Une École", "open source": True}
SYSTEM = {
    "abx distance": "dtw_cosine",
    "system description": "K-Means",
    "using parallel train": False,
    "using external data": False,
}
META = {
    "author": "Ana",
    "affiliation": "Une École",
    "description": "K-Means",
    "open_source": False,
    "train_set": "LibriSpeech",
    "gpu_budget": 0.0,
    "parameters": {
        "phonetic": {"metric": "cosine", "frame_shift": 0.01},
        "semantic": {"metric": "cosine", "pooling": "mean"},
    },
}


def dump(path: Path, values: object) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_wav(path: Path, n_samples: int = 160) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(b"\0\0" * n_samples)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A submission to the challenge of 2019 without a fault."""
    root = tmp_path / "old"
    (root / "2019" / "code").mkdir(parents=True)
    (root / "2019" / "code" / "run.py").write_text("pass\n")
    dump(root / "metadata.yaml", TOP)
    dump(root / "2019" / "metadata.yaml", SYSTEM)
    for language in zerospeech.LANGUAGES:
        folder = zerospeech.language_folder(root, language)
        folder.mkdir(parents=True)
        for name in ("a", "bé"):
            (folder / f"{name}.txt").write_text("0.5 1\n-1e-3 2\n")
        write_wav(folder / "a.wav")
    return root


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """The same of 2021, its phonetic part."""
    root = tmp_path / "new"
    for subset in zerospeech.SUBSETS:
        folder = zerospeech.subset_folder(root, subset)
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("0.5  1\n1 2\n")
    dump(root / "meta.yaml", META)
    return root


def found(root: Path, **options: object) -> list[str]:
    check = zerospeech.check_2019 if (root / "2019").exists() else zerospeech.check_2021
    return [str(violation) for violation in check(root, **options)]


def test_submissions_without_a_fault(old: Path, new: Path) -> None:
    assert found(old) == []
    assert found(old, expected={"english": {"a.txt", "bé.txt", "a.wav"}}) == []
    assert found(new) == []
    assert found(new, expected={"dev-clean": {"a.txt"}}) == []


VECTORS = "2019/english/test/a.txt"


@pytest.mark.parametrize(
    ("path", "text", "violations"),
    [
        (VECTORS, "", [f"{VECTORS}: is empty"]),
        (
            VECTORS,
            "1 2\nx 2\n\n1 NaN\n1 2 3\n1  2\n",
            [
                f"{VECTORS}:2: holds 'x', which is not a number",
                f"{VECTORS}:3: is blank",
                f"{VECTORS}:4: holds NaN or infinity",
                f"{VECTORS}:5: has 3 numbers, the lines before it 2",
                f"{VECTORS}:6: has something other than one space between its numbers",
            ],
        ),
        (VECTORS, "1\n2\n", [f"{VECTORS}:1: has one number per line, which", "bé.txt:1: has 2"]),
        (
            "2019/surprise/test/bé.txt",
            "1 2 3\n",
            ["2019/surprise/test/bé.txt:1: has 3 numbers per line, 2019/surprise/test/a.txt has 2"],
        ),
        ("2019/english/test/a.wav", "RIFF", ["a.wav: is not a WAV file"]),
        ("2019/english/test/a.mp3", "", ["a.mp3: may not be there"]),
        ("2019/notes.txt", "", ["2019/notes.txt: may not be there"]),
        ("2019/english/x", "", ["2019/english/x: may not be there"]),
        (".hidden", "", [".hidden: may not be there"]),
        ("metadata.yaml", "", ["metadata.yaml: the file is not a table of entries"]),
        ("metadata.yaml", "author: [", ["metadata.yaml:1: is not YAML"]),
        ("metadata.yaml", "[" * 3000, ["metadata.yaml: is not YAML"]),
        (
            "metadata.yaml",
            "author: ''\naffiliation: 3\n# x\nopen source: 'yes'\nteam: x\nauthor: b\n",
            [
                "metadata.yaml:1: entry 'author' is '', not a text that isn't empty",
                "metadata.yaml:2: entry 'affiliation' is 3, not a text",
                "metadata.yaml:4: entry 'open source' is 'yes', not true or false",
                "metadata.yaml:5: entry 'team' is not allowed",
                "metadata.yaml:6: entry 'author' is there twice",
            ],
        ),
        (
            "metadata.yaml",
            "author: !!python/object/apply:os.system [ls]\naffiliation: b\nopen source: true\n",
            ["metadata.yaml:1: is not YAML: could not determine a constructor"],
        ),
        (
            "2019/metadata.yaml",
            "abx distance: cosine\nsystem description: \nusing parallel train: no\n",
            [
                "2019/metadata.yaml:1: entry 'abx distance' is 'cosine', not one of dtw_cosine",
                "2019/metadata.yaml:2: entry 'system description' is empty",
                "2019/metadata.yaml: entry 'using external data' is missing",
            ],
        ),
    ],
)
def test_every_fault_of_a_file(old: Path, path: str, text: str, violations: list[str]) -> None:
    (old / path).write_text(text, encoding="utf-8")
    lines = found(old)
    assert len(lines) == len(violations), lines
    for line, violation in zip(lines, violations, strict=True):
        assert violation in line


@pytest.mark.parametrize(
    "path", ["metadata.yaml", "2019/metadata.yaml", "2019/surprise/test/", "2019/surprise/"]
)
def test_what_is_missing(old: Path, path: str) -> None:
    (old / path).rename(old.parent / "elsewhere")
    assert [line for line in found(old) if "open source" not in line] == [
        f"{path.rstrip('/')}: is missing"
    ]


def test_what_is_expected_and_not_there(old: Path, new: Path) -> None:
    assert found(old, expected={"english": {"a.txt", "a.wav", "c.txt", "c.wav"}}) == [
        "2019/english/test/c.txt: is missing",
        "2019/english/test/c.wav: is missing",
    ]
    assert found(new, expected={"dev-clean": {"b.txt"}}) == [
        "phonetic/dev-clean/b.txt: is missing",
        "phonetic/dev-clean/a.txt: belongs to no recording of the data set",
    ]


def test_code_and_open_source_go_together(old: Path) -> None:
    dump(old / "metadata.yaml", {**TOP, "open source": False})
    assert found(old) == ["2019/code: is not empty, and metadata.yaml says not open source"]
    (old / "2019" / "code" / "run.py").unlink()
    assert found(old) == []
    dump(old / "metadata.yaml", TOP)
    assert found(old) == ["2019/code: is missing or empty, and metadata.yaml says open source"]


def test_auxiliary_embeddings_are_of_both_languages_and_described(old: Path) -> None:
    for language in ("english", "surprise"):
        folder = old / "2019" / language / "auxiliary_embedding1"
        folder.mkdir()
        (folder / "a.txt").write_text("1 2 3\n")
    assert found(old) == ["2019/metadata.yaml: entry 'auxiliary1 description' is missing"]
    dump(old / "2019" / "metadata.yaml", {**SYSTEM, "auxiliary1 description": "before codes"})
    assert found(old) == []
    expected = {"english": {"a.txt", "a.wav", "bé.txt"}}
    assert found(old, expected=expected) == ["2019/english/auxiliary_embedding1/bé.txt: is missing"]
    folder.rename(folder.with_name("auxiliary_embedding2"))
    assert found(old) == [
        "2019/metadata.yaml: entry 'auxiliary2 description' is missing",
        "2019/english/auxiliary_embedding2: is missing",
        "2019/surprise/auxiliary_embedding1: is missing",
    ]


def test_numbers_below_zero_have_no_kl(old: Path, new: Path) -> None:
    dump(old / "2019" / "metadata.yaml", {**SYSTEM, "abx distance": "dtw_kl"})
    lines = found(old)
    assert len(lines) == 4
    assert lines[0].startswith(f"{VECTORS}:2: holds a number below zero")


def test_links_out_of_the_submission_are_not_followed(old: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("password\n")
    target = old / VECTORS
    target.unlink()
    target.symlink_to(tmp_path / "secret.txt")
    assert found(old) == [f"{VECTORS}: is a link out of the submission"]


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"gpu_budget": 0}, "meta.yaml:6: entry 'gpu_budget' is 0, not a number like 1.0"),
        ({"parameters": 3}, "meta.yaml:7: parameters/ is not a table of entries"),
        ({"train_set": None}, "meta.yaml:5: entry 'train_set' is empty"),
    ],
)
def test_meta_yaml(new: Path, change: dict[str, object], violation: str) -> None:
    dump(new / "meta.yaml", {**META, **change})
    assert found(new) == [violation]


def test_parameters_of_meta_yaml(new: Path) -> None:
    parameters = {"phonetic": {"metric": "angular", "frame_shift": 10.0, "size": 1}}
    dump(new / "meta.yaml", {**META, "parameters": parameters})
    lines = found(new)
    assert "meta.yaml:9: entry 'parameters/phonetic/metric' is 'angular', not one of" in lines[0]
    assert lines[1:] == [
        "meta.yaml:11: entry 'parameters/phonetic/size' is not allowed",
        "meta.yaml: entry 'parameters/semantic' is missing",
        "meta.yaml: entry 'parameters/phonetic/frame_shift' is 10.0, not a number of seconds "
        "between 0 and 1",
    ]


def test_frames_of_2021(new: Path) -> None:
    (new / "phonetic" / "dev-clean" / "a.txt").write_text("1 2\n")
    (new / "phonetic" / "dev-other" / "a.txt").write_text("1\n2\n")
    (new / "phonetic" / "test-clean" / "a.txt").unlink()
    (new / "phonetic" / "train").mkdir()
    assert found(new) == [
        "phonetic/train: may not be there",
        "phonetic/dev-clean/a.txt: has 1 line, and the challenge reads 2 or more",
        "phonetic/dev-other/a.txt:1: has one number per line, which the challenge doesn't read",
        "phonetic/test-clean: holds no .txt file",
    ]
    (new / "phonetic" / "train").rmdir()
    (new / "phonetic" / "test-clean").rmdir()
    assert "phonetic/test-clean: is missing" in found(new)
    assert "test-clean" not in " ".join(found(new, subsets=["dev-clean"]))


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """A submission to the benchmark abxLS without a fault, as its toolkit makes the templates."""
    root = tmp_path / "today"
    for subset in zerospeech.SUBSETS:
        (root / subset).mkdir(parents=True)
        np.save(root / subset / "a.npy", np.ones((2, 3)))
    (root / "scores").mkdir()
    about = {"system_description": "K-Means", "train_set": "LibriSpeech", "gpu_budget": 0}
    paper = {"authors": "Ana", "institution": "Une École", "publication_year": 2026, "team": None}
    meta = {"username": "ana", "benchmark_name": "abxLS", "model_info": about, "open_source": True}
    dump(root / "meta.yaml", {**meta, "publication": paper, "code_url": "https://x.y"})
    dump(root / "params.yaml", {
        "quiet": False, "feature_size": 0.01, "cuda": True, "speaker_mode": "all",
        "context": "all", "distance_mode": "cosine", "max_size_group": 10, "max_x_across": 5,
        "seed": 3459, "score_file_type": ".npy", "result_filename": "score_all_phonetic",
    })  # fmt: skip
    return root


def test_the_layout_of_today(today: Path) -> None:
    assert zerospeech.is_abxls(today)
    names = {"dev-clean": {"a.txt"}}
    assert list(zerospeech.check_2021(today, names)) == []
    assert list(zerospeech.check_2021(today, names, subsets=["dev-clean"])) == []

    def broken() -> list[str]:
        return [
            str(violation)
            for violation in zerospeech.check_2021(today, names, subsets=["dev-clean"])
        ]

    folder = today / "dev-clean"
    np.save(folder / "a.npy", np.ones((2, 3), np.float32))
    assert broken() == [
        "dev-clean/a.npy: holds float32 of shape (2, 3), not float64 of shape (T, D)"
    ]
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)
    assert "dev-clean/a.npy: is not a readable .npy file" in broken()[0]
    np.save(folder / "a.npy", np.array([[1.0, -1], [np.nan, 1]]))
    assert broken() == ["dev-clean/a.npy: holds NaN or infinity"]
    np.save(folder / "a.npy", np.ones((1, 3)))
    np.save(folder / "b.npy", np.ones((2, 2)))
    (folder / "c.txt").write_text("1 2\n")
    assert broken() == [
        "dev-clean/a.npy: has 1 frame, and the benchmark wants 2 or more",
        "dev-clean/b.npy: belongs to no recording of the data set",
        "dev-clean/c.txt: may not be there",
    ]
    names.clear()
    (folder / "c.txt").unlink()
    np.save(folder / "a.npy", -np.ones((2, 3)))
    assert broken() == ["dev-clean/b.npy: has 2 numbers per frame, dev-clean/a.npy has 3"]
    (folder / "b.npy").unlink()
    dump(today / "params.yaml", {"feature_size": 0.01, "distance_mode": "kl"})
    assert "no KL divergence (distance_mode is kl)" in broken()[0]
    dump(today / "params.yaml", {"feature_size": 10.0, "distance_mode": "euclidean", "x": 1})
    assert broken() == [
        "params.yaml:2: entry 'distance_mode' is 'euclidean', not one of euclidian, cosine, kl, "
        "kl_symmetric",
        "params.yaml:3: entry 'x' is not allowed",
        "params.yaml: entry 'feature_size' is 10.0, not a number of seconds between 0 and 1",
    ]
    dump(today / "params.yaml", {
        "feature_size": 0.01, "distance_mode": "cosine", "score_file_type": ".txt"
    })  # fmt: skip
    for subset in zerospeech.SUBSETS[1:]:
        shutil.rmtree(today / subset)
    (folder / "a.npy").unlink()
    (folder / "a.txt").write_text("1 2\n3 x\n")
    assert broken() == ["dev-clean/a.txt:2: holds 'x', which is not a number"]
    (folder / "a.txt").write_text("1 2\n3 4\n")
    (today / "meta.yaml").write_text("benchmark_name: sLM21\npublication: {}\n")
    assert broken()[:2] == [
        "meta.yaml:1: entry 'benchmark_name' is 'sLM21', not one of abxLS, test-abxLS",
        "meta.yaml: entry 'publication/authors' is missing",
    ]
