"""Checks of a pipeline's settings before it runs.

While Snakemake reads a Snakefile, `pipelines/common.smk` asks for them over a pipe, and
`zerochain run` answers (`answer`): it has everything loaded that options and corpora are checked
with. So a mistyped option, or a voice that the corpus doesn't have, is found at once and not after
hours of training. Errors name the setting.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast, get_args

import click

from zerochain.cli import main
from zerochain.cli.common import Command, as_options
from zerochain.cli.extract import EXTRACTED
from zerochain.corpora.demo import VOICES
from zerochain.corpora.grammar import check_number
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import MARKER, Corpus, read_corpus
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.formats.text_files import read_rows
from zerochain.inversion.voice_data import chosen_voices, spoken_by
from zerochain.scoring.judges import (
    NOBODY,
    OpinionJudge,
    RecognitionJudge,
    SpeakerJudge,
    outside_recogniser,
)

EXTRAS = {
    "report": ("jinja2", "matplotlib"),
    "demo": ("espeakng_loader",),
    "ssl": ("transformers",),
}
"""Extra of the package → the modules that it installs and that a step imports."""

JUDGES = {
    "opinions": get_args(OpinionJudge),
    "speakers": get_args(SpeakerJudge),
    "recognition": get_args(RecognitionJudge),
}
"""What is judged → the names of the judges from outside."""
_FILLED = "made-by-the-pipeline"
"""Stands for a path that a step is given."""


def answer(requests: IO[str], replies: IO[str]) -> InputError | None:
    """Make the checks that a Snakefile asks for, one JSON list a line, until one fails.

    A request is the name of a check without "check_", and its arguments; a table {"corpus": folder,
    "setting": name} stands for the corpus in a folder. A reply is a line: "" where all is well.

    Returns:
        The first check's error.
    """
    corpora: dict[str, Corpus] = {}

    def taken(argument: Any) -> Any:
        if not isinstance(argument, dict):
            return argument
        folder = argument["corpus"]
        if folder not in corpora:
            corpora[folder] = corpus_at(argument["setting"], folder)
        return corpora[folder]

    for line in requests:
        name, *arguments = json.loads(line)
        try:
            CHECKS[name](*map(taken, arguments))
        except InputError as error:
            print("refused", file=replies, flush=True)
            return error
        print(file=replies, flush=True)
    return None


def corpus_at(setting: str, folder: str) -> Corpus:
    """The corpus that a setting names.

    Raises:
        InputError: no such folder, or one that isn't a corpus, such as a folder of recordings.
    """
    path = Path(folder)
    if not (path / MARKER).is_file():
        raise InputError(
            f"{setting}: not a corpus (it has no {MARKER})"
            if path.is_dir()
            else f"{setting}: there is no such folder",
            path=path,
            cause="it is a folder of recordings" if path.is_dir() else "the path is mistyped",
            remedy=f"zerochain import folder {path} --out CORPUS --speaker-from folder:1 "
            f"--test-fraction 0.1, and then --set {setting}=CORPUS"
            if path.is_dir()
            else "check the path",
        )
    return read_corpus(path)


def check_split(setting: str, corpus: Corpus, split: str | None) -> None:
    """Check that a corpus has utterances of the split that a setting names; None takes all.

    Raises:
        InputError: the corpus has no such split, or no splits at all.
    """
    if split is not None and all(u.split is None for u in corpus.utterances):
        raise InputError(
            f"{setting} is {split!r}, but corpus {corpus.name!r} has no splits",
            path=corpus.folder,
            cause="it was imported without --test-fraction, --split-from or a column 'split'",
            remedy=f"import it again with --test-fraction 0.1; or take all utterances with --set "
            f"{setting}=null",
        )
    try:
        corpus.select(split=split)
    except InputError as error:
        names = sorted({str(u.split) for u in corpus.utterances if u.split is not None})
        raise InputError(
            f"{setting} is {split!r}, and corpus {corpus.name!r} has no such split; it has "
            f"{listed(names)}",
            path=corpus.folder,
            remedy=f"choose one of those: --set {setting}={names[0]}",
        ) from error


def check_voice(
    setting: str, corpus: Corpus, voice: str | None, split: str | None, split_setting: str
) -> None:
    """Check that a corpus has a voice, and recordings of it in a split.

    Args:
        voice: None stands for the corpus's only speaker.
        split_setting: the setting that names the split.

    Raises:
        InputError: it hasn't, or None and it has several speakers.
    """
    try:
        names = chosen_voices(corpus, () if voice is None else (voice,))
        spoken_by(corpus, names, split)
    except InputError as error:
        of = {"voices": setting, "split": split_setting}
        found, remedy = (as_options(text or "", {}, of) for text in (error.found, error.remedy))
        choose = "choose one of those"
        raise InputError(
            f"{setting}: {found}",
            path=corpus.folder,
            cause=error.cause,
            remedy=remedy.replace(choose, f"{choose}: --set {setting}=…"),
        ) from error


def check_phones(setting: str, corpus: Corpus, split: str | None) -> None:
    """Check that there are gold phones of the utterances of a split, which a setting has scored.

    Raises:
        InputError: there is no phones.parquet, or it has none of them.
    """
    off = f"import it again with --alignments, or leave these scores out with --set {setting}=false"
    path = (corpus.folder or Path()) / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"{setting} needs gold phones, and there is no {PHONES_FILE}, which ABX needs",
            path=corpus.folder,
            cause="the corpus was imported without alignments",
            remedy=off,
        )
    if not read_phones(path).by_id.keys() & set(corpus.select(split=split).ids):
        raise InputError(
            f"{setting} needs gold phones, and no utterance of the test split has any",
            path=path,
            remedy=off,
        )


def check_texts(setting: str, corpus: Corpus) -> None:
    """Check that a corpus has transcripts.

    Raises:
        InputError: it has none.
    """
    if not any(u.text for u in corpus.utterances):
        raise InputError(
            f"{setting} needs transcripts, and corpus {corpus.name!r} has none",
            path=corpus.folder,
            cause="it was imported without a table that has a column 'text'",
            remedy=f"import it again with --table, or leave this out with --set {setting}=null",
        )


def check_speakers(setting: str, corpus: Corpus, off: str) -> None:
    """Check that a corpus has two known speakers, to tell them apart.

    Args:
        off: how to do without.

    Raises:
        InputError: it has fewer.
    """
    if len(corpus.speakers) < 2:
        raise InputError(
            f"{setting} needs at least 2 known speakers, and corpus {corpus.name!r} has "
            f"{len(corpus.speakers)}",
            path=corpus.folder,
            cause="it was imported without --speaker-from or a column 'speaker'",
            remedy=f"import it again with its speakers, or {off}",
        )


def check_options(setting: str, group: str, words: Sequence[str]) -> None:
    """Check that a setting is a command of a group and options that it takes, with their values.

    Args:
        group: such as "discover", whose command is the first of the words, or a whole command
            such as "translate train", where the words are options alone.

    Raises:
        InputError: no such command, or what the command itself would refuse.
    """
    command: click.Command = main
    names, rest = group.split(), list(words)
    while isinstance(command, click.Group):
        name = names.pop(0) if names else rest.pop(0) if rest else ""
        if name not in command.commands:
            raise InputError(
                f"{setting}: 'zerochain {group}' has no command {name!r}; it has "
                f"{listed(list(command.commands))}",
                remedy=f"begin --set {setting}=… with one of those",
            )
        command = command.commands[name]
    full = group if words[: len(words) - len(rest)] == [] else f"{group} {words[0]}"
    filled = []
    for param in command.params:  # what the pipeline gives itself
        if isinstance(param, click.Argument):
            filled.append(_FILLED)
        elif isinstance(param, click.Option) and param.required:
            filled.append(f"{param.opts[0]}={_FILLED}")
    if any(word.partition("=")[0] == "--out" for word in rest):
        raise InputError(
            f"{setting} has the option --out, which the pipeline sets", remedy="leave it out"
        )
    try:
        with command.make_context(full, [*filled, *rest], **main.context_settings) as context:
            if isinstance(command, Command):
                for part in command.derived:
                    part.built(context)
    except click.exceptions.Exit:
        raise InputError(f"{setting} asks for help", remedy="leave --help out") from None
    except click.ClickException as error:
        raise InputError(
            f"{setting}: {error.format_message()}",
            remedy=f"'zerochain {full} --help' lists the options; change them with --set "
            f"{setting}='…'",
        ) from error


def check_value(setting: str, command: str, option: str, value: object) -> None:
    """Check a setting that is the value of one option of a command; None leaves it out.

    Raises:
        InputError: the command would refuse it.
    """
    if value is None:
        return
    try:
        check_options(setting, command, [f"--{option}={value}"])
    except InputError as error:
        found = re.sub(rf"Invalid value for '--{option}': ", "", error.found)
        raise InputError(found, remedy=f"change it with --set {setting}=…") from error


def check_judge(setting: str, of: str, name: str | None) -> None:
    """Check a setting that names a judge from outside; null and "none" are nobody.

    Args:
        of: what is judged, a key of `JUDGES`.

    Raises:
        InputError: there is no such judge; or a recogniser, without whose package nothing is
            scored, is not installed.
    """
    if name in {None, NOBODY}:
        return
    _check_one_of(setting, str(name), (*JUDGES[of], NOBODY))
    if of == "recognition":
        outside_recogniser(cast("RecognitionJudge", name))


def check_features(setting: str, features: str) -> None:
    """Check a setting that says which features are extracted.

    Raises:
        InputError: a pipeline can't extract them.
    """
    _check_one_of(setting, features, EXTRACTED)


def check_demo_voice(setting: str, voice: str | None, language: str) -> None:
    """Check that the demonstration corpus has a voice.

    Raises:
        InputError: it hasn't.
    """
    if voice is not None:
        _check_one_of(setting, voice, tuple(VOICES[language]))


def check_demo_sentences(setting: str, *counts: object) -> None:
    """Check that the demonstration's grammar has as many different sentences, all counts together.

    Each count is one that `check_value` has let pass; None stands for the command's own default,
    with which nothing is checked.

    Raises:
        InputError: it has fewer.
    """
    if None in counts:
        return
    try:
        check_number(sum(int(str(n)) for n in counts))
    except InputError as error:
        raise InputError(f"{setting}: {error.found}", remedy=error.remedy) from error


def _check_one_of(setting: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(
            f"{setting} is {value!r}; there are {listed(list(known))}",
            remedy=f"choose one of those: --set {setting}={known[0]}",
        )


def check_pairs(setting: str, path: str) -> None:
    """Check that a table of pairs can be read.

    Raises:
        InputError: as `read_rows`, or it has a single column.
    """
    columns, _ = read_rows(Path(path), required=())
    if len(columns) < 2:
        raise InputError(
            f"{setting}: has one column, {columns[0]!r}",
            path=path,
            cause="columns need commas or semicolons in a .csv, and tabs in any other file",
            remedy="write two columns, for the source's and the target's recordings",
        )


def check_extra(extra: str, what: str) -> None:
    """Check that the packages of one of zerochain's extras are installed.

    Args:
        what: what needs them.

    Raises:
        InputError: one of them isn't.
    """
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{what} needs {listed(missing)}, which is not installed",
            remedy=f"pip install 'zerochain[{extra}]'",
        )


CHECKS: Mapping[str, Callable[..., None]] = {
    "split": check_split,
    "voice": check_voice,
    "judge": check_judge,
    "phones": check_phones,
    "texts": check_texts,
    "speakers": check_speakers,
    "options": check_options,
    "value": check_value,
    "features": check_features,
    "demo_voice": check_demo_voice,
    "demo_sentences": check_demo_sentences,
    "extra": check_extra,
    "pairs": check_pairs,
}
"""What a Snakefile can ask for."""
