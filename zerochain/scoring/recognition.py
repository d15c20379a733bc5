"""How well synthesised or translated speech is recognised: error rates and BLEU of the text.

A recogniser writes down the speech, and its text is compared with the transcript that the speech
should have. So a score depends on the recogniser as much as on the speech: it records the
recogniser's error on real speech, and is worth little without the same score of the corpus's own
recordings and of resynthesised references. The recogniser is a bundle of zerochain, or any program
that writes its text to standard output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, file_id
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import FOR_REFERENCE
from zerochain.metrics import names
from zerochain.metrics.names import Metric
from zerochain.metrics.text import NORMALISATION, plain
from zerochain.metrics.translation import UNDEFINED_BLEU, Estimate, bleu, error_rate
from zerochain.scoring.common import Common, Scored, Speech, scored_pairs
from zerochain.scoring.judges import RecognitionJudge, listener


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
        InputError: ids missing on either side, no text at all, a recording that can't be read, a
            program that fails, or pocketsphinx isn't installed.
    """
    whole = read_corpus(corpus)
    by = listener(
        recogniser,
        command,
        judge,
        timeout_s=timeout_s,
        corpus=whole,
        split=split,
        device=device,
    )
    spoken = Speech.of(wavs)
    targets, inputs = _references(spoken, whole, pairs, split)
    references = _plain_texts(whole, targets)
    ids = list(references)
    untold = [name for name in targets if name not in references]
    texts = [plain(text) for text in by.texts(spoken, ids)]
    wanted = list(references.values())
    common = Common(
        system or spoken.system,
        {**inputs, **spoken.inputs, **by.inputs},
        {
            "n_of": "utterances",
            "split": split,
            **({"voice": spoken.voice} if spoken.voice else {}),
            "normalisation": NORMALISATION,
            "n_unrecognised": sum(not text for text in texts),
            **({"exclusions": {"without_text": len(untold)}} if untold else {}),
            "seed": seed,
            **({FOR_REFERENCE: True} if for_reference else {}),
            **by.options,
        },
    )
    scores = [
        common.score(
            metric,
            one.value,
            one.interval,
            one.n,
            by.protocol,
            signature=one.signature or None,
        )
        for metric, one in {**_measured(texts, wanted, seed), **by.own_errors}.items()
        if one.is_defined
    ]
    left = len(spoken.ids) - len(targets)
    notes = [f"not scored: {counted(left, 'wav')} of other splits or pairs"] if left else []
    if untold:
        notes.append(
            f"left out: {counted(len(untold), 'utterance')} without a text that has a letter or "
            f"digit: {listed(untold, 3)}"
        )
    if names.ASR_BLEU.key not in {score.metric for score in scores}:
        notes.append(f"{names.ASR_BLEU.key}: left out, {UNDEFINED_BLEU}")
    return Scored(scores, [*notes, *by.notes])


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


def _plain_texts(corpus: Corpus, targets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Wav → the texts of its targets that have one; wavs without any are left out.

    Raises:
        InputError: none has a text with a letter or digit.
    """
    by_id = {u.id: plain(u.text or "") for u in corpus.utterances}
    texts = {
        name: [by_id[one] for one in several if by_id[one]] for name, several in targets.items()
    }
    found = {name: several for name, several in texts.items() if several}
    if not found:
        raise InputError(
            f"none of {counted(len(texts), 'utterance')} has a text with a letter or digit",
            path=corpus.folder,
            cause="the corpus was imported without transcripts, or texts are marks for noise",
            remedy="import it again with a table that has a column 'text'",
        )
    return found
