"""How good a translator is with a number of pairs, and what unpaired recordings add to them.

    python evaluation/s2st/learning_curve.py --source en.parquet --source-units en.parquet \
        --target-units es.parquet --features features/en --corpus corpora/en \
        --pairs corpora/pairs.parquet --sizes 50,200,800 --out runs/learning-curve

The files are those of `zerochain run s2st` or of the commands that it runs. SOURCE is the input of
the translator; back-translation predicts units, so it is left out where SOURCE is features. The
first `n` pairs of split "train", in a random order, are used as pairs. Each of the others
contributes either its source or its target: the unpaired data contains no pairs. All methods are
scored on the same pairs of split "test". Existing results are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import read_corpus
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.scores import append_scores, read_scores
from zerochain.formats.text_files import write_csv
from zerochain.formats.units import read_units, write_units
from zerochain.metrics import names
from zerochain.scoring.translation import compare_translations, score_translation
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.translation.baselines import nearest_baseline
from zerochain.translation.data import Parallel, Part, oriented, read_source
from zerochain.translation.pretraining import PretrainingConfig, pretrain
from zerochain.translation.pseudo import Pseudo
from zerochain.translation.splicing import spliced_translation
from zerochain.translation.stage import train_translator, translate
from zerochain.translation.task import TranslationConfig
from zerochain.translation.translator import Search

COLUMNS = tuple(
    metric.key
    for metric in (
        names.UNIT_BLEU,
        names.shuffled(names.UNIT_BLEU),
        names.floor(names.UNIT_BLEU),
        names.UNIT_CHRF,
        names.UNIT_ERROR_RATE,
        names.LENGTH_RATIO,
        names.DISTINCT_OUTPUTS,
        names.RETRIEVAL_MRR,
    )
)


@dataclass(frozen=True)
class Setting:
    """Files and options that all sizes share."""

    source: Path
    source_units: Path
    target_units: Path
    features: Path
    corpus: Path
    out: Path
    network: dict[str, Any]
    recipe: Recipe
    sample: int
    cap: float
    device: str
    variants: tuple[Path, ...] = ()

    @property
    def takes_units(self) -> bool:
        return self.source.is_file()


@dataclass(frozen=True)
class Known:
    """The training data at one size.

    Attributes:
        pairs: the table of the training pairs and of the pairs that are scored.
        sources, targets: ids of unpaired recordings.
    """

    n: int
    pairs: Path
    sources: list[str]
    targets: list[str]


def know(setting: Setting, pairs: Path, n: int, seed: int) -> Known:
    """Keep `n` pairs of split "train", and one side of each other pair."""
    corpus = read_corpus(setting.corpus)
    source, target = read_source(setting.source), read_units(setting.target_units)
    table = oriented(read_pairs(pairs), source, target, pairs)
    train, test = (table.of_split(corpus, split).pairs for split in ("train", "test"))
    order = np.random.default_rng(seed).permutation(len(train))
    if not 2 <= n <= len(train):
        raise InputError(f"{n} pairs of {len(train)} in split 'train'", path=pairs)
    known, others = [train[i] for i in order[:n]], [train[i] for i in order[n:]]
    path = setting.out / "pairs" / f"{n}.parquet"
    write_pairs(path, Pairs((*known, *test), table.source_corpus, table.target_corpus))
    paired_sources, paired_targets = ({pair[i] for pair in [*known, *test]} for i in (0, 1))
    sources = dict.fromkeys(s for s, _ in others[::2] if s not in paired_sources)
    targets = dict.fromkeys(t for _, t in others[1::2] if t not in paired_targets)
    return Known(n, path, list(sources), list(targets))


def part_of(units: Path, ids: list[str], out: Path) -> Path:
    """Write a unit file of these utterances only."""
    write_units(out, replace(read_units(units).restrict(ids), id=""))
    return out


class Size:
    """The methods at one number of pairs; each writes units of split "test"."""

    def __init__(self, setting: Setting, known: Known) -> None:
        self.setting, self.known = setting, known
        self.folder = setting.out / str(known.n)
        self.part = Part((setting.corpus,), "train")

    def nearest(self, out: Path) -> None:
        """The target of the most similar training source."""
        s = self.setting
        nearest_baseline(s.features, s.target_units, self.known.pairs, s.corpus, out)

    def spliced(self, out: Path) -> None:
        """Pieces of the targets of several training sources."""
        s = self.setting
        spliced_translation(s.features, s.target_units, self.known.pairs, s.corpus, out)

    def paired(self, out: Path) -> None:
        """A translator trained on the given pairs only."""
        self._translate(out)

    def pretrained(self, out: Path) -> None:
        """… initialised from denoisers of all training units of both languages."""
        self._translate(out, start_from=self._denoisers())

    def decoder(self, out: Path) -> None:
        """… of which only the decoder is pretrained, on all training units of the target."""
        self._translate(out, start_from=self._denoisers()[:1])

    def voices(self, out: Path) -> None:
        """… which is also trained on the sources in other voices."""
        self._translate(out, start_from=self._denoisers()[:1], variants=self.setting.variants)

    def propagated(self, out: Path) -> None:
        """… also trained on unpaired sources with the targets of their nearest neighbours."""
        s, near = self.setting, self.folder / "near.parquet"
        options = {"split": "train", "unpaired": True}
        nearest_baseline(s.features, s.target_units, self.known.pairs, s.corpus, near, **options)
        made = part_of(near, self.known.sources, self.folder / "propagated.parquet")
        self._translate(out, pseudo=[Pseudo(s.source, made)])

    def back_translated(self, out: Path) -> None:
        """… also trained on unpaired targets with predicted sources."""
        self._translate(out, pseudo=[self._back_translations()])

    def both(self, out: Path) -> None:
        """Pretrained and back-translated."""
        self._translate(out, pseudo=[self._back_translations()], start_from=self._denoisers())

    def ways(self) -> dict[str, Callable[[Path], None]]:
        """The methods for which there is enough data."""
        ways = {
            "nearest": self.nearest,
            "spliced": self.spliced,
            "paired": self.paired,
            "pretrained": self.pretrained,
        }
        if self.setting.variants:
            ways |= {"decoder": self.decoder, "voices": self.voices}
        if self.known.sources:
            ways["propagated"] = self.propagated
        if self.known.targets and self.setting.takes_units:
            ways |= {"back-translated": self.back_translated, "both": self.both}
        return ways

    def _translate(self, out: Path, **options: Any) -> None:
        s, model = self.setting, self.folder / "translators" / out.stem
        train_translator(
            [Parallel(s.source, s.target_units, self.known.pairs)],
            model,
            config=TranslationConfig(**s.network, pseudo_cap=s.cap),
            recipe=s.recipe,
            running=Running(s.device),
            part=self.part,
            **options,
        )
        test = Part((s.corpus,), "test")
        asked = [
            source
            for source, _ in _table(self.known.pairs).of_split(read_corpus(s.corpus), "test").pairs
        ]
        translate(model, s.source, out, ids=asked, part=test, device=s.device)

    def _denoisers(self) -> list[Path]:
        """Trained on all training recordings, paired or not; methods share them."""
        s, folders = self.setting, []
        table = _table(self.known.pairs).of_split(read_corpus(s.corpus), "train").pairs
        sides = [("target", s.target_units, [t for _, t in table] + self.known.targets)]
        if s.takes_units:
            sides.append(("source", s.source, [x for x, _ in table] + self.known.sources))
        for name, units, ids in sides:
            folder = self.folder / "denoisers" / name
            folders.append(folder)
            if folder.exists():
                continue
            part = part_of(units, list(dict.fromkeys(ids)), self.folder / f"all.{name}.parquet")
            config = PretrainingConfig(**s.network)
            pretrain([part], folder, config=config, recipe=s.recipe, running=Running(s.device))
        return folders

    def _back_translations(self) -> Pseudo:
        s, made = self.setting, self.folder / "made.parquet"
        if not made.exists():
            reverse = self.folder / "translators" / "reverse"
            train_translator(
                [Parallel(s.target_units, s.source_units, self.known.pairs)],
                reverse,
                config=TranslationConfig(**s.network),
                recipe=s.recipe,
                running=Running(s.device),
                part=self.part,
            )
            search = Search(sample=s.sample)
            ids = self.known.targets
            translate(reverse, s.target_units, made, search=search, ids=ids, device=s.device)
        return Pseudo(made, s.target_units)


def _table(path: Path) -> Pairs:
    return read_pairs(path)


@click.command()
@click.option("--source", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--source-units", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--target-units", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--features", type=click.Path(path_type=Path, exists=True), required=True, help="For DTW."
)
@click.option(
    "--corpus", type=click.Path(path_type=Path, exists=True), required=True, help="The source's."
)
@click.option("--pairs", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--variant",
    "variants",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="The source in other voices, of 'zerochain encode --voice-factor'.",
)
@click.option("--only", default="", help="These methods alone, with commas between.")
@click.option("--sizes", default="50,200,800", show_default=True)
@click.option("--width", type=int, default=128, show_default=True)
@click.option("--layers", type=int, default=3, show_default=True, help="Of encoder and decoder.")
@click.option("--steps", type=int, default=1500, show_default=True)
@click.option("--validate-every", type=int, default=100, show_default=True)
@click.option("--batch-size", type=int, default=24, show_default=True)
@click.option("--sample", type=int, default=5, show_default=True)
@click.option("--cap", type=float, default=2.0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    sizes: str,
    only: str,
    pairs: Path,
    width: int,
    layers: int,
    steps: int,
    validate_every: int,
    batch_size: int,
    seed: int,
    **files: Any,
) -> None:
    """Train and score every method at every size; write table.csv and table.md."""
    recipe = Recipe(
        max_steps=steps,
        validate_every=validate_every,
        batch_size=batch_size,
        annealing="cosine",
        seed=seed,
    )
    network = {"width": width, "n_encoder_layers": layers, "n_decoder_layers": layers}
    setting = Setting(network=network, recipe=recipe, **files)
    rows: list[dict[str, Any]] = []
    for n in sorted({int(size) for size in sizes.split(",")}):
        known = know(setting, pairs, n, seed)
        size = Size(setting, known)
        ways = size.ways()
        chosen = only.split(",") if only else list(ways)
        if unknown := sorted(set(chosen) - ways.keys()):
            raise click.BadParameter(f"--only {', '.join(unknown)}: there are {', '.join(ways)}")
        for name, way in ways.items():
            if name not in chosen:
                continue
            rows.append(measured(size, name, way))
            click.echo(", ".join(f"{key} {value}" for key, value in rows[-1].items()))
            write_tables(setting.out, rows)


def measured(size: Size, name: str, way: Callable[[Path], None]) -> dict[str, Any]:
    """A row of the table; existing scores are read."""
    known, setting = size.known, size.setting
    scores = setting.out / "scores" / str(known.n) / f"{name}.jsonl"
    if not scores.exists():
        output = size.folder / f"{name}.parquet"
        way(output)
        found = score_translation(
            output,
            setting.target_units,
            known.pairs,
            corpus=setting.corpus,
            split="test",
            system=f"{name}, {known.n} pairs",
        )
        append_scores(scores, found.scores)
    by_name = {score.metric: score for score in read_scores(scores)}
    low, high = by_name[names.UNIT_BLEU.key].interval or (np.nan, np.nan)
    return {
        "pairs": known.n,
        "sources_without": len(known.sources),
        "targets_without": len(known.targets),
        "way": name,
        **{column: round(by_name[column].value, 3) for column in COLUMNS if column in by_name},
        "unit_bleu_from": round(low, 3),
        "unit_bleu_to": round(high, 3),
        **beside_nearest(size, name),
    }


def beside_nearest(size: Size, name: str) -> dict[str, float]:
    """The difference of unit-BLEU from the nearest neighbour's, and its interval, if both exist."""
    setting = size.setting
    output, nearest = size.folder / f"{name}.parquet", size.folder / "nearest.parquet"
    if name == "nearest" or not (output.exists() and nearest.exists()):
        return {}
    found, _ = compare_translations(
        output,
        nearest,
        setting.target_units,
        size.known.pairs,
        corpus=setting.corpus,
        split="test",
    )
    low, high = found.interval or (np.nan, np.nan)
    return {
        "beside_nearest": round(found.difference, 3),
        "beside_nearest_from": round(low, 3),
        "beside_nearest_to": round(high, 3),
    }


def write_tables(out: Path, rows: list[dict[str, Any]]) -> None:
    """table.csv with all scores, table.md with unit-BLEU: methods in rows, sizes in columns."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(out / "table.csv", heads, [[row.get(name, "") for name in heads] for row in rows])
    sizes = list(dict.fromkeys(row["pairs"] for row in rows))
    ways = list(dict.fromkeys(row["way"] for row in rows))
    bleu = {(row["way"], row["pairs"]): f"{row['unit_bleu']:.1f}" for row in rows}
    lines = [
        ["unit-BLEU", *(f"{n} pairs" for n in sizes)],
        ["---", *("--:" for _ in sizes)],
        *([way, *(bleu.get((way, n), "") for n in sizes)] for way in ways),
    ]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    with atomic_file(out / "table.md") as path:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
