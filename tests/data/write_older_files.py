"""Write one small file of each kind, and what reading each comes to, into a folder.

    python tests/data/write_older_files.py tests/data/written_by_0_1_0

Run once a release that changes a format, with that release, and never over what an older one
wrote: README.md says which commit wrote what. All speech is synthetic.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import soundfile
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "formats")]

import test_older_files as older  # noqa: E402

from conftest import small_corpus  # noqa: E402
from languages import make_languages  # noqa: E402
from zerochain.discovery import stage as discovery  # noqa: E402
from zerochain.discovery.cpc import CPCUnits  # noqa: E402
from zerochain.discovery.cpc_config import CPCConfig  # noqa: E402
from zerochain.discovery.dpgmm import DPGMMUnits  # noqa: E402
from zerochain.discovery.front_end import FrontEndOptions  # noqa: E402
from zerochain.discovery.gmm import GMMUnits  # noqa: E402
from zerochain.discovery.kmeans import KMeansUnits  # noqa: E402
from zerochain.discovery.penalty import SegmentationOptions  # noqa: E402
from zerochain.discovery.self_training import SelfTrainedUnits  # noqa: E402
from zerochain.discovery.self_training_config import SelfTrainingConfig  # noqa: E402
from zerochain.discovery.vqvae import VQVAEConfig, VQVAEUnits  # noqa: E402
from zerochain.features.extraction import extract  # noqa: E402
from zerochain.features.f0 import F0Options  # noqa: E402
from zerochain.features.recogniser_training import train_recogniser  # noqa: E402
from zerochain.features.speaker_training import train_speaker_encoder  # noqa: E402
from zerochain.features.spectral import SpectralOptions  # noqa: E402
from zerochain.formats.abx_cells import KEYS, SCHEMA, AbxCells, write_cells  # noqa: E402
from zerochain.formats.corpus import Corpus, Utterance, write_corpus  # noqa: E402
from zerochain.formats.phones import Phone, Phones, write_phones  # noqa: E402
from zerochain.formats.scores import Score, append_scores  # noqa: E402
from zerochain.formats.units import UnitFile, read_units, write_units  # noqa: E402
from zerochain.inversion.adversary import AdversaryOptions  # noqa: E402
from zerochain.inversion.generator_training import Generator  # noqa: E402
from zerochain.inversion.neural import Method, NeuralInverter, make_generator  # noqa: E402
from zerochain.inversion.neural_stage import train_neural_inverter  # noqa: E402
from zerochain.inversion.speaking import Speaking, load_inverter, synthesize  # noqa: E402
from zerochain.inversion.spectrogram import SpectrogramOptions  # noqa: E402
from zerochain.inversion.stage import train_inverter  # noqa: E402
from zerochain.modules.f0_vqvae import F0VqvaeConfig  # noqa: E402
from zerochain.modules.prosody import ProsodyConfig  # noqa: E402
from zerochain.training.config import TrainingConfig  # noqa: E402
from zerochain.translation.normaliser import train_normaliser  # noqa: E402
from zerochain.translation.parallel import Parallel  # noqa: E402
from zerochain.translation.pretraining import pretrain  # noqa: E402
from zerochain.translation.stage import train_translator, translate  # noqa: E402
from zerochain.translation.translator import Search  # noqa: E402

MFCC = SpectralOptions(n_mels=24)
FEW = TrainingConfig(max_steps=4, validate_every=2, batch_size=2)
MORE = FEW.model_copy(update={"max_steps": 60, "learning_rate": 1e-2, "ema_decay": 0.5})
TEXTS = ("ab", "ba a", "bb", "a b", "abb", "bab")
LEAST_MARGIN = 1e-3
"""Of the best unit's cost over the next one's: what is closer may come out otherwise elsewhere."""


def corpus_of(root: Path) -> Corpus:
    made = small_corpus(root, seconds=0.55, name="corpus")
    (root / "audio").mkdir()
    for path in (root / "corpus-audio").iterdir():
        soundfile.write(root / "audio" / f"{path.stem}.flac", *soundfile.read(path))
    shutil.rmtree(root / "corpus-audio")
    utterances = tuple(
        Utterance(u.id, f"{u.id}.flac", u.duration, u.speaker, split=u.split, text=text)
        for u, text in zip(made.utterances, TEXTS, strict=True)
    )
    about = {"language": "xx", "licence": "CC0", "source": "made up", "record": {"skipped": []}}
    corpus = write_corpus(
        root / "corpus",
        Corpus("tiny", utterances, "../audio", **about),  # type: ignore[arg-type]
    )
    line = [Phone(0.0, 0.1, "a"), Phone(0.1, 0.25, "ŋ")]
    phones = Phones(dict.fromkeys(corpus.ids, line), "by hand")
    write_phones(root / "corpus" / "phones.parquet", phones)
    return corpus


def unit_models(root: Path) -> None:
    tiny = {"width": 8, "n_frames": 16}
    cpc = {**tiny, "codebook_dim": 4, "n_layers": 1, "context_dim": 4, "n_predictions": 2}
    cpc |= {"n_negatives": 2, "n_per_group": 2}
    vqvae = VQVAEConfig(**tiny, codebook_dim=4, n_blocks=1, speaker_dim=2)
    published = VQVAEConfig.published().model_copy(
        update={"width": 4, "codebook_dim": 4, "speaker_dim": 2, "n_frames": 16}
    )
    taught = {**tiny, "dim": 4, "n_blocks": 1, "teacher_components": 8}
    trained = {"training": FEW.model_copy(update={"batch_size": 4})}
    warped = FrontEndOptions(
        warp=True, speaker_attenuation=0.5, normalisation="corpus", components=8
    )
    models = {
        "kmeans": KMeansUnits(4, 2, options=FrontEndOptions(components=8)),
        "kmeans-segments": KMeansUnits(
            6, options=FrontEndOptions(normalisation="utterance", context=1, components=5)
        ),
        "kmeans-warped": KMeansUnits(4, 2, options=warped),
        "gmm": GMMUnits(4, max_iterations=4),
        "dpgmm": DPGMMUnits(4, max_iterations=4, seed=1),
        "vqvae": VQVAEUnits(4, 4, config=vqvae, **trained),
        "vqvae-published": VQVAEUnits(4, 4, config=published, **trained),
        "vqcpc": CPCUnits(4, 2, config=CPCConfig(**cpc), **trained),
        "vqcpc-context": CPCUnits(
            4, 2, config=CPCConfig(**cpc, latents="context", quantise=False), **trained
        ),
        "selftrain": SelfTrainedUnits(4, 2, config=SelfTrainingConfig(**taught), **trained),
    }
    corpus, frames = root / "corpus", root / "features" / "mfcc"
    for name, model in models.items():
        segments = SegmentationOptions(penalty=0.5) if name == "kmeans-segments" else None
        chosen = {} if segments is None else {"segmentation": segments}
        out = root / "bundles" / name
        discovery.discover(model, corpus, out, features=frames, **chosen)
        for _, costs in discovery.load_unit_model(out).costs(discovery.read_features(frames)):
            first, second = np.sort(costs, axis=1)[:, :2].T
            margin = float(((second - first) / (np.abs(first) + 1e-9)).min())
            assert margin >= LEAST_MARGIN, f"{name}: choose another seed"
    for name, kind in (("kmeans", "kmeans"), ("segments", "kmeans-segments")):
        out = root / "units" / f"{name}.parquet"
        discovery.encode(root / "bundles" / kind, corpus, out, features=frames)
    made = {"latents": "vqvae", "posteriors": "gmm"}
    for what, kind in made.items():
        place = root / "features" / what
        discovery.encode_frames(what, root / "bundles" / kind, corpus, place, features=frames)  # type: ignore[arg-type]


def listeners(root: Path) -> None:
    corpus, bundles = root / "corpus", root / "bundles"
    small = {"width": 8, "n_blocks": 0}
    train_recogniser(corpus, bundles / "recogniser", training=MORE, **small)
    train_speaker_encoder(corpus, bundles / "speaker-encoder", training=FEW, width=8, dim=4)


def small_generator(method: Method, config: Mapping[str, Any]) -> Generator:
    """A generator of sizes that the command line doesn't offer."""
    few = {"n_unit_embedding": 8, "n_f0_embedding": 4, "n_voice_embedding": 4}
    more = {
        "hifigan": {"kernels": (3,), "dilations": (1,)},
        "convnext": {"n_blocks": 2, "n_fft": 320, "n_window": 320},
    }
    return make_generator(method, {"network": {**config["network"], **few, **more[method]}})


