"""A corpus whose recordings are changed, to see whether units change with them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from zerochain import audio
from zerochain.corpora.changes import Change
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.corpus import MARKER, Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.inside import resolved
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, read_phones
from zerochain.progress import track


def change_corpus(
    corpus: Path, out: Path, change: Change, *, split: str | None = None, seed: int = 0
) -> Corpus:
    """Write a corpus with the same ids, every recording changed, as 16 kHz FLAC in `out`/audio.

    Its record says what was changed in which corpus. Gold phones come along, at their new times.

    Args:
        split: only this split.

    Raises:
        InputError: no such corpus or split, a recording that can't be read, or `out` is
            somebody else's folder or the corpus itself.
    """
    whole = read_corpus(corpus)
    part = whole.select(split=split)
    if any(resolved(path).is_relative_to(resolved(out)) for path in (corpus, _root(whole))):
        raise InputError(
            "would replace the corpus or its recordings", path=out, remedy="choose another --out"
        )
    check_replaceable(resolved(out), MARKER)
    record = {"change": asdict(change), "of_corpus": whole.id, "seed": seed}
    with atomic_folder(out, MARKER) as temporary:
        recordings = zip(part.utterances, part.waves(), strict=True)
        made = [
            _changed(u, wave, change, _dice(seed, u.id), temporary)
            for u, wave in track(recordings, "Changing recordings", len(part.utterances))
        ]
        fill_corpus(
            temporary,
            replace(
                whole,
                name=f"{whole.name}, {change}",
                utterances=tuple(made),
                audio_root="audio",
                record=record,
                folder=None,
            ),
            _phones(whole, part, change, seed),
        )
    return read_corpus(out)


def _root(corpus: Corpus) -> Path:
    return corpus.home / corpus.audio_root  # which is the latter where that is absolute


def _dice(seed: int, name: str) -> np.random.Generator:
    """An utterance's own, whatever split it is changed with."""
    return np.random.default_rng([seed, crc32(name.encode())])


def _changed(
    utterance: Utterance,
    wave: audio.Waveform,
    change: Change,
    rng: np.random.Generator,
    folder: Path,
) -> Utterance:
    changed = change.apply(wave, rng)
    name = f"{utterance.id}.flac"
    path = folder / "audio" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audio.encoded(path, changed))
    duration = len(changed) / audio.SAMPLE_RATE
    return replace(utterance, audio=name, start=None, end=None, channel=None, duration=duration)


def _phones(whole: Corpus, part: Corpus, change: Change, seed: int) -> Phones | None:
    path = whole.home / PHONES_FILE
    if not path.is_file():
        return None
    phones = read_phones(path)
    scales = {name: change.time_scale(_dice(seed, name)) for name in part.ids}
    scaled = {
        name: [Phone(p.onset * scales[name], p.offset * scales[name], p.phone) for p in line]
        for name, line in phones.by_id.items()
        if name in scales
    }
    return Phones(scaled, phones.source)
