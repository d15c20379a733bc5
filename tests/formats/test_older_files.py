"""Files that older versions of zerochain wrote are still read, and mean the same.

Snapshots, for once: the oracle is the version that wrote the files. What each file gave then
stands in `expected/`; `tests/data/README.md` says how it was made.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import run
from zerochain import audio
from zerochain.discovery.stage import load_unit_model
from zerochain.formats.abx_cells import read_cells
from zerochain.formats.attention import read_attention
from zerochain.formats.bundle import MARKER, bundle_id, read_bundle, read_fit
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.identity import short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.phones import read_phones
from zerochain.formats.scores import read_scores
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units
from zerochain.inversion.inverter import NeuralInverter, SpectralInverter
from zerochain.inversion.pitch import F0Quantizer
from zerochain.inversion.speaking import load_inverter
from zerochain.inversion.voices import Voice
from zerochain.listeners.recogniser import Recogniser
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.decoders import teacher_forcing
from zerochain.translation.data import arrays, read_source
from zerochain.translation.normaliser import Normaliser
from zerochain.translation.pairs import padded
from zerochain.translation.pretraining import Denoiser
from zerochain.translation.translator import Search, Translator, UnitSequenceModel

DATA = Path(__file__).parents[1] / "data"
OLDER = sorted(DATA.glob("written_by_*"))
EXPECTED = "expected"
Outcome = dict[str, Any]
"""The result of reading a file: name → an array, or a value that JSON holds."""


def of_corpus(root: Path, name: str) -> Outcome:
    corpus = read_corpus(root / name)
    wave = audio.read(corpus.audio_path(corpus.utterances[0]))
    return {
        "id": corpus.id,
        "about": [corpus.name, corpus.language, corpus.licence, corpus.source, corpus.audio_root],
        "utterances": [
            [u.id, u.audio, u.duration, u.speaker, u.start, u.end, u.split, u.text, u.channel]
            for u in corpus.utterances
        ],
        "n_samples": len(wave),
    }


def of_features(root: Path, name: str) -> Outcome:
    features = read_features(root / name)
    facts = [features.extractor, dict(features.options), features.step_ms, features.corpus_id]
    sums = {i: [len(features[i]), float(features[i].astype(float).sum())] for i in features.ids}
    return {"facts": facts, "speakers": dict(features.speakers), "frames and sums": sums}


def of_units(root: Path, name: str) -> Outcome:
    file = read_units(root / name)
    return {
        "facts": [file.n_units, file.step_ms, file.model_id, file.method, file.corpus_id, file.id],
        "units": {i: file.units[i].tolist() for i in file.ids},
        "durations": file.durations and {i: file.durations[i].tolist() for i in file.ids},
        "speakers": dict(file.speakers),
    }


def of_phones(root: Path, name: str) -> Outcome:
    phones = read_phones(root / name)
    lines = {i: [[p.onset, p.offset, p.phone] for p in line] for i, line in phones.by_id.items()}
    return {"phones": lines, "source": phones.source}


def of_pairs(root: Path, name: str) -> Outcome:
    pairs = read_pairs(root / name)
    corpora = [pairs.source_corpus, pairs.target_corpus]
    return {"pairs": [list(pair) for pair in pairs.pairs], "corpora": corpora}


def of_scores(root: Path, name: str) -> Outcome:
    rows = [
        {
            "value": [s.metric, s.value, s.interval and list(s.interval), s.n],
            "of": [s.protocol, s.system, dict(s.inputs), dict(s.options)],
        }
        for s in read_scores(root / name)
    ]
    return {"scores": rows}


def of_cells(root: Path, name: str) -> Outcome:
    cells = read_cells((root / name).parent)
    facts = [cells.system, cells.protocol, cells.distance, dict(cells.options), dict(cells.inputs)]
    return {"facts": facts, "rows": cells.table.to_pylist()}


def of_synthesis(root: Path, name: str) -> Outcome:
    s = read_synthesis(root / name)
    facts = [s.inverter_id, s.method, s.units_id, s.unit_method, s.corpus_id, s.voice]
    numbers = [s.sample_rate, s.step_ms, list(s.ids), s.speaker_encoder_id]
    return {"facts": facts, "numbers": numbers, "id": s.id}


def of_attention(root: Path, name: str) -> Outcome:
    maps = read_attention(root / name)
    facts = [maps.translator_id, maps.units_id, maps.step_ms, list(maps.ids)]
    return {"facts": facts, "map": maps.map(maps.ids[0])}


def of_training(root: Path, name: str) -> Outcome:
    return {"log": {k: list(v) for k, v in read_training_log(root / name).items()}}


def of_unit_model(root: Path, name: str) -> Outcome:
    """What it encodes the features with the extractor that it was fitted on to, and how well."""
    model = load_unit_model(root / name)
    fit = read_fit(root / name)
    features = read_features(root / "features" / "mfcc")
    file = model.encode(features)
    first, costs = next(model.costs(features))
    return {
        "facts": [model.id, file.model_id, file.method, file.step_ms, file.n_units],
        "trained on": dict(model.trained_on),
        "fit": fit and [fit.seconds, fit.device],
        "summary": model.distortion,
        "units": {i: file.units[i].tolist() for i in file.ids},
        "durations": file.durations and {i: file.durations[i].tolist() for i in file.ids},
        "costs": costs,
        "first": first,
    }


STEPS = np.array([0, 0, 1, 1, 2, 3, 3, 2, 1, 0], np.int32)


def of_inverter(root: Path, name: str) -> Outcome:
    """What it outputs in each of its voices, and in one given by a vector."""
    model = load_inverter(root / name)
    found: Outcome = {
        "facts": [model.id, model.method, model.unit_model, model.n_units, model.step_ms],
        "voices": [list(model.voices), model.speaker_encoder_id],
        "f0": [[model.voice(v).statistics.log_mean, model.voice(v).statistics.log_deviation]
               for v in model.voices],
    }  # fmt: skip
    last = model.voice(model.voices[-1])
    if isinstance(model, NeuralInverter):
        found["wave"] = model.synthesize(STEPS, last)
        found["wave at 120 Hz"] = model.synthesize(
            STEPS, last, np.full(len(STEPS) * model.frames_per_step, 120, np.float32)
        )
    if isinstance(model, SpectralInverter):
        found["spectrogram"] = model.magnitudes(STEPS[3:6], last).cpu().numpy()
        found["phase"] = model.phase
        found["n_samples"] = len(model.synthesize(STEPS, last.name))
    if model.speaker_encoder_id:
        vector = np.linspace(-1, 1, model.n_reference, dtype=np.float32)
        voice = Voice("x", vector, last.statistics)
        if isinstance(model, SpectralInverter):
            found["of a vector"] = model.magnitudes(STEPS[3:6], voice).cpu().numpy()
        else:
            found["of a vector"] = model.synthesize(STEPS, voice)
    if model.prosody is not None:
        merged = STEPS[np.flatnonzero(np.diff(STEPS, prepend=-1))]
        found["durations"] = model.prosody.durations(merged, 0).tolist()
        found["pitch"] = model.prosody.f0(STEPS, 0)
    return found


def of_f0_quantizer(root: Path, name: str) -> Outcome:
    quantizer = F0Quantizer.load(root / name)
    inverter = load_inverter(root / "bundles" / "convnext")
    statistics = inverter.voice(inverter.voices[0]).statistics
    time = np.arange(160)
    f0 = np.where(time % 40 < 30, 110 + 20 * np.sin(time / 25), 0).astype(np.float32)
    units = quantizer.units(f0, statistics)
    return {
        "facts": [quantizer.n_units, quantizer.step_ms, quantizer.unit_step_ms],
        "units": units.tolist(),
        "contour": quantizer.contour(units, statistics),
    }


BEAM = "by a beam"


def _translated(model: UnitSequenceModel, root: Path) -> Outcome:
    source = "languages/source.parquet" if model.source.is_units else "languages/frames"
    inputs = dict(list(arrays(read_source(root / source)).items())[:4])
    found = model.hypotheses(inputs)
    outcome: Outcome = {
        "facts": [model.id, model.architecture, model.unit_model, model.unit_method, model.step_ms],
        "limits": [model.longest_s, model.max_length_ratio],
        "source": [model.source.kind, model.source.name, model.source.n_in, model.source.step_ms],
        "units": {i: h.units.tolist() for i, h in found.items()},
        "scores": {i: h.score for i, h in found.items()},
    }
    if model.architecture != "ctc":
        beam = model.hypotheses(inputs, Search(beam=3))
        outcome[BEAM] = {i: h.units.tolist() for i, h in beam.items()}
    return outcome


def _mean_log_probability(model: UnitSequenceModel, source: Any, units: list[int]) -> float:
    """Of units and their end, as a beam search scores them."""
    with torch.inference_mode():
        encoded = model.network.encode(*padded([model.source.prepared(source, "")]))
        given, lengths = padded([np.array(units)])
        tokens, labels = teacher_forcing(given, lengths, model.n_units)
        scores = model.network.decoder(tokens, encoded.memory, encoded.lengths)
        return -float(torch.nn.functional.cross_entropy(scores[0], labels[0]))


def assert_no_less_likely(root: Path, name: str, found: Outcome, expected: Outcome) -> None:
    """A search may have become better since; what a model makes of the same units may not."""
    loaded = {"normaliser": Normaliser, "denoiser": Denoiser}.get(name.split("/")[1], Translator)
    model: UnitSequenceModel = loaded.load(root / name)
    source = "languages/source.parquet" if model.source.is_units else "languages/frames"
    inputs = arrays(read_source(root / source))
    assert list(found) == list(expected)
    for i, units in expected.items():
        now, then = (_mean_log_probability(model, inputs[i], one) for one in (found[i], units))
        assert now >= then - 1e-4, i


def of_translator(root: Path, name: str) -> Outcome:
    return _translated(Translator.load(root / name), root)


def of_denoiser(root: Path, name: str) -> Outcome:
    return _translated(Denoiser.load(root / name), root)


def of_normaliser(root: Path, name: str) -> Outcome:
    return _translated(Normaliser.load(root / name), root)


def _waves(root: Path) -> list[np.ndarray]:
    corpus = read_corpus(root / "corpus")
    return [audio.read(corpus.audio_path(u)) for u in corpus.utterances[:3]]


def of_recogniser(root: Path, name: str) -> Outcome:
    model = Recogniser.load(root / name)
    facts = [model.id, model.characters, dict(model.trained_on), model.training["cer"]]
    return {"facts": facts, "texts": model.transcribe(_waves(root))}


def of_speaker_encoder(root: Path, name: str) -> Outcome:
    model = SpeakerEncoder.load(root / name)
    facts = [model.id, model.dim, dict(model.trained_on)]
    return {"facts": facts, "vectors": model.embed_many(_waves(root))}


READERS: dict[str, Callable[[Path, str], Outcome]] = {
    "corpus": of_corpus,
    "features/mfcc": of_features,
    "features/log-mel": of_features,
    "features/f0": of_features,
    "features/latents": of_features,
    "features/posteriors": of_features,
    "languages/frames": of_features,
    "languages/source.parquet": of_units,
    "languages/target.parquet": of_units,
    "languages/pairs.parquet": of_pairs,
    "units/kmeans.parquet": of_units,
    "units/segments.parquet": of_units,
    "units/translated.parquet": of_units,
    "corpus/phones.parquet": of_phones,
    "scores.jsonl": of_scores,
    "abx/abx_cells.parquet": of_cells,
    "spoken": of_synthesis,
    "attention": of_attention,
    "training": of_training,
    "bundles/kmeans": of_unit_model,
    "bundles/kmeans-segments": of_unit_model,
    "bundles/kmeans-warped": of_unit_model,
    "bundles/gmm": of_unit_model,
    "bundles/dpgmm": of_unit_model,
    "bundles/vqvae": of_unit_model,
    "bundles/vqvae-published": of_unit_model,
    "bundles/vqcpc": of_unit_model,
    "bundles/vqcpc-context": of_unit_model,
    "bundles/selftrain": of_unit_model,
    "bundles/code2spec": of_inverter,
    "bundles/code2spec-voices": of_inverter,
    "bundles/unit-means": of_inverter,
    "bundles/convnext": of_inverter,
    "bundles/convnext-voices": of_inverter,
    "bundles/hifigan": of_inverter,
    "bundles/f0-units": of_f0_quantizer,
    "bundles/translator-conformer": of_translator,
    "bundles/translator-rnn": of_translator,
    "bundles/translator-ctc": of_translator,
    "bundles/denoiser": of_denoiser,
    "bundles/normaliser": of_normaliser,
    "bundles/recogniser": of_recogniser,
    "bundles/speaker-encoder": of_speaker_encoder,
}
"""Of each file or folder in an older version's folder, how to read it."""


