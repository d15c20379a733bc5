"""`zerochain chain`: a recogniser and a synthesiser that teach each other."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.audio import SAMPLE_RATE, check_other
from zerochain.cli.common import (
    FILE,
    FOLDER,
    TABLE,
    Command,
    corpus_option,
    device_option,
    out_option,
    seed_option,
    split_option,
)
from zerochain.cli.options import options_of, recipe_options
from zerochain.cli.printing import left_out_text, parts_text, print_facts
from zerochain.cli.score import save_scores, system_option
from zerochain.cli.training import running_options
from zerochain.errors import counted, speech_time
from zerochain.formats.bundle import bundle_id
from zerochain.metrics import names
from zerochain.metrics.translation import Estimate
from zerochain.modules.joint_recogniser import RecogniserSizes
from zerochain.modules.synthesiser import SynthesiserSizes
from zerochain.scoring.common import Common, Scored, Wavs
from zerochain.speechchain import recogniser as listening
from zerochain.speechchain import synthesiser as speaking
from zerochain.speechchain.chain import ChainConfig, ChainTraining, Recipes, train_chain
from zerochain.speechchain.fusion import train_language_model
from zerochain.speechchain.language_model import LanguageModelConfig
from zerochain.speechchain.loop import RECIPE
from zerochain.speechchain.recogniser import BEAM
from zerochain.speechchain.sources import Sources
from zerochain.speechchain.stage import Recognition
from zerochain.speechchain.stage import speak as speak_text
from zerochain.speechchain.stage import synthesize as speak_corpus
from zerochain.speechchain.stage import transcribe as transcribe_corpus
from zerochain.speechchain.synthesis_loss import SynthesisLoss
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

valid_split_option = click.option(
    "--valid-split",
    help="A split of the CORPUS whose pairs are held out, to decide when to stop: sentences that "
    "switch between languages, for instance.  [default: a tenth of the pairs]",
)


@click.command(
    cls=Command,
    example="zerochain chain train corpora/en --split train --paired 0.3 --speakers speakers "
    "--out chains/en\n"
    "zerochain chain train corpora/mine --texts sentences.txt --speech corpora/radio --out chain",
)
@click.argument("corpus", type=FOLDER)
@split_option
@valid_split_option
@click.option("--units", type=FILE, help="Units of the CORPUS, which take the place of its texts.")
@click.option("--texts", type=FILE, help="Texts without speech: a file with one per line.")
@click.option("--speech", type=FOLDER, help="A corpus of speech without texts.")
@click.option(
    "--speakers",
    type=FOLDER,
    help="A speaker encoder, for many voices.  [default: all speech is taken for one voice]",
)
@click.option(
    "--start", type=FOLDER, help="A chain of the same pairs (--method paired) to start from."
)
@options_of(ChainConfig, RECIPE)
@options_of(RecogniserSizes, into="asr")
@options_of(SynthesiserSizes, into="tts")
@options_of(SynthesisLoss, into="loss")
@recipe_options(
    listening.RECIPE,
    only=["max_steps", "batch_size", "validate_every"],
    prefix="asr",
    into="asr_recipe",
    part="the recogniser on pairs",
    training="recogniser",
)
@recipe_options(
    speaking.RECIPE,
    only=["max_steps", "batch_size", "validate_every"],
    prefix="tts",
    into="tts_recipe",
    part="the synthesiser on pairs",
    training="synthesiser",
)
@out_option("the chain; <out>.training gets the checkpoints and logs")
@running_options
def train(
    corpus: Path,
    split: str | None,
    valid_split: str | None,
    units: Path | None,
    texts: Path | None,
    speech: Path | None,
    speakers: Path | None,
    start: Path | None,
    config: ChainConfig,
    recipe: Recipe,
    asr: RecogniserSizes,
    tts: SynthesiserSizes,
    loss: SynthesisLoss,
    asr_recipe: Recipe,
    tts_recipe: Recipe,
    out: Path,
    running: Running,
) -> None:
    """Train a recogniser and a synthesiser on pairs, then let them teach each other.

    Utterances of CORPUS with a text are pairs; those without, and --speech, are speech alone;
    --texts are texts alone. The pairs train both models, as does --method paired. Then, in the
    loop, the synthesiser speaks texts from which the recogniser learns, and the recogniser
    transcribes speech that the synthesiser learns to speak. If it is interrupted, the same command
    continues it.
    """
    report = train_chain(
        Sources(corpus, split, units, texts, speech, speakers, start, valid_split),
        out,
        config=config,
        asr=asr,
        tts=tts,
        loss=loss,
        recipes=Recipes(asr_recipe, tts_recipe, recipe),
        running=running,
    )
    if is_main_process():
        print_facts(f"speech chain {out}", _facts(report, are_units=units is not None))


def _facts(report: ChainTraining, *, are_units: bool) -> dict[str, str]:
    shares = {"texts": report.texts_kept, "transcripts": report.speech_kept}
    before = "" if report.start_cer is None else f", {report.start_cer:.1f} % before the loop"
    mel, error = report.valid_mel_db, "unit error rate" if are_units else "CER"
    return {
        "trained on": f"{counted(report.n_pairs, 'pair')} ({speech_time(60 * report.minutes)}), "
        f"{counted(report.n_texts, 'text')} and {counted(report.n_speech, 'recording')} alone",
        "training": f"{parts_text(report.parts)}; {report.seconds:.0f} s on {report.computed_on}",
        "held-out pairs": f"{error} {report.valid_cer:.1f} % without a beam{before}; "
        "error of frames "
        + ("unknown, as none can be aligned" if mel is None else f"{mel:.1f} dB"),
        "kept": "the models before the loop, whose error rate was lower"
        if report.kept_start
        else "",
        "used by the loop": ", ".join(
            f"{100 * share:.0f} % of the {name}" for name, share in shares.items() if share
        ),
        "left out": left_out_text(report.excluded),
    }


@click.command(
    cls=Command,
    example="zerochain chain lm chains/en corpora/en --split train --paired 0.3 --out lm/en",
)
@click.argument("chain", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@split_option
@valid_split_option
@click.option("--units", type=FILE, help="Units of the CORPUS, for a chain of units.")
@click.option("--texts", type=FILE, help="Texts without speech: a file with one per line.")
@click.option(
    "--paired",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="As for the chain: the fraction of the texts that stay paired.",
)
@click.option(
    "--longest",
    "longest_s",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="As for the chain, in seconds.",
)
@options_of(LanguageModelConfig)
@click.option(
    "--beam",
    type=click.IntRange(2, 100),
    default=BEAM,
    show_default=True,
    help="Width of the beam search with which the weight is chosen.",
)
@out_option("the language model")
@device_option
def lm(
    chain: Path,
    corpus: Path,
    split: str | None,
    valid_split: str | None,
    units: Path | None,
    texts: Path | None,
    paired: float | None,
    longest_s: float,
    config: LanguageModelConfig,
    beam: int,
    out: Path,
    device: str,
) -> None:
    """Make a language model for a CHAIN of the texts of its pairs and of texts alone.

    'chain transcribe --lm' decodes with it. CORPUS, --split, --valid-split, --paired and
    --longest are those of the chain, whose held-out pairs choose the weight.
    """
    report = train_language_model(
        chain,
        Sources(corpus, split, units, texts, valid_split=valid_split),
        out,
        config=config,
        paired=paired,
        longest_s=longest_s,
        beam=beam,
        device=resolve_device(device),
    )
    rates = ", ".join(f"{one.value:.1f} at {w:g}" for w, one in report.error_rates.items())
    print_facts(
        f"language model {out}",
        {
            "made of": counted(report.n_texts, "text"),
            "contexts": f"{report.n_states:,}",
            "perplexity": f"{report.perplexity:.2f} per symbol of "
            f"{counted(report.n_valid, 'held-out pair')}",
            "error rate": f"{rates} (%, held-out speech)",
            "weight": f"{report.weight:g}" if report.weight else "0: it doesn't help",
            "left out": left_out_text(report.excluded),
        },
    )


_speakers_option = click.option(
    "--speakers", type=FOLDER, help="The speaker encoder that the chain was trained with."
)


@click.command(
    cls=Command,
    example="zerochain chain transcribe chains/en corpora/en --split test --out texts.parquet",
)
@click.argument("chain", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@split_option
@click.option("--units", type=FILE, help="The true units of CORPUS, for a chain of units.")
@click.option(
    "--wavs",
    type=FOLDER,
    help="A folder of <id>.wav in place of the recordings, of synthesised speech for instance.",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 100),
    default=BEAM,
    show_default=True,
    help="Width of the beam search; 1 is CTC's best path.",
)
@click.option("--lm", type=FOLDER, help="A language model, made by 'zerochain chain lm'.")
@click.option(
    "--lm-weight",
    type=click.FloatRange(0),
    help="Its weight beside the recogniser.  [default: as chosen when it was made]",
)
@click.option(
    "--units-out",
    type=FILE,
    help="Of a chain of units: a unit file of what is recognised, with durations.",
)
@out_option("the transcripts", TABLE)
@click.option("--scores", type=FILE, help="A scores.jsonl to which the error rates are appended.")
@system_option
@device_option
def transcribe(
    chain: Path,
    corpus: Path,
    split: str | None,
    units: Path | None,
    wavs: Path | None,
    beam: int,
    lm: Path | None,
    lm_weight: float | None,
    units_out: Path | None,
    out: Path,
    scores: Path | None,
    system: str | None,
    device: str,
) -> None:
    """Transcribe the recordings of a CORPUS with a CHAIN, and compare with its texts, if any.

    The error rates have 95 % intervals over recordings. Texts are compared in lower case and
    without punctuation.
    """
    if lm is None and lm_weight is not None:
        raise click.UsageError("--lm-weight only applies with --lm")
    result = transcribe_corpus(
        chain,
        corpus,
        out,
        split=split,
        units=units,
        wavs=wavs,
        beam=beam,
        lm=lm,
        lm_weight=lm_weight,
        units_out=units_out,
        device=resolve_device(device),
    )
    n = len(result.transcripts.texts)
    print_facts(
        f"transcripts {out}",
        {
            "recordings": f"{n:,}, {counted(result.n_empty, 'transcript')} empty",
            "CER" if result.wer is not None else "unit error rate": estimate_text(result.cer),
            "WER": estimate_text(result.wer),
            "CER with languages": estimate_text(result.tagged_cer),
            "unknown": ""
            if not result.n_unknown
            else f"{counted(result.n_unknown, 'text')} with characters that the chain doesn't know",
        },
    )
    if scores is not None:
        # Chains are compared by what each makes of the recordings, synthesised speech only by what
        # one of them makes of it.
        judge = "one system" if wavs else "each system itself"
        protocol = f"recognised by {judge}, beam {beam}"
        if lm is not None:
            weight = "" if lm_weight is None else f" of weight {lm_weight:g}"
            protocol += f", language model{weight}"
        name = system or f"speech chain {chain.name}"
        save_scores(_scored(result, name, split, protocol, wavs, lm), scores)


def estimate_text(one: Estimate | None) -> str:
    """An error rate or a share in %, with its interval, in words."""
    if one is None:
        return ""
    interval = "" if one.interval is None else " ({:.1f} … {:.1f})".format(*one.interval)
    return f"{one.value:.1f} %{interval} on {counted(one.n, 'utterance')}"


def _scored(
    result: Recognition,
    system: str,
    split: str | None,
    protocol: str,
    wavs: Path | None,
    lm: Path | None,
) -> Scored:
    """The error rates as lines of scores.jsonl: of the chain, or of what spoke the wavs."""
    made = result.transcripts
    called = "chain" if wavs is None else "recogniser"
    judged = {called: made.model_id, **({} if wavs is None else Wavs.of(wavs).inputs)}
    if lm is not None:
        judged[f"{called}_language_model"] = bundle_id(lm)
    common = Common(
        system,
        {**judged, "corpus": made.corpus_id},
        {"n_of": "utterances", "split": split, "n_unrecognised": result.n_empty},
    )
    metric = names.UNIT_ERROR_RATE if result.wer is None else names.CER
    return Scored(
        [
            common.score(metric, one.value, one.interval, one.n, protocol)
            for metric, one in (
                (metric, result.cer),
                (names.WER, result.wer),
                (names.TAGGED_CER, result.tagged_cer),
            )
            if one is not None
        ]
    )


@click.command(
    cls=Command,
    example='zerochain chain speak chains/en "where is the station" station.wav '
    "--like me.wav --speakers speakers",
)
@click.argument("chain", type=FOLDER)
@click.argument("text")
@click.argument("out", type=FILE)
@click.option("--like", type=FILE, help="A recording of the voice; requires --speakers.")
@_speakers_option
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 10),
    default=1.0,
    show_default=True,
    help="Above 1 is faster.",
)
@seed_option
@device_option
def speak(
    chain: Path,
    text: str,
    out: Path,
    like: Path | None,
    speakers: Path | None,
    rate: float,
    seed: int,
    device: str,
) -> None:
    """Speak a TEXT with a CHAIN, into the WAV called OUT.

    The voice is that of one recording (--like). For a chain of units TEXT is their numbers,
    separated by spaces.
    """
    if like is not None:
        check_other(out, like)
    wave = speak_text(
        chain,
        text,
        out,
        like=like,
        speakers=speakers,
        rate=rate,
        seed=seed,
        device=resolve_device(device),
    )
    click.echo(f"{out}: {len(wave) / SAMPLE_RATE:.2f} s")


@click.command(
    cls=Command,
    example="zerochain chain synthesize chains/en --corpus corpora/en --split test "
    "--speakers speakers --out wavs/chain",
)
@click.argument("chain", type=FOLDER)
@corpus_option
@split_option
@click.option("--units", type=FILE, help="Units of the corpus, for a chain of units.")
@_speakers_option
@out_option("<id>.wav of each utterance")
@seed_option
@device_option
def synthesize(
    chain: Path,
    corpus: Path,
    split: str | None,
    units: Path | None,
    speakers: Path | None,
    out: Path,
    seed: int,
    device: str,
) -> None:
    """Speak each text of a corpus with a CHAIN, in the voice of its own recording.

    Score the result with 'zerochain score resynthesis --against text', and by what a recogniser
    makes of it: 'zerochain chain transcribe --wavs'.
    """
    ids = speak_corpus(
        chain,
        corpus,
        out,
        split=split,
        units=units,
        speakers=speakers,
        seed=seed,
        device=resolve_device(device),
    )
    click.echo(f"{out}: {counted(len(ids), 'utterance')}")
