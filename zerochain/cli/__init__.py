"""The whole command line as a table: where each command is, and its line of help.

Nothing is imported for it; a command is when it is run. `tests/cli/test_lazy.py` holds that the
lines are the first sentences of the commands' own help.
"""

from __future__ import annotations

import click

import zerochain
from zerochain.cli.lazy import LazyGroup, Program

IMPORT = LazyGroup(
    "import",
    help="Take in recordings as a corpus, and units, features and submissions of others.",
    commands={
        "folder": (
            "zerochain.cli.importing:folder",
            "Import a folder of RECORDINGS (WAV, FLAC, OGG, MP3, SPHERE, AIFF, …; any rate).",
        ),
        "kaldi": (
            "zerochain.cli.importing:kaldi",
            "Import a Kaldi DATA directory: wav.scp, and if there are any segments, utt2spk, text.",
        ),
        "pairs": (
            "zerochain.cli.importing:pairs",
            "Import a TABLE (TSV or CSV) of utterance ids that say the same in two corpora.",
        ),
        "zerospeech2019": (
            "zerochain.cli.submissions:import_2019",
            "Take somebody's SUBMISSION to ZeroSpeech 2019/2020 in, to be scored.",
        ),
        "zerospeech2021": (
            "zerochain.cli.submissions:import_2021",
            "Take the phonetic part of somebody's SUBMISSION to ZeroSpeech 2021 in, to be scored.",
        ),
        "units": (
            "zerochain.cli.unit_text:import_units",
            "Take units of a FILE of other programs in, one unit a step; names stay as they are.",
        ),
        "features": (
            "zerochain.cli.unit_text:import_features",
            "Take features in from a FOLDER and its subfolders: .npy (T, D), or .txt with a frame "
            "a line.",
        ),
    },
)
CORPUS = LazyGroup(
    "corpus",
    help="Make a corpus.",
    commands={
        "demo": (
            "zerochain.cli.corpus:demo",
            "Synthesise the demonstration corpus: English and Spanish, several voices, gold "
            "phones.",
        ),
        "parallel": (
            "zerochain.cli.corpus:parallel",
            "Make the splits of two corpora agree, for translation from SOURCE to TARGET.",
        ),
        "change": (
            "zerochain.cli.corpus:change",
            "Change the recordings of a CORPUS, not what is said, to see whether units stay the "
            "same.",
        ),
    },
)
DISCOVER = LazyGroup(
    "discover",
    help="Discover units: fit a unit model on a corpus.",
    commands={
        "kmeans": (
            "zerochain.cli.discover:kmeans",
            "K-Means: a unit is the nearest of K centroids.",
        ),
        "gmm": (
            "zerochain.cli.discover:gmm",
            "Gaussian mixture: a unit is the most probable of K components, with posteriors.",
        ),
        "dpgmm": (
            "zerochain.cli.discover:dpgmm",
            "Dirichlet-process mixture: as gmm, but finds out how many of at most K components to "
            "use.",
        ),
        "vqvae": (
            "zerochain.cli.discover_trained:vqvae",
            "Conditional VQ-VAE: codes from which a decoder that knows the speaker rebuilds the "
            "features.",
        ),
        "vqcpc": (
            "zerochain.cli.discover_trained:vqcpc",
            "VQ-CPC: codes from which what comes next is told from what else the same speaker "
            "said.",
        ),
        "selftrain": (
            "zerochain.cli.discover_trained:selftrain",
            "Self-training: a network learns K-Means units under other voices; K-Means of what it "
            "learned.",
        ),
    },
)
INVERT = LazyGroup(
    "invert",
    help="Turn units back into speech, in the voice of one speaker.",
    commands={
        "train": (
            "zerochain.cli.invert:train",
            "Train an inverter on the UNITS and the recordings of a voice, or several, of a "
            "CORPUS.",
        ),
        "train-neural": (
            "zerochain.cli.invert:train_neural",
            "Train a neural inverter on the UNITS and the recordings of a voice, or several, of a "
            "CORPUS.",
        ),
        "synthesize": (
            "zerochain.cli.invert:synthesize",
            "Speak every utterance of UNITS with an INVERTER, each exactly as long as its units.",
        ),
        "convert": (
            "zerochain.cli.invert:convert",
            "Speak what a RECORDING says with an INVERTER, into the WAV called OUT.",
        ),
    },
)
TRANSLATE_BASELINE = LazyGroup(
    "baseline",
    help="Translate without learning: what any translator has to beat.",
    commands={
        "nearest": (
            "zerochain.cli.translate_baselines:nearest",
            "The units in TARGETS of the training source whose FEATURES are nearest, by DTW.",
        ),
        "frequent": (
            "zerochain.cli.translate_baselines:frequent",
            "The same units for everything: the most frequent of TARGETS, of several the most "
            "central.",
        ),
    },
)
TRANSLATE_NORMALISER = LazyGroup(
    "normaliser",
    help="Map the units of many voices to those of one, which are easier to translate into.",
    commands={
        "train": (
            "zerochain.cli.translate_unpaired:train_normaliser",
            "Train a normaliser from SPOKEN_UNITS, the --target's utterances in other voices.",
        ),
        "apply": (
            "zerochain.cli.translate_unpaired:apply",
            "Write the units that the NORMALISER's one voice would have said instead of UNITS.",
        ),
        "prepare": (
            "zerochain.cli.translate_prepare:prepare",
            "Speak UNITS in several voices of an INVERTER, and encode each with the unit MODEL "
            "again.",
        ),
    },
)
TRANSLATE = LazyGroup(
    "translate",
    help="Translate speech into units of another language, from pairs of recordings.",
    commands={
        "train": (
            "zerochain.cli.translate:train",
            "Train a translator from SOURCE (a features folder or a unit file) to TARGET_UNITS.",
        ),
        "decode": (
            "zerochain.cli.translate_decode:decode",
            "Translate SOURCE, a features folder or a unit file like the TRANSLATOR's, into units.",
        ),
        "baseline": TRANSLATE_BASELINE,
        "pretrain": (
            "zerochain.cli.translate_unpaired:pretrain",
            "Learn which UNITS follow which in a language: to say again what is heard with gaps.",
        ),
        "normaliser": TRANSLATE_NORMALISER,
        "speech": (
            "zerochain.cli.translate_speech:speech",
            "Speak the translation of a RECORDING with an INVERTER, into the WAV called OUT.",
        ),
    },
)
RECOGNISE = LazyGroup(
    "recognise",
    help="Recognise characters: to say how intelligible synthesised speech is.",
    commands={
        "train": (
            "zerochain.cli.recognise:train",
            "Train a recogniser of characters on a CORPUS with transcripts (column 'text').",
        ),
    },
)
SPEAKERS = LazyGroup(
    "speakers",
    help="Tell voices apart: encoders trained on a corpus's own speakers.",
    commands={
        "train": (
            "zerochain.cli.speakers:train",
            "Train a speaker encoder on the speaker labels of a CORPUS: recordings to voice "
            "vectors.",
        ),
    },
)
SCORE = LazyGroup(
    "score",
    help="Score units, features and resynthesised speech; scores are appended to a file.",
    commands={
        "bitrate": (
            "zerochain.cli.score:bitrate",
            "Bits per second of UNITS: every unit, segments, segments with durations.",
        ),
        "usage": (
            "zerochain.cli.score:usage",
            "How much of the codebook UNITS use: the fraction of units, and perplexity.",
        ),
        "resynthesis": (
            "zerochain.cli.score:resynthesis",
            "How near WAVS, a folder of <id>.wav, are to the recordings of the same utterances.",
        ),
        "speakers": (
            "zerochain.cli.score:speakers",
            "Whose voice WAVS are in: cosine of each and the mean of the target voice's "
            "recordings.",
        ),
        "beside": (
            "zerochain.cli.score_beside:beside",
            "Show the systems of a SCORES.jsonl among those of ZeroSpeech 2019 and 2020.",
        ),
        "abx": (
            "zerochain.cli.score_abx:abx",
            "ABX error of INPUT, a units.parquet or a features folder: 0 is perfect, 50 is chance.",
        ),
        "compare": (
            "zerochain.cli.score_abx:compare",
            "How much lower the ABX error of one system is than another's, on the same cells.",
        ),
        "translation": (
            "zerochain.cli.score_translation:translation",
            "Score translated UNITS against the units of the targets' recordings; repeats are "
            "merged.",
        ),
        "recognition": (
            "zerochain.cli.score_translation:recognition",
            "CER, WER and ASR-BLEU of WAVS, a folder of <id>.wav, or a corpus whose recordings it "
            "takes.",
        ),
        "quality": (
            "zerochain.cli.score_units:quality",
            "UNITS beside gold phones, silences left out.",
        ),
        "leakage": (
            "zerochain.cli.score_units:leakage",
            "How well a linear probe tells speakers by their UNITS; chance is the best.",
        ),
        "robustness": (
            "zerochain.cli.score_units:robustness",
            "How much UNITS change when the recordings do; repeats are merged.",
        ),
        "sentences": (
            "zerochain.cli.score_units:sentences",
            "How far apart UNITS of one sentence by two speakers are.",
        ),
    },
)
EXPORT = LazyGroup(
    "export",
    help="Write other people's formats.",
    commands={
        "items": (
            "zerochain.cli.export:items",
            "Write the ABX items of a CORPUS with gold phones as a ZeroSpeech .item file.",
        ),
        "textgrid": (
            "zerochain.cli.export:textgrid",
            "Write UNITS beside gold phones as Praat TextGrids; repeated units are merged.",
        ),
        "zerospeech2019": (
            "zerochain.cli.submissions:export_2019",
            "Write a submission to ZeroSpeech 2019 (layout of 2020) and check it.",
        ),
        "zerospeech2021": (
            "zerochain.cli.submissions:export_2021",
            "Write the phonetic part of a submission to ZeroSpeech 2021 and check it.",
        ),
        "units": (
            "zerochain.cli.unit_text:export_units",
            "Write UNITS as DiscoPhon's and fastabx's JSONL or fairseq's text.",
        ),
    },
)
CHECK = LazyGroup(
    "check",
    help="Check other people's formats: every violation, with its file and line.",
    commands={
        "zerospeech2019": (
            "zerochain.cli.check:zerospeech2019",
            "Check a SUBMISSION to ZeroSpeech 2019, in the layout of 2020.",
        ),
        "zerospeech2021": (
            "zerochain.cli.check:zerospeech2021",
            "Check a SUBMISSION to ZeroSpeech 2021: meta.yaml and the phonetic part.",
        ),
    },
)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    commands={
        "import": IMPORT,
        "corpus": CORPUS,
        "extract": (
            "zerochain.cli.extract:extract",
            "Extract MFCC-39, log-mel-80 or F0 of a CORPUS, or a checkpoint's features, into a "
            "folder.",
        ),
        "discover": DISCOVER,
        "encode": (
            "zerochain.cli.encode:encode",
            "Turn the recordings of a CORPUS into units of a unit MODEL.",
        ),
        "invert": INVERT,
        "translate": TRANSLATE,
        "recognise": RECOGNISE,
        "speakers": SPEAKERS,
        "score": SCORE,
        "report": (
            "zerochain.cli.report:report",
            "Show everything that the folder RUN holds on one HTML page that needs no network.",
        ),
        "show": (
            "zerochain.cli.show:show",
            "Say what FILE is (any file or folder that zerochain writes) and print it readably.",
        ),
        "export": EXPORT,
        "check": CHECK,
        "run": (
            "zerochain.cli.run:run",
            "Run a PIPELINE (demo, chain, tradeoff, evaluate, s2st, or a folder with a Snakefile) "
            "into a folder.",
        ),
    },
)
@click.version_option(zerochain.__version__, prog_name="zerochain")
def main() -> None:
    """Discover, score, invert and translate discrete units of speech, without transcripts.

    \b
    recordings  --import-->     corpus
    corpus      --discover-->   unit model   --encode-->      units
    units       --score-->      ABX error, bit rate
    units       --invert-->     speech in a target voice
    """
