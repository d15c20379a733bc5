"""How well synthesised or translated speech is recognised: error rates and BLEU of the text.

A recogniser writes down the speech, and its text is compared with the transcript that the speech
should have. So a score depends on the recogniser as much as on the speech: it records the
recogniser's error on real speech, and is worth little without the same score of the corpus's own
recordings and of resynthesised references. The recogniser is a bundle of zerochain, or any program
that writes its text to standard output.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from zerochain import audio
from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import scratch
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import FOR_REFERENCE
from zerochain.listeners.outside import RecognitionJudge, Sphinx
from zerochain.listeners.recogniser import Recogniser
from zerochain.machine import users_environment
from zerochain.metrics import names
from zerochain.metrics.names import Metric
from zerochain.metrics.text import NORMALISATION, plain
from zerochain.metrics.translation import UNDEFINED_BLEU, Estimate, bleu, error_rate
from zerochain.progress import track
from zerochain.scoring.common import Common, Scored, Speech, scored_pairs, transcripts

PLACE = "{wav}"
"""Stands for the recording in a command."""
_MOST_SHOWN = 500  # characters of a failed program's output

_AT_ONCE = 32  # recordings in memory


def score_recognition(
    wavs: Path,
    corpus: Path,
    *,
    recogniser: Path | None = None,
    command: str | None = None,
    judge: RecognitionJudge | None = None,
    timeout_s: float = 60.0,
    pairs: Path | None = None,
    split: str | None = None,
    system: str | None = None,
    for_reference: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> Scored:
    """Character and word error rates and ASR-BLEU of speech.

    Score the corpus's own recordings, and resynthesised references, as separate systems to know
    the ceiling.

    Args:
        wavs: folder of <id>.wav; or a corpus, whose recordings are then recognised.
        corpus: the transcripts, in the language that is spoken.
        recogniser, command, judge: one of them: a bundle; a program and its arguments with
            "{wav}" in place of the recording, which writes the text to its standard output; or
            "pocketsphinx", for English, which was trained on other speech.
        timeout_s: the most time that the program may take for one recording.
        pairs: for translated speech: the wavs have the ids of sources, and their texts are those
            of the sources' targets in the corpus. Of several targets BLEU counts the n-grams of
            all, and error rates take the nearest. None: the ids are the corpus's own.
        split: score all that belongs to this split.
        for_reference: a topline or a ceiling: never the best. Real speech always is for reference.

    Raises:
        InputError: ids or texts missing on either side, a recording that can't be read, a
            program that fails, or pocketsphinx isn't installed.
    """
    if sum(one is not None for one in (recogniser, command, judge)) != 1:
        raise InputError(
            "speech is recognised by a recogniser, by a command, or by a judge from outside",
            remedy="give one of recogniser=, command= and judge=",
        )
    spoken, whole = Speech.of(wavs), read_corpus(corpus)
    references, inputs = _references(spoken, whole, pairs, split)
    listener: _Judge
    if recogniser is not None:
        listener = _Bundle(Recogniser.load(recogniser, device), whole, split)
    else:
        listener = _Sphinx() if judge else _Program(parsed(str(command)), timeout_s)
    ids = list(references)
    texts = [plain(text) for text in listener.texts(spoken, ids)]
    transcript = _plain_texts(whole, references)
    wanted = [[transcript[target] for target in references[name]] for name in ids]
    common = Common(
        system or spoken.system,
        {**inputs, **spoken.inputs, **listener.inputs},
        {
            "n_of": "utterances",
            "split": split,
            **({"voice": spoken.voice} if spoken.voice else {}),
            "normalisation": NORMALISATION,
            "n_unrecognised": sum(not text for text in texts),
            "seed": seed,
            **({FOR_REFERENCE: True} if for_reference else {}),
            **listener.options,
        },
    )
    scores = [
        common.score(
            metric,
            one.value,
            one.interval,
            one.n,
            listener.protocol,
            signature=one.signature or None,
        )
        for metric, one in {**_measured(texts, wanted, seed), **listener.own_errors}.items()
        if one.is_defined
    ]
    left = len(spoken.ids) - len(ids)
    notes = [f"not scored: {counted(left, 'wav')} of other splits or pairs"] if left else []
    if names.ASR_BLEU.key not in {score.metric for score in scores}:
        notes.append(f"{names.ASR_BLEU.key}: left out, {UNDEFINED_BLEU}")
    return Scored(scores, [*notes, *listener.notes])


def _measured(
    texts: Sequence[str], wanted: Sequence[Sequence[str]], seed: int
) -> dict[Metric, Estimate]:
    words = [[text.split() for text in several] for several in wanted]
    return {
        names.CER: error_rate(texts, wanted, seed=seed),
        names.WER: error_rate([text.split() for text in texts], words, seed=seed),
        names.ASR_BLEU: bleu(texts, wanted, tokenize="13a", seed=seed),
    }


def _references(
    spoken: Speech, whole: Corpus, pairs: Path | None, split: str | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Wav → the utterances of the corpus whose texts it should have, and the inputs' ids."""
    where = f"{spoken.folder}"
    if pairs is None:
        ids = spoken.ids if split is None else whole.select(split=split).ids
        check_same_ids(ids, whole.ids, f"folder {where}", f"corpus {whole.name}")
        check_same_ids(ids, spoken.ids, f"corpus {whole.name}", f"folder {where}")
        return {name: [name] for name in ids}, {"corpus": whole.id}
    references: dict[str, list[str]] = {}
    for source, target in scored_pairs(read_pairs(pairs), spoken.ids, whole, split).pairs:
        references.setdefault(source, []).append(target)
    return references, {"corpus": whole.id, "pairs": file_id(pairs)}


def _plain_texts(corpus: Corpus, references: Mapping[str, Sequence[str]]) -> dict[str, str]:
    ids = list(dict.fromkeys(name for several in references.values() for name in several))
    texts = {name: plain(text) for name, text in transcripts(corpus, ids).items()}
    empty = [name for name, text in texts.items() if not text]
    if empty:
        raise InputError(
            f"{counted(len(empty), 'text')} without a letter or digit: {listed(empty)}",
            path=corpus.folder,
            cause="they are punctuation, or marks for noise",
            remedy="leave these utterances out",
        )
    return texts


class _Judge(Protocol):
    """A recogniser, ours or another program."""

    options: dict[str, Any]
    inputs: dict[str, str]
    own_errors: dict[Metric, Estimate]
    """Its errors on real speech, as scores."""
    notes: list[str]
    protocol: str

    def texts(self, spoken: Speech, ids: Sequence[str]) -> Iterator[str]:
        """The recognised text of each recording."""


class _Bundle:
    """A recogniser that zerochain trained."""

    def __init__(self, recogniser: Recogniser, corpus: Corpus, split: str | None) -> None:
        self.recogniser = recogniser
        own = recogniser.training
        self.protocol = f"recogniser {short(recogniser.id)}"
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


class _Program:
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
                wav = spoken.folder / f"{name}.wav"
                if waves is not None:  # whatever its format, and where it is cut
                    wav = Path(folder) / "recording.wav"
                    audio.write(wav, next(waves))
                yield transcribe_by(self.words, wav.absolute(), self.timeout_s)


class _Sphinx:
    """PocketSphinx, for English."""

    def __init__(self) -> None:
        self.judge = Sphinx()
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
