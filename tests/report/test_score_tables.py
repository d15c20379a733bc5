from pathlib import Path

import numpy as np
import pytest

from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile
from zerochain.metrics import names
from zerochain.report.drawings import tradeoffs
from zerochain.report.score_tables import group_of, number, score_table


def score(metric: str, value: float, system: str = "a", **changes: object) -> Score:
    near = (value - 0.001, value + 0.001)
    defaults = {"interval": near, "n": 100, "protocol": "p", "inputs": {"units": system}}
    return Score(metric=metric, value=value, system=system, **{**defaults, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.56, "1,235"),
        (474.2, "474"),
        (21.56, "21.6"),
        (4.375, "4.38"),
        (0.4213, "0.421"),
        (0, "0.000"),
        (-3.25, "−3.25"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_intervals_have_the_decimals_of_their_value() -> None:
    table = score_table([score("abx_across_%", 10.44, interval=(3.987, 120.06))], {})
    (cell,) = table.rows[0].cells.values()
    assert (cell.value, cell.interval) == ("10.4", "4.0–120.1")


def test_a_minus_is_no_dash() -> None:
    table = score_table([score("r_value_%", -0.32, interval=(-0.359, -0.309))], {})
    (row,) = table.rows
    assert next(iter(row.cells.values())).interval == "−0.359 … −0.309"


def test_the_best_of_each_column_is_marked() -> None:
    table = score_table(
        [
            score("abx_across_%", 20, "a"),
            score("abx_across_%", 30, "b"),
            score("pnmi", 0.5, "a"),
            score("pnmi", 0.6, "b"),
            score("perplexity", 1, "a"),
            score("perplexity", 2, "b"),
            score("bitrate_bit/s", 9, "a"),
        ],
        {},
    )
    best = {(row.system, c.metric) for row in table.rows for c in row.cells if row.cells[c].best}
    assert best == {("a", names.ABX_ACROSS), ("b", names.PNMI)}  # alone in a column is not best


def bests(scores: list[Score], **options: object) -> list[str]:
    table = score_table(scores, {}, **options)  # type: ignore[arg-type]
    return [row.system for row in table.rows for cell in row.cells.values() if cell.best]


@pytest.mark.parametrize(
    ("half", "other", "best"),
    [
        (0.1, 0.65, ["b"]),  # beyond √2 · 0.1
        (0.1, 0.63, []),  # within
        (0.0, 0.5, []),  # a tie
        (None, 0.9, []),  # without an interval nobody knows
    ],
)
def test_the_best_is_beyond_the_interval_of_the_difference(half, other, best) -> None:
    def interval(value: float) -> tuple[float, float] | None:
        return None if half is None else (value - half, value + half)

    both = {"a": 0.5, "b": other}
    scores = [score("pnmi", v, name, interval=interval(v)) for name, v in both.items()]
    assert bests(scores) == best


def test_the_best_is_beyond_every_other_one() -> None:
    scores = [
        score("pnmi", v, n, interval=(v - 0.1, v + 0.1))
        for n, v in zip("abc", (1, 5, 5.1), strict=True)
    ]
    assert bests(scores) == []


def test_a_paired_interval_decides_where_it_is_known() -> None:
    scores = [score("pnmi", v, n, interval=(0, 1)) for n, v in (("a", 0.5), ("b", 0.6))]
    assert bests(scores) == []
    assert bests(scores, difference=lambda first, second: (0.05, 0.15)) == ["b"]
    assert bests(scores, difference=lambda first, second: (-0.05, 0.15)) == []


def test_no_bit_rate_is_best_alone() -> None:
    for metric in ("bitrate", "segment_bitrate", "timed_segment_bitrate"):
        scores = [score(f"{metric}_bit/s", value, name) for name, value in (("a", 9), ("b", 90))]
        assert bests(scores) == []


def test_too_little_data_is_never_best() -> None:
    scores = [score("abx_across_%", 0, "a", n=6), *(score("abx_across_%", 20, n) for n in "bc")]
    assert bests(scores) == []
    scores[1] = score("abx_across_%", 10, "b")
    assert bests(scores) == ["b"]
    (cell,) = score_table(scores, {}).rows[0].cells.values()
    assert cell.shortfall == "6 triples"


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"split": "dev"}},
        {"options": {"split": "test", "voice": "béa"}},
        {"inputs": {"units": "b", "corpus": "other"}},
    ],
)
def test_other_test_sets_have_tables_of_their_own(changes) -> None:
    usual = {"inputs": {"corpus": "c"}, "options": {"split": "test", "voice": "ana"}}
    one = score("pnmi", 0.9, "a", **{**usual, "inputs": {"units": "a", "corpus": "c"}})
    other = score("pnmi", 0.1, "b", **{**usual, "inputs": {"units": "b", "corpus": "c"}, **changes})
    table = score_table([one, other], {})
    assert [len(group.rows) for group in table.groups] == [1, 1]
    assert not any(cell.best for row in table.rows for cell in row.cells.values())


