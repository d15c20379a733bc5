"""Settings of pipelines that a shell would run if it got to see them: each is one inert argument.

Every setting of every config.yaml is given a marker that makes a file wherever it is taken for
shell text. The pipelines run whole, with a stand-in for `zerochain` that writes down how it was
called. A setting that can't be such a text has to be refused by its name.
"""

import ast
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from commands import run
from tones import phone_corpus
from zerochain.cli import checks
from zerochain.cli.run import check_texts
from zerochain.errors import InputError
from zerochain.formats.corpus import write_corpus
from zerochain.formats.phones import read_phones
from zerochain.machine import resource

PIPELINES = resource("pipelines")
SNAKEFILES = sorted(PIPELINES.glob("*/Snakefile"))
MADE = "made-by-a-marker"
STAND_IN = """\
#!{python} -SE
import json, os, sys
words = sys.argv[1:]
if words[:1] == ["-P"]:
    del words[0]
if words[:1] == ["-m"] and words[1:2] != ["zerochain"]:
    os.execv({python!r}, [{python!r}, *words])
with open({log!r}, "a") as stream:
    stream.write(json.dumps(words) + "\\n")
if words[0] == "-c":
    print(10)
inside = {{
    "demo": ["en/corpus.json", "en/utterances.parquet", "en/phones.parquet", "es/corpus.json",
             "es/utterances.parquet", "es/phones.parquet", "pairs.parquet"],
    "pictures": ["features.json", "index.parquet", "frames.npy"],
    "folder": ["corpus.json", "utterances.parquet"],
    "switching": ["corpus/corpus.json", "corpus/utterances.parquet", "corpus/phones.parquet",
                  "texts.txt"],
    "parallel": ["source/corpus.json", "source/utterances.parquet", "target/corpus.json",
                 "target/utterances.parquet", "pairs.parquet"],
    "report": ["index.html"],
}}
script = os.path.basename(words[0])
files = inside.get(words[2] if words[2] == "report" else words[3], []) if script == "-m" else []
for word in words:
    option, equals, path = word.partition("=")
    if option not in ("--out", "--tables", "--attention", "--scores", "--units-out") or not equals:
        continue
    is_file = path.endswith((".parquet", ".jsonl", ".txt"))
    os.makedirs(os.path.dirname(path) or "." if is_file else path, exist_ok=True)
    if script == "table.py":
        files = ["table.csv", "table.md", "speech.csv", "units.csv", "paper.md",
                 "tradeoff-mine.png", "tradeoff-mine.svg",
                 "tradeoff-mboshi.png", "tradeoff-mboshi.svg"]
    for name in [path] if is_file else [os.path.join(path, name) for name in files]:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "a").close()
"""


def marker(setting: str) -> str:
    """What would make a file if a shell, Snakemake or Python's format got hold of it."""
    return (
        f"<{setting}>'; touch {MADE}; ' $(touch {MADE}) `touch {MADE}` \" | touch {MADE} "
        f"& touch {MADE} \n touch {MADE} # {{x}} {{config}} {{{{y}}}} %s $HOME * ~ \\ é"
    )


def name_marker(setting: str) -> str:
    """The same, of what names of files are made of."""
    return f"x{setting}'; touch {MADE}; ' $(touch {MADE}) `touch {MADE}` \" é"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of what the steps of a pipeline were called with."""
    monkeypatch.chdir(tmp_path)
    folder, log = tmp_path / "in", tmp_path / "log.jsonl"
    folder.mkdir()
    python = folder / "python"
    python.write_text(STAND_IN.format(python=sys.executable, log=str(log)))
    python.chmod(0o755)
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.executable = {str(python)!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return log


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """A corpus whose folder, splits and speakers are markers."""
    folder = tmp_path / f"a {{b}}'; touch {MADE}; '$(touch {MADE})" / "mine"
    made = phone_corpus(folder)
    utterances = tuple(
        replace(u, split=marker(f"{u.split}_split"), speaker=u.speaker and marker("voice"))
        for u in made.utterances
    )
    write_corpus(
        folder, replace(made, utterances=utterances), read_phones(folder / "phones.parquet")
    )
    return str(folder)


def marked(config: dict[str, Any], *, but: dict[str, Any]) -> dict[str, Any]:
    """A pipeline's settings, each with a marker in it or as `but` says."""
    filled = {}
    for name, value in config.items():
        if name in but:
            filled[name] = but[name]
        elif isinstance(value, list):
            filled[name] = [marker(f"{name}{i}") for i in range(2)]
        else:
            assert not isinstance(value, dict), f"{name} is a table: say what to put in"
            filled[name] = marker(name)
    return filled


