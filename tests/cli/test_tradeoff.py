"""`zerochain run tradeoff`: the plan of a sweep, a small one, and what is wrong with some."""

import csv
import shutil
from pathlib import Path

import pytest
import soundfile
import yaml

from commands import jobs, run, settings
from tones import phone_corpus, sayings
from zerochain.formats.scores import read_scores

pytestmark = pytest.mark.usefixtures("warm")
KM = "{method: kmeans, units: [4], penalties: [0, 2]}"
GMM = (
    "{method: gmm, units: [4], strides: [1], penalties: [], posteriors: true, "
    "options: --variance-floor 0.01}"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mboshi(copy: Path) -> Path:
    """Tones laid out as the copy of a corpus that data/mboshi/prepare.py reads."""
    (copy / "flac").mkdir(parents=True)
    table = ["file\tspeaker\tseconds\ttext\tfrench"]
    for name, speaker, wave, line in sayings(12):
        soundfile.write(copy / "flac" / f"{name}.flac", wave, 16_000)
        lines = [f"{onset:.4f} {offset:.4f} {phone}" for onset, offset, phone in line]
        (copy / "flac" / f"{name}.phn").write_text("\n".join(lines))
        table.append(f"flac/{name}.flac\t{speaker}\t{len(wave) / 16_000:.3f}\twa\til")
    (copy / "utterances.tsv").write_text("\n".join(table), encoding="utf-8")
    return copy


def test_a_sweep(capfd: pytest.CaptureFixture[str]) -> None:
    """One test, for the run that its parts look at takes half a minute."""
    given = {
        "copies.mboshi": mboshi(Path("copies/mboshi")),
        "prepare.mboshi": "--test-fraction 0.5",
        "protocols": "[triphone]",
        "references": "[{features: mfcc, normalisation: speaker}]",
    }
    few = f"systems: {{km: null, km-context: null, gmm: {GMM}, small: {KM}}}"
    Path("few.yaml").write_text(few)
    sweep = ("run", "tradeoff", "--out", "grid", "--configfile", "few.yaml", "--cores", 2)
    run(*sweep, *settings(given))
    assert "Left out, because no copy was given: english" in capfd.readouterr().err
    with Path("grid/table.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["system"]: row for row in csv.DictReader(stream)}
    km, gmm = "small-4-1t-speaker", "gmm-4-1t-speaker"
    assert list(rows) == ["mfcc-speaker", f"{gmm}-posteriors", km, f"{km}-p2"]
    paths = ["features/mfcc-speaker", f"{gmm}/posteriors", f"{km}/p0", f"{km}/p2"]
    for (name, row), path in zip(rows.items(), paths, strict=True):
        for score in read_scores(Path(f"grid/scores/mboshi/{path}.jsonl")):
            if score.metric == "codebook_usage":
                assert int(row["n_used"]) == score.value * 4
                continue
            if score.metric == "factored_segment_bitrate_bit/s":
                continue  # the table has durations in one bit rate
            abx = score.metric.startswith("abx")
            column = f"{score.metric} triphone" if abx else score.metric
            assert float(row[column]) == pytest.approx(score.value, rel=1e-5)
            if score.interval is not None and f"{column}_low" in row:
                ends = float(row[f"{column}_low"]), float(row[f"{column}_high"])
                assert ends == pytest.approx(score.interval, rel=1e-5)
        assert (row["bitrate_bit/s"] == "") == (name not in {km, f"{km}-p2"})
        assert (row["fit_s"] == "") == (name == "mfcc-speaker")
    assert (rows[km]["method"], rows[km]["n_units"], rows[km]["stride"]) == ("kmeans", "4", "1")
    assert [rows[name]["penalty"] for name in rows] == ["", "", "0.0", "2.0"]
    rates = [float(rows[name]["segment_bitrate_bit/s"]) for name in (km, f"{km}-p2")]
    assert rates[0] > rates[1] > 0
    for made in ("tradeoff-mboshi.png", "tradeoff-mboshi.svg", "paper.md", "table.md"):
        assert Path("grid", made).stat().st_size > 0
    page = Path("grid/report/index.html").read_text(encoding="utf-8")
    assert f"{km}-p2" in page
    assert "CPU, 1 thread" in page

    def planned(values: dict[str, object]) -> dict[str, int]:
        run(*sweep, *settings({**given, **values}), "--", "--dry-run")
        return jobs(capfd.readouterr().out)

    assert planned({}) == {}
    more = planned({"systems.small": KM.replace("[0, 2]", "[0, 2, 3.5]")})
    assert (more["encode"], more["score"], more["table"]) == (1, 1, 1)
    assert not {"prepare", "extract", "discover"} & set(more)
    other = planned({"systems.gmm.options": "--variance-floor 0.02"})
    assert (other["discover"], other["posteriors"], other["score_posteriors"]) == (1, 1, 1)
    assert "encode" not in other
    Path(f"grid/scores/mboshi/{km}/p2.jsonl").unlink()
    assert planned({}) == {"score": 1, "table": 1, "report": 1, "all": 1, "total": 4}
    shutil.rmtree(f"grid/models/mboshi/{km}")
    assert planned({})["discover"] == 1


def sweep_of(corpus: Path, **values: object) -> tuple[object, ...]:
    """A command that sweeps over a corpus of one's own."""
    given = {
        "corpora": f"{{mine: {corpus}}}",
        "datasets": "{mine: {fit: mine, fit_split: train, test: mine, test_split: test}}",
        **values,
    }
    return ("run", "tradeoff", "--out", "r", *settings(given), "--cores", 2)


def test_every_combination_is_planned_and_penalties_share_a_model(
    capfd: pytest.CaptureFixture[str],
) -> None:
    corpus = phone_corpus(Path("tones")).folder
    learned = ("--configfile", "learned.yaml")
    both = "{fit: mine, fit_split: train, test: mine, test_split: test"
    datasets = f"{{mine: {both}, fit_phones: true}}, bare: {both}}}}}"
    run(*sweep_of(corpus, datasets=datasets), *learned, "--", "--dry-run")
    said = capfd.readouterr()
    left_out = "because fit_phones of dataset bare isn't true: topline-phones-1t-utterance"
    assert left_out in said.err
    counts = jobs(said.out)
    default = 2 * 3 * 2 + 1 + 2
    topline = 1
    assert counts["discover"] == 2 * (default + 2 + 1 + 1 + 1) + topline
    encoded = 2 * (default + 2 + 2 * 2 + 1 + 2 + 2) + 2 * topline
    assert counts["encode"] == counts["score"] == encoded
    assert counts["posteriors"] == 2 * 2 + topline
    assert counts["extract"] == 2  # MFCC and, for one system, log-mel
    assert "prepare" not in counts
    assert not Path("r/config.yaml").exists()


def test_every_setting_of_the_sweeps_is_understood() -> None:
    folder = Path(__file__).parents[2] / "pipelines" / "tradeoff"
    config, learned = (
        yaml.safe_load((folder / name).read_text()) for name in ("config.yaml", "learned.yaml")
    )
    known = {"method", *config["defaults"]}
    for system in [*config["systems"].values(), *learned["systems"].values()]:
        assert "method" in system
        assert set(system) <= known


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"systems": "{km: {unit: [4], method: kmeans}}"}, "systems.km is {'unit': [4]"),
        ({"systems": "{km: {units: [4]}}"}, "systems.km is {'units': [4]}: it needs method"),
        ({"systems": "{'a b': {method: kmeans}}"}, "systems.a b: a name is made of letters"),
        ({"corpora": "{mine: empty}"}, "empty: not a corpus (it has no corpus.json)"),
        (
            {"datasets": "{d: {fit: mine, fit_split: trian, test: mine, test_split: test}}"},
            "datasets.d.fit_split is 'trian', and corpus 'tones' has no such split",
        ),
        ({"datasets": "{d: {test: mine}}"}, "datasets.d is {'test': 'mine'}: it needs fit"),
        ({"datasets": "{d: mine}"}, "datasets.d is mine: it needs fit"),
        ({"systems": "{km: {method: kmeans, units: 4}}"}, "systems.km.units is 4, not a list: [4]"),
        ({"references": "[mfcc]"}, "references[0] is mfcc: it needs features, normalisation"),
        ({"datasets": "{}"}, "no dataset uses mine: tell where units are fitted"),
        ({"datasets": "{}", "corpora": "{}"}, "nothing to do: give a copy of a corpus"),
    ],
)
def test_sweeps_that_make_no_sense(
    values: dict[str, object], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    error = run(*sweep_of(phone_corpus(Path("tones")).folder, **values), code=1).stderr
    assert said in error + capfd.readouterr().err
    assert not Path("r/features").exists()
