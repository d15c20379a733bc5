"""Which utterance or recording an alignment belongs to, by its name.

It may bear an utterance's id or the name of the recording that utterances are cut from; folders
before the name count only where they have to.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zerochain.audio import SUFFIXES
from zerochain.corpora.build import Span
from zerochain.corpora.sounds import stem
from zerochain.errors import InputError, counted, listed


@dataclass(frozen=True)
class Target:
    """What an alignment may belong to: the utterance with its name as id, and the utterances cut
    from the recording with its name."""

    utterance: Span | None
    of_recording: tuple[Span, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        return (self.utterance,) if self.utterance is not None else self.of_recording


class Names:
    """The names of utterances and recordings, to look alignments up by.

    Args:
        spans: the utterances by id.
        spare: ids and recordings that are not in the corpus but may well have an alignment.
        recordings: the utterances' ids → the names of their recordings, where these are not the
            paths of the sound files without the suffix, or not those alone.
    """

    def __init__(
        self,
        spans: Mapping[str, Span],
        spare: Iterable[str],
        recordings: Mapping[str, Collection[str]],
    ) -> None:
        self._spans = spans
        self._cut_from: dict[str, list[Span]] = defaultdict(list)
        named = set(map(_composed, itertools.chain(*recordings.values())))
        for span in spans.values():
            names = set(map(_composed, recordings.get(span.utterance.id, ())))
            file = _composed(stem(span.utterance.audio))
            if file not in named:  # no other recording is called so
                names.add(file)
            for name in names:
                self._cut_from[name].append(span)
        spare = {*map(_composed, spare), *named}
        self._known = spans.keys() | self._cut_from.keys() | spare
        self._by_last: dict[str, set[str]] = defaultdict(set)
        for name in self._known:
            self._by_last[_last(name)].add(name)

    def resolve(
        self, names: Sequence[str], path: Path, *, optional: Collection[str] = ()
    ) -> dict[str, Target | None]:
        """Each alignment's name → what it may belong to; None: to no utterance of the corpus.

        That is what has the same name, folders and all; or the name alone; or the only one whose
        name ends in it, of several the one whose last folders are the same as well.

        Args:
            names: paths in the folder of alignments without their suffix, or a CTM's ids.
            path: of the alignments, for errors.
            optional: names that are left out where they match nothing, as long as another matches.

        Raises:
            InputError: names that match nothing, or several.
        """
        exact = {name: self._exact(name) for name in names}
        taken = set(exact.values())
        fitting = {
            name: [one] if one is not None else [n for n in self._ending(name) if n not in taken]
            for name, one in exact.items()
        }
        unknown = [name for name, found in fitting.items() if not found]
        if len(unknown) < len(names):
            unknown = [name for name in unknown if name not in optional]
        if unknown:
            raise InputError(
                f"no recording for {len(unknown)} of {counted(len(names), 'alignment')}: "
                f"{listed(unknown)}",
                path=path,
                cause="the folders of recordings and alignments are laid out differently; "
                f"recordings are called {listed(list(self._spans), 3)}",
                remedy="name and place every alignment like its recording, except for the suffix",
            )
        unclear = [
            f"{name} ({' or '.join(found)})"
            for name, found in fitting.items()
            if len(set().union(*map(self._files, found))) > 1
            or sum(one in self._spans for one in found) > 1
        ]
        if unclear:
            raise InputError(
                f"several recordings for {len(unclear)} of {counted(len(names), 'alignment')}: "
                f"{listed(unclear)}",
                path=path,
                cause="recordings in different folders share a name",
                remedy="place every alignment in a folder with the same name as its recording's",
            )
        return {name: self._target(found) for name, found in fitting.items() if found}

    def knows(self, name: str) -> bool:
        """Whether `resolve` would find something for a name."""
        return self._exact(name) is not None or bool(self._ending(name))

    def _exact(self, name: str) -> str | None:
        forms = (name, _last(name), _without_suffix(name), _without_suffix(_last(name)))
        return next((one for one in forms if one in self._known), None)

    def _ending(self, name: str) -> list[str]:
        """Those whose last parts are the same, as many parts as possible."""
        name = name if _last(name) in self._by_last else _without_suffix(name)
        alike = {one: _n_alike(one, name) for one in self._by_last.get(_last(name), ())}
        most = max(alike.values(), default=0)
        return sorted(one for one, n in alike.items() if n == most)

    def _files(self, name: str) -> set[str]:
        """The sound files of an id or a recording's name; one name may be both."""
        spans = [*self._cut_from.get(name, ())]
        if name in self._spans:
            spans.append(self._spans[name])
        return {span.utterance.audio for span in spans} or {name}

    def _target(self, names: Sequence[str]) -> Target | None:
        """Names of one sound file: an id of its utterances, its own, or both."""
        utterances = [self._spans[name] for name in names if name in self._spans]
        cut_from = [span for name in names for span in self._cut_from.get(name, ())]
        if not utterances and not cut_from:
            return None
        return Target(utterances[0] if len(utterances) == 1 else None, tuple(cut_from))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _without_suffix(name: str) -> str:
    """The name without a sound file's suffix: call.wav.TextGrid is of call.wav."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else name


def _n_alike(one: str, other: str) -> int:
    """How many of their last parts are the same."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    n = 0
    for a, b in pairs:
        if a != b:
            break
        n += 1
    return n
