"""Scores of synthesised and translated speech: resynthesis, voice, recognition, translation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    corpus_option,
    device_option,
    jobs_option,
    seed_option,
    split_option,
)
from zerochain.cli.score import out_option, save_scores, system_option
from zerochain.scoring.folds import Fold, score_folds
from zerochain.scoring.judges import NOBODY, OpinionJudge, RecognitionJudge, SpeakerJudge
from zerochain.scoring.opinions import score_opinions
from zerochain.scoring.recognition import score_recognition
from zerochain.scoring.speech import Against, score_resyntheses, score_speakers
from zerochain.scoring.translation import score_translation
from zerochain.training.device import resolve_device

F = TypeVar("F", bound=Callable[..., Any])


def judge_option(judges: object, default: str, help: str) -> Callable[[F], F]:
    """`--judge`: one of the names of a kind of judges from outside, or "none"."""
    return click.option(
        "--judge",
        type=click.Choice([*get_args(judges), NOBODY]),
        default=default,
        show_default=True,
        callback=lambda context, option, value: None if value == NOBODY else value,
        help=help,
    )


reference_option = click.option(
    "--for-reference",
    is_flag=True,
    help="A topline or a ceiling, not a system: listed below the others, never marked as best.",
)


@click.command(
    cls=Command,
    example="zerochain score resynthesis wavs/ --corpus corpora/mine --split test --out s.jsonl",
)
@click.argument("wavs", type=FOLDER)
@corpus_option
@split_option
@click.option(
    "--voice", help="The voice of the WAVS, a speaker.  [default: from their synthesis.json]"
)
@click.option(
    "--against",
    type=click.Choice(get_args(Against)),
    default="voice",
    show_default=True,
    help="Recordings of the voice itself; of the speakers that were converted; or, of texts that "
    "were spoken at another pace, each text's own recording.",
)
@click.option(
    "--max-difference-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="The most that lengths may differ by.  [default: one unit, or 80]",
)
@judge_option(
    OpinionJudge,
    "dnsmos",
    "Predicts how listeners would rate the WAVS and the recordings; takes the packages of pip "
    "install 'zerochain[quality]'.",
)
@system_option
@out_option
@seed_option
@jobs_option
def resynthesis(out: Path, **options: Any) -> None:
    """Compare WAVS, a folder of <id>.wav, with the recordings of the same utterances.

    \b
    log_spectral_distance      dB, frame by frame, levels aligned
    multi_resolution_distance  spectral convergence + log magnitudes, FFTs of 512, 1024, 2048
    mcd_sp2mc24                mel-cepstral distortion in dB along the exact DTW path; by a
                               fixed definition, not comparable with other packages
    estoi                      intelligibility, about 0 … 1
    log_f0_rmse                cents (1200 per octave), frames voiced in both
    voicing_decision_error     % of frames voiced in only one of both
    f0_frame_error             % of frames with wrong voicing or F0 more than 20 % off
    dnsmos_…                   predicted opinions of listeners, 1 … 5, by ITU-T P.835 (overall,
                               signal, background) and P.808; those of the recordings are a row
                               of their own, "real speech". Trained on other speech. Shorter
                               recordings are repeated to its window of 9.01 s; of more than 100
                               utterances, 100 are drawn

    All but the last are meaningful only for the original speaker's own voice, so only the
    utterances of the voice of the WAVS are scored. For other speakers' utterances, converted into
    the voice, --against source measures how much of the intonation is kept: the correlation of log
    F0 and the voicing error, frame by frame, against the recording of the source speaker. Of texts
    that were spoken anew ('zerochain chain synthesize') only mcd_sp2mc24 and dnsmos_… mean
    anything, as they have other durations: --against text.
    """
    save_scores(score_resyntheses(**options), out)


@click.command(
    cls=Command,
    example="zerochain score speakers wavs/ --corpus corpora/mine --encoder speakers/ "
    "--split test --out s.jsonl",
)
@click.argument("wavs", type=FOLDER)
@corpus_option
@click.option(
    "--encoder",
    type=FOLDER,
    help="A speaker encoder ('zerochain speakers train') that no inverter was conditioned on.",
)
@judge_option(
    SpeakerJudge,
    NOBODY,
    "An encoder from outside, trained on English, instead of --encoder or beside it: pip install "
    "--no-deps resemblyzer webrtcvad-wheels.",
)
@split_option
@click.option("--voice", help="The target voice.  [default: from synthesis.json of the WAVS]")
@system_option
@out_option
@seed_option
@device_option
def speakers(out: Path, device: str, **options: Any) -> None:
    """Similarity of WAVS to the target voice: cosine to the mean of its recordings.

    \b
    speaker_similarity             the voice's own utterances, resynthesised
    speaker_similarity_converted   other speakers' utterances, converted to the voice
    speaker_similarity_to_source   the same, compared with their source speakers
    speaker_similarity_recordings  real recordings of the voice: the ceiling
    speaker_similarity_others      real recordings of other speakers: the floor

    No recording is compared with itself, nor a wav with the recording it was made from.
    """
    save_scores(score_speakers(device=resolve_device(device), **options), out)


@click.command(
    cls=Command,
    example="zerochain score recognition wavs/ --corpus corpora/es --pairs corpora/pairs.parquet "
    "--split test --recogniser recognisers/es --out scores.jsonl",
)
@click.argument("wavs", type=FOLDER)
@click.option(
    "--corpus", type=FOLDER, required=True, help="The transcripts, in the language spoken."
)
@click.option("--recogniser", type=FOLDER, help="From 'zerochain recognise train'.")
@click.option(
    "--command",
    help="A program instead, with {wav} for the recording; it writes the text to its "
    'standard output: --command "prog --text-only {wav}". No shell is involved.',
)
@judge_option(
    RecognitionJudge,
    NOBODY,
    "For English: a recogniser from outside, trained on other speech (pip install "
    "'zerochain[quality]').",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    help="The most time that the program may take for a recording.",
)
@click.option(
    "--pairs",
    type=FILE,
    help="For translated speech: WAVS have the ids of sources, and the texts of their targets.",
)
@split_option
@system_option
@reference_option
@out_option
@seed_option
@device_option
def recognition(out: Path, device: str, **options: Any) -> None:
    """CER, WER and ASR-BLEU of WAVS, a folder of <id>.wav, or of a corpus's recordings.

    Texts are compared in lower case and without punctuation. Error rates depend on the recogniser:
    score the corpus itself, and resynthesised references, to know the ceiling.
    """
    save_scores(score_recognition(device=resolve_device(device), **options), out)


@click.command(
    cls=Command,
    example="zerochain score opinions wavs/ --corpus corpora/es --pairs corpora/pairs.parquet "
    "--split test --out scores.jsonl\n"
    "zerochain score opinions corpora/es --corpus corpora/es --split test --out scores.jsonl",
)
@click.argument("wavs", type=FOLDER)
@click.option("--corpus", type=FOLDER, required=True, help="The recordings of the language spoken.")
@click.option(
    "--pairs", type=FILE, help="For translated speech: WAVS have the ids of these sources."
)
@split_option
@click.option(
    "--judge",
    type=click.Choice(get_args(OpinionJudge)),
    default="dnsmos",
    show_default=True,
    help="Who predicts the opinions.",
)
@system_option
@reference_option
@out_option
@seed_option
def opinions(out: Path, **options: Any) -> None:
    """How listeners would rate WAVS, such as translations, or a corpus's recordings: DNSMOS.

    Takes no recording of the same utterance to compare with. Score the corpus's own recordings as
    well: the judge was trained on other speech, and they are the scale to read the rest by. Of more
    than 100 utterances, 100 are drawn. Needs the packages of pip install 'zerochain[quality]';
    without them a note says so, and nothing is scored.
    """
    save_scores(score_opinions(**options), out)


@click.command(
    cls=Command,
    example="zerochain score folds "
    "--fold f0/nearest.parquet f0/target.parquet f0/pairs.parquet f0/source "
    "--fold f1/nearest.parquet f1/target.parquet f1/pairs.parquet f1/source --out scores.jsonl",
)
@click.option(
    "--fold",
    "folds",
    type=(FILE, FILE, FILE, FOLDER),
    multiple=True,
    required=True,
    metavar="UNITS REFERENCES PAIRS CORPUS",
    help="A fold's translations, units of its targets, pairs, and corpus of sources. Give each.",
)
@click.option(
    "--baseline",
    "baselines",
    type=(str, FILE),
    multiple=True,
    metavar="NAME UNITS",
    help="A baseline's translations of a fold, to compare with: one for each --fold, in its order.",
)
@click.option(
    "--split", default="test", show_default=True, help="The tested pairs of each fold's corpus."
)
@system_option
@reference_option
@out_option
@seed_option
def folds(
    out: Path,
    folds: tuple[tuple[Path, Path, Path, Path], ...],
    baselines: tuple[tuple[str, Path], ...],
    **options: Any,
) -> None:
    """Retrieval of one system over all folds of a cross-validation, in which each pair is tested.

    The targets of a fold are ranked by their similarity to each translation: 1 - edit distance /
    longer length, of units with repeats merged. Means, intervals and chance are over all folds.
    With --baseline the difference of the mean reciprocal ranks has an interval of its own, over
    sources drawn for both at once.
    """
    by_name: dict[str, list[Path]] = {}
    for name, output in baselines:
        by_name.setdefault(name, []).append(output)
    save_scores(score_folds([Fold(*files) for files in folds], baselines=by_name, **options), out)


@click.command(
    cls=Command,
    example="zerochain score translation translated.parquet --references units/es.parquet "
    "--pairs corpora/pairs.parquet --corpus corpora/en --split test --out scores.jsonl",
)
@click.argument("output", metavar="UNITS", type=FILE)
@click.option(
    "--references", type=FILE, required=True, help="Units of the target language's recordings."
)
@click.option(
    "--pairs", type=FILE, required=True, help="pairs.parquet: which source has which targets."
)
@click.option("--corpus", type=FOLDER, help="That of the sources or of the targets, for --split.")
@split_option
@click.option(
    "--train-pairs",
    type=FILE,
    help="Random targets are drawn from these.  [default: pairs that are not scored]",
)
@click.option(
    "--texts",
    type=FOLDER,
    help="The targets' corpus: targets with the same text are equally right.",
)
@system_option
@reference_option
@out_option
@seed_option
def translation(out: Path, **options: Any) -> None:
    """Compare translated UNITS with the units of the targets' recordings; repeats are merged.

    \b
    unit_bleu, unit_chrf   by sacrebleu; for chrF each unit is one character
      …_shuffled           against other sources' references: as high if the input is ignored
      …_floor              of random targets
    unit_error_rate        Levenshtein distance divided by the reference length
    length_ratio           length of outputs divided by that of references
    distinct_output_ratio  different outputs divided by outputs
    retrieval_…            rank of the right target when all are ranked by similarity

    Several targets of one source are its several references. Scores of units depend on the unit
    model: outputs and references must be of the same model, and only such scores compare.
    """
    save_scores(score_translation(**options), out)
