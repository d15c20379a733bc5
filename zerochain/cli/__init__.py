"""The whole command line as a table: where each command is, and its line of help.

Nothing is imported for it; a command is when it is run. `tests/cli/test_lazy.py` holds that the
lines are the first sentences of the commands' own help.
"""

from __future__ import annotations

import click

import zerochain
from zerochain.cli.common import HELP
from zerochain.cli.lazy import LazyGroup, Program

IMPORT = LazyGroup(
    "import",
    help="Import recordings as a corpus, and units, features and submissions of others.",
    commands={
        "folder": (
            "zerochain.cli.importing:folder",
            "Import a folder of RECORDINGS (WAV, FLAC, OGG, MP3, SPHERE, AIFF, …; any rate).",
        ),
        "recordings": (
            "zerochain.cli.importing:recordings",
            "Import long RECORDINGS of a folder: cut them into utterances where somebody speaks.",
        ),
        "kaldi": (
            "zerochain.cli.importing:kaldi",
            "Import a Kaldi DATA directory: wav.scp, and segments, utt2spk and text if there are "
            "any.",
        ),
        "pairs": (
            "zerochain.cli.importing:pairs",
            "Import a TABLE (TSV or CSV) of utterance ids that say the same in two corpora.",
        ),
        "zerospeech2019": (
            "zerochain.cli.submissions:import_2019",
            "Import a SUBMISSION to ZeroSpeech 2019/2020, to be scored.",
        ),
        "zerospeech2021": (
            "zerochain.cli.submissions:import_2021",
            "Import the phonetic part of a SUBMISSION to ZeroSpeech 2021, to be scored.",
        ),
        "units": (
            "zerochain.cli.export:import_units",
            "Import units from a FILE of another program, one unit per step; names stay as they "
            "are.",
        ),
        "features": (
            "zerochain.cli.export:import_features",
            "Import features from a FOLDER and its subfolders: .npy (T, D), or .txt with a frame "
            "per line.",
        ),
    },
)
CORPUS = LazyGroup(
    "corpus",
    help="Synthesise, split, change or move a corpus.",
    commands={
        "demo": (
            "zerochain.cli.corpus:demo",
            "Synthesise the demonstration corpus: English and Spanish, several voices, gold "
            "phones.",
        ),
        "switching": (
            "zerochain.cli.corpus:switching",
            "Synthesise a corpus of code-switching: English and Spanish within one sentence.",
        ),
        "pictures": (
            "zerochain.cli.corpus:pictures",
            "Draw a picture of each text of the demonstration's English CORPUS, as features.",
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
        "move": (
            "zerochain.cli.corpus:move",
            "Find the recordings of a CORPUS again, in the folder RECORDINGS that they were moved "
            "to.",
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
            "zerochain.cli.discover:vqvae",
            "Conditional VQ-VAE: codes from which a decoder, given the speaker, reconstructs the "
            "features.",
        ),
        "vqcpc": (
            "zerochain.cli.discover:vqcpc",
            "VQ-CPC: codes that predict the next steps, among negatives from the same speaker.",
        ),
        "selftrain": (
            "zerochain.cli.discover:selftrain",
            "Self-training: a network predicts K-Means units in changed voices; K-Means of its "
            "bottleneck.",
        ),
        "topline": (
            "zerochain.cli.discover:topline",
            "The topline: a network of the size of self-training's, trained on gold phones; no "
            "discovery.",
        ),
    },
)
INVERT = LazyGroup(
    "invert",
    help="Turn units back into speech, in the voice of one speaker.",
    commands={
        "train": (
            "zerochain.cli.invert:train",
            "Train an inverter on the UNITS and the recordings of one or more voices of a CORPUS.",
        ),
        "train-neural": (
            "zerochain.cli.invert:train_neural",
            "Train a neural inverter on the UNITS and the recordings of one or more voices of a "
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
    help="Translate without training: what a translator has to beat.",
    commands={
        "nearest": (
            "zerochain.cli.translate:nearest",
            "The units in TARGETS of the training source whose FEATURES are nearest, by DTW.",
        ),
        "spliced": (
            "zerochain.cli.translate:spliced",
            "The units in TARGETS of pieces of training sources whose FEATURES, joined, are "
            "nearest.",
        ),
        "frequent": (
            "zerochain.cli.translate:frequent",
            "The same units for all sources: the most frequent of TARGETS, or the most central of "
            "them.",
        ),
    },
)
TRANSLATE_NORMALISER = LazyGroup(
    "normaliser",
    help="Map the units of many voices to those of one, which are easier to translate into.",
    commands={
        "train": (
            "zerochain.cli.normaliser:train",
            "Train a normaliser from SPOKEN_UNITS, the --target's utterances in other voices.",
        ),
        "apply": (
            "zerochain.cli.normaliser:apply",
            "Map UNITS of any voices to those of the NORMALISER's one voice.",
        ),
        "prepare": (
            "zerochain.cli.normaliser:prepare",
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
            "zerochain.cli.translate:decode",
            "Translate SOURCE, a features folder or a unit file like the TRANSLATOR's, into units.",
        ),
        "baseline": TRANSLATE_BASELINE,
        "pretrain": (
            "zerochain.cli.translate:pretrain",
            "Learn which UNITS follow which in a language: predict them from units with masked "
            "spans.",
        ),
        "normaliser": TRANSLATE_NORMALISER,
        "speech": (
            "zerochain.cli.translate:speech",
            "Speak the translation of a RECORDING with an INVERTER, into the WAV called OUT.",
        ),
    },
)
RECOGNISE = LazyGroup(
    "recognise",
    help="Train recognisers of characters, to measure how intelligible synthesised speech is.",
    commands={
        "train": (
            "zerochain.cli.listeners:recogniser",
            "Train a recogniser of characters on a CORPUS with transcripts (column 'text').",
        ),
    },
)
SPEAKERS = LazyGroup(
    "speakers",
    help="Train speaker encoders, to compare voices, on a corpus's own speakers.",
    commands={
        "train": (
            "zerochain.cli.listeners:speaker_encoder",
            "Train a speaker encoder on the speaker labels of a CORPUS: recordings to voice "
            "vectors.",
        ),
    },
)
CHAIN = LazyGroup(
    "chain",
    help="The speech chain: a recogniser and a synthesiser that teach each other.",
    commands={
        "train": (
            "zerochain.cli.chain:train",
            "Train a recogniser and a synthesiser on pairs, then let them teach each other.",
        ),
        "lm": (
            "zerochain.cli.chain:lm",
            "Make a language model for a CHAIN of the texts of its pairs and of texts alone.",
        ),
        "transcribe": (
            "zerochain.cli.chain:transcribe",
            "Transcribe the recordings of a CORPUS with a CHAIN, and compare with its texts, if "
            "any.",
        ),
        "speak": (
            "zerochain.cli.chain:speak",
            "Speak a TEXT with a CHAIN, into the WAV called OUT.",
        ),
        "synthesize": (
            "zerochain.cli.chain:synthesize",
            "Speak each text of a corpus with a CHAIN, in the voice of its own recording.",
        ),
        "train-captioner": (
            "zerochain.cli.captions:train_captioner",
            "Train a captioner on PICTURES with texts, and on those whose speech a CHAIN "
            "transcribes.",
        ),
        "caption": (
            "zerochain.cli.captions:caption",
            "Caption the PICTURES of a CORPUS, and find pictures by its texts, if any.",
        ),
    },
)
SCORE = LazyGroup(
    "score",
    help="Score units, features and synthesised speech; scores are appended to a file.",
    commands={
        "abx": (
            "zerochain.cli.score_abx:abx",
            "ABX error of INPUT, a units.parquet or a features folder: 0 is perfect, 50 is chance.",
        ),
        "compare": (
            "zerochain.cli.score_abx:compare",
            "Compare the ABX errors of two systems on the same cells, or two translations.",
        ),
        "bitrate": (
            "zerochain.cli.score_units:bitrate",
            "Bits per second of UNITS: every unit, segments, segments with durations.",
        ),
        "usage": (
            "zerochain.cli.score_units:usage",
            "How much of the codebook UNITS use: the fraction of units, and perplexity.",
        ),
        "quality": (
            "zerochain.cli.score_units:quality",
            "Compare UNITS with gold phones, without silences or as DiscoPhon does.",
        ),
        "leakage": (
            "zerochain.cli.score_units:leakage",
            "How well a linear probe recognises speakers by UNITS; chance is best.",
        ),
        "robustness": (
            "zerochain.cli.score_units:robustness",
            "How much UNITS change when the recordings do; repeats are merged.",
        ),
        "sentences": (
            "zerochain.cli.score_units:sentences",
            "Edit distance between UNITS of one sentence by two speakers.",
        ),
        "resynthesis": (
            "zerochain.cli.score_speech:resynthesis",
            "Compare WAVS, a folder of <id>.wav, with the recordings of the same utterances.",
        ),
        "speakers": (
            "zerochain.cli.score_speech:speakers",
            "Similarity of WAVS to the target voice: cosine to the mean of its recordings.",
        ),
        "recognition": (
            "zerochain.cli.score_speech:recognition",
            "CER, WER and ASR-BLEU of WAVS, a folder of <id>.wav, or of a corpus's recordings.",
        ),
        "opinions": (
            "zerochain.cli.score_speech:opinions",
            "How listeners would rate WAVS, such as translations, or a corpus's recordings: "
            "DNSMOS.",
        ),
        "folds": (
            "zerochain.cli.score_speech:folds",
            "Retrieval of one system over all folds of a cross-validation, in which each pair is "
            "tested.",
        ),
        "translation": (
            "zerochain.cli.score_speech:translation",
            "Compare translated UNITS with the units of the targets' recordings; repeats are "
            "merged.",
        ),
        "terms": (
            "zerochain.cli.terms:score",
            "Compare discovered TERMS or a lexicon with gold words, as ZeroSpeech does (TDE).",
        ),
        "discophon": (
            "zerochain.cli.discophon:score",
            "Score all languages and splits in a folder of UNITS as DiscoPhon does.",
        ),
        "find": (
            "zerochain.cli.find:score",
            "Compare HITS of 'zerochain find' with what is said: MAP, precision at 10, MTWV.",
        ),
        "beside": (
            "zerochain.cli.score:beside",
            "Show the systems of a SCORES.jsonl among those of ZeroSpeech 2019 and 2020.",
        ),
    },
)
EXPORT = LazyGroup(
    "export",
    help="Export to the formats of other programs and of challenges.",
    commands={
        "items": (
            "zerochain.cli.export:items",
            "Write the ABX items of a CORPUS with gold phones as a ZeroSpeech .item file.",
        ),
        "elan": (
            "zerochain.cli.export:elan",
            "Write units and labelled stretches (FILES) as tiers of ELAN files, one file per "
            "recording.",
        ),
        "textgrid": (
            "zerochain.cli.export:textgrid",
            "Write units (FILES) next to gold phones as Praat TextGrids; repeated units are "
            "merged.",
        ),
        "rttm": (
            "zerochain.cli.export:rttm",
            "Write the utterances of a CORPUS as turns of speakers in RTTM, as diarisation uses "
            "it.",
        ),
        "submission": (
            "zerochain.cli.run_submissions:from_run",
            "Make a submission to ZeroSpeech from a RUN's units, check it and pack it.",
        ),
        "zerospeech2019": (
            "zerochain.cli.submissions:export_2019",
            "Write a submission to ZeroSpeech 2019 (layout of 2020) and check it.",
        ),
        "zerospeech2021": (
            "zerochain.cli.submissions:export_2021",
            "Write the phonetic part of a submission to ZeroSpeech 2021 and check it.",
        ),
        "discophon": (
            "zerochain.cli.discophon:export",
            "Write UNITS of a language's dev and test splits in DiscoPhon's layout.",
        ),
        "units": (
            "zerochain.cli.export:export_units",
            "Write UNITS as DiscoPhon's and fastabx's JSONL or fairseq's text.",
        ),
    },
)
CHECK = LazyGroup(
    "check",
    help="Check submissions to challenges: list all violations, with file and line.",
    commands={
        "zerospeech2019": (
            "zerochain.cli.submissions:zerospeech2019",
            "Check a SUBMISSION to ZeroSpeech 2019, in the layout of 2020: a folder, or its ZIP "
            "archive.",
        ),
        "zerospeech2021": (
            "zerochain.cli.submissions:zerospeech2021",
            "Check a SUBMISSION to ZeroSpeech 2021: meta.yaml and the phonetic part.",
        ),
    },
)


@click.group(
    cls=Program,
    context_settings=HELP,
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
            "zerochain.cli.discover:encode",
            "Turn the recordings of a CORPUS into units of a unit MODEL.",
        ),
        "invert": INVERT,
        "translate": TRANSLATE,
        "recognise": RECOGNISE,
        "speakers": SPEAKERS,
        "chain": CHAIN,
        "lexicon": (
            "zerochain.cli.terms:lexicon",
            "Divide all speech of UNITS into words, without knowing any (a Bayesian segmenter).",
        ),
        "units": (
            "zerochain.cli.terms:units",
            "Make a page to listen to each unit of UNITS: examples, synthesis, phones, durations.",
        ),
        "terms": (
            "zerochain.cli.terms:terms",
            "Find what is said again in UNITS, without a query: clusters of words and phrases.",
        ),
        "find": (
            "zerochain.cli.find:find",
            "Find where a QUERY is said again in recordings: query by example, without any text.",
        ),
        "score": SCORE,
        "report": (
            "zerochain.cli.report:report",
            "Show everything in the folder RUN, or in several, on one HTML page that needs no "
            "network.",
        ),
        "show": (
            "zerochain.cli.show:show",
            "Print what FILE is and holds: any file or folder that zerochain writes.",
        ),
        "export": EXPORT,
        "check": CHECK,
        "run": (
            "zerochain.cli.run:run",
            "Run a PIPELINE (demo, chain, tradeoff, evaluate, s2st, speechchain, codeswitching, "
            "captions, or a folder with a Snakefile) into a folder.",
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