@pytest.mark.parametrize(
    "options", [{"n_utterances": 20}, {"n_of": "utterances"}, {"n_utterances": 10, "n_pairs": 3}]
)
def test_other_numbers_of_utterances_or_pairs_have_columns_of_their_own(options) -> None:
    usual = {"n_utterances": 10, "n_pairs": 5}
    scores = [score("pnmi", 0.9, "a", options=usual), score("pnmi", 0.1, "b", options=options)]
    (group,) = score_table(scores, {}).groups
    assert len(group.columns) == 2
    assert any(column.apart for column in group.columns)
    assert not any(cell.best for row in group.rows for cell in row.cells.values())


def test_what_a_score_does_not_say_is_no_other_test_set() -> None:
    """Usage has no split, older scores no number of utterances, real speech no voice."""
    inputs = {"units": "a", "corpus": "c"}
    scores = [
        score("pnmi", 0.9, "a", inputs=inputs, options={"split": "test", "n_utterances": 9}),
        score("pnmi", 0.1, "b", inputs={**inputs, "units": "b"}, options={"split": "test"}),
        score("perplexity", 9, "a", inputs={"units": "a"}),
        score("cer_%", 9, "x", inputs=inputs, options={"split": "test", "voice": "v"}),
        score(
            "cer_%", 1, "real", inputs={"corpus": "c", "recordings": "c"}, options={"split": "test"}
        ),
    ]
    (group,) = score_table(scores[:3], {}).groups
    assert [len(row.cells) for row in group.rows] == [2, 1]
    assert [row.cells[group.columns[1]].best for row in group.rows] == [True, False]
    (group,) = score_table(scores[3:], {}).groups
    assert group.test.voice == "v"


def test_scores_of_former_units_are_no_rivals() -> None:
    gone, there = (
        score("pnmi", v, "km", inputs={"units": u}) for u, v in (("old", 0.9), ("u", 0.5))
    )
    table = score_table([there, gone], {}, present={"u"})
    assert [cell.value for row in table.rows for cell in row.cells.values()] == ["0.500"]
    assert table.replaced == ["PNMI (homogeneity) of km: 0.900, of a former output"]
    assert len(score_table([there, gone], {}).rows) == 2


def test_protocols_and_distances_are_never_compared() -> None:
    table = score_table(
        [
            score("abx_across_%", 20, "a", protocol="phone"),
            score("abx_across_%", 30, "b", protocol="triphone"),
            score("abx_across_%", 10, "b", protocol="triphone", options={"distance": "kl"}),
        ],
        {},
    )
    assert len(table.columns) == 3
    assert not any(cell.best for row in table.rows for cell in row.cells.values())


def test_features_stand_last_and_are_never_best() -> None:
    table = score_table(
        [
            score("abx_across_%", 5, "mfcc", inputs={"features": "f"}),
            score("abx_across_%", 20, "a"),
            score("abx_across_%", 30, "b"),
        ],
        {},
    )
    assert [row.system for row in table.rows] == ["a", "b", "mfcc"]
    assert [cell.best for row in table.rows for cell in row.cells.values()] == [True, False, False]


def test_toplines_and_ceilings_stand_last_and_are_never_best() -> None:
    above = {"options": {"for_reference": True}}
    table = score_table(
        [
            score("real_time_factor", 0.01, "topline"),  # a score that doesn't say what it is of
            score("unit_bleu", 90, "topline", **above),
            score("unit_bleu", 30, "nearest"),
            score("unit_bleu", 60, "conformer"),
        ],
        {},
    )
    assert [row.system for row in table.rows] == ["nearest", "conformer", "topline"]
    best = [(row.system, c.metric) for row in table.rows for c in row.cells if row.cells[c].best]
    assert best == [("conformer", names.UNIT_BLEU)]


def test_a_later_score_replaces_an_earlier_one_and_that_is_said() -> None:
    table = score_table([score("pnmi", 0.25), score("pnmi", 0.5)], {})
    assert len(table.rows) == 1
    assert [cell.value for cell in table.rows[0].cells.values()] == ["0.500"]
    assert table.replaced == ["PNMI (homogeneity) of a: 0.250"]


def test_two_inputs_of_one_name_are_two_rows() -> None:
    scores = [score("pnmi", 0.25, inputs={"units": "1"}), score("pnmi", 0.5, inputs={"units": "2"})]
    assert len(score_table(scores, {}).rows) == 2


