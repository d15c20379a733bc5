"""`zerochain run evaluate`: every score of two tiny systems, a submission, and what is wrong."""

import csv
from pathlib import Path

import pytest

from commands import jobs, run, settings
from tones import phone_corpus
from zerochain.formats.scores import Score, read_scores
from zerochain.metrics.names import METRICS, metric

pytestmark = pytest.mark.usefixtures("warm")
SYSTEMS = "{a: kmeans --units 4 --context 0, b: kmeans --units 6 --context 0 --stride 2}"
PARTS = "fit_split: train, test: mine, test_split: test, sentences: false"
EVERYTHING = {
    *("abx_within", "abx_across", "bitrate", "segment_bitrate"),
    *("timed_segment_bitrate", "factored_segment_bitrate", "codebook_usage"),
    *("perplexity", "pnmi", "v_measure", "phone_purity", "cluster_purity", "phone_error_rate"),
    *("boundary_f1", "over_segmentation", "r_value", "ued_noise", "ued_pitch"),
    *("unit_changes_noise", "unit_changes_pitch"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def given(**values: object) -> list[str]:
    corpus = phone_corpus(Path("my töne")).folder
    return settings(
        {
            "corpora": f"{{mine: {corpus}}}",
            "datasets": f"{{english: {{fit: mine, {PARTS}}}, surprise: {{fit: mine, {PARTS}}}}}",
            "systems": SYSTEMS,
            "protocols": "[triphone, zs2019]",
            "changes": "[noise, pitch]",
            **values,
        }
    )


def test_everything_is_scored(capfd: pytest.CaptureFixture[str]) -> None:
    words = ("run", "evaluate", "--out", "r", *given(submission="b"), "--cores", 2)
    run(*words)
    assert "english: no speaker probe, which takes two speakers with 5" in capfd.readouterr().err
    scores = read_scores(Path("r/scores/english/a.jsonl"))
    found = {metric(score.metric) for score in scores}
    assert found <= set(METRICS)
    assert {one.name for one in found} >= EVERYTHING
    abx = {(s.protocol, s.options["distance"]) for s in scores if s.metric == "abx_across_%"}
    assert abx == {("triphone", "angular"), ("triphone", "identical"), ("zs2019", "angular")}

    submitted = read_scores(Path("r/scores/surprise/submission.jsonl"))
    ours = read_scores(Path("r/scores/surprise/b.jsonl"))
    assert value(submitted, "abx_across_%", "zs2019") == pytest.approx(
        value(ours, "abx_across_%", "zs2019"), abs=1e-4
    )
    assert value(submitted, "bitrate_bit/s", "zs2019") == pytest.approx(
        value(ours, "bitrate_bit/s", "zs2019")
    )
    run("check", "zerospeech2019", "r/submission")
    about = ("--system", "b", "--author", "Ana", "--affiliation", "none")
    made = run("export", "submission", "r", *about, "--out", "s").output
    assert "english: 4 utterances of units/english/b.parquet, vectors of models/english/b\n" in made
    assert "s: written, follows all rules" in made
    vectors = sorted(Path("r/submission/2019").rglob("test/*.txt"))
    assert len(vectors) == 8
    for path in vectors:
        assert Path("s", path.relative_to("r/submission")).read_bytes() == path.read_bytes()

    with Path("r/table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(read_scores(p)) for p in Path("r/scores").rglob("*.jsonl"))
    pnmi = next(s for s in scores if s.metric == "pnmi")
    (row,) = (
        r for r in rows if [r["dataset"], r["system"], r["metric"]] == ["english", "a", "pnmi"]
    )
    assert float(row["value"]) == pytest.approx(pnmi.value, rel=1e-5)
    assert float(row["chance"]) == pytest.approx(pnmi.options["chance"])
    table = Path("r/table.md").read_text(encoding="utf-8")
    assert "| PNMI (homogeneity) ↑ |" in table
    assert "b" in Path("r/compare/english.txt").read_text()
    page = Path("r/report/index.html").read_text(encoding="utf-8")
    assert "PNMI" in page

    capfd.readouterr()
    run(*words, "--", "--dry-run")
    assert jobs(capfd.readouterr().out) == {}


def value(scores: list[Score], metric: str, protocol: str) -> float:
    (one,) = (s.value for s in scores if s.metric == metric and s.protocol == protocol)
    return one


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"datasets": "{}"}, "nothing to do: give a corpus"),
        ({"datasets": "{x: {fit: mine}}"}, "datasets.x is {'fit': 'mine'}: it needs"),
        ({"datasets": "{x: {test: other}}"}, "corpora have no other; there are mine"),
        (
            {"datasets": "{x: {test: mine, test_split: dev}}"},
            "datasets.x.test_split is 'dev', and ",
        ),
        ({"systems": "{a: null}"}, "there has to be one"),
        ({"submission": "c"}, "a submission of 'c' needs that system"),
    ],
)
def test_settings_that_cannot_be(
    values: dict[str, object], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if "systems" in values:
        values = {**values, "systems": "{a: null, b: null}"}
    error = run("run", "evaluate", "--out", "r", *given(**values), code=1).stderr
    assert said in error + capfd.readouterr().err
