"""From two folders of recordings and a pairs table to translated speech, and on to a recording."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import jobs, leftovers, run, settings
from conftest import voice
from zerochain.formats.attention import read_attention
from zerochain.formats.corpus import read_corpus, write_corpus
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import read_scores
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.units import read_units

pytestmark = pytest.mark.usefixtures("warm")
N = 10
SMALL = "--width 16 --heads 2 --encoder-layers 1 --decoder-layers 1 --steps 4 --validate-every 2"
SETTINGS = {
    "source_options": "--speaker-from name:ana",
    "target_options": "--speaker-from name:béa",
    "pairs_columns": "[ours, theirs]",
    "source_units": "kmeans --units 6 --stride 2",
    "target_units": "kmeans --units 8 --stride 2 --penalty 0.5",
    "translators.conformer": SMALL,
    "inverter": "train --method unit-means --prosody-steps 4",
    "beam": 2,
    "judge": "none",
    "examples": 1,
}


def record(folder: Path, seed: int, pitch: float) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(N):
        soundfile.write(folder / f"é{i}.wav", voice(rng, 0.8 + 0.05 * i, pitch), 16_000)
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    root = tmp_path_factory.mktemp("s2st") / "my world"
    source, target = record(root / "en", 0, 120), record(root / "es", 1, 180)
    lines = ["ours\ttheirs", *(f"é{i}\té{i}" for i in range(N))]
    (root / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    return {"source": source, "target": target, "pairs": root / "pairs.tsv", **SETTINGS}


@pytest.fixture(scope="module")
def made(given: dict[str, object], warm_interpreter: str) -> Path:
    out = Path(str(given["pairs"])).parent / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", warm_interpreter)
        done = run("run", "s2st", "--out", out, "--cores", 1, *settings(given))
    assert "Done: " in done.stdout
    return out


def test_the_whole_way(made: Path) -> None:
    source, target = (read_corpus(made / "parallel" / side) for side in ("source", "target"))
    pairs = read_pairs(made / "parallel" / "pairs.parquet", source, target)
    tests = [u.id for u in source.utterances if u.split == "test"]
    assert (len(pairs.pairs), len(tests)) == (N, N // 5)
    assert [u.id for u in target.utterances if u.split == "test"] == tests
    references = read_units(made / "units" / "target.parquet")
    for system in ("conformer", "nearest", "spliced", "frequent"):
        said = read_units(made / "translations" / f"{system}.parquet")
        assert said.is_translation
        assert sorted(said.ids) == tests
        assert said.model_id == references.model_id
        scores = {s.metric for s in read_scores(made / "scores" / f"translation-{system}.jsonl")}
        assert {"unit_bleu", "unit_bleu_floor", "retrieval_mrr"} <= scores
        if system != "frequent":
            spoken = read_synthesis(made / "wavs" / system)
            assert spoken.units_id == said.id
            assert spoken.is_translation
    assert read_synthesis(made / "wavs" / "references").corpus_id == target.id
    said = read_units(made / "translations" / "conformer.parquet")
    assert read_attention(made / "attention" / "conformer").units_id == said.id
    assert not (made / "recogniser").exists()  # there is no text
    page = (made / "report" / "index.html").read_text(encoding="utf-8")
    for part in ("Source, reference, translation", "attention of conformer", "baseline: nearest"):
        assert part in page
    players = page.partition('id="translated"')[2].partition('id="examples"')[0].count("<audio")
    assert players == 6  # source, reference, its units, conformer, nearest, spliced
    assert not leftovers(made)


def test_the_other_way_round_and_other_folds(
    made: Path, given: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    def planned(values: dict[str, object]) -> dict[str, int]:
        run("run", "s2st", "--out", made, *settings({**given, **values}), "--", "--dry-run")
        return jobs(capfd.readouterr().out)

    assert planned({}) == {}
    swapped = planned({"swap": "true"})
    assert (swapped["parallel"], swapped["train"], swapped["invert"]) == (1, 1, 1)
    assert "import_recordings" not in swapped
    units = planned({"inverter": "null", "folds": 5, "fold": 1})
    assert (units["parallel"], units["train"], units["score_translation"]) == (1, 1, 4)
    assert not {"invert", "synthesize"} & set(units)
    judged = planned({"judge": "dnsmos"})
    assert judged["score_opinions"] == 5  # conformer, nearest, spliced, references and real speech
    every = planned({"folds": 5})
    assert (every["part"], every["score_folds"]) == (5, 4)  # with the three baselines
    both = planned({"swap": "both"})
    assert (both["part"], both["score_direction"]) == (2, 8)
    everything = planned({"swap": "both", "folds": 3})
    assert (everything["part"], everything["score_folds"]) == (6, 8)


def test_too_little_speech_for_the_units_names_their_setting(
    made: Path,
    given: dict[str, object],
    tmp_path: Path,
    warm_interpreter: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The error of the step speaks of --units, which is within a setting of the pipeline."""
    monkeypatch.setattr(sys, "executable", warm_interpreter)
    shutil.copytree(made, tmp_path / "r")
    asked = settings({**given, "target_units": "kmeans --units 5000 --context 0 --bitrate 195"})
    run("run", "s2st", "--out", tmp_path / "r", "--cores", 1, *asked, code=1)
    said = capfd.readouterr().err
    assert "5,000 units can't be found in" in said
    assert "the options of this step are in --set target_units='…'" in said


