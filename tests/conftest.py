"""Fixtures: small corpora made on the spot, and the real ones where a machine has them."""

import gc
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

from zerochain.formats.corpus import Corpus, Utterance, write_corpus

pytest_plugins = ["warm"]
REAL = Path(os.environ.get("ZEROCHAIN_CORPORA", Path(__file__).parents[2] / "shared" / "corpora"))


# How long a test takes is a matter of what else the machine does, and never an error. CI draws the
# same examples every time, everybody else new ones.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """One thread per process: tests run side by side, and the same sums come out everywhere.

    Those that fork have no second one either, which could hold a lock: pyarrow's allocator starts
    a thread unless it is told not to. And nothing waits for the disk: what is left after a loss of
    power is not what tests look at.

    Compiled modules are kept, whatever the environment says: otherwise each worker and each process
    that a test starts compiles all of them again, which for the tests takes as long as to import
    everything else.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    os.fsync = lambda fd: None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    spare_imports()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    spare_imports()


def spare_imports() -> None:
    """Have the garbage collector leave what was imported: it took a tenth of the CPU time."""
    if len(sys.modules) > spared[-1] + 100:
        gc.collect()
        gc.freeze()
        spared.append(len(sys.modules))


spared = [0]
"""The number of modules, whenever there were many more."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Each test draws the same numbers: which tests a worker ran before it is a matter of load."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # not worth its import
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _same_form_on_any_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings with precision="auto" compute in float32, whatever this machine's CPU is fast at.

    Where the module isn't loaded yet, the networks of tests are too small for the probe anyway.
    """
    precision = sys.modules.get("zerochain.training.precision")
    if precision is not None:
        monkeypatch.setattr(precision, "_asked", lambda *_: False)
        monkeypatch.setattr(precision, "has_bf16", lambda: False)


@pytest.fixture(scope="session")
def real_corpora() -> Callable[[str], Path]:
    """The folder of a real corpus; the test is skipped where it is missing."""

    def find(name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"the corpus {name} is not in {REAL} (set ZEROCHAIN_CORPORA)")
        return REAL / name

    return find


def voice(rng: np.random.Generator, seconds: float, pitch: float, rate: int = 16_000) -> np.ndarray:
    """Something like speech: harmonics under two slowly moving formants, with pauses."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * time))) / rate
    first = 500 + 300 * np.sin(2 * np.pi * rng.uniform(1, 4) * time + rng.uniform(0, 6))
    second = 1500 + 500 * np.sin(2 * np.pi * rng.uniform(1, 4) * time + rng.uniform(0, 6))
    wave = np.zeros_like(time)
    for k in range(1, 30):
        f = k * pitch
        gain = np.exp(-(((f - first) / 150) ** 2)) + 0.5 * np.exp(-(((f - second) / 250) ** 2))
        wave += gain * np.sin(k * phase)
    wave *= np.clip(np.sin(2 * np.pi * 1.5 * time) + 0.7, 0, 1) / 4
    return (wave + 0.003 * rng.standard_normal(len(time))).astype(np.float32)


def small_corpus(
    root: Path,
    n_utterances: int = 6,
    speakers: tuple[str | None, ...] = ("ana", "béa"),
    seconds: float = 1.2,
    name: str = "tiny",
    test_every: int = 3,
) -> Corpus:
    """A corpus of synthetic voices in `root`/`name`, its recordings u0.wav, … beside it."""
    rng = np.random.default_rng(0)
    audio = root / f"{name}-audio"
    audio.mkdir()
    utterances = []
    for i in range(n_utterances):
        speaker = speakers[i % len(speakers)]
        length = seconds * (1 + 0.3 * (i % 3))
        wave = voice(rng, length, 100 + 60 * (i % len(speakers)))
        soundfile.write(audio / f"u{i}.wav", wave, 16_000, subtype="PCM_16")
        utterances.append(
            Utterance(
                id=f"u{i}",
                audio=f"u{i}.wav",
                duration=len(wave) / 16_000,
                speaker=speaker,
                split="test" if i % test_every == test_every - 1 else "train",
            )
        )
    corpus = Corpus(name=name, utterances=tuple(utterances), audio_root=str(audio.absolute()))
    return write_corpus(root / name, corpus)


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Write a corpus of synthetic voices: `make_corpus(n_utterances=6, speakers=("a", "b"))`."""
    return partial(small_corpus, tmp_path)


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of tones with texts."""
    from chains import texts_of, toned

    return toned(tmp_path_factory.mktemp("toned"), texts_of(60))


@pytest.fixture(scope="session")
def paired(tones: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A speech chain that was trained once, on half of the training texts of the tones."""
    from chains import ASR, RECIPES, TTS

    from zerochain.speechchain.chain import ChainConfig, train_chain
    from zerochain.speechchain.sources import Sources

    out = tmp_path_factory.mktemp("chains") / "paired"
    train_chain(
        Sources(tones.home, "train"),
        out,
        config=ChainConfig(method="paired", paired=0.5),
        asr=ASR,
        tts=TTS,
        recipes=RECIPES,
    )
    return out
