"""Two synthetic languages, and utterances that say the same in both."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zerochain.formats.features import write_features
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.units import UnitFile, write_units

N_WORDS = 6


@dataclass(frozen=True)
class Languages:
    """Files of the two languages: units of both, frames of the source, and the pairs."""

    root: Path
    lines: dict[str, list[int]]
    reverse: bool = True

    @property
    def source(self) -> Path:
        """Units of the source language, two for a word, with durations."""
        return self.root / "source.parquet"

    @property
    def frames(self) -> Path:
        """The same as features."""
        return self.root / "frames"

    @property
    def target(self) -> Path:
        return self.root / "target.parquet"

    @property
    def pairs(self) -> Path:
        return self.root / "pairs.parquet"

    def translation(self, name: str) -> list[int]:
        """Units of the target language: other ones, the words in reverse order unless told."""
        line = self.lines[name]
        words = reversed(line) if self.reverse else line
        return [unit for word in words for unit in (word, N_WORDS + (word + 1) % N_WORDS)]


def make_languages(
    root: Path,
    n: int = 300,
    longest: int = 5,
    seed: int = 0,
    prefix: str = "s",
    reverse: bool = True,
) -> Languages:
    """Random sentences without repeated words; two steps of a unit, four frames of a step."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    lines = {}
    for i in range(n):
        length = int(rng.integers(2, longest + 1))
        lines[f"{prefix}{i}"] = [int(w) for w in rng.permutation(N_WORDS)[:length]]
    units_of = {name: np.ravel([[2 * w, 2 * w + 1] for w in line]) for name, line in lines.items()}
    durations = {name: rng.integers(1, 4, len(units)) for name, units in units_of.items()}
    common = {"step_ms": 20.0}
    source = UnitFile(
        units_of, 2 * N_WORDS, model_id="a" * 64, method="made", durations=durations,
        corpus_id="corpus-a", speakers=dict.fromkeys(units_of, "ana"), **common,
    )  # fmt: skip
    made = Languages(root, lines, reverse)
    said = {name.replace(prefix, "t"): np.array(made.translation(name)) for name in lines}
    target = UnitFile(
        said, 2 * N_WORDS, model_id="b" * 64, method="made too",
        durations={name: rng.integers(1, 4, len(units)) for name, units in said.items()},
        corpus_id="corpus-b", **common,
    )  # fmt: skip
    pairs = tuple((name, name.replace(prefix, "t")) for name in lines)
    write_units(made.source, source)
    write_units(made.target, target)
    write_pairs(made.pairs, Pairs(pairs, "corpus-a", "corpus-b"))
    spectra = np.random.default_rng(99).standard_normal((2 * N_WORDS, 10))
    with write_features(
        made.frames, extractor="made", options={}, step_ms=5.0, corpus_id="corpus-a"
    ) as writer:
        for name in units_of:
            steps = np.repeat(spectra[source.steps(name)], 4, axis=0)
            noise = 0.1 * rng.standard_normal(steps.shape)
            writer.add(name, (steps + noise).astype(np.float32), "ana")
    return made