def expected_in(root: Path, name: str) -> Outcome:
    """What the version that wrote it read from it."""
    place = root / EXPECTED / name.replace("/", "-")
    found: Outcome = json.loads(place.with_name(f"{place.name}.json").read_text("utf-8"))
    for path in place.parent.glob(f"{place.name}@*.npy"):
        found[path.stem.partition("@")[2]] = np.load(path)
    return found


def assert_same(found: Any, expected: Any, place: str) -> None:
    """Equal; but numbers with a fraction need only be close, as other processors round."""
    if isinstance(expected, np.ndarray):
        assert found.shape == expected.shape, place
        atol = 1e-4 * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=atol, err_msg=place)
    elif isinstance(expected, dict):
        assert list(found) == list(expected), place
        for name, value in expected.items():
            assert_same(found[name], value, f"{place}: {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{place}: {i}")
    elif isinstance(expected, float) and found is not None:
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6), place
    else:
        assert found == expected, place


everything = pytest.mark.parametrize(
    ("root", "name"),
    [pytest.param(r, n, id=f"{r.name}-{n}") for r in OLDER for n in READERS if (r / n).exists()],
)


@everything
def test_what_an_older_version_wrote_means_the_same(root: Path, name: str) -> None:
    found, expected = READERS[name](root, name), expected_in(root, name)
    assert set(found) == set(expected)
    for key, value in expected.items():
        if key == BEAM:
            assert_no_less_likely(root, name, found[key], value)
        else:
            assert_same(found[key], value, key)


@everything
def test_show_prints_what_an_older_version_wrote(root: Path, name: str) -> None:
    shown = run("show", root / name).stdout
    if (root / name / MARKER).is_file():
        assert read_bundle(root / name).model in shown
        assert short(bundle_id(root / name)) in shown


def test_nothing_that_was_written_is_left_unread() -> None:
    """Each older version has one of everything, but for what came after it."""
    assert OLDER
    for root in OLDER:
        bundles = {f"bundles/{path.name}" for path in (root / "bundles").iterdir()}
        assert bundles <= set(READERS)
        tables = {str(path.relative_to(root)) for path in root.rglob("*.parquet")}
        inner = {"utterances.parquet", "index.parquet"}
        assert {t for t in tables if Path(t).name not in inner} <= set(READERS)