def inverters(root: Path) -> None:
    units, corpus, bundles = root / "units" / "kmeans.parquet", root / "corpus", root / "bundles"
    few = {"training": FEW, "width": 8}
    spectral = {**few, "adversary": AdversaryOptions(form="none"), "n_frames": 16}
    several = {"voices": None, "speakers": bundles / "speaker-encoder"}
    train_inverter(units, corpus, bundles / "code2spec", voices=["ana"], **spectral)
    train_inverter(units, corpus, bundles / "code2spec-voices", prosody=FEW, **several, **spectral)
    means = {"voices": ["béa"], "method": "unit-means", "scale": "linear"}
    train_inverter(units, corpus, bundles / "unit-means", **means)  # type: ignore[arg-type]
    neural = partial(train_neural_inverter, units, corpus, f0=MORE, prosody=FEW, training=FEW)
    neural(bundles / "convnext", voices=["ana"], width=8)
    neural(bundles / "convnext-voices", width=8, **several)
    neural(bundles / "hifigan", method="hifigan", voices=None, width=32)
    convnext = load_inverter(bundles / "convnext")
    assert isinstance(convnext, NeuralInverter)
    convnext.f0_quantizer.save(bundles / "f0-units", {"corpus": "c" * 64})
    some = read_units(units)
    few_units = {name: some.units[name][:6] for name in some.ids[:2]}
    short = UnitFile(few_units, some.n_units, some.step_ms, some.model_id, some.method)
    with tempfile.TemporaryDirectory() as place:
        write_units(Path(place, "short.parquet"), short)
        synthesize(
            bundles / "convnext", Path(place, "short.parquet"), root / "spoken", Speaking("ana")
        )


