"""The list of words that aren't used: what it finds, and sentences that it leaves alone."""

import re

import pytest

from words import PATTERN, ROOT, WORDS, files, uses


@pytest.mark.parametrize(
    "text",
    [
        "mend the table",
        "Way out: a larger --alpha",
        "what the inverter says in several voices",
        "def hear(self, wave):",
        "heard = model.encode(x)",
        "speakers that it never heard",
        "samples_a_frame = 160",
        "FRAMES_A_STEP = 4",
        "bits a second",
        "one an utterance",
        "a row a system",
        "two made-up languages",
        "what a round came to",
        "a file of no kind that zerochain knows",
        "'x' is no number",
        "1 units",
    ],
)
def test_it_finds(text: str) -> None:
    (use,) = uses("a.py", f"\n{text}\n")
    assert (use.path, use.line) == ("a.py", 2)
    assert use.text.lower() in text.lower()
    assert use.instead


@pytest.mark.parametrize(
    "text",
    [
        "I recommend this amendment",
        "a way outside",
        "segments are made up of frames",
        "give each segment a name",
        "there is no file of that name",
        "it is no longer needed",
        "21 units, 0.1 seconds, 1 unit",
        "tell the encoder which speaker it is",
        "drafted by hand",
        "the sound can be heard",
        "taughten",
        "a step lasts 10 ms",
    ],
)
def test_it_leaves_alone(text: str) -> None:
    assert not list(uses("a.md", text))


def test_every_pattern_has_its_own_remedy() -> None:
    assert PATTERN.groups == len(WORDS), "use (?:…) within a pattern"
    assert all(re.compile(pattern).groups == 0 for pattern in WORDS)


def test_files_of_the_repository_are_found() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = files()
    assert {"Makefile", "README.md", "docs/index.md", "tests/conftest.py"} <= {*names}
    assert "zerochain/cli/__init__.py" in names
    assert not [name for name in names if name.endswith(".png") or name.startswith(".venv")]
