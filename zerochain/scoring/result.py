"""What scoring gives: scores, and what a person should know beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from zerochain.formats.scores import Score


@dataclass(frozen=True)
class Scored:
    """Scores, and what a person should know beside them."""

    scores: list[Score]
    notes: list[str] = field(default_factory=list)


def exclusion_notes(scores: list[Score]) -> list[str]:
    """One line for each exclusion, said once."""
    lines = {
        f"left out: {count} {why.replace('_', ' ')}": None
        for score in scores
        for why, count in score.options.get("exclusions", {}).items()
    }
    return list(lines)
