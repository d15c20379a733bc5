"""Kaldi's wav.scp: entries that are commands which only decode one file.

    sph2pipe -f wav -p -c 2 call.sph |                        the file, its second channel
    sox talk.mp3 -t wav -r 16k - remix 1 |                    the file, its first channel
    ffmpeg -i 'a talk.m4a' -ar 16000 -f wav - |               the file
    flac -c -d -s u.flac |                                    the file

Nothing is run: the file is taken, and libsndfile decodes it. Whatever a command does beyond
decoding, selecting a channel and converting the rate would be lost, so it is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from zerochain.errors import InputError, counted

_STREAMS = {"-", "pipe:0", "pipe:1", "pipe:", "/dev/stdin", "/dev/stdout"}
_SOX_VALUE = {"-t", "--type", "-b", "--bits", "-e", "--encoding", "--endian", "-C", "--compression"}
_SOX_RATE, _SOX_CHANNELS = {"-r", "--rate"}, {"-c", "--channels"}
_SOX_ALONE = {"-V", "-V0", "-V1", "-V2", "-V3", "-q", "--no-show-progress", "-S", "-B", "-L", "-D",
              "-G", "-R", "-s", "-2", "-w", "-1", "-4", "--no-dither"}  # fmt: skip
_FFMPEG_VALUE = {"-f", "-acodec", "-codec:a", "-c:a", "-v", "-loglevel", "-threads", "-ab", "-b:a",
                 "-sample_fmt", "-map_metadata", "-fflags"}  # fmt: skip
_FFMPEG_ALONE = {"-y", "-nostdin", "-hide_banner", "-vn", "-nostats", "-bitexact"}
_FLAC_ALONE = {"--decode", "--stdout", "--silent", "--totally-silent", "-F", "-f", "--force"}
_PAN = re.compile(r"pan=(?:mono|1c)\|c0=c(\d+)")
_MAP_CHANNEL = re.compile(r"0\.\d+\.(\d+)")


class Decoded(NamedTuple):
    """What a command decodes."""

    file: str
    channel: int | None = None
    """Counted from 1; None is the file's own channels, or their mean."""
    rate: int | None = None
    """The lowest rate (Hz) that it is converted to."""


class _Stage(NamedTuple):
    """One program of a pipeline; `file` is None where it reads its standard input."""

    file: str | None
    channel: int | None = None
    rate: int | None = None


def decoded_file(command: str) -> Decoded:
    """What a command of wav.scp, without its last |, decodes.

    Raises:
        InputError: it does more than decode one file, or isn't understood.
    """
    stages = [_stage(words) for words in _programs(command)]
    sources = [stage.file for stage in stages if stage.file is not None]
    if stages[0].file is None or len(sources) > 1:
        raise _refused(f"reads {counted(len(sources), 'file')}" if sources else "reads no file")
    chosen = [stage.channel for stage in stages if stage.channel is not None]
    if len(chosen) > 1 and set(chosen[1:]) != {1}:  # of one channel, only the first can be chosen
        raise _refused("selects a channel twice")
    rates = [stage.rate for stage in stages if stage.rate is not None]
    return Decoded(sources[0], chosen[0] if chosen else None, min(rates, default=None))


def _programs(command: str) -> Iterator[list[str]]:
    """The words of each program in a pipeline, as a shell would cut them."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise _refused(f"isn't a command ({error})") from error
    program: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "|":
            yield program
            program = []
        elif word == ">" and program[-1:] == ["2"] and next(rest, "") == "/dev/null":
            program.pop()
        elif set(word) <= set("|&;<>()") or "$" in word or "`" in word:
            raise _refused(f"holds {word!r}, which a shell would have to carry out")
        else:
            program.append(word)
    yield program


def _stage(words: list[str]) -> _Stage:
    name = PurePosixPath(words[0]).name if words else ""
    parse = _PROGRAMS.get(name)
    if parse is None:
        raise _refused(f"runs {name!r}" if name else "names no program")
    return parse(words[1:])


def _sph2pipe(words: list[str]) -> _Stage:
    files: list[str] = []
    channel, rest = None, iter(words)
    for word in rest:
        if word == "-f":
            next(rest, None)
        elif word in {"-c", "-c1", "-c2"}:
            channel = _number(word[2:] or next(rest, ""), word)
        elif word not in {"-p", "-u", "-a"}:
            files.append(_not_option(word, "sph2pipe"))
    return _Stage(_one(files), channel)


def _sox(words: list[str]) -> _Stage:
    files: list[str] = []
    rate, rest = None, iter(_sox_words(words))
    for word in rest:
        if word in _SOX_VALUE:
            next(rest, None)
        elif word in _SOX_RATE:  # before the input it is a headerless file's own
            rate = _lower(rate, _rate(next(rest, "")))
        elif word in _SOX_CHANNELS:
            _mixes(next(rest, ""))
        elif len(files) == 2:
            rest = iter([word, *rest])
            break
        elif word not in _SOX_ALONE:
            files.append(word if word in _STREAMS else _not_option(word, "sox"))
    if len(files) != 2 or files[1] not in _STREAMS:
        raise _refused("doesn't decode one file to its standard output")
    channel, effect_rate = _sox_effects(rest)
    return _Stage(_one(files[:1]), channel, _lower(rate, effect_rate))


def _sox_words(words: list[str]) -> Iterator[str]:
    """Words with each option's value as a word of its own: -b16, --bits=16."""
    for word in words:
        option, equals, value = word.partition("=")
        if not equals:
            option, value = word[:2], word[2:]
        if value and option in _SOX_VALUE | _SOX_RATE | _SOX_CHANNELS:
            yield from (option, value)
        else:
            yield word


