import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.leftovers import WRITING, owned
from zerochain.training.checkpoint import (
    _put_tensors,
    _take_tensors,
    load_checkpoint,
    save_checkpoint,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_survive(value: object) -> None:
    assert _put_tensors(json.loads(json.dumps(_take_tensors(value, {}))), {}) == value


def test_an_optimisers_state_survives(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path / "c", {"fingerprint": "f", "optimiser": optimiser.state_dict()})
    again = load_checkpoint(tmp_path / "c")["optimiser"]
    torch.testing.assert_close(again, optimiser.state_dict(), rtol=0, atol=0)


def test_what_a_killed_run_left_beside_it_is_cleared(tmp_path: Path) -> None:
    nobodys = f"{owned(WRITING).rsplit('-', 2)[0]}-{2**22 + 1}-x.safetensors"
    (tmp_path / nobodys).write_bytes(b"half of it")
    save_checkpoint(tmp_path / "c.safetensors", {"fingerprint": "f"})
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_broken_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, {"fingerprint": "f", "weights": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:600] if content is None else content)
    with pytest.raises(InputError, match="can't be read"):
        load_checkpoint(path)


def test_what_it_cannot_hold_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="set"):
        _take_tensors({"a": {1, 2}}, {})