def options(setting: str, first: str = "") -> str:
    return f"{first} {shlex.quote(marker(setting))}".strip()


def chain(corpus: str) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "systems": [{"units": 4, "stride": 1}],
        "inverter": {"units": 4, "stride": 1},
        "inverters": {
            "one": options("inverters.one", "train"),
            name_marker("inverters"): options("inverters.two", "train-neural"),
        },
    }


def evaluate(corpus: str) -> dict[str, Any]:
    entry = {"fit": marker("corpora"), "test": marker("corpora"), "sentences": marker("sentences")}
    entry |= {f"{part}_split": marker(f"{part}_split") for part in ("test",)}
    entry |= {"fit_split": marker("train_split"), "shift_ms": marker("shift_ms")}
    return {
        "corpora": {marker("corpora"): corpus},
        "datasets": {"english": entry, "surprise": entry},
        "systems": {"a": options("systems.a", "kmeans"), "b": options("systems.b", "kmeans")},
        "changes": ["noise"],
        "submission": "a",
    }


def tradeoff(corpus: str) -> dict[str, Any]:
    split = {"fit_split": marker("train_split"), "test_split": marker("test_split")}
    here = {"fit": "here", "test": "here", "shift_ms": marker("shift_ms"), **split}
    copied = {"fit": "mboshi", "test": "mboshi", "fit_split": marker("fit"), "test_split": None}
    return {
        "copies": {"mboshi": corpus},
        "prepare": {"mboshi": options("prepare")},
        "corpora": {"here": corpus},
        "datasets": {"mine": here, "mboshi": copied},
        "systems": {
            "plain": {"method": marker("method")},
            "other": {"method": "kmeans", "options": options("systems.options")},
        },
        "defaults": {
            **{"options": options("defaults.options"), "features": "mfcc", "units": [4]},
            **{"strides": [1], "normalisations": ["speaker"], "penalties": [0]},
            **{"posteriors": marker("posteriors"), "threads": 1},
        },
        "references": [{"features": "mfcc", "normalisation": "none"}],
    }


def s2st(folder: str) -> dict[str, Any]:
    recordings = Path(folder).with_name("recordings")
    pairs = recordings / f"pairs {{p}} $(touch {MADE}).tsv"
    pairs.touch()
    return {
        **{"source": str(recordings), "target": str(recordings), "pairs": str(pairs)},
        "source_options": options("source_options"),
        "target_options": options("target_options"),
        **spoken_translations(),
    }


def spoken_translations() -> dict[str, Any]:
    return {
        **{
            "swap": False,
            "folds": 1,
            "fold": 0,
            "swapped": {},
        },  # anything else than numbers is refused
        "features": name_marker("features"),
        "unit_features": name_marker("unit_features"),
        "source_units": options("source_units", "kmeans"),
        "target_units": options("target_units", "kmeans"),
        "translators": {name_marker("translators"): options("translators.one")},
        "topline": options("topline"),
        "inverter": options("inverter", "train"),
        "recogniser": options("recogniser"),
    }


def demonstrated(folder: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(("source", "target", "pairs")),
        **{"source_options": "", "target_options": "", "pairs_columns": ["a", "b"]},
        **spoken_translations(),
    }


