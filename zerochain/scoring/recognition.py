"""How well speech is recognised: error rates and BLEU against what it should say.

Recognition by a program of the user's own.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from zerochain import audio
from zerochain.errors import InputError, listed
from zerochain.formats.atomic import scratch
from zerochain.formats.corpus import MARKER as CORPUS_MARKER
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.synthesis import MARKER, read_synthesis
from zerochain.listeners.recogniser import Recogniser
from zerochain.machine import users_environment
from zerochain.metrics.text import NORMALISATION, plain
from zerochain.metrics.translation import UNDEFINED_BLEU, Estimate, bleu, error_rate
from zerochain.progress import track
from zerochain.scoring.parallel import scored_pairs, transcripts
from zerochain.scoring.selection import Scored

PLACE = "{wav}"
_MOST_SHOWN = 500


def parsed(command: str) -> list[str]:
    """A command's words, of which one at least holds {wav}.

    Raises:
        InputError: quotes that don't end, or nowhere to put the recording.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"the command {command!r} can't be read: {error}") from error
    if not words or not any(PLACE in word for word in words[1:]):
        raise InputError(
            f"the command {command!r} doesn't say where the recording goes",
            remedy="write {wav} there: \"my-recogniser --text-only '{wav}'\"",
        )
    return words


def transcribe_by(words: list[str], wav: Path, timeout_s: float) -> str:
    """What a program writes to its standard output about a recording; no shell is involved.

    Raises:
        InputError: no such program, it failed, took too long, or wrote something else than UTF-8.
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
            remedy="give it more time with --timeout-s, or see why it hangs",
        ) from error
    except OSError as error:
        raise InputError(
            f"{words[0]} can't be run ({error.strerror})",
            path=wav,
            cause="it is not installed, or not on the PATH",
            remedy="give the program's whole path",
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-_MOST_SHOWN:]
        raise InputError(
            f"{words[0]} failed with exit code {done.returncode}: {said or 'it says nothing'}",
            path=wav,
            remedy=f"try it by hand: {shlex.join(called)}",
        )
    try:
        return done.stdout.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{words[0]} wrote something that isn't UTF-8 ({error})",
            path=wav,
            remedy="have it write text alone to its standard output",
        ) from error


_AT_ONCE = 32  # recordings in memory


def score_recognition(
    wavs: Path,
    corpus: Path,
    *,
    recogniser: Path | None = None,
    command: str | None = None,
    timeout_s: float = 60.0,
    pairs: Path | None = None,
    split: str | None = None,
    system: str | None = None,
    for_reference: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> Scored:
    """Character and word error rates and ASR-BLEU of speech.

    Beside them stands how often the recogniser errs on real speech; score the corpus's own
    recordings, and resynthesised references, as systems of their own to know the ceiling.

    Args:
        wavs: folder of <id>.wav; or a corpus, whose recordings are then recognised.
        corpus: the texts, of the language that is spoken.
        recogniser, command: one of them: a bundle, or a program and its arguments with "{wav}" in
            place of the recording, which writes the text to its standard output.
        timeout_s: how long the program may take for one recording.
        pairs: the wavs have the ids of sources, and say what their targets in the corpus say; of
            several targets BLEU counts the n-grams of all, error rates take the nearest. Without
            pairs the ids are the corpus's own.
        split: score what should be said in this split, all of it.
        for_reference: a topline or a ceiling: never the best. Real speech always is for reference.

    Raises:
        InputError: ids or texts missing on either side, a recording that can't be read, or a
            program that fails.
    """
    if (recogniser is None) == (command is None):
        raise InputError(
            "speech is recognised by a recogniser or by a command",
            remedy="give one of --recogniser and --command",
        )
    spoken, whole = _Speech.of(wavs), read_corpus(corpus)
    references, inputs = _references(spoken, whole, pairs, split)
    heard_by = (
        _Ours(Recogniser.load(recogniser, device), whole, split)
        if recogniser is not None
        else _Theirs(parsed(str(command)), timeout_s)
    )
    names = list(references)
    heard = [plain(text) for text in heard_by.texts(spoken, names)]
    texts = _plain_texts(whole, references)
    said = [[texts[target] for target in references[name]] for name in names]
    options = {
        "n_of": "utterances",
        "split": split,
        "normalisation": NORMALISATION,
        "n_unrecognised": sum(not text for text in heard),
        "seed": seed,
        **({FOR_REFERENCE: True} if for_reference else {}),
        **heard_by.options,
    }
    scores = [
        Score(
            metric,
            result.value,
            result.interval,
            result.n,
            heard_by.protocol,
            system or spoken.what,
            {**inputs, **spoken.inputs, **heard_by.inputs},
            {**options, "signature": result.signature} if result.signature else options,
        )
        for metric, result in {**_measured(heard, said, seed), **heard_by.own_errors}.items()
        if result.is_defined
    ]
    left = len(spoken.ids) - len(names)
    notes = [f"{left} wavs of other splits or pairs are not scored"] if left else []
    if "asr_bleu" not in {score.metric for score in scores}:
        notes.append(f"asr_bleu: left out, {UNDEFINED_BLEU}")
    return Scored(scores, [*notes, *heard_by.notes])


def _measured(
    heard: Sequence[str], said: Sequence[Sequence[str]], seed: int
) -> dict[str, Estimate]:
    words = [[text.split() for text in several] for several in said]
    return {
        "cer_%": error_rate(heard, said, seed=seed),
        "wer_%": error_rate([text.split() for text in heard], words, seed=seed),
        "asr_bleu": bleu(heard, said, tokenize="13a", seed=seed),
    }


def _references(
    spoken: _Speech, whole: Corpus, pairs: Path | None, split: str | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What should be said: wav → utterances of the corpus, and the inputs' ids."""
    where = f"{spoken.folder}"
    if pairs is None:
        names = spoken.ids if split is None else whole.select(split=split).ids
        check_same_ids(names, whole.ids, f"folder {where}", f"corpus {whole.name}")
        check_same_ids(names, spoken.ids, f"corpus {whole.name}", f"folder {where}")
        return {name: [name] for name in names}, {"corpus": whole.id}
    references: dict[str, list[str]] = {}
    for source, target in scored_pairs(read_pairs(pairs), spoken.ids, whole, split).pairs:
        references.setdefault(source, []).append(target)
    return references, {"corpus": whole.id, "pairs": file_id(pairs)}