def translators(root: Path) -> None:
    bundles = root / "bundles"
    made = make_languages(root / "languages", 12, longest=3)
    network = {"width": 8, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}
    rnn = {**network, "architecture": "rnn", "decoder_width": 8, "embedding": 4, "subsampling": 2}
    few = {"training": FEW}
    frames = [Parallel(made.frames, made.target, made.pairs, made.source)]
    units = [Parallel(made.source, made.target, made.pairs)]
    pretrain([made.target], bundles / "denoiser", network=network, **few)  # type: ignore[arg-type]
    auxiliary = {**network, "auxiliary": "ctc"}
    train_translator(frames, bundles / "translator-conformer", network=auxiliary, **few)  # type: ignore[arg-type]
    train_translator(units, bundles / "translator-rnn", network=rnn, **few)  # type: ignore[arg-type]
    ctc = {**network, "architecture": "ctc", "subsampling": 1}
    train_translator(frames, bundles / "translator-ctc", network=ctc, **few)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    target = read_units(made.target)
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for voice, shift in (("ana", 0), ("béa", 1)):
            lines = {n: (u + shift) % target.n_units for n, u in target.units.items()}
            lasting = {n: rng.integers(1, 4, len(u)) for n, u in lines.items()}
            file = UnitFile(
                {n: u.astype(np.int32) for n, u in lines.items()},
                target.n_units,
                20.0,
                "b" * 64,
                "made",
                dict.fromkeys(lines, voice),
                lasting,
                f"corpus-{voice}",
            )
            paths.append(Path(place, f"{voice}.parquet"))
            write_units(paths[-1], file)
        train_normaliser(
            paths[1:],
            paths[0],
            bundles / "normaliser",
            network={**network},
            **few,  # type: ignore[arg-type]
        )
    translate(
        bundles / "translator-conformer",
        made.frames,
        root / "units" / "translated.parquet",
        search=Search(beam=2),
        ids=list(made.lines)[:3],
        attention=root / "attention",
        scores=root / "scores.jsonl",
    )


def tables(root: Path) -> None:
    row = {**dict.fromkeys(KEYS, "a"), "mode": "within", "score": 0.25, "n": 4}
    table = pa.Table.from_pylist([row, {**row, "mode": "across", "score": 1.0}], schema=SCHEMA)
    cells = AbxCells(table, "s", "zs2021", "angular", {"seed": 0}, {"units": "u" * 64})
    (root / "abx").mkdir()
    write_cells(root / "abx" / "abx_cells.parquet", cells)
    names = ("abx_across_%", "wer_%", "estoi", "bitrate_bit/s")
    scores = [
        Score(n, 0.5, (0.25, 0.75), 9, "p", "s", {"units": "u"}, {"n_of": "x"}) for n in names
    ]
    append_scores(root / "scores.jsonl", scores)
    shutil.copytree(root / "bundles" / "vqvae.training", root / "training")
    for training in (root / "bundles").glob("*.training"):
        shutil.rmtree(training)
    for sample in (root / "bundles").glob("*/sample.wav"):
        if sample.parent.name != "convnext":
            sample.unlink()


def expect(root: Path) -> None:
    (root / older.EXPECTED).mkdir(exist_ok=True)
    for name, read in older.READERS.items():
        place = root / older.EXPECTED / name.replace("/", "-")
        plain = {}
        for key, value in read(root, name).items():
            if isinstance(value, np.ndarray):
                np.save(place.with_name(f"{place.name}@{key}.npy"), value)
            else:
                plain[key] = value
        text = json.dumps(plain, ensure_ascii=False)
        place.with_name(f"{place.name}.json").write_text(text + "\n", "utf-8")


def main(root: Path) -> None:
    root.mkdir()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    corpus = corpus_of(root)
    log_mel = SpectralOptions(kind="log-mel", n_mels=8)
    for options in (MFCC, log_mel, F0Options()):
        extract(corpus, options, root / "features" / options.kind, jobs=1)
    unit_models(root)
    listeners(root)
    f0 = partial(F0VqvaeConfig, width=8, n_blocks=1, dim=8)

    def prosody(**sizes: Any) -> ProsodyConfig:
        return ProsodyConfig(**{**sizes, "width": 8, "n_f0_layers": 3, "voice_dim": 4})

    spectrogram = partial(SpectrogramOptions, n_fft=256, n_window=256)
    with (
        patch("zerochain.inversion.stage.SpectrogramOptions", spectrogram),
        patch("zerochain.inversion.neural_stage.make_generator", small_generator),
        patch("zerochain.inversion.f0_units.F0VqvaeConfig", f0),
        patch("zerochain.inversion.prosody_fit.ProsodyConfig", prosody),
    ):
        inverters(root)
    translators(root)
    tables(root)
    expect(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