def pictured(folder: str) -> dict[str, Any]:
    pictures = Path(folder).with_name(f"pictures {{p}} $(touch {MADE})")
    pictures.mkdir()
    for name in ("features.json", "index.parquet", "frames.npy"):
        (pictures / name).touch()
    return {
        **{"corpus": folder, "pictures": str(pictures), "chain": options("chain")},
        "captioners": {name_marker("captioners"): options("captioners.one")},
        "options": options("options"),
    }


def pictured_demonstration(folder: str) -> dict[str, Any]:
    return {**pictured(folder), **dict.fromkeys(("corpus", "pictures"))}


def spoken_chain(folder: str) -> dict[str, Any]:
    return {
        "corpus": folder,
        "units": options("units", "kmeans"),
        "methods": {name_marker("methods"): options("methods.one")},
        "options": options("options"),
        "bound": options("bound"),
        "language_model": options("language_model"),
        "spoken": "paired",
        "speakers": options("speakers"),
    }


def mixed(folder: str) -> dict[str, Any]:
    texts = Path(folder).with_name(f"texts {{p}} $(touch {MADE}).txt")
    texts.touch()
    return {
        **{"corpus": folder, "texts": str(texts), "test_splits": [name_marker("test_splits")]},
        "methods": {name_marker("methods"): options("methods.one")},
        "options": options("options"),
        "speakers": options("speakers"),
    }


def mixed_demonstration(folder: str) -> dict[str, Any]:
    return {**mixed(folder), **dict.fromkeys(("corpus", "texts", "speakers"))}


JUDGES = {"judge", "outside_recogniser"}  # a switch, and one that needs texts
RUNS = {  # a pipeline, its settings, and those of them that the run has no use for
    "captions": ("captions", pictured, {"pairs"}),
    "captions-demo": ("captions", pictured_demonstration, set()),
    "chain": ("chain", chain, set()),
    "demo": ("demo", lambda corpus: {**chain(corpus), "corpus": "corpora/es"}, set()),
    "codeswitching": ("codeswitching", mixed, {"pairs", "unpaired", "tests", "valids", "voices"}),
    "codeswitching-demo": ("codeswitching", mixed_demonstration, set()),
    "evaluate": ("evaluate", evaluate, {"corpora", "sentences"}),  # a name of ours, and a switch
    "speechchain": ("speechchain", spoken_chain, {"pairs"}),
    "tradeoff": ("tradeoff", tradeoff, set()),
    "s2st": ("s2st", s2st, {"sentences", "topline", "recogniser", *JUDGES}),
    "s2st-demo": ("s2st", demonstrated, {"judge"}),
}
SWITCHES = {"abx", "auxiliary", "posteriors"}
"""Settings that are only asked whether they are true."""


def test_every_pipeline_is_tried() -> None:
    assert {pipeline for pipeline, *_ in RUNS.values()} == {s.parent.name for s in SNAKEFILES}


@pytest.mark.parametrize("name", RUNS)
def test_settings_are_inert_arguments(
    name: str,
    stand_in: Path,
    corpus: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    warm: None,
) -> None:
    unchecked = dict.fromkeys(checks.CHECKS, lambda *_: None)  # which would refuse most of them
    monkeypatch.setattr(checks, "CHECKS", unchecked)
    pipeline, but, without = RUNS[name]
    config = yaml.safe_load((PIPELINES / pipeline / "config.yaml").read_text(encoding="utf-8"))
    given = marked(config, but=but(corpus))
    recipe = Path("recipes", pipeline)  # its own settings, so that tables aren't joined with them
    recipe.mkdir(parents=True)
    for path in {*PIPELINES.iterdir(), *(PIPELINES / pipeline).iterdir()}:
        beside = path.parent == PIPELINES
        if path.name not in ("config.yaml", pipeline):
            (recipe.parent if beside else recipe).joinpath(path.name).symlink_to(path)
    (recipe / "config.yaml").write_text(yaml.safe_dump(given, allow_unicode=True))
    out = f"run {{r}} $(touch {MADE})"
    run("run", recipe, "--out", out, "--cores", 2)
    assert "(100%) done" in capfd.readouterr().err
    calls = [json.loads(line) for line in stand_in.read_text().splitlines()]
    assert not list(tmp_path.rglob(MADE))

    about = given["systems"]["a"] if pipeline == "evaluate" else out  # a text, in the submission
    known = sorted({*texts(given), out, about}, key=len, reverse=True)
    seen = set()
    for word in {word for call in calls for word in call}:
        rest = word
        for text in known:
            if text in rest:
                seen.add(text)
                rest = rest.replace(text, "")
        assert MADE not in rest, f"a marker was taken apart: {word!r}"
    unused = {re.match(r"<?\w+", text)[0].strip("<") for text in {*known} - seen - {out, about}}
    assert unused <= SWITCHES | without


