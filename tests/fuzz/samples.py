"""One small valid file of each kind, and the public reader of each."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from harness import Reader

from zerochain.errors import InputError

RNG = np.random.default_rng(0)


def _frames(n: int = 4, dim: int = 39) -> dict[str, np.ndarray]:
    return {f"u{i}": RNG.normal(size=(6 + i, dim)).astype(np.float32) for i in range(n)}


# Tables and headers


def _units(folder: Path, *, durations: bool) -> None:
    from zerochain.formats.units import UnitFile, write_units

    units = {f"ü{i}": RNG.integers(0, 9, 5 + i).astype(np.int32) for i in range(5)}
    lasting = {name: np.full(len(u), 2, np.int32) for name, u in units.items()}
    speakers = {name: "ana" if i else None for i, name in enumerate(units)}
    file = UnitFile(units, 9, 10.0, "m" * 64, "kmeans", speakers, lasting if durations else None)
    write_units(folder / "units.parquet", file)


def _read_units(folder: Path) -> Any:
    from zerochain.formats.units import read_units

    file = read_units(folder / "units.parquet")
    return [getattr(file, name) for name in vars(file) if name != "id"]


def _phones(folder: Path) -> None:
    from zerochain.formats.phones import Phone, Phones, write_phones

    line = [Phone(0.0, 0.1, "a"), Phone(0.1, 0.25, "ŋ")]
    write_phones(folder / "phones.parquet", Phones({"u1": line, "u2": line[1:]}, "by hand"))


def _read_phones(folder: Path) -> Any:
    from zerochain.formats.phones import read_phones

    return read_phones(folder / "phones.parquet")


def _pairs(folder: Path) -> None:
    from zerochain.formats.pairs import Pairs, write_pairs

    write_pairs(folder / "pairs.parquet", Pairs((("a", "b"), ("c", "d")), "1" * 64, "2" * 64))


def _transcripts(folder: Path) -> None:
    from zerochain.formats.transcripts import Transcripts, write_transcripts

    made = Transcripts({"a": "one two", "b": ""}, {"a": 0.5, "b": 0.0}, "1" * 64, "2" * 64)
    write_transcripts(folder / "transcripts.parquet", made)


def _read_transcripts(folder: Path) -> Any:
    from zerochain.formats.transcripts import read_transcripts

    made = read_transcripts(folder / "transcripts.parquet")
    return made.texts, made.confidence, made.model_id, made.corpus_id


def _read_pairs(folder: Path) -> Any:
    from zerochain.formats.pairs import read_pairs

    return read_pairs(folder / "pairs.parquet")


def _spans(folder: Path) -> None:
    from zerochain.formats.spans import LabelledSpan, Spans, write_spans

    rows = (LabelledSpan("a/b", 0.5, 1.25, "ŋa", 0.5, "ana"), LabelledSpan("c", 0.0, 0.1, ""))
    write_spans(folder / "spans.parquet", Spans(rows, "hits", "find", "c" * 64))
    write_spans(folder / "spans.csv", Spans(rows))


def _read_spans(folder: Path, name: str) -> Any:
    from zerochain.formats.spans import read_spans

    return read_spans(folder / name)


def _cells(folder: Path) -> None:
    import pyarrow as pa

    from zerochain.formats.abx_cells import KEYS, SCHEMA, AbxCells, write_cells

    row = {**dict.fromkeys(KEYS, "a"), "mode": "within", "score": 0.25, "n": 4}
    table = pa.Table.from_pylist([row, {**row, "mode": "across", "score": 1.0}], schema=SCHEMA)
    cells = AbxCells(table, "s", "zs2021", "angular", {"seed": 0}, {"units": "u" * 64})
    write_cells(folder / "abx_cells.parquet", cells)


def _read_cells(folder: Path) -> Any:
    from zerochain.formats.abx_cells import read_cells

    cells = read_cells(folder)
    return [cells.table, cells.system, cells.protocol, cells.options, cells.inputs]


def _corpus(folder: Path) -> None:
    from zerochain.formats.corpus import Corpus, Utterance, write_corpus

    utterances = (
        Utterance("u1", "a.wav", 1.5, "ana", split="train", text="héllo"),
        Utterance("u2", "b.wav", 0.5, "bo", start=1.0, end=1.5, channel=2),
    )
    record = {"skipped": []}
    write_corpus(folder / "c", Corpus("tiny", utterances, "/tmp/audio", "en", record=record))


def _read_corpus(folder: Path) -> Any:
    from zerochain.formats.corpus import read_corpus

    return read_corpus(folder / "c").utterances


def _features(folder: Path) -> None:
    from zerochain.formats.features import write_features

    options = {"n_mels": 40}
    kind = {"extractor": "mfcc", "options": options, "step_ms": 10.0, "corpus_id": "c" * 64}
    with write_features(folder / "f", **kind) as writer:
        for name, frames in _frames(3, 4).items():
            writer.add(name, frames, "ana")


def _read_features(folder: Path) -> Any:
    from zerochain.formats.features import read_features

    features = read_features(folder / "f")
    return {**vars(features), "id": ""}


def _attention(folder: Path) -> None:
    from zerochain.formats.attention import write_attention

    maps = {"a/é": np.array([[1, 0], [0.25, 0.75]], np.float32), "b": np.ones((1, 1), np.float32)}
    units = {"a/é": np.array([3, 1], np.int32), "b": np.array([0], np.int32)}
    ids = {"translator_id": "t" * 64, "units_id": "u" * 64}
    write_attention(folder / "a", maps, units, step_ms=40.0, **ids)


def _read_attention(folder: Path) -> Any:
    from zerochain.formats.attention import read_attention

    read = read_attention(folder / "a")
    facts = [read.translator_id, read.units_id, read.step_ms]
    return [*facts, {name: read.map(name) for name in read.ids}]


def _synthesis(folder: Path) -> None:
    from zerochain.formats.synthesis import Synthesis, write_synthesis

    for name in ("u1", "u2"):
        soundfile.write(folder / f"{name}.wav", np.zeros(160), 16_000)
    texts = dict.fromkeys(("inverter_id", "units_id", "unit_method", "corpus_id", "voice"), "x")
    made = Synthesis(
        **texts, method="m", sample_rate=16_000, step_ms=10.0, ids=("u1", "u2"), folder=folder
    )
    write_synthesis(made)


def _read_synthesis(folder: Path) -> Any:
    from zerochain.formats.synthesis import read_synthesis

    return read_synthesis(folder)


def _fit(folder: Path) -> None:
    from zerochain.formats.bundle import Fit, write_fit

    write_fit(folder, Fit(12.5, "CPU, 2 threads"))


def _read_fit(folder: Path) -> Any:
    from zerochain.formats.bundle import read_fit

    return read_fit(folder)


def _scores(folder: Path) -> None:
    from zerochain.formats.scores import Score, append_scores

    names = ("abx_across_%", "wer_%", "estoi", "bitrate_bit/s")
    scores = [
        Score(n, 0.5, (0.25, 0.75), 9, "p", "s", {"units": "u"}, {"n_of": "x"}) for n in names
    ]
    append_scores(folder / "scores.jsonl", scores)


def _read_scores(folder: Path) -> Any:
    from zerochain.formats.scores import read_scores

    return read_scores(folder / "scores.jsonl")


def _log(folder: Path) -> None:
    rows = ["step,seconds,train_loss,valid_loss", "100,1.5,0.5,0.25", "200,3.0,,0.2"]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")


def _read_log(folder: Path) -> Any:
    from zerochain.formats.training_log import read_training_log

    return read_training_log(folder)


def _checkpoint(folder: Path) -> None:
    import torch

    from zerochain.training.checkpoint import save_checkpoint

    weights = {"w": torch.randn(3, 2), "n": torch.tensor(3), "h": torch.ones(2).bfloat16()}
    state = {"fingerprint": "f", "networks": {"main": weights}, "progress": [1, 0.5], "none": None}
    save_checkpoint(folder / "checkpoint.safetensors", state)


def _read_checkpoint(folder: Path) -> Any:
    from zerochain.training.checkpoint import load_checkpoint

    state = load_checkpoint(folder / "checkpoint.safetensors")
    weights = state["networks"]["main"]
    return {**state, "networks": {n: w.float() for n, w in weights.items()}}


def _show(folder: Path) -> None:
    """Print what lies in a folder, as 'zerochain show' does."""
    from zerochain.cli.show import print_file

    inner = [path for path in folder.iterdir() if path.is_dir() or len(list(folder.iterdir())) == 1]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        print_file(inner[0] if inner else folder)


# Bundles


def _unit_model(folder: Path, kind: str) -> None:
    from zerochain.discovery.cpc import CPCConfig, CPCUnits
    from zerochain.discovery.front_end import FrontEndOptions
    from zerochain.discovery.kmeans import KMeansUnits
    from zerochain.discovery.mixtures import DPGMMConfig, DPGMMUnits, GMMUnits, MixtureConfig
    from zerochain.discovery.self_training import SelfTrainedUnits, SelfTrainingConfig
    from zerochain.discovery.vqvae import VQVAEConfig, VQVAEUnits
    from zerochain.formats.features import Features
    from zerochain.training.recipe import Recipe

    speakers = {f"u{i}": "ab"[i % 2] for i in range(6)}
    arrays = {f"u{i}": RNG.normal(size=(40, 6)).astype(np.float32) for i in range(6)}
    features = Features.from_arrays(arrays, speakers=speakers)
    recipe = Recipe(max_steps=2, validate_every=1, batch_size=4)
    options = FrontEndOptions(context=1, components=3)
    tiny = {"width": 8, "n_frames": 16}
    match kind:
        case "kmeans":
            model = KMeansUnits(4, 2, options=options)
        case "gmm":
            model = GMMUnits(3, config=MixtureConfig(max_iterations=2))
        case "dpgmm":
            model = DPGMMUnits(3, config=DPGMMConfig(max_iterations=2))
        case "vqvae":
            config = VQVAEConfig(**tiny, codebook_dim=4, n_blocks=1, speaker_dim=2)
            model = VQVAEUnits(4, 4, config=config, recipe=recipe)
        case "vqcpc":
            more = {"codebook_dim": 4, "n_layers": 1, "context_dim": 4, "n_predictions": 2}
            config = CPCConfig(**tiny, **more, n_negatives=2, n_per_group=2)
            model = CPCUnits(4, 2, config=config, recipe=recipe)
        case _:
            more = {"dim": 4, "n_blocks": 1, "teacher_components": 4, "augmentation": None}
            config = SelfTrainingConfig(**tiny, **more)
            model = SelfTrainedUnits(4, config=config, recipe=recipe)
    model.fit(features).save(folder / "m")


def _read_unit_model(folder: Path) -> Any:
    from zerochain.discovery.stage import load_unit_model
    from zerochain.formats.bundle import pack

    model = load_unit_model(folder / "m")
    return pack(*model._parts())


def _inverter(folder: Path, method: str) -> None:
    from inverters import untrained_neural
    from zerochain.features.f0 import F0Statistics
    from zerochain.inversion.inverter import Code2SpecInverter, UnitMeansInverter
    from zerochain.inversion.phase import SpectrogramOptions
    from zerochain.modules.code2spec import (
        Code2Spec,
        Code2SpecConfig,
        UnitMeans,
        UnitMeansConfig,
    )

    if method in ("convnext", "hifigan"):
        untrained_neural(method).save(folder / "m")
        return
    options = SpectrogramOptions(n_fft=64, n_window=32)
    n_bins = options.n_bins
    fields = {
        "spectrogram": options,
        "mean": np.zeros(n_bins, np.float32),
        "deviation": np.ones(n_bins, np.float32),
        "unit_model": "u" * 64,
        "n_units": 4,
        "step_ms": 20.0,
        "voices": ("ana",),
        "f0": (F0Statistics(4.8, 0.2, 100),),
        "speaker_encoder_id": "",
        "prosody": None,
        "training": {"minutes": 1.0},
    }
    if method == "code2spec":
        sizes = Code2SpecConfig(n_units=4, n_bins=n_bins, width=8, n_embedding=4)
        Code2SpecInverter(network=Code2Spec(sizes), **fields).save(folder / "m")
    else:
        table = UnitMeans(UnitMeansConfig(n_units=4, n_bins=n_bins))
        UnitMeansInverter(network=table, **fields).save(folder / "m")


def _read_inverter(folder: Path) -> Any:
    from zerochain.inversion.speaking import load_inverter

    model = load_inverter(folder / "m")
    network = model.network if hasattr(model, "network") else model.generator
    return [model.n_units, model.step_ms, model.voices, dict(network.state_dict())]


def _translator(folder: Path, architecture: str) -> None:
    from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
    from zerochain.translation.data import SourceKind
    from zerochain.translation.translator import Translator

    small = {"width": 8, "n_heads": 2, "n_encoder_layers": 2, "n_decoder_layers": 1}
    sizes = TranslatorConfig(
        architecture=architecture, n_in=5, n_units=4, decoder_width=8, embedding=4, **small
    )
    source = SourceKind(kind="features", name="mfcc", n_in=5, step_ms=10.0)
    about = {"training": {"steps": 3}, "trained_on": {"pairs": "p" * 64}}
    model = Translator(UnitTranslator(sizes), source, "u" * 64, "kmeans", 20.0, 60.0, 2.0, **about)
    model.save(folder / "m")


def _read_translator(folder: Path) -> Any:
    from zerochain.translation.translator import Translator

    model = Translator.load(folder / "m")
    return [model.source, model.step_ms, model.longest_s, dict(model.network.state_dict())]


def _recogniser(folder: Path) -> None:
    from zerochain.listeners.recogniser import Recogniser
    from zerochain.modules.encoder import Encoder, EncoderConfig

    network = Encoder(EncoderConfig(n_in=80, width=8, n_blocks=1, dim=4, stride=2, tail="gru"))
    Recogniser(network, "ab ", training={"cer": 12.0}).save(folder / "m")


def _chain(folder: Path) -> None:
    from zerochain.modules.joint_recogniser import JointConfig, JointRecogniser
    from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig
    from zerochain.speechchain.chain import SpeechChain
    from zerochain.speechchain.recogniser import ChainRecogniser
    from zerochain.speechchain.synthesiser import ChainSynthesiser

    symbols = ("a", "b")
    sizes = {"width": 4, "n_encoder_blocks": 0, "n_decoder_blocks": 0}
    recogniser = JointRecogniser(JointConfig(width=8, n_layers=1, n_symbols=2))
    synthesiser = Synthesiser(SynthesiserConfig(**sizes, n_symbols=2))
    ones = np.ones(80, np.float32)
    SpeechChain(
        ChainRecogniser(recogniser, symbols), ChainSynthesiser(synthesiser, ones, ones, symbols)
    ).save(folder / "m")


def _language_model(folder: Path) -> None:
    from zerochain.speechchain.data import Symbols
    from zerochain.speechchain.language_model import LanguageModel

    texts = [np.array([0, 1, 1]), np.array([1, 0])]
    LanguageModel.of(texts, Symbols(("a", "b")), 3).save(folder / "m")


def _read_language_model(folder: Path) -> Any:
    from zerochain.speechchain.language_model import LanguageModel

    model = LanguageModel.load(folder / "m")
    return [model.symbols, model.order, model.weight, model.logs, model.after]


def _read_chain(folder: Path) -> Any:
    from zerochain.speechchain.chain import SpeechChain

    model = SpeechChain.load(folder / "m")
    networks = model.recogniser.network, model.synthesiser.network
    weights = [dict(network.state_dict()) for network in networks]
    return [model.recogniser.symbols, model.synthesiser.mean, *weights]


def _captioner(folder: Path) -> None:
    from zerochain.modules.captioner import Captioner, CaptionerConfig
    from zerochain.speechchain.captions import PictureCaptioner

    sizes = {"width": 8, "n_layers": 1, "n_in": 3, "n_regions": 2, "n_symbols": 2}
    ones = np.ones(3, np.float32)
    network = Captioner(CaptionerConfig(**sizes))
    PictureCaptioner(network, ones, ones, ("a", "b"), 9).save(folder / "m")


def _read_captioner(folder: Path) -> Any:
    from zerochain.speechchain.captions import PictureCaptioner

    model = PictureCaptioner.load(folder / "m")
    return [model.symbols, model.longest, model.mean, dict(model.network.state_dict())]


def _read_recogniser(folder: Path) -> Any:
    from zerochain.listeners.recogniser import Recogniser

    model = Recogniser.load(folder / "m")
    return [model.characters, model.features, dict(model.network.state_dict())]


def _speakers(folder: Path) -> None:
    from inverters import speaker_encoder

    speaker_encoder(folder / "m")


def _read_speakers(folder: Path) -> Any:
    from zerochain.listeners.speaker_encoder import SpeakerEncoder

    model = SpeakerEncoder.load(folder / "m")
    return [model.features, dict(model.network.state_dict())]


def _f0(folder: Path) -> None:
    from inverters import f0_vqvae
    from zerochain.inversion.pitch import F0Quantizer

    F0Quantizer(f0_vqvae(), 5.0, {"voiced": 1.0, "n_used": 20}).save(folder / "m")


def _read_f0(folder: Path) -> Any:
    from zerochain.inversion.pitch import F0Quantizer

    model = F0Quantizer.load(folder / "m")
    return [model.step_ms, model.report, dict(model.network.state_dict())]


# Other people's formats


def _text(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


_TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "a"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = "é"
"""
_EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0">
<HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///a.wav" MIME_TYPE="audio/x-wav"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="900"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="u" PARTICIPANT="ana" TIER_ID="t">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>héllo</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="w" PARENT_REF="t" TIER_ID="w">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>&lt;x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="u" TIME_ALIGNABLE="true"/>
<LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Subdivision" LINGUISTIC_TYPE_ID="w"/>
</ANNOTATION_DOCUMENT>
"""
_CTM = "a 1 0.0 0.5 a 0.9\na 1 0.5 0.25 ŋ 0.8\n"
_PHN = "0 8000 h#\n8000 16000 ae\n"
_FAIRSEQ = "u1|12 12 33\nu2|1\n"
_JSONL = '{"file": "u1", "units": [12, 12, 33]}\n{"file": "u2", "units": [1]}\n'
_ITEM = "#file onset offset #phone prev-phone next-phone speaker\nu1 0.1 0.2 a b c ana\n"
_TABLE = "id,file,speaker,start,end,text\nu1,a.wav,ana,0,0.5,héllo\nu2,a.wav,bo,0.5,1,x\n"
_CLASSES = "Class 1\na 0.1 0.2\nb 0.1 0.3\n\nClass 2 ü\na 0.5 0.75\n\n"
_RTTM = "SPEAKER ü 1 0.52 2.5 <NA> <NA> ana <NA> <NA>\n;; x\nSPEAKER b 2 0 1 <NA> <NA> <NA>\n"
_GOLD = "a 0.0 0.5 k\na 0.5 0.75 ŋ\nb 0 1 SIL\n"
_TRS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE Trans SYSTEM "trans-14.dtd">\n<Trans '
    'audio_filename="a"><Speakers><Speaker id="s" name="ü"/></Speakers><Episode><Section><Turn '
    'speaker="s" startTime="0" endTime="2.5"><Sync time="0"/>one<Sync time="1.5"/>two</Turn>'
    "</Section></Episode></Trans>\n"
)
_FLEXTEXT = (
    '<document version="2"><interlinear-text><paragraphs><paragraph><phrases><phrase '
    'begin-time-offset="0" end-time-offset="900" speaker="ü"><item type="txt" lang="x">one</item>'
    '<item type="gls" lang="en">two</item></phrase></phrases></paragraph></paragraphs>'
    '<media-files><media guid="m" location="file:///a.wav"/></media-files></interlinear-text>'
    "</document>\n"
)
_YAML = "n_units: 64\nstride: 2\nfeatures: mfcc\nseed: 3\nlist: &l [1, 2]\nmore: *l\n"


def _aligned(folder: Path, name: str, text: str) -> None:
    _recordings(folder)
    _text(folder, name, text)


def _elan(folder: Path) -> Any:
    from zerochain.exchange.elan import read_elan

    return read_elan(folder / "a.eaf").tiers


def _alignments(folder: Path, name: str) -> Any:
    from zerochain.corpora.folder import import_folder
    from zerochain.formats.phones import read_phones

    aligned = {"alignments": folder / name}
    corpus = import_folder(folder / "recordings", folder / "out", jobs=1, **aligned)
    return read_phones(corpus.home / "phones.parquet")


def _unit_text(folder: Path, kind: str) -> Any:
    from zerochain.exchange.unit_text import read_unit_text

    return read_unit_text(folder / "units.txt", kind)  # type: ignore[arg-type]


def _classes(folder: Path) -> Any:
    from zerochain.exchange.term_classes import read_classes

    return read_classes(folder / "x.classes")


def _rttm(folder: Path) -> Any:
    from zerochain.exchange.rttm import read_rttm

    return read_rttm(folder / "x.rttm")


def _trs(folder: Path) -> Any:
    from zerochain.exchange.transcriber import read_transcriber

    return read_transcriber(folder / "x.trs")


def _flextext(folder: Path) -> Any:
    from zerochain.exchange.flextext import read_flextext

    return read_flextext(folder / "x.flextext")


def _gold(folder: Path) -> Any:
    from zerochain.exchange.term_classes import read_gold

    return read_gold(folder / "x.wrd").by_id


def _items(folder: Path) -> Any:
    from zerochain.metrics.items import read_items

    return read_items(folder / "x.item")


def _vectors(folder: Path) -> Any:
    from zerochain.exchange.feature_files import read_frames

    return read_frames(folder / "v.txt")


def _npy(folder: Path) -> None:
    np.save(folder / "v.npy", RNG.normal(size=(5, 3)))


def _read_npy(folder: Path) -> Any:
    from zerochain.exchange.feature_files import read_frames

    return read_frames(folder / "v.npy")


def _read_yaml(folder: Path) -> Any:
    from zerochain.formats.text_files import read_yaml

    value = read_yaml(folder / "config.yaml")
    repr(value)
    return value


def _recordings(folder: Path) -> None:
    (folder / "recordings").mkdir()
    wave = RNG.normal(0, 0.1, 16_000)
    soundfile.write(folder / "recordings" / "a.wav", wave, 16_000)


def _with_table(folder: Path) -> None:
    _recordings(folder)
    _text(folder, "table.csv", _TABLE)


def _kaldi(folder: Path) -> None:
    _recordings(folder)
    _text(folder, "wav.scp", "r1 recordings/a.wav\n")
    _text(folder, "segments", "u1 r1 0.0 0.5\nu2 r1 0.5 1.0\n")
    _text(folder, "utt2spk", "u1 ana\nu2 bo\n")
    _text(folder, "text", "u1 héllo\nu2 x\n")


def _import_table(folder: Path) -> Any:
    from zerochain.corpora.folder import import_folder

    recordings = folder / "recordings"
    return import_folder(recordings, folder / "out", table=folder / "table.csv", jobs=1).utterances


def _import_kaldi(folder: Path) -> Any:
    from zerochain.exchange.kaldi import import_kaldi

    return import_kaldi(folder, folder / "out", jobs=1).utterances


def _submission(folder: Path) -> None:
    from zerochain.exchange import zerospeech

    cosine = {"metric": "cosine"}
    parameters = {
        "phonetic": {**cosine, "frame_shift": 0.01},
        "semantic": {**cosine, "pooling": "mean"},
    }
    meta = dict.fromkeys(("author", "affiliation", "description", "train_set"), "é")
    meta |= {"open_source": False, "gpu_budget": 0.0, "parameters": parameters}
    _text(folder, "meta.yaml", json.dumps(meta))
    for subset in zerospeech.SUBSETS:
        vectors = zerospeech.subset_folder(folder, subset)
        vectors.mkdir(parents=True)
        (vectors / "a.txt").write_text("0.5 1\n-1e-3 2\n")


def _check_submission(folder: Path) -> Any:
    from zerochain.exchange import zerospeech

    if violations := list(zerospeech.check_2021(folder)):
        raise InputError(str(violations[0]))


# Sound

_SOUNDS = {
    "wav": ("WAV", "PCM_16"),
    "wav-adpcm": ("WAV", "IMA_ADPCM"),
    "wav-float": ("WAV", "FLOAT"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "sphere": ("NIST", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
_SUFFIXES = {"sphere": "wav", "rf64": "wav", "aiff": "aiff", "opus": "ogg"}


def _sound_name(kind: str) -> str:
    return f"a.{_SUFFIXES.get(kind, kind.split('-', maxsplit=1)[0])}"


def _sound(folder: Path, kind: str) -> None:
    container, subtype = _SOUNDS[kind]
    time = np.arange(2400) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * 200 * time) + RNG.normal(0, 0.01, 2400)
    soundfile.write(folder / _sound_name(kind), wave, 16_000, subtype, format=container)


def _read_sound(folder: Path, kind: str) -> Any:
    from zerochain import audio

    path = folder / _sound_name(kind)
    audio.info(path)
    return audio.read(path)


def _reader(
    name: str,
    make: Callable[[Path], None],
    read: Callable[[Path], Any],
    *suffixes: str,
    exact: bool = False,
) -> Reader:
    return Reader(name, make, read, suffixes, exact)


def _shown(name: str, make: Callable[[Path], None], *suffixes: str) -> Reader:
    return Reader(f"show {name}", make, _show, suffixes)


_PARQUET, _BUNDLE = ".parquet", (".json", ".safetensors")
_FILES = [
    _reader("units", partial(_units, durations=False), _read_units, _PARQUET, exact=True),
    _reader("segments", partial(_units, durations=True), _read_units, _PARQUET, exact=True),
    _reader("phones", _phones, _read_phones, _PARQUET, exact=True),
    _reader("transcripts", _transcripts, _read_transcripts, _PARQUET, exact=True),
    _reader("pairs", _pairs, _read_pairs, _PARQUET, exact=True),
    _reader("spans", _spans, partial(_read_spans, name="spans.parquet"), _PARQUET, exact=True),
    _reader("spans as text", _spans, partial(_read_spans, name="spans.csv"), ".csv"),
    _reader("abx cells", _cells, _read_cells, _PARQUET, exact=True),
    _reader("corpus", _corpus, _read_corpus, ".json", _PARQUET),
    _reader("features", _features, _read_features, ".json", ".npy", _PARQUET, exact=True),
    _reader("attention", _attention, _read_attention, ".json", ".npz", exact=True),
    _reader("synthesis", _synthesis, _read_synthesis, ".json", exact=True),
    _reader("fit", _fit, _read_fit, ".json", exact=True),
    _reader("scores", _scores, _read_scores, ".jsonl"),
    _reader("training log", _log, _read_log, ".csv"),
    _shown("units", partial(_units, durations=True), _PARQUET),
    _shown("corpus", _corpus, ".json", _PARQUET),
    _shown("features", _features, ".json"),
    _shown("attention", _attention, ".json", ".npz"),
    _shown("synthesis", _synthesis, ".json"),
    _shown("scores", _scores, ".jsonl"),
    _shown("training", _log, ".csv"),
]
_UNIT_MODELS = [
    _reader(kind, partial(_unit_model, kind=kind), _read_unit_model, *_BUNDLE, exact=True)
    for kind in ("kmeans", "gmm", "dpgmm", "vqvae", "vqcpc", "selftrain")
]
_UNIT_MODELS += [
    _reader("checkpoint", _checkpoint, _read_checkpoint, ".safetensors", exact=True),
    _shown("kmeans", partial(_unit_model, kind="kmeans"), *_BUNDLE),
]
_NETWORKS = [
    _reader(kind, partial(_inverter, method=kind), _read_inverter, *_BUNDLE, exact=True)
    for kind in ("code2spec", "unit-means", "convnext", "hifigan")
]
_NETWORKS += [
    _reader(
        f"translator {a}",
        partial(_translator, architecture=a),
        _read_translator,
        *_BUNDLE,
        exact=True,
    )
    for a in ("conformer", "rnn", "ctc")
]
_NETWORKS += [
    _reader("speech-chain", _chain, _read_chain, *_BUNDLE, exact=True),
    _reader("language-model", _language_model, _read_language_model, *_BUNDLE, exact=True),
    _reader("captioner", _captioner, _read_captioner, *_BUNDLE, exact=True),
    _reader("recogniser", _recogniser, _read_recogniser, *_BUNDLE, exact=True),
    _reader("speaker encoder", _speakers, _read_speakers, *_BUNDLE, exact=True),
    _reader("f0 quantizer", _f0, _read_f0, *_BUNDLE, exact=True),
    _shown("inverter", partial(_inverter, method="convnext"), *_BUNDLE),
]
_FOREIGN = [
    *(
        _reader(
            name,
            partial(_aligned, name=f"a{suffix}", text=text),
            partial(_alignments, name=f"a{suffix}"),
            suffix,
        )
        for name, suffix, text in (
            ("TextGrid", ".TextGrid", _TEXTGRID),
            ("CTM", ".ctm", _CTM),
            (".phn", ".phn", _PHN),
        )
    ),
    _reader("ELAN", partial(_text, name="a.eaf", text=_EAF), _elan, ".eaf"),
    *(
        _reader(
            f"units, {kind}",
            partial(_text, name="units.txt", text=text),
            partial(_unit_text, kind=kind),
            ".txt",
        )
        for kind, text in (("jsonl", _JSONL), ("fairseq", _FAIRSEQ))
    ),
    _reader("items", partial(_text, name="x.item", text=_ITEM), _items, ".item"),
    _reader("classes", partial(_text, name="x.classes", text=_CLASSES), _classes, ".classes"),
    _reader("RTTM", partial(_text, name="x.rttm", text=_RTTM), _rttm, ".rttm"),
    _reader("Transcriber", partial(_text, name="x.trs", text=_TRS), _trs, ".trs"),
    _reader("FLEx", partial(_text, name="x.flextext", text=_FLEXTEXT), _flextext, ".flextext"),
    _reader("gold words", partial(_text, name="x.wrd", text=_GOLD), _gold, ".wrd"),
    _reader("vectors", partial(_text, name="v.txt", text="0.5 1\n-1e-3 2\n"), _vectors, ".txt"),
    _reader("npy", _npy, _read_npy, ".npy"),
    _reader("yaml", partial(_text, name="config.yaml", text=_YAML), _read_yaml, ".yaml"),
    _reader("table of recordings", _with_table, _import_table, ".csv"),
    _reader("Kaldi", _kaldi, _import_kaldi, "", ".scp"),
    _reader("submission", _submission, _check_submission, ".yaml", ".txt"),
]
_SOUND = [
    _reader(
        f"sound {k}",
        partial(_sound, kind=k),
        partial(_read_sound, kind=k),
        Path(_sound_name(k)).suffix,
    )
    for k in _SOUNDS
]
_GROUPS = {
    "files": _FILES,
    "unit models": _UNIT_MODELS,
    "networks": _NETWORKS,
    "other people's": _FOREIGN,
    "sound": _SOUND,
}
GROUPS = {name: [reader.name for reader in group] for name, group in _GROUPS.items()}
READERS = {reader.name: reader for group in _GROUPS.values() for reader in group}