def test_a_cross_validation(
    given: dict[str, object], tmp_path: Path, warm_interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fold is a run, and their translations are scored together."""
    monkeypatch.setattr(sys, "executable", warm_interpreter)
    asked = {**given, "folds": 2, "inverter": "null", "translators": "{}"}
    done = run("run", "s2st", "--out", tmp_path / "r", "--cores", 1, *settings(asked))
    assert "report/index.html" in done.stdout
    scores = read_scores(tmp_path / "r/scores/as-given/retrieval-nearest.jsonl")
    assert {score.n for score in scores} == {N}
    assert scores[0].options["n_folds"] == 2
    tested = [
        {u.id for u in read_corpus(part / "parallel/source").utterances if u.split == "test"}
        for part in sorted((tmp_path / "r/parts").iterdir())
    ]
    assert len(tested) == 2
    assert not tested[0] & tested[1]


def with_texts(folder: Path, out: Path) -> Path:
    """A corpus whose utterances have texts."""
    corpus = read_corpus(folder)
    texts = [replace(u, text=f"text of {u.id}") for u in corpus.utterances]
    root = str(corpus.home / corpus.audio_root)
    write_corpus(out, replace(corpus, utterances=tuple(texts), audio_root=root, folder=None))
    return out


def test_each_direction_has_the_voice_and_the_topline_of_its_own_language(
    made: Path,
    given: dict[str, object],
    tmp_path: Path,
    warm_interpreter: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Source "ana" has texts, so that there is a topline from it; target "béa" has none."""
    monkeypatch.setattr(sys, "executable", warm_interpreter)
    asked = {
        **{name: value for name, value in given.items() if name != "translators.conformer"},
        **{"source": with_texts(made / ".imported/first", tmp_path / "first")},
        **{"target": made / ".imported/second"},
        **{"translators": "{}", "topline": SMALL, "recogniser": "null", "swap": "both"},
        **{"voice": "béa", "swapped": "{target_units: kmeans --units 5 --stride 2}"},
    }
    run("run", "s2st", "--out", tmp_path / "r", "--cores", 1, *settings(asked))
    voices = {"as-given": "béa", "swapped": "ana"}
    for way, name in voices.items():
        part = tmp_path / "r/parts" / way
        assert read_synthesis(part / "wavs/nearest").voice == name
        speakers = read_corpus(part / "parallel/target").utterances
        assert {u.speaker for u in speakers} == {name}
        systems = {path.stem.partition("-")[2] for path in (tmp_path / "r/scores" / way).iterdir()}
        topline = {"topline"} if way == "as-given" else set()
        assert systems == {"nearest", "spliced", "frequent", *topline}
    there = [read_units(tmp_path / f"r/parts/{way}/units/target.parquet") for way in voices]
    assert [units.n_units for units in there] == [8, 5]
    page = (tmp_path / "r/report/index.html").read_text(encoding="utf-8")
    for way in voices:
        assert f"{way}: baseline: nearest training source" in page
        assert f"{way}: spliced training sources: " in page[: page.index("</header>")]
    first, second = (read_corpus(tmp_path / f"r/parts/{w}/parallel/source").name for w in voices)
    headings = re.findall(r"<h3>(.*?) · split test", page)
    assert {first, second} <= set(headings)  # what doesn't compare is in tables of its own
    assert "<audio" in page


def test_settings_of_the_other_direction_are_checked_before_any_work(
    made: Path, given: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = {**given, "source": made / ".imported/first", "target": made / ".imported/second"}
    asked |= {"pairs": made / ".imported/pairs.parquet", "swap": "both"}
    for swapped, said in (
        ("{voice: béa}", "béa"),
        ("{topline: --width x}", "topline"),
        ("{folds: 3}", "swapped is"),
    ):
        wrong = settings({**asked, "swapped": swapped})
        error = run("run", "s2st", "--out", tmp_path / "r", *wrong, code=1).stderr
        assert said in error + capfd.readouterr().err
    assert not (tmp_path / "r/parts").exists()


def test_the_demonstration_has_a_topline_and_ceilings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("run", "s2st", "--out", tmp_path / "r", "--", "--dry-run")
    plan = jobs(capfd.readouterr().out)
    assert plan["demo"] == plan["recogniser"] == plan["characters"] == 1
    assert plan["train"] == 2  # the translator and the topline
    assert plan["score_recognition"] == 6  # both, nearest, spliced, references and real speech


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "."}, "source, target and pairs go together"),
        ({"translators": "{real: ''}"}, "a translator can't be called real"),
        ({"swap": "maybe"}, "it is false, true or both"),
        ({"folds": 2, "fold": 2}, "fold is 2, of folds 0 to 1"),
        ({"inverter": "synthesize"}, "the inverter is made by"),
    ],
)
def test_settings_that_make_no_sense(
    tmp_path: Path, values: dict[str, object], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run("run", "s2st", "--out", tmp_path / "r", *settings(values), code=1)
    assert said in capfd.readouterr().err


def test_a_pairs_table_that_is_not_there(tmp_path: Path) -> None:
    error = run("run", "s2st", "--out", tmp_path, "--set", "pairs=nowhere.tsv", code=1).stderr
    assert "nowhere.tsv: pairs: there is no such file" in error


def test_a_recording(made: Path, given: dict[str, object], tmp_path: Path) -> None:
    translator, inverter, out = (
        made / "translators/conformer",
        made / "inverter",
        tmp_path / "o.wav",
    )
    recording = Path(str(given["source"])) / "é3.wav"
    speech = ("translate", "speech", translator, inverter)
    said = run(*speech, recording, out, "--beam", 2).stdout
    for part in ("encoding", "translating", "speaking", "real-time factor"):
        assert part in said
    beginning = soundfile.read(out)[0]
    assert f"{len(beginning) / 16_000:.2f} s of speech" in said
    run("translate", "decode", translator, made / "features/source/log-mel", "--id", "é3",
        "--beam", 2, "--out", tmp_path / "units")  # fmt: skip
    assert f"{len(read_units(tmp_path / 'units').units['é3'])} units" in said

    run(*speech, recording, tmp_path / "fast.wav", "--beam", 2, "--rate", 2)
    assert len(soundfile.read(tmp_path / "fast.wav")[0]) < len(beginning)


def test_recordings_and_models_that_make_no_sense(
    made: Path, given: dict[str, object], tmp_path: Path
) -> None:
    translator, inverter, out = (
        made / "translators/conformer",
        made / "inverter",
        tmp_path / "o.wav",
    )
    recording = Path(str(given["source"])) / "é3.wav"
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    result = run("translate", "speech", translator, inverter, tmp_path / "silence.wav", out)
    assert "the recording is silent" in result.stderr
    out.unlink()

    long = np.random.default_rng(0).standard_normal(61 * 16_000) / 10
    soundfile.write(tmp_path / "long.wav", long, 16_000)
    for arguments, said in (
        ((translator, inverter, tmp_path / "long.wav", out), "long.wav: lasts 61.0 s"),
        ((translator, inverter, tmp_path / "missing.wav", out), "missing.wav"),
        ((translator, inverter, recording, tmp_path / "o.mp3"), "is not called .wav"),
        ((translator, made / "models/target", recording, out), "kmeans"),
        ((inverter, inverter, recording, out), "unit-means"),
        ((translator, inverter, recording, out, "--source-model", translator), "not units"),
        ((translator, inverter, recording, out, "--voice", "carl"), "no voice 'carl'"),
    ):  # fmt: skip
        assert said in run("translate", "speech", *arguments, code=1).stderr
    assert not out.exists()
    assert not leftovers(tmp_path)


def test_a_translator_that_listens_to_units(
    made: Path, given: dict[str, object], tmp_path: Path
) -> None:
    parallel, translator, out = made / "parallel", tmp_path / "x", tmp_path / "o.wav"
    run("translate", "train", made / "units/source.parquet", made / "units/target.parquet",
        parallel / "pairs.parquet", *SMALL.split(), "--out", translator)  # fmt: skip
    arguments = (translator, made / "inverter", Path(str(given["source"])) / "é3.wav", out)
    assert "--source-model" in run("translate", "speech", *arguments, code=1).stderr
    other = run("translate", "speech", *arguments, "--source-model", made / "models/target", code=1)
    assert "the units are of unit model" in other.stderr
    run("translate", "speech", *arguments, "--source-model", made / "models/source")
    assert out.exists()
