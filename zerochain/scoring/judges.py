"""Who judges speech: every judge is chosen here, by the name that commands and settings give it.

Three things are judged: how listeners would rate speech, whose voice it is, and what its words are.
A judge is trained on the user's own corpus (a recogniser, a speaker encoder), another program, or
from outside (`zerochain.listeners.outside`). A score names its judge, so that scores by different
ones never share a column. One judge from outside that is missing leaves its scores out, which a
note says, unless nothing else was asked for.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never

from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import scratch
from zerochain.formats.corpus import Corpus
from zerochain.listeners.outside import Dnsmos, Resemblyzer, Sphinx
from zerochain.listeners.recogniser import Recogniser
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.machine import users_environment
from zerochain.metrics import names
from zerochain.metrics.names import Metric
from zerochain.metrics.translation import Estimate
from zerochain.progress import track
from zerochain.scoring.common import Speech, wav_of

OpinionJudge = Literal["dnsmos"]
SpeakerJudge = Literal["resemblyzer"]
RecognitionJudge = Literal["pocketsphinx"]
NOBODY = "none"
"""What commands and settings call no judge from outside."""
PLACE = "{wav}"
"""Stands for the recording in a command."""
_MOST_SHOWN = 500  # characters of a failed program's output
_AT_ONCE = 32  # recordings in memory


def opinion_judge(
    name: OpinionJudge | None, metrics: Sequence[Metric]
) -> tuple[Dnsmos | None, list[str]]:
    """Who predicts the opinions of listeners.

    Args:
        metrics: what is left out where the judge's package is missing.

    Returns:
        The judge, None where there is none; and notes.
    """
    match name:
        case None:
            return None, []
        case "dnsmos":
            if Dnsmos.missing():
                return None, [Dnsmos.left_out(*(metric.key for metric in metrics))]
            return Dnsmos(), []
        case _:
            assert_never(name)


@dataclass(frozen=True)
class VoiceJudge:
    """A speaker encoder, and what the scores say about it."""

    encoder: SpeakerEncoder | Resemblyzer
    protocol: str
    inputs: Mapping[str, str]


def voice_judges(
    encoder: Path | None, judge: SpeakerJudge | None, device: str
) -> tuple[list[VoiceJudge], list[str]]:
    """Who compares voices: a trained speaker encoder, one from outside, or both.

    Returns:
        The judges, the trained one first; and a note where that from outside is left out.

    Raises:
        InputError: neither was chosen, or the one from outside alone, whose package is missing.
    """
    if encoder is None and judge is None:
        raise InputError(
            "voices are compared by a speaker encoder or by a judge from outside",
            remedy="give encoder= or judge=, or both",
        )
    found = []
    if encoder is not None:
        own = SpeakerEncoder.load(encoder, device)
        found.append(VoiceJudge(own, "encoder", {"speaker_encoder": own.id}))
    match judge:
        case None:
            return found, []
        case "resemblyzer":
            if found and Resemblyzer.missing():
                return found, [Resemblyzer.left_out("similarity by an outside encoder")]
            outside = Resemblyzer()
            return [*found, VoiceJudge(outside, f"encoder {outside.label}", {})], []
        case _:
            assert_never(judge)


def listener(
    recogniser: Path | None,
    command: str | None,
    judge: RecognitionJudge | None,
    *,
    timeout_s: float,
    corpus: Corpus,
    split: str | None,
    device: str,
) -> Listener:
    """Who writes down what is spoken: a trained recogniser, a program, or a judge from outside.

    Args:
        timeout_s: the most time that the program may take for one recording.
        corpus, split: the texts that it is compared with.

    Raises:
        InputError: none of them or several were chosen, the command can't be read, or the judge's
            package is missing.
    """
    if sum(one is not None for one in (recogniser, command, judge)) != 1:
        raise InputError(
            "speech is recognised by a recogniser, by a command, or by a judge from outside",
            remedy="give one of recogniser=, command= and judge=",
        )
    if recogniser is not None:
        return TrainedRecogniser(Recogniser.load(recogniser, device), corpus, split)
    if command is not None:
        return Program(parsed(command), timeout_s)
    assert judge is not None
    return OutsideRecogniser(outside_recogniser(judge))


def outside_recogniser(name: RecognitionJudge) -> Sphinx:
    """A recogniser from outside.

    Raises:
        InputError: its package is missing.
    """
    match name:
        case "pocketsphinx":
            return Sphinx()
        case _:
            assert_never(name)


class Listener(Protocol):
    """A recogniser, ours or another program."""

    options: dict[str, Any]
    inputs: dict[str, str]
    own_errors: dict[Metric, Estimate]
    """Its errors on real speech, as scores."""
    notes: list[str]
    protocol: str

    def texts(self, spoken: Speech, ids: Sequence[str]) -> Iterator[str]:
        """The recognised text of each recording."""


class TrainedRecogniser:
    """A recogniser that zerochain trained."""

    def __init__(self, recogniser: Recogniser, corpus: Corpus, split: str | None) -> None:
        self.recogniser = recogniser
        own = recogniser.training
        self.protocol = "recogniser"
        self.inputs = {"recogniser": recogniser.id}
        self.options: dict[str, Any] = {
            "recogniser_cer_%": own["cer"],
            "recogniser_wer_%": own["wer"],
            "recogniser_held_out": own["n_held_out"],
        }
        interval = None if own["cer_interval"] is None else tuple(own["cer_interval"])
        self.own_errors = {names.RECOGNISER_CER: Estimate(own["cer"], interval, own["n_held_out"])}
        self.notes = [
            f"the recogniser's own CER is {own['cer']:.1f} %, its WER {own['wer']:.1f} %, on "
            f"{counted(own['n_held_out'], 'real recording')}"
        ]
        if recogniser.trained_on["corpus"] == corpus.id and own["split"] in {None, split}:
            self.notes.append(
                "the recogniser was trained on what is scored here: train it on another split"
            )

    def texts(self, spoken: Speech, ids: Sequence[str]) -> Iterator[str]:
        waves = spoken.waves(ids)
        for _ in track(range(0, len(ids), _AT_ONCE), "Recognising"):
            yield from self.recogniser.transcribe(list(islice(waves, _AT_ONCE)))


class Program:
    """Another program."""

    def __init__(self, words: list[str], timeout_s: float) -> None:
        self.words, self.timeout_s = words, timeout_s
        self.protocol = f"recogniser {Path(words[0]).name}"
        self.inputs: dict[str, str] = {}
        self.options: dict[str, Any] = {"command": words}
        self.own_errors: dict[Metric, Estimate] = {}
        self.notes = [
            "the error of this program on real speech is not known here: score the corpus's "
            "recordings as well"
        ]

    def texts(self, spoken: Speech, ids: Sequence[str]) -> Iterator[str]:
        with scratch() as folder:
            waves = None if spoken.corpus is None else spoken.waves(ids)
            for name in track(ids, "Recognising"):
                wav = wav_of(spoken.folder, name)
                if waves is not None:  # whatever its format, and where it is cut
                    wav = Path(folder) / "recording.wav"
                    audio.write(wav, next(waves))
                yield transcribe_by(self.words, wav.absolute(), self.timeout_s)


class OutsideRecogniser:
    """A recogniser that was trained on other speech."""

    def __init__(self, judge: Sphinx) -> None:
        self.judge = judge
        self.protocol = f"recogniser {self.judge.label}"
        self.inputs: dict[str, str] = {}
        self.options: dict[str, Any] = {}
        self.own_errors: dict[Metric, Estimate] = {}
        self.notes = [
            f"{self.judge.NAME} was trained on other speech, {self.judge.TRAINED_ON}: score the "
            "corpus's recordings as well to know its error on them"
        ]

    def texts(self, spoken: Speech, ids: Sequence[str]) -> Iterator[str]:
        for wave in track(spoken.waves(ids), "Recognising", len(ids)):
            yield self.judge.transcribe(wave)


def parsed(command: str) -> list[str]:
    """The words of a command, at least one of which contains {wav}.

    Raises:
        InputError: an unclosed quote, or no place for the recording.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"the command {command!r} can't be read: {error}") from error
    if not words or not any(PLACE in word for word in words[1:]):
        raise InputError(
            f"the command {command!r} has no place for the recording",
            remedy="write {wav} there: \"my-recogniser --text-only '{wav}'\"",
        )
    return words


def transcribe_by(words: list[str], wav: Path, timeout_s: float) -> str:
    """The text that a program writes to its standard output; no shell is involved.

    Raises:
        InputError: no such program, or it failed, took too long, or did not write UTF-8.
    """
    called = [words[0], *(word.replace(PLACE, str(wav)) for word in words[1:])]
    try:
        done = subprocess.run(
            called,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=users_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{words[0]} took more than {timeout_s:g} s",
            path=wav,
            remedy="give it more time with timeout_s=, or find out why it hangs",
        ) from error
    except OSError as error:
        raise InputError(
            f"{words[0]} can't be run ({error.strerror})",
            path=wav,
            cause="it is not installed, or not on the PATH",
            remedy="give the program's whole path",
        ) from error
    if done.returncode != 0:
        errors = done.stderr.decode("utf-8", "replace").strip()[-_MOST_SHOWN:]
        raise InputError(
            f"{words[0]} failed with exit code {done.returncode}: {errors or 'no message'}",
            path=wav,
            remedy=f"try it by hand: {shlex.join(called)}",
        )
    try:
        return done.stdout.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{words[0]} wrote output that isn't UTF-8 ({error})",
            path=wav,
            remedy="make it write only the text to its standard output",
        ) from error