def _plain_texts(corpus: Corpus, references: Mapping[str, Sequence[str]]) -> dict[str, str]:
    names = list(dict.fromkeys(name for several in references.values() for name in several))
    texts = {name: plain(text) for name, text in transcripts(corpus, names).items()}
    empty = [name for name, text in texts.items() if not text]
    if empty:
        raise InputError(
            f"{len(empty)} texts hold neither letters nor digits: {listed(empty)}",
            path=corpus.folder,
            cause="they are punctuation, or marks of noise",
            remedy="leave these utterances out",
        )
    return texts


@dataclass(frozen=True)
class _Speech:
    """What is to be recognised."""

    folder: Path
    ids: list[str]
    what: str
    """In a few words for people."""
    inputs: Mapping[str, str]
    corpus: Corpus | None = None
    """Whose recordings these are, where they are real."""

    @classmethod
    def of(cls, folder: Path) -> _Speech:
        """A folder of wavs, whoever made them, or a corpus."""
        if (folder / CORPUS_MARKER).exists():
            corpus = read_corpus(folder)
            return cls(folder, corpus.ids, "real speech", {"recordings": corpus.id}, corpus)
        if (folder / MARKER).exists():
            made = read_synthesis(folder)
            inputs = {"inverter": made.inverter_id, "units": made.units_id}
            return cls(folder, list(made.ids), f"{made.unit_method} → {made.method}", inputs)
        wavs = sorted(folder.rglob("*.wav"))
        if not wavs:
            raise InputError(
                "holds no wav",
                path=folder,
                cause="it is another folder",
                remedy="synthesise some speech, or give a corpus",
            )
        names = [wav.relative_to(folder).with_suffix("").as_posix() for wav in wavs]
        return cls(folder, names, folder.name, {})

    def waves(self, names: Sequence[str]) -> Iterator[audio.Waveform]:
        """Recordings at 16 kHz, one after the other."""
        if self.corpus is None:
            return (audio.read(self.folder / f"{name}.wav") for name in names)
        return self.corpus.waves([self._utterances[name] for name in names])

    @cached_property
    def _utterances(self) -> dict[str, Utterance]:
        return {} if self.corpus is None else {u.id: u for u in self.corpus.utterances}


class _Recognises(Protocol):
    """Whatever writes down what is said."""

    options: dict[str, Any]
    inputs: dict[str, str]
    own_errors: dict[str, Estimate]
    """Its errors on real speech, as scores."""
    notes: list[str]
    protocol: str

    def texts(self, spoken: _Speech, names: Sequence[str]) -> Iterator[str]:
        """What is said in each recording."""


class _Ours:
    """A recogniser of zerochain's."""

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
        self.own_errors = {"recogniser_cer_%": Estimate(own["cer"], interval, own["n_held_out"])}
        self.notes = [
            f"the recogniser's own CER is {own['cer']:.1f} %, its WER {own['wer']:.1f} %, on "
            f"{own['n_held_out']} real recordings"
        ]
        if recogniser.trained_on["corpus"] == corpus.id and own["split"] in {None, split}:
            self.notes.append(
                "it learned to recognise on what is scored here: train it on another --split"
            )

    def texts(self, spoken: _Speech, names: Sequence[str]) -> Iterator[str]:
        waves = spoken.waves(names)
        for _ in track(range(0, len(names), _AT_ONCE), "Recognising"):
            yield from self.recogniser.transcribe(list(islice(waves, _AT_ONCE)))


class _Theirs:
    """A program."""

    def __init__(self, words: list[str], timeout_s: float) -> None:
        self.words, self.timeout_s = words, timeout_s
        self.protocol = f"recogniser {Path(words[0]).name}"
        self.inputs: dict[str, str] = {}
        self.options: dict[str, Any] = {"command": words}
        self.own_errors: dict[str, Estimate] = {}
        self.notes = [
            "how often this program errs on real speech is not known here: score the corpus's "
            "recordings as well"
        ]

    def texts(self, spoken: _Speech, names: Sequence[str]) -> Iterator[str]:
        with scratch() as folder:
            waves = None if spoken.corpus is None else spoken.waves(names)
            for name in track(names, "Recognising"):
                wav = spoken.folder / f"{name}.wav"
                if waves is not None:  # whatever its format, and where it is cut
                    wav = Path(folder) / "recording.wav"
                    audio.write(wav, next(waves))
                yield transcribe_by(self.words, wav.absolute(), self.timeout_s)
