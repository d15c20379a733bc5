"""What `zerochain show` prints about a model before its configuration.

Such facts need to know what a model is (its voices, its error rate), which `formats` doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zerochain.errors import counted, listed
from zerochain.formats.bundle import SAMPLE, Bundle
from zerochain.formats.identity import short
from zerochain.training.outcome import ending


def model_facts(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Names and values, for the kinds of models that have such facts."""
    try:
        match bundle.model:
            case "speaker-encoder":
                return {"equal error rate": _equal_error_rate(bundle.config["training"])}
            case "code2spec" | "unit-means" | "convnext" | "hifigan":
                return _inverter(bundle.config, folder)
            case _:
                return {}
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        return {"damaged": f"its configuration lacks {error}, or holds an impossible value"}


def _equal_error_rate(training: Mapping[str, Any]) -> str:
    """How well a speaker encoder distinguishes speakers."""
    from zerochain.cli.speakers import verdict  # it imports torch

    return verdict(training["held"], training["verification"])


def _inverter(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    sample = folder / SAMPLE
    return {
        "speaks": f"{counted(config['n_units'], 'unit')} of {config['step_ms']:g} ms",
        "unit model": short(str(config["unit_model"])),
        "voices": listed(list(_voices(config))),
        "speaker encoder": short(str(config["speaker_encoder_id"])),
        "trained": _training(config["training"]),
        "sample": str(sample) if sample.is_file() else "",
    }


def _voices(config: Mapping[str, Any]) -> Iterator[str]:
    """Each with its mean pitch."""
    statistics = config["f0"] if "f0" in config else config["prosody"]["statistics"]
    for name, f0 in zip(config["voices"], statistics, strict=False):
        yield f"{name} ({math.exp(f0['log_mean']):.0f} Hz)" if f0["n_voiced"] else name


def _training(report: Mapping[str, Any]) -> str:
    speech = f"on {report['minutes']:.1f} min of speech"
    if "steps" not in report:
        return speech
    return (
        f"{speech}, {counted(report['steps'], 'step')} ({ending(report['converged'])}); validation "
        f"loss {report['best_valid_loss']:.4f} at step {report['best_step']}"
    )