def _sox_effects(words: Iterator[str]) -> tuple[int | None, int | None]:
    """The channel and the rate that effects select; all other effects change the sound."""
    channel, rate = None, None
    for word in words:
        if word == "remix":
            chosen = next(words, "")
            channel = None if chosen == "-" else _number(chosen, "remix")
        elif word == "rate":
            value = next(words, "")
            while value.startswith("-"):  # options for its quality
                value = next(words, "")
            rate = _lower(rate, _rate(value))
        elif word == "channels":
            _mixes(next(words, ""))
        elif word != "dither":
            raise _refused(f"makes sox do {word!r}")
    return channel, rate


def _ffmpeg(words: list[str]) -> _Stage:
    files: list[str] = []
    outputs: list[str] = []
    channel, rate, rest = None, None, iter(_with_spaces(words))
    for word in rest:
        if word == "-i":
            files.append(next(rest, ""))
        elif word in _FFMPEG_VALUE:
            next(rest, None)
        elif word == "-ar":
            rate = _lower(rate, _rate(next(rest, "")))
        elif word == "-ac":
            _mixes(next(rest, ""))
        elif word in {"-map", "-map_channel", "-af", "-filter:a"}:
            channel = _ffmpeg_channel(word, next(rest, "")) or channel
        elif word not in _FFMPEG_ALONE:
            outputs.append(word if word in _STREAMS else _not_option(word, "ffmpeg"))
    if len(outputs) != 1 or outputs[0] not in _STREAMS:
        raise _refused("doesn't decode one file to its standard output")
    return _Stage(_one(files), channel, rate)


def _with_spaces(words: list[str]) -> list[str]:
    """Words with the path behind -i in one piece: lhotse doesn't quote its spaces."""
    if "-i" not in words:
        return words
    first = words.index("-i") + 1
    last = first + 1
    while last < len(words) and words[last] not in _STREAMS and not words[last].startswith("-"):
        last += 1
    return [*words[:first], " ".join(words[first:last]), *words[last:]]


def _ffmpeg_channel(option: str, value: str) -> int | None:
    """The channel that an option selects; None is the first stream with all its channels."""
    if option == "-map" and value in {"0:a", "0:a:0", "0:0"}:
        return None
    found = (_MAP_CHANNEL if option == "-map_channel" else _PAN).fullmatch(value)
    if found is None or option == "-map":
        raise _refused(f"gives ffmpeg '{option} {value}'")
    return int(found[1]) + 1


def _flac(words: list[str]) -> _Stage:
    files = []
    for word in words:
        if word not in _FLAC_ALONE and not re.fullmatch(r"-[cdsf]+", word):
            files.append(word if word in _STREAMS else _not_option(word, "flac"))
    return _Stage(_one(files))


def _plain(words: list[str]) -> _Stage:
    """cat FILE; wav-copy FILE -."""
    names = [word if word in _STREAMS else _not_option(word, "it") for word in words]
    if len(names) == 2 and names[1] in _STREAMS:
        names.pop()
    if any(re.match("(scp|ark)[,:]", name) for name in names):
        raise _refused("reads one of Kaldi's archives")
    return _Stage(_one(names))


def _to_stdout(*alone: str, output: str = "") -> Callable[[list[str]], _Stage]:
    """A decoder whose other arguments are a file and, maybe, its standard output."""

    def parse(words: list[str]) -> _Stage:
        files, rest = [], iter(words)
        for word in rest:
            if word == output:
                if next(rest, "") not in _STREAMS:
                    raise _refused("doesn't write to its standard output")
            elif word not in alone:
                files.append(word if word in _STREAMS else _not_option(word, "it"))
        if len(files) == 2 and files[1] in _STREAMS:
            files.pop()
        return _Stage(_one(files))

    return parse


_PROGRAMS: dict[str, Callable[[list[str]], _Stage]] = {
    "sph2pipe": _sph2pipe,
    "sox": _sox,
    "ffmpeg": _ffmpeg,
    "avconv": _ffmpeg,
    "flac": _flac,
    "cat": _plain,
    "wav-copy": _plain,
    "mpg123": _to_stdout("-q", "-s", "-m", output="-w"),
    "lame": _to_stdout("--decode", "--quiet", "--silent", "-S"),
    "oggdec": _to_stdout("-Q", "--quiet", output="-o"),
    "opusdec": _to_stdout("--quiet", "--force-wav"),
}


def _one(files: list[str]) -> str | None:
    """The file that is read; None for standard input."""
    if len(files) != 1:
        raise _refused(f"reads {counted(len(files), 'file')}" if files else "reads no file")
    return None if files[0] in _STREAMS else files[0]


def _not_option(word: str, program: str) -> str:
    if not word or word.startswith("-"):
        raise _refused(f"gives {program} {word!r}")
    return word


def _number(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise _refused(f"asks for channel {text!r} by {option}")
    return int(text)


def _mixes(text: str) -> None:
    if text != "1":  # the mean of all, as zerochain takes it
        raise _refused(f"asks for {text!r} channels")


def _rate(text: str) -> int:
    number = text.lower().removesuffix("hz").strip()
    try:
        value = float(number.removesuffix("k")) * (1000 if number.endswith("k") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e7:
        raise _refused(f"converts to a rate of {text!r}")
    return round(value)


def _lower(one: int | None, other: int | None) -> int | None:
    return min((rate for rate in (one, other) if rate is not None), default=None)


def _refused(what: str) -> InputError:
    return InputError(f"a command that {what}: write its output to a file and list that")
