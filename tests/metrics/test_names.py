"""The registry: every metric that a command writes, and which way each is better."""

import ast
from pathlib import Path
from typing import get_args

import pytest

import zerochain
from zerochain.corpora.changes import KINDS
from zerochain.metrics import names
from zerochain.metrics.abx_plan import Mode
from zerochain.metrics.names import METRICS, Metric, metric, rank
from zerochain.metrics.retrieval import RECALLS

PACKAGE = Path(zerochain.__file__).parent


def test_keys_are_unique_and_lead_back() -> None:
    assert len({one.key for one in METRICS}) == len(METRICS)
    assert len({one.label for one in METRICS}) == len(METRICS)
    for place, one in enumerate(METRICS):
        assert metric(one.key) is one
        assert rank(one) == place
        assert one.low < one.high


def test_keys_hold_the_unit() -> None:
    assert (names.ABX_ACROSS.key, names.ABX_ACROSS.unit) == ("abx_across_%", "%")
    assert names.BITRATE.key == "bitrate_bit/s"
    assert names.LOG_SPECTRAL_DISTANCE.key == "log_spectral_distance_dB"
    assert (names.ESTOI.key, names.ESTOI.unit) == ("estoi", "")
    assert names.CODEBOOK_USAGE.key == "codebook_usage"


@pytest.mark.parametrize("key", ["loudness_LUFS", "my_error", "abx_across", "", "_%", "a_bleu"])
def test_an_unknown_metric_is_kept_as_it_is(key: str) -> None:
    one = metric(key)
    assert (one.key, one.label) == (key, key.replace("_", " "))
    assert (one.direction, one.unit, one.family) == ("", "", "")
    assert rank(one) == len(METRICS)


def test_every_metric_of_the_package_is_in_the_registry() -> None:
    """Whatever the modules name, variants included."""
    constants = [value for value in vars(names).values() if isinstance(value, Metric)]
    made_by_variants = {names.UNIT_EDIT_DISTANCE, names.UNIT_CHANGES}
    assert set(constants) - made_by_variants <= set(METRICS)
    for change in KINDS:
        assert names.under(names.UNIT_EDIT_DISTANCE, change) in METRICS
        assert names.under(names.UNIT_CHANGES, change) in METRICS
    assert set(names.CHANGES) == set(KINDS)
    assert set(names.ABX) == set(get_args(Mode))
    assert set(names.RETRIEVAL_RECALL) == set(RECALLS)
    for one in (names.UNIT_BLEU, names.UNIT_CHRF):
        assert {names.shuffled(one), names.floor(one)} <= set(METRICS)
    assert {names.mapped(one) for one in names.BOUNDARIES} <= set(METRICS)


def test_no_other_module_spells_out_a_key() -> None:
    """Keys with a unit are unmistakable; in code they come from the registry alone."""
    keys = {one.key for one in METRICS if one.unit}
    for path in [p for p in PACKAGE.rglob("*.py") if p.name != "names.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        options = {"recogniser_cer_%"} if path.name == "judges.py" else set()
        assert not (strings & keys) - options, path


@pytest.mark.parametrize(
    ("key", "better"),
    [
        ("abx_across_%", "lower"),
        ("bitrate_bit/s", "lower"),
        ("segment_bitrate_bit/s", "lower"),
        ("timed_segment_bitrate_bit/s", "lower"),
        ("log_spectral_distance_dB", "lower"),
        ("f0_frame_error_%", "lower"),
        ("cer_%", "lower"),
        ("per", "lower"),
        ("estoi", "higher"),
        ("pnmi", "higher"),
        ("unit_bleu", "higher"),
        ("unit_bleu_shuffled", ""),
        ("unit_chrf_floor", ""),
        ("unit_error_rate_%", "lower"),
        ("length_ratio", ""),
        ("real_time_factor", "lower"),
        ("retrieval_mrr", "higher"),
        ("retrieval_recall@10_%", "higher"),
        ("asr_bleu", "higher"),
        ("recogniser_cer_%", ""),
        ("boundary_f1_%", "higher"),
        ("mapped_boundary_recall_%", "higher"),
        ("r_value_%", "higher"),
        ("mapped_over_segmentation_%", ""),
        ("phone_error_rate_%", "lower"),
        ("factored_segment_bitrate_bit/s", "lower"),
        ("speaker_probe_vectors_%", "lower"),
        ("ued_noise_%", "lower"),
        ("unit_changes_pitch_%", "lower"),
        ("sentence_distance_%", "lower"),
        ("speaker_similarity", "higher"),
        ("speaker_similarity_converted", "higher"),
        ("speaker_similarity_to_source", "lower"),
        ("speaker_similarity_recordings", ""),
        ("speaker_similarity_others", ""),
        ("perplexity", ""),
        ("codebook_usage", ""),
        ("over_segmentation_%", ""),
    ],
)
def test_which_way_is_better(key: str, better: str) -> None:
    assert metric(key).direction == better