def texts(value: Any) -> Iterator[str]:
    """Every marker in settings, as a command should get it: options are split into words."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str) and MADE in value:
        whole = value.startswith(("<", "x", "/"))
        yield from [value] if whole else [w for w in shlex.split(value) if MADE in w]


@pytest.fixture
def common() -> SimpleNamespace:
    """What the pipelines share, as a module."""
    names: dict[str, Any] = {"shell": SimpleNamespace(prefix=lambda text: None)}
    path = PIPELINES / "common.smk"
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
    return SimpleNamespace(**names)


BAD_NAMES = ["", "..", "../x", "a/b", "-x", ".x", "{x}", "a\nb", "a\0", None, 5, ["x"]]


@pytest.mark.parametrize("name", [*BAD_NAMES, marker("x")])
def test_names_that_leave_the_folder_are_refused(common: SimpleNamespace, name: object) -> None:
    with pytest.raises(SystemExit, match="Error: systems: "):
        common.in_paths("systems", [name])
    with pytest.raises(SystemExit, match="Error: systems: "):
        common.lowercase("systems", [name])
    assert not common.is_name(name)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4", None, marker("x"), [1]])
def test_what_is_no_number_is_refused(common: SimpleNamespace, value: object) -> None:
    with pytest.raises(SystemExit, match="Error: units is "):
        common.whole("units", value)


def test_a_path_is_no_option_and_an_option_no_path(common: SimpleNamespace) -> None:
    assert common.path("corpus", "-rf") == "./-rf"
    assert common.option("title", "") == ["--title="]
    assert common.option("title", None) == []
    for value in (None, "", 5, {"a": 1}):
        with pytest.raises(SystemExit, match="Error: corpus is "):
            common.path("corpus", value)
    with pytest.raises(SystemExit, match=r"Error: topline is .*No closing quotation"):
        common.words("topline", "--x 'y")


def test_a_path_with_braces_is_watched_through_a_link(
    common: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a {b}").mkdir()
    (tmp_path / "a {b}" / "c").touch()
    link = common.watched("a {b}")
    assert link == common.watched("a {b}") != common.watched("a {c}")
    assert "{" not in link
    assert (tmp_path / link / "c").exists()
    assert common.watched("a b") == "a b"


@pytest.mark.parametrize("snakefile", SNAKEFILES, ids=lambda path: path.parent.name)
def test_every_field_of_a_shell_line_is_quoted(snakefile: Path) -> None:
    lines = re.findall(
        r"^    shell:\n((?: {8}.*\n?)+)", snakefile.read_text(encoding="utf-8"), re.M
    )
    assert len(lines) == snakefile.read_text(encoding="utf-8").count("shell:")
    for line in lines:
        text = "".join(ast.literal_eval(part.strip()) for part in line.strip().splitlines())
        fields = [field for field in Formatter().parse(text) if field[1] is not None]
        assert fields
        assert [name for _, name, how, _ in fields if how != "q"] == []


def test_a_setting_that_no_argument_can_hold_is_refused(tmp_path: Path) -> None:
    for value in ("a\0b", "a\udcffb"):
        for settings in ({"title": value}, {"inverters": {value: "train"}}, {"systems": [value]}):
            with pytest.raises(InputError, match="can't be an argument of a program"):
                check_texts(settings)
    check_texts({"title": marker("title"), "seed": 3, "systems": [None, 1.5, True]})
