import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from runs import add_synthesis, add_system, add_training, make_run
from zerochain.errors import InputError, speech_time
from zerochain.formats.bundle import read_bundle, write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.scores import Score, append_scores
from zerochain.report.page import write_report
from zerochain.report.run import RunFiles, run_files

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A page's elements and text; refuses tags that don't match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self.open}:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def made(folder: Path, root: Path, corpus: Corpus | None, **options: object) -> Page:
    """A page; without pictures of utterances, which take the longest, unless asked for."""
    corpora = [corpus.folder] if corpus and corpus.folder else []
    options = {"published": None, "n_examples": 0, "n_units": 0, **options}
    path = write_report(folder / "report", run_files(root, corpora=corpora), **options)  # type: ignore[arg-type]
    return Page(path.read_text(encoding="utf-8"))


def rich(folder: Path) -> Corpus:
    """A corpus with gold phones, text and names in another script."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(6):
        wave = voice(rng, 1.2 + 0.1 * i, 120 + 60 * (i % 2))
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "audio" / f"u{i}.wav", wave, 16_000, subtype="PCM_16")
        line = Utterance(f"u{i}", f"u{i}.wav", len(wave) / 16_000, ("ana", "béa")[i % 2])
        lines.append(replace(line, split=("train", "test")[i > 3], text=f"mbóɔ́shi u{i}"))
    phones = Phones({u.id: [Phone(0.1, 0.4, "ŋ"), Phone(0.4, 0.6, "SIL")] for u in lines})
    corpus = Corpus("tiny", tuple(lines), str(folder / "audio"), "Mbɔ́shi", "CC0", "a field trip")
    return write_corpus(folder / "corpus", corpus, phones)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return rich(tmp_path / "rich")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Corpus, Path]:
    """The page of a run with everything in it, its corpus and the report's folder."""
    folder = tmp_path_factory.mktemp("whole")
    corpus = rich(folder / "rich")
    root = make_run(folder / "run", corpus)
    page = made(folder, root, corpus, title="A run & more", published="english", n_examples=2)
    return page, corpus, folder / "report"


@pytest.fixture
def page(whole: tuple[Page, Corpus, Path]) -> Page:
    return whole[0]


def test_it_holds_every_score(page: Page) -> None:
    for shown in ("21.5", "28.2", "474", "188", "10.8", "14.1", "0.625", "0.375"):
        assert shown in page.text
    for exact in ("474.25", "187.5", "28.25", "10.75"):
        assert exact in page.text  # in the table of all scores
    for part in ("A run & more", "km16-1t", "km8-4t", "ESTOI", "ABX across", "triphone, angular"):
        assert part in page.text
    assert "beside_silence" in page.text


def test_it_says_what_ran_on_what(whole: tuple[Page, Corpus, Path]) -> None:
    page, corpus, _ = whole
    for part in ("Mbɔ́shi", "CC0", "a field trip", "tiny", "abacus", "2 unit models"):
        assert part in page.text
    assert f"{speech_time(corpus.duration)} in 6 utterances" in page.text
    for path in ("units/km8-4t.parquet", "models/km16-1t", "scores/6.jsonl", "wavs/code2spec"):
        assert path in page.text
    assert corpus.id[:12] in page.text


def test_the_published_systems_are_said_to_be_on_other_data(page: Page) -> None:
    assert "only these are comparable with one another" in page.text
    assert "on the challenge's own test data" in page.text


def test_it_plays_the_original_and_every_resynthesis(page: Page) -> None:
    players = page.all("audio")
    n_test = 2
    assert len(players) == n_test * 3
    labels = [str(p["aria-label"]) for p in players]
    kinds = [f"original, {who}" for who in ("ana", "béa")] + [
        f"{what}, {method}"
        for what in ("resynthesis", "béa’s words in ana’s voice")
        for method in ("code2spec", "unit-means")
    ]
    assert sorted(label.split(":")[0] for label in labels) == sorted(kinds)
    pictures = page.all("img")
    assert [p["alt"] for p in pictures] == [
        f"mel spectrogram: {label.split(':')[0]}" for label in labels
    ]
    assert all(str(p["src"]).startswith("data:image/png;base64,") for p in pictures)
    for attributes in players:
        kind, data = str(attributes["src"]).split(",", 1)
        assert kind == "data:audio/flac;base64"
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 16_000
        assert 1 < len(wave) / rate < 2.5
    assert "mbóɔ́shi u5" in page.text


