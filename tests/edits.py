"""Files of zerochain changed by hand: headers without their checksum, as older versions wrote."""

import json
from pathlib import Path
from typing import Any

SUMS = ("sha256", "weights_sha256", "index_sha256", "maps_sha256")


def unsealed(path: Path, without: str = "", **changes: Any) -> None:
    """Write a JSON header anew with these changes, without one key and without checksums."""
    header = json.loads(path.read_text(encoding="utf-8"))
    header = {k: v for k, v in {**header, **changes}.items() if k not in {*SUMS, without}}
    path.write_text(json.dumps(header, ensure_ascii=False), encoding="utf-8")


def took(training: Path, seconds: float) -> None:
    """Let the checkpoint of a training say that it took so long."""
    from zerochain.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint

    state = load_checkpoint(training / CHECKPOINT)
    state["progress"][1] = state["history"][-1]["seconds"] = seconds
    save_checkpoint(training / CHECKPOINT, state)
