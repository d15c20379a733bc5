"""Which channel of its recording an utterance is.

Telephone calls and interviews with two microphones have a speaker on each channel; the mean of
the channels would be two people talking at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Utterance

_NAMES = {"left": 1, "l": 1, "a": 1, "right": 2, "r": 2, "b": 2}
_MOST = 1024  # the most that libsndfile reads


def channel_of(text: str) -> int | None:
    """A channel's number, counted from 1: `2`, `left` and `right`, `A` and `B`; None is `mix`.

    Raises:
        InputError: none of these.
    """
    name = text.strip().lower()
    if name == "mix":
        return None
    number = _NAMES.get(name)
    if number is None and name.removesuffix(".0").isdecimal():  # a spreadsheet's 1.0
        number = int(name.removesuffix(".0"))
    if number is None or not 1 <= number <= _MOST:
        raise InputError(
            f"{text!r} is not a channel",
            remedy="write left, right, A, B or a number counted from 1",
        )
    return number


def expand_channels(
    utterances: Iterable[Utterance], root: Path, choice: str | None
) -> tuple[Utterance, ...]:
    """The utterances of the chosen channel, or of each channel.

    With `each`, an utterance of a recording of two channels becomes two, `ID_ch1` and `ID_ch2`;
    one of a single channel stays as it is. Each channel is a speaker of its own: `ana_ch1` and
    `ana_ch2` where the speaker is known to be ana, else `RECORDING_ch1` and `RECORDING_ch2`, as
    Kaldi's recipes count the sides of a telephone call: who they are and whether they speak in
    other recordings is unknown, but they are two.

    Args:
        utterances: of any recordings in `root`.
        choice: mix, left, right, a number counted from 1, or each; None leaves all as they are.

    Raises:
        InputError: no such choice, the utterances name their channels themselves, or one to be
            split has a text, which belongs to one of the channels.
    """
    chosen = tuple(utterances)
    if choice is None:
        return chosen
    each = choice.strip().lower() == "each"
    number = None if each else _chosen(choice)
    if any(u.channel is not None for u in chosen):
        raise InputError(
            f"channel={choice!r} is given, but the table, or Kaldi's directory, already names the "
            "channels of utterances",
            remedy="leave one of them out",
        )
    if each:
        n_channels = cache(_n_channels)
        return tuple(one for u in chosen for one in _split(u, n_channels(root / u.audio)))
    return tuple(replace(u, channel=number) for u in chosen)


def suffixed(name: str, channel: int | None) -> str:
    """An id or a speaker of one channel: `call_ch1`."""
    return name if channel is None else f"{name}_ch{channel}"


def _chosen(choice: str) -> int | None:
    try:
        return channel_of(choice)
    except InputError as error:
        raise InputError(
            f"channel={choice!r} is not a channel",
            remedy="choose mix, left, right, each, or a number counted from 1",
        ) from error


def _split(utterance: Utterance, n_channels: int) -> Sequence[Utterance]:
    if n_channels == 1:
        return [utterance]
    if utterance.text is not None:
        raise InputError(
            f"channel='each' is given, but {utterance.id!r} has a text, and which of its "
            f"{n_channels} channels it belongs to is unknown",
            remedy="name it in a column 'channel' of a table=, or leave out the texts",
        )
    recording = PurePosixPath(utterance.audio).with_suffix("").as_posix()
    return [
        replace(
            utterance,
            id=suffixed(utterance.id, channel),
            speaker=suffixed(utterance.speaker or recording, channel),
            channel=channel,
        )
        for channel in range(1, n_channels + 1)
    ]


def _n_channels(path: Path) -> int:
    """The number of channels; 1 if the file can't be read, which the import reports later."""
    try:
        return audio.info(path).n_channels
    except (InputError, OSError, ValueError):
        return 1
