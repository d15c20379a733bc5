"""The tutorials are run as they stand in their pages, with smaller numbers and on tiny corpora."""

import io
import re
import runpy
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from commands import run
from pages import DOCS, ROOT, Block, blocks
from zerochain import Corpus, read_corpus, read_phones, read_units
from zerochain.cli import main

# After two steps codebooks have collapsed, which is rightly warned of.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TINY = "--steps 2 --validate-every 2 --batch-size 2"
SMALLER = {
    r"--units \d+": "--units 12",
    r"--test-fraction [\d.]+": "--test-fraction 0.25",
    r"(discover vqvae .*)$": rf"\1 --width 16 --blocks 1 {TINY}",
    r"(invert train-neural .*)$": rf"\1 --width 16 --f0-steps 2 --prosody-steps 2 {TINY}",
    r"(invert train (?!-).*)$": r"\1 --prosody-steps 2",
    r"(translate train .*)$": rf"\1 --width 16 --encoder-layers 1 --decoder-layers 1 {TINY}",
    r"(zerochain report .*)$": r"\1 --examples 1",
}
"""What becomes of commands, so that a page takes seconds."""
SPEAKERS = {"es-f1": "ana", "es-m3": "beto"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration corpus, two voices per language."""
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("demo") / "demo"
    run("corpus", "demo", "--out", out, "--pairs", 16, "--voices", 2)
    return out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def play(page: str) -> str:
    """Run the shell and Python code of a page in order, and return what it printed."""
    names: dict[str, object] = {}
    printed = io.StringIO()
    for block in blocks(DOCS / page):
        if block.not_run:
            continue
        if block.language == "shell":
            for line in block.lines:
                printed.write(shell(block, line))
        elif block.language == "python":
            code = compile(block.text, block.where, "exec")
            with redirect_stdout(printed):
                exec(code, names)
    return printed.getvalue()


def shell(block: Block, line: str) -> str:
    for given, smaller in SMALLER.items():
        line = re.sub(given, smaller, line)
    program, *words = shlex.split(line, comments=True)
    command = main
    if program == "python":
        script, *words = words
        command = runpy.run_path(str(ROOT / script))["main"]
    else:
        assert program == "zerochain", block.where
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, f"{block.where}: {line}\n{result.output}\n{result.exception!r}"
    return result.output


def record(corpus: Corpus, folders: dict[str, str]) -> None:
    """Write recordings as wav, by speaker: <id>.wav in the folder of each."""
    for utterance, wave in zip(corpus.utterances, corpus.waves(), strict=True):
        folder = Path(folders[str(utterance.speaker)])
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{utterance.id}.wav", wave, 16_000)


def own_recordings(demo: Path) -> None:
    """recordings/ana, recordings/beto and phone alignments of all of them."""
    corpus = read_corpus(demo / "es")
    phones = read_phones(demo / "es" / "phones.parquet").by_id
    record(corpus, {name: f"recordings/{called}" for name, called in SPEAKERS.items()})
    for utterance in corpus.utterances:
        folder = Path("alignments") / SPEAKERS[str(utterance.speaker)]
        folder.mkdir(parents=True, exist_ok=True)
        lines = (f"{p.onset} {p.offset} {p.phone}\n" for p in phones[utterance.id])
        (folder / f"{utterance.id}.phn").write_text("".join(lines), encoding="utf-8")


def test_own_recordings(demo: Path, here: Path) -> None:
    own_recordings(demo)
    printed = play("tutorials/own-recordings.md")
    assert (here / "report" / "index.html").is_file()
    assert "abx_across_%" in printed
    assert "pnmi" in printed
    assert "ms on average" in printed


def test_field_recordings(demo: Path, here: Path) -> None:
    corpus = read_corpus(demo / "es")
    turns = dict(zip(corpus.ids, corpus.waves(), strict=True))
    ana = [turns[u.id] for u in corpus.utterances if SPEAKERS[str(u.speaker)] == "ana"]
    beto = [turns[u.id] for u in corpus.utterances if SPEAKERS[str(u.speaker)] == "beto"]
    both = [wave for pair in zip(ana, beto, strict=False) for wave in pair]
    rng = np.random.default_rng(0)
    for name, waves in (("ana/story", ana), ("beto/market", beto), ("interview", both)):
        pause = np.zeros(12_000)
        wave = np.concatenate([part for wave in waves for part in (pause, wave, pause)])
        wave += 0.001 * rng.standard_normal(len(wave))
        path = Path("field") / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, 16_000)
    printed = play("tutorials/field-recordings.md")
    assert "of recordings, of which" in printed
    assert "interview.wav: " in printed or "ana/story.wav: " in printed
    found, again = (read_corpus(Path("corpora") / name) for name in ("field", "corrected"))
    assert found.ids == again.ids
    assert found.speakers == again.speakers == ["spk1", "spk2"]
    annotated = read_corpus(Path("corpora/annotated"))

    def by_place(corpus: Corpus, name: str) -> dict[tuple, list[int]]:
        units = read_units(Path(f"units/{name}.parquet"))
        return {
            (u.audio, u.start, u.end, u.speaker): units.steps(u.id).tolist()
            for u in corpus.utterances
        }

    assert by_place(annotated, "annotated") == by_place(found, "field")
    assert all((here / f"{page}.html").is_file() for page in ("hits", "terms", "units"))


def test_kmeans_against_vqvae(demo: Path, here: Path) -> None:
    own_recordings(demo)
    printed = play("tutorials/kmeans-vqvae.md")
    assert "vqvae K=12 4T" in printed
    assert "difference" in printed


def test_submission(demo: Path, here: Path) -> None:
    corpus = read_corpus(demo / "es")
    for language in ("english", "surprise"):
        for part in ("train/unit", "train/voice", "train/parallel", "test"):
            record(corpus, dict.fromkeys(SPEAKERS, f"2019/{language}/{part}"))
        for path in sorted((here / "2019" / language).rglob("*.wav")):
            path.rename(path.with_name(f"V001_{path.name}"))
    record(corpus, dict.fromkeys(SPEAKERS, "LibriSpeech/dev-clean/1/2"))
    for path in sorted((here / "LibriSpeech").rglob("*.wav")):
        sound, rate = soundfile.read(path)
        path.unlink()
        soundfile.write(path.with_name(f"1-2-{path.stem.removeprefix('es')}.flac"), sound, rate)
    printed = play("tutorials/submission.md")
    assert printed.count("follows all rules that were checked") == 2


def test_voice(demo: Path, here: Path) -> None:
    own_recordings(demo)
    (here / "recordings" / "beto" / "es0003.wav").rename(here / "recordings" / "beto" / "story.wav")
    play("tutorials/voice.md")
    assert soundfile.info(here / "converted.wav").duration > 1
    original, faster = (
        sum(soundfile.info(p).frames for p in sorted((here / "wavs" / name).glob("**/*.wav")))
        for name in ("ana", "faster")
    )
    assert original / faster == pytest.approx(1.2, abs=0.05)


def test_translation(demo: Path, here: Path) -> None:
    for language in ("en", "es"):
        corpus = read_corpus(demo / language)
        record(corpus, dict.fromkeys(corpus.speakers, f"recordings/{language}"))
        for path in sorted((here / "recordings" / language).glob("*.wav")):
            path.rename(path.with_name(f"p{int(path.stem.removeprefix(language))}.wav"))
    names = sorted(path.stem for path in (here / "recordings" / "en").glob("*.wav"))
    lines = ["source\ttarget", *(f"{name}\t{name}" for name in names)]
    (here / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    printed = play("tutorials/translation.md")
    assert printed.count("│ distinct_output_ratio") == 2
    assert soundfile.info(here / "p1.es.wav").duration > 0


def test_readme(demo: Path, here: Path) -> None:
    run("extract", demo / "es", "--out", "features")
    (code,) = (b.text for b in blocks(ROOT / "README.md") if b.language == "python")
    names: dict[str, object] = {}
    exec(compile(code.replace("n_units=256", "n_units=12"), "README.md", "exec"), names)
    assert (here / "models" / "km256" / "config.json").is_file()
    assert len(names["units"]) == 16  # type: ignore[arg-type]


def test_every_tutorial_is_run() -> None:
    """A page that is added here needs a test above."""
    run_here = set(re.findall(r"tutorials/[\w-]+\.md", Path(__file__).read_text(encoding="utf-8")))
    assert {p.relative_to(DOCS).as_posix() for p in (DOCS / "tutorials").glob("*.md")} == run_here


def test_what_is_not_run_says_why() -> None:
    for page in (DOCS / "tutorials").glob("*.md"):
        for block in blocks(page):
            assert not block.not_run or len(block.not_run.split()) > 3, block.where
