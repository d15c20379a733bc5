"""What stands beside a row: NOT CONVERGED, a collapse, a translator that ignores its input."""

import pytest

from zerochain.formats.bundle import Bundle, Fit
from zerochain.formats.scores import Score
from zerochain.report.remarks import Remarks, has_converged, of_model, of_usage
from zerochain.report.run import Run, RunFiles
from zerochain.report.score_tables import score_table


def bundle(identity: str = "i", **config) -> Bundle:
    return Bundle("convnext", config, {}, {}, identity)


@pytest.mark.parametrize(
    ("config", "remarks"),
    [
        ({"training": {"converged": True}, "prosody": {"report": {"converged": None}}}, []),
        ({"training": {"converged": False}}, ["NOT CONVERGED"]),
        ({"prosody": {"report": {"converged": False}}}, ["NOT CONVERGED: durations and pitch"]),
        (
            {"converged": False, "f0_quantizer": {"report": {"converged": False}}},
            ["NOT CONVERGED: the network, F0 units"],
        ),
        (
            {"f0_quantizer": {"report": {"n_used": 4}, "network": {"n_units": 20}}},
            ["COLLAPSED: 4 of 20 F0 units in use"],
        ),
        ({"f0_quantizer": {"report": {"n_used": 5}, "network": {"n_units": 20}}}, []),
        (
            {"f0_quantizer": {"report": {"n_used": 4, "n_seen": 170}, "network": {"n_units": 20}}},
            ["COLLAPSED: 4 of 20 F0 units in use"],
        ),
        (
            {"f0_quantizer": {"report": {"n_used": 4, "n_seen": 160}, "network": {"n_units": 20}}},
            [],
        ),
    ],
)
def test_a_model_s_own_record(config, remarks) -> None:
    assert of_model(bundle(**config)) == remarks
    assert has_converged(bundle(**config)) == (not any("CONVERGED" in r for r in remarks))


@pytest.mark.parametrize(("n", "used", "says"), [(9000, 5, 1), (9000, 6, 0), (100, 5, 0)])
def test_units_have_collapsed_where_few_are_used_in_much_speech(n, used, says) -> None:
    options = {"n_used": used, "n_units": 60}
    score = Score("codebook_usage", used / 60, None, n, "steps", "vq", {}, options)
    assert len(of_usage([score])) == says


def test_a_row_of_a_speech_chain_says_how_it_was_trained() -> None:
    """What it recognises is its own; what it spoke is judged by another recogniser."""
    models = {"c": bundle("c", training={"converged": False}), "j": bundle("j")}
    run = Run(RunFiles(), {}, {}, models, [], [], {}, fits={"c": Fit(3.5, "CPU, 1 thread")})
    for inputs in ({"chain": "c"}, {"captioner": "c"}, {"recogniser": "j", "inverter": "c"}):
        (row,) = score_table([Score("cer_%", 9, None, 20, "p", "s", inputs, {})], {}).rows
        assert Remarks(run).of(row, "recognition") == ["NOT CONVERGED"]
        assert [cost.fit.device for cost in Remarks(run).costs(row, "recognition")] == [
            "CPU, 1 thread"
        ]


def translated(metric: str, value: float, **options) -> Score:
    inputs = {"units": "u", "translator": "t"} if metric == "real_time_factor" else {"units": "u"}
    return Score(metric, value, None, 20, "p", "conformer", inputs, options)


@pytest.mark.parametrize(
    ("own", "shuffled", "distinct", "ignores"),
    [(20, 5, 0.9, False), (20, 20, 0.9, True), (20, 5, 0.1, True), (0, 0, 0.9, False)],
)
def test_a_translator_that_ignores_its_input(own, shuffled, distinct, ignores) -> None:
    scores = [
        translated("unit_bleu", own),
        translated("unit_bleu_shuffled", shuffled),
        translated("distinct_output_ratio", distinct, of_references=0.9),
        translated("real_time_factor", 0.1),
    ]
    fits = {"t": Fit(3.5, "CPU, 2 threads")}
    models = {"t": bundle("t", training={"converged": False})}
    run = Run(RunFiles(), {}, {}, models, [], scores, {}, fits=fits)
    (row,) = score_table(scores, {}).rows
    expected = ["NOT CONVERGED", *["IGNORES ITS INPUT"] * ignores]
    assert Remarks(run).of(row, "translation") == expected
    assert [cost.what for cost in Remarks(run).costs(row, "translation")] == ["translator"]
    speech = Score("cer_%", 40, None, 20, "r", "conformer", {"units": "u", "inverter": "i"}, {})
    run = Run(RunFiles(), {}, {}, {**models, "i": bundle()}, [], [*scores, speech], {}, fits=fits)
    (row,) = score_table([speech], {}).rows
    said = Remarks(run).of(row, "recognition")
    assert said == ["NOT CONVERGED (translator)", *["IGNORES ITS INPUT"] * ignores]