@pytest.mark.parametrize(
    ("metric", "inputs", "group"),
    [
        ("abx_across_%", {"units": "u"}, "units"),
        ("perplexity", {"units": "u"}, "units"),
        ("estoi", {"units": "u", "inverter": "i"}, "resynthesis"),
        ("log_spectral_distance_dB", {"corpus": "c"}, "resynthesis"),
        ("speaker_similarity_recordings", {"corpus": "c"}, "resynthesis"),
        ("speaker_similarity_others", {"corpus": "c"}, "conversion"),
        ("source_f0_correlation", {"inverter": "i"}, "conversion"),
        ("anything", {"inverter": "i"}, "resynthesis"),
        ("unit_bleu", {}, "translation"),
        ("anything", {"translator": "t"}, "translation"),
        ("length_ratio", {"units": "u"}, "translation"),
        ("retrieval_recall@1_%", {"units": "u"}, "translation"),
        ("cer_%", {"units": "u", "inverter": "i"}, "recognition"),
        ("recogniser_cer_%", {}, "recognition"),
    ],
)
def test_groups(metric: str, inputs: dict[str, str], group: str) -> None:
    assert group_of(score(metric, 1, inputs=inputs)) == group


def test_speaker_similarities_stand_together_and_encoders_apart() -> None:
    names = ("others", "recordings", "to_source", "converted")
    metrics = [f"speaker_similarity_{name}" for name in names] + ["speaker_similarity"]
    scores = [score(metric, 0.5, inputs={"inverter": "i"}) for metric in metrics]
    scores.append(score("speaker_similarity", 0.7, inputs={"inverter": "i"}, protocol="q"))
    labels = [column.metric.label for column in score_table(scores, {}).columns]
    assert labels[:2] == ["speaker similarity"] * 2
    assert labels[2:] == [
        "similarity to the target voice",
        "similarity to the source speaker",
        "speaker similarity of the voice's recordings",
        "similarity of other speakers' recordings to the voice",
    ]


def test_another_program_s_metric_is_shown_last_and_none_is_best() -> None:
    scores = [score("loudness_LUFS", value, name) for name, value in (("a", 1), ("b", 2))]
    table = score_table([*scores, score("perplexity", 9, "a")], {})
    assert [column.metric.label for column in table.columns] == ["perplexity", "loudness LUFS"]
    assert not any(cell.best for row in table.rows for cell in row.cells.values())
    assert group_of(scores[0]) == "units"


def test_chance_stands_beside_what_is_above_it() -> None:
    scores = [score("retrieval_mrr", 0.346, options={"chance": 0.0929}), score("unit_bleu", 17)]
    [row] = score_table(scores, {}).rows
    assert [cell.chance for cell in row.cells.values()] == ["0.093", ""]


def test_real_and_translated_speech_are_rows_of_the_language_that_is_spoken() -> None:
    arrays = {"s": np.array([1], np.int32)}
    units = UnitFile(arrays, 2, 20.0, "m", "translated", corpus_id="source", id="u")
    scores = [
        score("cer_%", 20, "ours", inputs={"units": "u", "inverter": "i", "corpus": "target"}),
        score("cer_%", 30, "theirs", inputs={"inverter": "j", "corpus": "target"}),
        score("cer_%", 1, "real speech", inputs={"recordings": "target", "corpus": "target"}),
    ]
    table = score_table(scores, {"u": units})
    assert {row.corpus for row in table.rows} == {"target"}
    assert [row.system for row in table.rows] == ["ours", "theirs", "real speech"]
    assert [row.cells[table.columns[0]].best for row in table.rows] == [True, False, False]


def test_the_plot_takes_the_rate_of_systems_with_an_error(tmp_path: Path) -> None:
    scores = [
        score("abx_across_%", 20, "a"),
        score("bitrate_bit/s", 90, "b", protocol="half of the utterances"),
        score("bitrate_bit/s", 100, "a", protocol="of all"),
    ]
    [plot] = tradeoffs(score_table(scores, {}), None, tmp_path)
    assert "a 20.0 % at 100 bit/s" in str(plot.wide)


def test_what_sets_columns_apart_is_named_by_its_path() -> None:
    pairs = {"pairs": "a" * 64, "references": "c" * 64}
    scores = [
        score("unit_bleu", 50, "one", inputs={"units": "u", **pairs}),
        score("unit_bleu", 60, "other", inputs={"units": "v", **pairs, "pairs": "b" * 64}),
    ]
    paths = {"a" * 64: "pairs/few.parquet"}
    (group,) = score_table(scores, {}, paths=paths).groups
    assert [column.apart for column in group.columns] == [
        ("pairs pairs/few.parquet",),
        (f"pairs {'b' * 12}",),
    ]
    (group,) = score_table(scores[:1] * 2, {}, paths=paths).groups
    assert group.columns[0].apart == ()
