"""What checksums notice, what ranges refuse, and that files without checksums are still read."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file, save_file

from edits import unsealed
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.formats.abx_cells import KEYS, SCHEMA, AbxCells, read_cells, write_cells
from zerochain.formats.attention import read_attention, write_attention
from zerochain.formats.bundle import bundle_id, read_bundle, write_bundle
from zerochain.formats.features import Features, read_features, write_features
from zerochain.formats.headers import read_json, write_json
from zerochain.formats.scores import Score, append_scores, read_scores
from zerochain.formats.tables import table_header
from zerochain.formats.text_files import parse_yaml
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.metrics.names import metric
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig
from zerochain.training.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def features(tmp_path: Path) -> Path:
    kind: dict[str, Any] = {"extractor": "mfcc", "options": {}, "corpus_id": "c"}
    with write_features(tmp_path / "f", step_ms=10.0, **kind) as writer:
        writer.add("u", np.arange(12, dtype=np.float32).reshape(4, 3))
    return tmp_path / "f"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    file = UnitFile({"u": np.arange(300, dtype=np.int32) % 7}, 7, 10.0, "m", "kmeans")
    write_units(tmp_path / "u.parquet", file)
    return tmp_path / "u.parquet"


def test_other_frames_are_noticed(features: Path) -> None:
    frames = np.load(features / "frames.npy")
    frames[2, 1] += 1
    np.save(features / "frames.npy", frames)
    with pytest.raises(InputError, match="are not the frames that") as caught:
        read_features(features)
    assert caught.value.path == features / "frames.npy"


def test_another_extractions_index_is_noticed(features: Path, tmp_path: Path) -> None:
    kind: dict[str, Any] = {"extractor": "mfcc", "options": {}, "corpus_id": "c"}
    with write_features(tmp_path / "g", step_ms=10.0, **kind) as writer:
        writer.add("other", np.ones((4, 3), np.float32))
    (tmp_path / "g" / "index.parquet").replace(features / "index.parquet")
    with pytest.raises(InputError, match="is not the index that"):
        read_features(features)


def test_every_byte_of_a_table_counts(units: Path) -> None:
    """A damaged byte is refused, or changes nothing (statistics, padding)."""
    content = units.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        units.write_bytes(changed)
        try:
            read = read_units(units)
        except InputError:
            continue
        assert (read.n_units, read.step_ms, read.model_id) == (7, 10.0, "m")
        assert read.units["u"].tolist() == (np.arange(300) % 7).tolist()


def test_other_programs_may_change_a_table(units: Path) -> None:
    table = pq.read_table(units)
    changed = table.set_column(1, table.schema.field(1), pa.array(["ana"]))
    pq.write_table(changed, units)
    assert read_units(units).speakers == {"u": "ana"}


def test_an_edited_header_is_noticed(features: Path) -> None:
    path = features / "features.json"
    path.write_text(path.read_text().replace('"step_ms": 10.0', '"step_ms": 20.0'))
    with pytest.raises(InputError, match="was changed since it was written"):
        read_features(features)


def test_another_models_weights_are_noticed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "m", "kmeans", {}, {"w": np.ones(3)}, {})
    save_file({"w": np.ones(3) * 2}, tmp_path / "m" / "weights.safetensors")
    with pytest.raises(InputError, match="are not the weights that"):
        read_bundle(tmp_path / "m")


def test_a_damaged_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, {"fingerprint": "f", "w": torch.ones(64), "step": 1})
    content = path.read_bytes()
    for place in (len(content) - 3, content.index(b"fingerprint") + 30):
        changed = bytearray(content)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"can't be read(.|\n)*restart=True") as caught:
            load_checkpoint(path)
        assert caught.value.path == path


def test_a_map_of_another_translation_is_noticed(tmp_path: Path) -> None:
    ids = {"translator_id": "t", "units_id": "u"}
    maps, said = {"a": np.eye(2, dtype=np.float32)}, {"a": np.array([0, 1], np.int32)}
    write_attention(tmp_path / "x", maps, said, step_ms=None, **ids)
    read = read_attention(tmp_path / "x")
    swapped = {"a": np.eye(2, dtype=np.float32)[::-1]}
    write_attention(tmp_path / "x", swapped, said, step_ms=None, **ids)
    with pytest.raises(InputError, match="its checksum does not match"):
        read.map("a")


@pytest.mark.parametrize("weights", [np.ones((2, 2)), -np.eye(2), np.eye(2) * np.nan, np.ones(2)])
def test_a_map_that_can_t_be_is_refused(tmp_path: Path, weights: np.ndarray) -> None:
    ids = {"translator_id": "t", "units_id": "u"}
    said = {"a": np.array([0, 1], np.int32)}
    write_attention(tmp_path / "x", {"a": weights}, said, step_ms=None, **ids)
    with pytest.raises(InputError, match="holds no attention map"):
        read_attention(tmp_path / "x").map("a")


def test_an_archive_that_claims_too_much_is_not_unpacked(tmp_path: Path) -> None:
    ids = {"translator_id": "t", "units_id": "u"}
    maps, said = {"a": np.eye(2, dtype=np.float32)}, {"a": np.array([0, 1], np.int32)}
    write_attention(tmp_path / "x", maps, said, step_ms=None, **ids)
    unsealed(tmp_path / "x" / "attention.json")
    with zipfile.ZipFile(tmp_path / "x" / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("attention.npy", bytes(300_000_000))
    with pytest.raises(InputError, match="claims to have 300000000 bytes"):
        read_attention(tmp_path / "x").map("a")


CELL = {**dict.fromkeys(KEYS, "a"), "mode": "within", "score": 0.5, "n": 3}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"score": 1.5}, "1 scores that aren't from 0 to 1"),
        ({"score": -0.1}, "1 scores that aren't"),
        ({"score": float("nan")}, "1 scores that aren't"),
        ({"n": 0}, "1 counts below 1"),
        ({"mode": "between"}, "1 modes other than"),
    ],
)
def test_cells_that_can_t_be(tmp_path: Path, change: dict[str, Any], found: str) -> None:
    table = pa.Table.from_pylist([CELL, {**CELL, **change}], schema=SCHEMA)
    with pytest.raises(InputError, match=found):
        write_cells(tmp_path / "c.parquet", AbxCells(table, "s", "p", "d", {}, {}))
    header = {"kind": "abx-cells", "version": 1, "system": "s", "protocol": "p", "distance": "d"}
    text = json.dumps({**header, "options": {}, "record": {}}).encode()
    pq.write_table(table.replace_schema_metadata({b"zerochain": text}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=found):
        read_cells(tmp_path / "c.parquet")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("abx_across_%", 101.0),
        ("abx_within_%", -1.0),
        ("pnmi", 1.5),
        ("estoi", -1.5),
        ("boundary_f1_%", 100.5),
        ("speaker_probe_histograms_%", 120.0),
        ("retrieval_recall@10_%", 120.0),
        ("wer_%", -3.0),
        ("bitrate_bit/s", -1.0),
        ("length_ratio", -0.5),
        ("f0_frame_error_%", 101.0),
        ("source_f0_correlation", 1.2),
    ],
)
def test_scores_that_can_t_be(tmp_path: Path, key: str, value: float) -> None:
    path = tmp_path / "s.jsonl"
    with pytest.raises(InputError, match="which is impossible"):
        append_scores(path, [Score(key, value, None, 1, "p", "s", {})])
    line = {"value": value, "interval": None, "n": 1, "protocol": "p", "system": "s"}
    path.write_text(json.dumps({**line, "metric": key, "inputs": {}, "options": {}, "version": ""}))
    with pytest.raises(InputError, match="which is impossible"):
        read_scores(path)


def test_scores_that_can_be() -> None:
    assert metric("wer_%").high == metric("over_segmentation_%").high == float("inf")
    assert metric("r_value_%").low == metric("mcd_sp2mc24_dB").low == -float("inf")
    assert metric("unit_bleu").high == float("inf")


@pytest.mark.parametrize(
    "change", [{"n": -1}, {"n": True}, {"interval": [2, 1]}, {"inputs": {"a": 1}}]
)
def test_other_fields_of_a_score(tmp_path: Path, change: dict[str, Any]) -> None:
    line = {"metric": "m", "value": 1, "interval": None, "n": 1, "protocol": "p", "system": "s"}
    line |= {"inputs": {}, "options": {}, "version": ""}
    (tmp_path / "s.jsonl").write_text(json.dumps({**line, **change}))
    with pytest.raises(InputError):
        read_scores(tmp_path / "s.jsonl")


@pytest.mark.parametrize("steps", ["-100,200", "200,100", "inf,300", "1,nan"])
def test_steps_of_a_training_that_can_t_be(tmp_path: Path, steps: str) -> None:
    rows = "\n".join(f"{step},1.0" for step in steps.split(","))
    (tmp_path / "log.csv").write_text(f"step,seconds\n{rows}\n")
    with pytest.raises(InputError, match='column "step"'):
        read_training_log(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"kind": "x", "kind": "y"}', '{"a": "\\ud800"}', "1" * 10_000, '{"a": ' * 60],
)
def test_json_that_nobody_writes(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match="is not JSON"):
        read_json(tmp_path / "x.json", "x")


@pytest.mark.parametrize(
    "text",
    [
        "x: [" * 3000,
        "&a [*a]",
        "a: 2024-13-45",
        "\n".join(
            [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else ['1'])}]" for i in range(9)]
        ),
    ],
)
def test_yaml_that_grows(text: str) -> None:
    with pytest.raises(InputError, match="is not YAML"):
        parse_yaml(text)


def test_yaml_that_people_write() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}
    assert parse_yaml("") is None


@pytest.mark.parametrize("width", [9, 60_000, 10**9])
def test_no_memory_is_taken_for_a_network_that_is_not_there(tmp_path: Path, width: int) -> None:
    net = SpeakerNet(SpeakerNetConfig(width=8, n_blocks=1, dim=6))
    SpeakerEncoder(net).save(tmp_path / "m")
    whole = read_bundle(tmp_path / "m")
    network = {**whole.config["network"], "width": width}
    write_bundle(
        tmp_path / "m", whole.model, {**whole.config, "network": network}, whole.tensors, {}
    )
    with pytest.raises(InputError, match="not a valid speaker encoder"):
        SpeakerEncoder.load(tmp_path / "m")


# As the versions before checksums wrote them


def test_older_features_and_headers_are_read(features: Path, tmp_path: Path) -> None:
    before = read_features(features)
    header = table_header(features / "index.parquet")
    del header["sha256"]
    table = pq.read_table(features / "index.parquet")
    text = json.dumps(header).encode()
    pq.write_table(
        table.replace_schema_metadata({b"zerochain": text}),
        features / "index.parquet",
        compression="zstd",
    )
    unsealed(features / "features.json")
    after = read_features(features)
    assert np.array_equal(after.frames, before.frames)
    assert (after.index, after.options) == (before.index, before.options)
    write_json(tmp_path / "n.json", "note", {"a": 1}, editable=True)
    assert read_json(tmp_path / "n.json", "note") == {"kind": "note", "version": 1, "a": 1}


def test_an_older_bundle_keeps_its_id(tmp_path: Path) -> None:
    """Units and inverters name it by that."""
    rng = np.random.default_rng(0)
    arrays = {f"u{i}": rng.normal(size=(20, 3)).astype(np.float32) for i in range(3)}
    features = Features.from_arrays(arrays, speakers=dict.fromkeys(arrays, "ana"))
    KMeansUnits(4).fit(features).save(tmp_path / "m")
    unsealed(tmp_path / "m" / "config.json")
    older = load_unit_model(tmp_path / "m")
    assert older.id == older.encode(features).model_id == bundle_id(tmp_path / "m")
    assert older.save(tmp_path / "again") == bundle_id(tmp_path / "again")
    older.n_frames += 1
    assert older.id != bundle_id(tmp_path / "m")


def test_an_older_checkpoint_is_read(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"fingerprint": "f", "w": torch.ones(2)})
    layout = {"dict": [["fingerprint", {"value": "f"}], ["w", {"tensor": "000000"}]]}
    weights = load_file(tmp_path / "c")
    save_file(weights, tmp_path / "c", metadata={"state": json.dumps(layout)})
    assert load_checkpoint(tmp_path / "c")["w"].tolist() == [1, 1]
