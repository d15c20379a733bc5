"""Words that zerochain does not use, with what to write instead: part of `make lint`.

    python tests/words.py                # in all files; exit code 1 if there is any
    python tests/words.py zerochain/cli  # in these files and folders
    python tests/words.py --count        # the number in each file, most first

It reads prose, comments, strings and identifiers alike: an underscore ends a word. The list has
phrases that make a native reader stumble, and names for which the field has another term. No line
can be exempted: if a pattern matches a legitimate sentence, narrow the pattern.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {
    *(".py", ".md", ".smk", ".yaml", ".yml", ".toml", ".cff", ".sh", ".html", ".j2", ".css"),
    *(".js", ".rst", ""),
}
BUILT = {".venv", ".venv-newest", "runs", "build", "dist"}
EXEMPT = {
    *("tests/words.py", "tests/test_words.py", "LICENSE"),
    "tests/data/write_older_files.py",  # runs with an older version and uses its words
}

COUNTED = (
    "bits?|bytes|frames?|samples?|seconds?|steps?|units?|tokens?|utterances?|rows?|lines?|files?|"
    "numbers?|voices?|segments?|pairs?|hours?|minutes?|items?|triples|columns?|nats|codes?|"
    "threads?|speakers?|[KMGT]i?B|[kMG]?Hz|ms|bit/s|one|[0-9]+"
)
"""What can be counted …"""
PER = (
    "second|minute|hour|step|frame|unit|segment|row|line|file|side|speaker|utterance|process|core|"
    "fold|recording|group|system|dataset|language|octave|bin|stage|round|reader|symbol|period|"
    "metric|score|training|fit|cell|token|phone|channel|layer|component|cluster|batch|device"
)
"""… and per what."""
MODELS = (
    "models?|networks?|encoders?|decoders?|translators?|inverters?|recognisers?|normalisers?|"
    "generators?|discriminators?|listeners?|vocoders?"
)
PLURALS = "frames|samples|seconds|steps|units|tokens|utterances|rows|lines|files|voices|pairs|hours"
NOUNS = (
    "array|bundle|checkpoint|character|code|copy|corpus|feature|features|file|folder|list|matrix|"
    "multiple|name|number|option|options|path|phone|record|recording|sound|submission|table|text|"
    "textgrid|time|unit|voice|word"
)

WORDS = {
    r"mend(?:s|ed|ing)?": "fix",
    r"ways? out": "fix, remedy",
    rf"(?:{MODELS}) (?:says?|said|tells?|told|hears?|heard)": "predicts, encodes, outputs",
    r"hears(?!_units)|(?<=\.)hear|(?<=def )hear|heard(?= = |\.[a-z])": "encodes, takes as input",
    r"(?:never|not|is|was|they) (?:met|heard) (?:in|by|at|during) (?:training|it|them)": "unseen",
    r"never (?:met|heard)": "unseen in training",
    r"taught": "teacher-forcing inputs, trained",
    rf"(?:{COUNTED}) an? (?:{PER})": "per",
    rf"(?:{COUNTED})_an?_[a-z]+": "_per_",
    r"(?:makes|made|making)[ _-]up(?! (?:for|of|to|the|a))": "hallucinates, synthetic, pseudo",
    r"(?:what|as) (?:[a-z]+ ){1,4}came to": "result, outcome",
    r"draft(?=[(_])": "initial centroids, initial",
    r"strangers?": "unknown, unseen speakers",
    r"of no kind": "unknown kind",
    r"most_for_one": "max_length_ratio",
    rf"(?<!there )is no (?:{NOUNS})": "is not a",
    r"for want of": "without, because there is no",
    rf"(?<![\d.,–-])1 (?:{PLURALS})": "1 unit, by zerochain.errors.counted",
}
"""Pattern → what to write instead. No pattern has a capturing group."""
INSTEAD = list(WORDS.values())
PATTERN = re.compile(
    "|".join(f"(?<![^\\W\\d_])({pattern})(?![^\\W\\d_])" for pattern in WORDS), re.IGNORECASE
)


class Use(NamedTuple):
    """One use of such a word."""

    path: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: write {self.instead}"


def files(paths: Iterable[str] = ()) -> list[str]:
    """The files of the repository that are read, or those of them below the paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *paths]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:  # a download without git's history: `make lint` works there too
        parts = paths or [path.name for path in ROOT.iterdir() if path.name not in BUILT]
        found = [p for part in parts for p in (ROOT / part, *(ROOT / part).rglob("*"))]
        names = {path.relative_to(ROOT).as_posix() for path in found}
    else:
        names = {*done.stdout.split("\0")} - {""}
    return [
        name
        for name in sorted(names)
        if name not in EXEMPT and Path(name).suffix in SUFFIXES and (ROOT / name).is_file()
    ]


def uses(path: str, text: str) -> Iterator[Use]:
    """The uses of such words in a text, one by one."""
    for match in PATTERN.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Use(path, line, match[0], INSTEAD[(match.lastindex or 0) - 1])


def main() -> int:
    """List or count the uses; the exit code is 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", help="Files and folders.  [default: all]")
    parser.add_argument("--count", action="store_true", help="Count the uses in each file.")
    options = parser.parse_args()
    found = {
        name: list(uses(name, (ROOT / name).read_text(encoding="utf-8", errors="replace")))
        for name in files(options.paths)
    }
    if options.count:
        lines = [f"{len(u):5} {n}" for n, u in sorted(found.items(), key=lambda i: -len(i[1])) if u]
    else:
        lines = [str(use) for name in found for use in found[name]]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
