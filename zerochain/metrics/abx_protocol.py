"""The choices that make two ABX errors comparable, or not, under the names that people know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from zerochain.errors import InputError
from zerochain.metrics.items import FrameRule

Mode = Literal["within", "across"]
Levels = tuple[tuple[str, ...], ...]
COLLAPSE_2021: Levels = (("previous", "next", "speaker_x"), ("speaker",), ("phone_a", "phone_b"))
"""Mean over contexts and X's speakers, then A's speakers, then (ordered) phone pairs."""
COLLAPSE_2019: Levels = (("previous", "next"), ("speaker", "speaker_x"), ("phone_a", "phone_b"))
"""Mean over contexts, then (ordered) pairs of speakers, then phone pairs."""


@dataclass(frozen=True)
class Conditions:
    """Which labels A, B and X share: A and X have the same `on`, B another.

    All three have the same `by`. `across`: A and B have the same, X has others, in every one of
    them; without any, A and X are two tokens of one kind.
    """

    on: str
    by: tuple[str, ...] = ()
    across: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """The choices that make two ABX errors comparable, or not."""

    name: str
    span: Literal["triphone", "phone"]
    """What a token cut from gold phones is: a whole triphone, or its centre phone alone."""
    context: Literal["within", "any"]
    """Whether A, B and X have the same neighbours."""
    direction: Literal["xa", "ax"] = "xa"
    """DTW(X, A) or DTW(A, X): they differ where paths tie."""
    collapse: Levels = COLLAPSE_2021
    """The columns averaged away, level after level."""
    max_tokens: int | None = None
    """Tokens kept of each (context, speaker, phone), drawn at random; None keeps all."""
    max_speakers: int | None = None
    """Speakers of X kept for each group of A, drawn at random; None keeps all."""
    frames: FrameRule = "middle"
    """Which frames are in a token."""
    modes: tuple[Mode, ...] = ("within", "across")
    """What it is defined for."""

    def conditions(self, mode: Mode) -> Conditions:
        """Within or across speakers, in the protocol's context.

        Raises:
            InputError: the protocol isn't defined for that.
        """
        if mode not in self.modes:
            raise InputError(
                f"protocol {self.name!r} is not defined {mode} speakers",
                remedy=f"score {' or '.join(self.modes)} speakers, or by another protocol",
            )
        neighbours = ("previous", "next") if self.context == "within" else ()
        if mode == "within":
            return Conditions("phone", (*neighbours, "speaker"))
        return Conditions("phone", neighbours, ("speaker",))


TRIPHONE = Protocol("triphone", span="triphone", context="within")
PHONE = Protocol("phone", span="phone", context="any", max_tokens=10, max_speakers=5)
ZS2019 = Protocol(
    "zs2019",
    span="triphone",
    context="within",
    direction="ax",
    collapse=COLLAPSE_2019,
    frames="fraction",
    modes=("across",),
)
ZS2021 = replace(TRIPHONE, name="zs2021", max_tokens=10, max_speakers=5)
PROTOCOLS = {protocol.name: protocol for protocol in (TRIPHONE, PHONE, ZS2019, ZS2021)}


def variant(
    protocol: Protocol,
    *,
    context: Literal["within", "any"] | None = None,
    reference_slicing: bool = False,
) -> Protocol:
    """A protocol with other choices, which its name then says.

    Args:
        context: "any" also makes tokens of single phones, whose neighbours then aren't heard.
        reference_slicing: tokens lose their last frame, as in Libri-Light's own code.

    Raises:
        InputError: the protocol has no such variant.
    """
    if context is not None and context != protocol.context:
        if protocol.frames == "fraction":
            raise InputError(
                f"protocol {protocol.name!r} is within context",
                remedy="leave the context out, or take protocol zs2021",
            )
        span: Literal["triphone", "phone"] = "phone" if context == "any" else "triphone"
        name = f"{protocol.name} {context} context"
        protocol = replace(protocol, name=name, context=context, span=span)
    if reference_slicing:
        if protocol.frames != "middle":
            raise InputError(
                f"protocol {protocol.name!r} slices tokens its own way",
                remedy="leave the reference's slicing out, or take protocol zs2021",
            )
        name = f"{protocol.name}, reference slicing"
        protocol = replace(protocol, name=name, frames="middle-less-one")
    return protocol
