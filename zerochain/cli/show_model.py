"""What `zerochain show` says of a model before it prints its configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerochain.errors import listed
from zerochain.formats.identity import short
from zerochain.training.outcome import ending

if TYPE_CHECKING:
    from zerochain.formats.bundle import Bundle


def model_facts(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Names and values, of kinds of models of which there is something to say."""
    try:
        match bundle.model:
            case "speaker-encoder":
                return {"equal error rate": _equal_error_rate(bundle.config["training"])}
            case "code2spec" | "unit-means" | "convnext" | "hifigan":
                return _inverter(bundle.config, folder)
            case _:
                return {}
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        return {"damaged": f"its configuration lacks or makes no sense of {error}"}


def _equal_error_rate(training: Mapping[str, Any]) -> str:
    """How well a speaker encoder tells speakers apart."""
    from zerochain.cli.speakers import verdict

    return verdict(training["held"], training["verification"])


def _inverter(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    from zerochain.formats.bundle import SAMPLE

    sample = folder / SAMPLE
    return {
        "speaks": f"{config['n_units']} units of {config['step_ms']:g} ms",
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
        f"{speech}, {report['steps']} steps ({ending(report['converged'])}); validation loss "
        f"{report['best_valid_loss']:.4f} at step {report['best_step']}"
    )