def test_the_original_that_plays_is_the_recording(whole: tuple[Page, Corpus, Path]) -> None:
    page, corpus, _ = whole
    data = str(page.all("audio")[0]["src"]).split(",", 1)[1]
    wave, _ = soundfile.read(io.BytesIO(base64.b64decode(data)))
    originals = [soundfile.read(corpus.audio_path(u))[0] for u in corpus.utterances]
    assert any(len(o) == len(wave) and np.allclose(o, wave, atol=1e-4) for o in originals)


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    assert page.all("script") == [{}]
    assert not page.all("link")
    assert not page.all("iframe")
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href", "srcset", "poster", "data"}:
                assert str(value).startswith(("data:", "#")), (tag, name, value)
            assert "http:" not in str(value), (tag, name)
            assert "https:" not in str(value), (tag, name)
            assert not name.startswith("on")
    policy = next(a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])


def test_the_only_script_is_the_one_that_comes_with_zerochain(
    whole: tuple[Page, Corpus, Path],
) -> None:
    text = (whole[2] / "index.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"innerHTML|eval|fetch|XMLHttp|WebSocket|import\b", script)


def test_styles_load_nothing(whole: tuple[Page, Corpus, Path]) -> None:
    text = (whole[2] / "index.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert len(text) < 6_000_000


def test_figures_are_labelled_and_ids_unique(page: Page) -> None:
    figures = page.all("svg")
    assert len(figures) >= 2 + 2 + 2 + 1  # tradeoff twice, examples, usage, training
    assert all(f["role"] == "img" and f["aria-label"] for f in figures)
    own = [a["id"] for tag, a in page.elements if "id" in a and tag in {"svg", "h2", "clippath"}]
    assert len(own) == len(set(own))
    assert all(a.get("scope") in {"col", "row"} for a in page.all("th"))


def test_the_main_figure_stands_beside_the_page(whole: tuple[Page, Corpus, Path]) -> None:
    svg = (whole[2] / "tradeoff.svg").read_text(encoding="utf-8")
    assert "km16-1t" in svg
    assert "var(--" not in svg
    assert (whole[2] / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


def test_hostile_names_are_only_text(tmp_path: Path, make_corpus: Callable[..., Corpus]) -> None:
    bad = "<script>alert(1)</script>"
    plain = make_corpus(3, speakers=(bad,))
    lines = tuple(
        replace(u, id=f"{u.id}\"><img src=x onerror='a'>", text="</style>" + bad, split="test")
        for u in plain.utterances
    )
    phones = Phones({u.id: [Phone(0.0, 0.5, "</svg>" + bad)] for u in lines})
    hostile = replace(plain, name=bad, utterances=lines, language=bad, licence="${x}", source=bad)
    corpus = write_corpus(tmp_path / "hostile", hostile, phones)
    unit_file = add_system(tmp_path / "run", corpus, "safe")
    add_synthesis(tmp_path / "run", unit_file, "code2spec", bad)
    inputs = {"units": unit_file.id, bad: bad}
    score = Score("abx_across_%", 1, None, 1, bad, bad, inputs, {bad: bad})
    append_scores(tmp_path / "run" / "s.jsonl", [score])
    add_training(tmp_path / "run", "<b>&")
    page = made(tmp_path, tmp_path / "run", corpus, title=bad, n_examples=1)
    assert page.all("script") == [{}]
    assert all(str(a["src"]).startswith("data:image/png") for a in page.all("img"))
    assert bad in page.text


@pytest.mark.parametrize("part", ["units", "scores", "wavs", "inverters/x.training", "corpus"])
def test_a_missing_part_is_said_and_leaves_no_empty_section(
    tmp_path: Path, corpus: Corpus, part: str
) -> None:
    import shutil

    root = make_run(tmp_path / "run", corpus)
    if part != "corpus":
        shutil.rmtree(root / part)
    shows_examples = part not in {"scores", "inverters/x.training"}
    page = made(
        tmp_path, root, None if part == "corpus" else corpus, n_examples=int(shows_examples)
    )
    headings, said = {
        "units": (["usage", "examples"], "units ('zerochain encode')"),
        "scores": (["scores", "tradeoff", "resynthesis"], "scores of units"),
        "wavs": (["players"], "resynthesised speech ('zerochain invert synthesize')"),
        "inverters/x.training": (["trainings"], "a training log"),
        "corpus": (["corpora", "examples"], "an utterance with both units and a recording"),
    }[part]
    ids = {str(a.get("id")) for a in page.all("h2")}
    assert not ids & set(headings)
    absent = page.text.split("Not in this run: ")[1]
    assert said in absent
    assert "sources" in ids


def test_nothing_is_missing_from_a_whole_run(page: Page) -> None:
    assert "Not in this run" not in page.text


def test_only_a_training_log(tmp_path: Path) -> None:
    add_training(tmp_path / "run")
    page = made(tmp_path, tmp_path / "run", None)
    assert "1 training log" in page.text
    assert "1,000 steps in 100 s" in page.text
    assert not (tmp_path / "report" / "tradeoff.svg").exists()


def test_recordings_that_have_gone_are_said(tmp_path: Path, corpus: Corpus) -> None:
    root = tmp_path / "run"
    add_synthesis(root, add_system(root, corpus, "km", scored=False), "code2spec", "ana")
    for u in corpus.utterances:
        corpus.audio_path(u).unlink()
    page = made(tmp_path, root, corpus, n_examples=1)
    assert "a recording could not be shown" in page.text
    assert "no such file" in page.text
    assert not page.all("audio")


def test_features_are_a_reference_in_table_and_plot(tmp_path: Path, corpus: Corpus) -> None:
    root = tmp_path / "run"
    add_system(root, corpus, "km")
    inputs = {"features": "f" * 64, "corpus": corpus.id}
    options = {"distance": "angular"}
    score = Score("abx_across_%", 11.75, None, 900, "triphone", "mfcc-39", inputs, options)
    append_scores(root / "scores" / "z.jsonl", [score])
    page = made(tmp_path, root, corpus)
    assert "mfcc-39 (features)" in page.text
    assert "11.8" in page.text


def test_a_score_given_twice_is_said(tmp_path: Path, corpus: Corpus) -> None:
    unit_file = add_system(tmp_path / "run", corpus, "km")
    again = Score("perplexity", 7.5, None, 99, "steps", "km", {"units": unit_file.id})
    append_scores(tmp_path / "run" / "scores" / "6.jsonl", [again])
    page = made(tmp_path, tmp_path / "run", corpus)
    assert "perplexity of km: 8.00" in page.text
    assert "7.50" in page.text


@pytest.mark.parametrize("bitrate", [0.0, 200.0])
def test_one_system_without_published_ones(tmp_path: Path, corpus: Corpus, bitrate: float) -> None:
    add_system(tmp_path / "run", corpus, "km", bitrate=bitrate)
    page = made(tmp_path, tmp_path / "run", corpus, published=None)
    has_plot = "tradeoff" in {str(a.get("id")) for a in page.all("h2")}
    assert has_plot == (bitrate > 0)
    assert "challenge's own test data" not in page.text


def test_explicit_files_are_enough(tmp_path: Path, corpus: Corpus) -> None:
    make_run(tmp_path / "run", corpus)
    files = RunFiles(units=(tmp_path / "run" / "units" / "km8-4t.parquet",))
    text = write_report(tmp_path / "report", files).read_text(encoding="utf-8")
    assert "1 unit model" in Page(text).text


def test_report_json_lists_the_inputs(whole: tuple[Page, Corpus, Path]) -> None:
    record = json.loads((whole[2] / "report.json").read_text(encoding="utf-8"))
    assert record["kind"] == "report"
    assert {i["kind"] for i in record["inputs"]} >= {"corpus", "units", "model", "scores"}


def test_an_older_report_is_replaced_and_somebody_elses_folder_is_not(
    tmp_path: Path, corpus: Corpus
) -> None:
    root = tmp_path / "run"
    add_training(root)
    made(tmp_path, root, corpus, title="first")
    assert "second" in made(tmp_path, root, corpus, title="second").text
    other = tmp_path / "other" / "report"
    other.mkdir(parents=True)
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not a folder that zerochain made"):
        made(tmp_path / "other", root, corpus)
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


def test_the_report_may_lie_inside_the_run(tmp_path: Path, corpus: Corpus) -> None:
    root = tmp_path / "run"
    add_training(root)
    made(root, root, corpus)
    assert (root / "report" / "index.html").is_file()
    assert run_files(root).passed_over == ()
    made(root, root, corpus)


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named(
    tmp_path: Path, corpus: Corpus, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "run"
    add_training(root)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs {module}.*not installed") as caught:
        made(tmp_path, root, corpus)
    assert "zerochain[report]" in str(caught.value)


def test_the_page_stays_small_whatever_the_recordings(
    tmp_path: Path, make_corpus: Callable[..., Corpus]
) -> None:
    corpus = make_corpus(2, seconds=12.0, test_every=1)
    rng = np.random.default_rng(0)
    for u in corpus.utterances:
        noise = rng.uniform(-1, 1, round(u.duration * 16_000))
        soundfile.write(corpus.audio_path(u), noise, 16_000, subtype="PCM_16")
    unit_file = add_system(tmp_path / "run", corpus, "km", n_units=64, scored=False)
    for method in ("a", "b", "c"):
        add_synthesis(tmp_path / "run", unit_file, method, "ana")
    page = made(tmp_path, tmp_path / "run", corpus, n_examples=2)
    assert (tmp_path / "report" / "index.html").stat().st_size < 6_000_000
    assert "1 of 2 utterances shown: more would make the page too large" in page.text
    assert "only the beginning is shown" in page.text


def test_conversions_have_a_table_of_their_own_and_the_baseline_is_named(
    corpus: Corpus, tmp_path: Path
) -> None:
    root = make_run(tmp_path / "run", corpus)
    inverter = read_bundle(root / "inverters" / "unit-means").id
    names = ("source_f0_correlation", "speaker_similarity", "speaker_similarity_converted")
    append_scores(
        root / "scores" / "conversion.jsonl",
        [Score(n, 0.5, None, 6, "p", "unit-means", {"inverter": inverter}) for n in names],
    )
    page = made(tmp_path, root, corpus)
    resynthesis, conversion = page.text.split("Other speakers' utterances, converted")
    resynthesis = resynthesis.split("The voice's own utterances")[1]
    conversion = conversion.split("Examples to see and hear")[0]
    assert "baseline: units as their mean spectra" in resynthesis
    assert "ESTOI" in resynthesis
    assert "speaker similarity" in resynthesis
    assert "F0 correlation with the source" in conversion
    assert "similarity to the target voice" in conversion
    assert "ESTOI" not in conversion


def test_trainings_inside_a_training_have_names(tmp_path: Path) -> None:
    for part in ("", "/f0", "/prosody", "/other"):
        add_training(tmp_path / "run", f"inverters/x.training{part}")
    page = made(tmp_path, tmp_path / "run", None)
    for name in ("F0 units", "durations and pitch", "other"):
        assert f"inverters/x: {name}" in page.text
    assert "4 training logs" in page.text
    titles = [str(a["aria-label"]).split(": 1,000")[0] for a in page.all("svg")]
    assert titles[0] == "inverters/x"


def test_translation_and_recognition_have_tables_of_their_own(
    tmp_path: Path, make_corpus: Callable[..., Corpus]
) -> None:
    corpus = make_corpus()
    spoken = add_system(tmp_path / "run", corpus, "km8-4t", n_units=8, stride=4)
    common = {"interval": None, "n": 6, "protocol": "p", "system": "translated: nearest"}
    inputs = {"units": spoken.id}
    rows = [
        Score("unit_bleu", 17.25, inputs=inputs, options={"n_of": "sources"}, **common),
        Score("retrieval_mrr", 0.346, inputs=inputs, options={"chance": 0.093}, **common),
        Score("cer_%", 27.2, inputs=inputs, options={"n_of": "utterances"}, **common),
    ]
    append_scores(tmp_path / "run" / "scores" / "translation.jsonl", rows)
    page = made(tmp_path, tmp_path / "run", corpus)
    assert "Scores of the translation" in page.text
    assert "17.2" in page.text
    assert "0.346 chance 0.093" in page.text
    assert "Speech recognition" in page.text
    assert "CER" in page.text


def test_a_chain_of_all_texts_is_no_rival(tmp_path: Path, corpus: Corpus) -> None:
    root = tmp_path / "run"
    rows = []
    for method, error in (("all", 5.0), ("chain", 40.0), ("paired", 60.0)):
        made_of = {"training": {"method": method}, "name": method}
        chain = write_bundle(root / "chains" / method, "speech-chain", made_of, {}, {})
        inputs, options = {"chain": chain, "corpus": corpus.id}, {"n_of": "utterances"}
        ends = (error - 1, error + 1)
        rows.append(Score("cer_%", error, ends, 20, "p", method, inputs, options))
    append_scores(root / "scores.jsonl", rows)
    page = made(tmp_path, root, corpus)
    best = [cell for cell in page.all("td") if "best" in str(cell.get("class"))]
    assert [cell["data-value"] for cell in best] == ["40.0"]
    assert page.text.count("for reference") == 1
    # What belongs to units isn't missed in a run of speech and texts.
    assert "zerochain score abx" not in page.text


def test_units_beside_phones_and_without(corpus: Corpus, tmp_path: Path) -> None:
    root = tmp_path / "run"
    unit_file = add_system(root, corpus, "km")
    inputs = {"units": unit_file.id, "corpus": corpus.id}
    options = {"n_of": "frames", "chance": 0.125, "silences": ["SIL"], "frame_ms": 10}
    append_scores(
        root / "scores.jsonl",
        [
            Score("pnmi", 0.25, None, 9, "10 ms frames", "km", inputs, options),
            Score("ued_noise_%", 40.0, None, 9, "pink noise", "km", inputs, {"n_of": "utterances"}),
        ],
    )
    page = made(tmp_path, root, corpus)
    ids = {str(a.get("id")) for a in page.all("h2")}
    assert {"phones", "unaligned"} <= ids
    assert "PNMI (homogeneity)" in page.text
    assert "unit edit distance under noise" in page.text
    assert "chance 0.125" in page.text
    maps = [a for a in page.all("svg") if "The phones that each of" in str(a.get("aria-label"))]
    assert len(maps) == 1
    assert "Phones that are the most frequent one of some unit: 0 of 1" in page.text


def test_units_of_silence_alone_have_no_map(corpus: Corpus, tmp_path: Path) -> None:
    root = tmp_path / "run"
    add_system(root, corpus, "km")
    silent = Phones(dict.fromkeys(corpus.ids, (Phone(0.0, 0.5, "SIL"),)), "")  # type: ignore[arg-type]
    write_corpus(corpus.home, replace(corpus, folder=None), silent)
    page = made(tmp_path, root, corpus)
    assert "phones" not in {str(a.get("id")) for a in page.all("h2")}


def test_a_page_is_never_replaced_by_a_poorer_one(tmp_path: Path, corpus: Corpus) -> None:
    root = tmp_path / "run"
    add_synthesis(root, add_system(root, corpus, "km", scored=False), "code2spec", "ana")
    made(tmp_path, root, corpus, n_examples=1)
    found_again = made(tmp_path, root, None, n_examples=1)  # the corpus of the page before
    assert found_again.all("audio")
    before = (tmp_path / "report" / "index.html").read_bytes()
    (tmp_path / "far" / "away").mkdir(parents=True)
    corpus.home.rename(tmp_path / "far" / "away" / "corpus")
    with pytest.raises(InputError, match="has more than the new one would") as caught:
        made(tmp_path, root, None, n_examples=1)
    assert "corpora=FOLDER" in str(caught.value)
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    (tmp_path / "report" / "index.html").unlink()
    assert "Not found: 1 corpus" in made(tmp_path, root, None, n_examples=1).text


def test_tables_can_be_taken_away(page: Page) -> None:
    links = [a for a in page.all("a") if a.get("download")]
    kinds = {str(a["download"]).rpartition(".")[2] for a in links}
    assert kinds == {"csv", "tex"}
    csv = next(a for a in links if a["download"] == "units-1.csv")
    text = base64.b64decode(str(csv["href"]).partition("base64,")[2]).decode()
    assert "abx_across_% triphone, angular" in text
    assert "474.25" in text
    tex = next(a for a in links if a["download"] == "units-1.tex")
    text = base64.b64decode(str(tex["href"]).partition("base64,")[2]).decode()
    assert r"\begin{tabular}{l" in text
    assert text.count(r"\\") == 3  # a head and two systems


def test_the_plot_counts_every_unit_unless_asked_otherwise(tmp_path: Path, corpus: Corpus) -> None:
    units = add_system(tmp_path / "run", corpus, "km", abx=20.0, bitrate=400.0)
    segments = Score(
        "segment_bitrate_bit/s", 150, (140, 160), 99, "m", "km",
        {"units": units.id, "corpus": corpus.id},
    )  # fmt: skip
    append_scores(tmp_path / "run" / "scores" / "6.jsonl", [segments])
    usual = made(tmp_path, tmp_path / "run", corpus, published="english")
    assert "bit rate, every unit), with 95 %" in usual.text
    assert any("km 20.0 % at 400 bit/s" in str(a.get("aria-label")) for a in usual.all("svg"))
    other = made(tmp_path, tmp_path / "run", corpus, published="english", rate="segments")
    assert any("km 20.0 % at 150 bit/s" in str(a.get("aria-label")) for a in other.all("svg"))
    assert "unlike that of this run" in other.text


def test_too_little_data_is_greyed_and_not_drawn(tmp_path: Path, corpus: Corpus) -> None:
    add_system(tmp_path / "run", corpus, "km")
    path = tmp_path / "run" / "scores" / "6.jsonl"
    path.write_text(path.read_text().replace('"n": 1234', '"n": 6').replace('"n":1234', '"n":6'))
    page = made(tmp_path, tmp_path / "run", corpus)
    assert "too little data" in page.text
    assert "6 triples" in page.text
    assert "tradeoff" not in {str(a.get("id")) for a in page.all("h2")}
