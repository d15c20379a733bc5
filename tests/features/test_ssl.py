import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from commands import run
from conftest import voice
from zerochain import audio
from zerochain.errors import InputError
from zerochain.features import ssl
from zerochain.features.extraction import extract
from zerochain.features.ssl import SslExtractor, SslOptions, is_checkpoint
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features
from zerochain.formats.units import read_units

transformers = pytest.importorskip("transformers", reason="transformers (extra ssl) is missing")

MODELS = {
    "hubert": ("HubertModel", "HubertConfig"),
    "wavlm": ("WavLMModel", "WavLMConfig"),
    "wav2vec2": ("Wav2Vec2Model", "Wav2Vec2Config"),
}
N_LAYERS = 3
RNG = np.random.default_rng(0)
WAVES = [voice(RNG, n / 16_000, 120) for n in (16_000, 12_345, 400, 5_000, 12_345, 8_001)]


def save_checkpoint(folder: Path, kind: str, norm: str = "group", seed: int = 0) -> Any:
    """A small network with random weights, saved as the big ones are."""
    model_class, config_class = (getattr(transformers, name) for name in MODELS[kind])
    torch.manual_seed(seed)
    config = config_class(
        hidden_size=16,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
    )
    model = model_class(config).eval()
    with torch.no_grad():  # the usual start is so small that attention and layers do nothing
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=norm == "layer").save_pretrained(folder)
    return model


def expected(model: Any, folder: Path, wave: np.ndarray, layer: int) -> np.ndarray:
    """What transformers gives for one wave."""
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    x = prepare(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        return model(x, output_hidden_states=True).hidden_states[layer][0].numpy()


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hubert")
    save_checkpoint(folder, "hubert")
    return folder


@pytest.fixture
def own(hubert: Path, tmp_path: Path) -> Path:
    """A checkpoint of its own, to be damaged."""
    return shutil.copytree(hubert, tmp_path / "own")


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", list(MODELS))
def test_a_batch_equals_transformers_wave_by_wave(tmp_path: Path, kind: str, norm: str) -> None:
    model = save_checkpoint(tmp_path, kind, norm)
    seen = []
    for layer in range(N_LAYERS):
        made = SslExtractor(SslOptions.of(tmp_path, layer))(WAVES)
        for wave, frames in zip(WAVES, made, strict=True):
            assert frames.dtype == np.float32
            np.testing.assert_allclose(frames, expected(model, tmp_path, wave, layer), atol=1e-4)
        seen.append(made[0])
    assert all(np.abs(a - b).max() > 0.1 for a, b in pairwise(seen))


def test_padding_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first layer has group norm, a batch with padding gives something else."""
    save_checkpoint(tmp_path, "hubert", "group")
    extractor = SslExtractor(SslOptions.of(tmp_path, 1))
    alone = extractor(WAVES)[3]
    extractor._pads = True
    assert np.abs(extractor(WAVES)[3] - alone).max() > 0.01


def test_the_last_layer_is_the_last_blocks_output(tmp_path: Path) -> None:
    """Before the norm that pre-norm models put after it, in every version of transformers."""
    model = save_checkpoint(tmp_path, "wav2vec2", "layer")
    caught = []
    model.encoder.layers[-1].register_forward_hook(lambda *a: caught.append(a[2]))
    expected(model, tmp_path, WAVES[0], 0)
    output = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    (made,) = SslExtractor(SslOptions.of(tmp_path, N_LAYERS))(WAVES[:1])
    np.testing.assert_allclose(made, output.squeeze(0).numpy(), atol=1e-4)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_windows_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: str) -> None:
    """Whatever the windows, there are as many frames, and layer norm sees the same."""
    save_checkpoint(tmp_path, "hubert", norm)
    extractor = SslExtractor(SslOptions.of(tmp_path, 0))
    whole = extractor(WAVES)
    monkeypatch.setattr(ssl, "_WINDOW_S", 0.2)
    monkeypatch.setattr(ssl, "_MARGIN_S", 0.2)  # more than layer 0's 16 frames see on each side
    for one, other in zip(whole, extractor(WAVES), strict=True):
        assert one.shape == other.shape
        if norm == "layer":
            np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("n", [1, 399, 400, 719, 720])
def test_short_waves_give_at_least_a_frame(hubert: Path, n: int) -> None:
    options = SslOptions.of(hubert, 2)
    (frames,) = SslExtractor(options)([np.full(n, 0.1, np.float32)])
    assert frames.shape == (1 + max(0, (n - 400) // 320), 16)
    assert np.isfinite(frames).all()
    assert options.step_ms == 20


def test_silence_is_finite(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "hubert", "layer")
    (frames,) = SslExtractor(SslOptions.of(tmp_path, 2))([np.zeros(4000, np.float32)])
    assert np.isfinite(frames).all()


def test_extract_discover_encode(
    make_corpus: Callable[..., Corpus], hubert: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    run("extract", corpus.folder, "--features", hubert, "--layer", 2, "--out", tmp_path / "feats")
    features = read_features(tmp_path / "feats")
    assert (features.extractor, features.step_ms, features.dim) == ("ssl", 20, 16)
    assert features.options["layer"] == 2
    common = ["--units", 4, "--device", "cpu", "--out"]
    folder = tmp_path / "feats"
    run("discover", "kmeans", corpus.folder, "--features", folder, *common, tmp_path / "a")
    given = ["--features", hubert, "--layer", 2]
    result = run("discover", "kmeans", corpus.folder, *given, *common, tmp_path / "b")
    assert "ssl" in result.output
    run("encode", tmp_path / "a", corpus.folder, "--out", tmp_path / "a.parquet")
    run(
        *("encode", tmp_path / "b", corpus.folder, "--features", folder),
        *("--out", tmp_path / "b.parquet"),
    )
    one, other = read_units(tmp_path / "a.parquet"), read_units(tmp_path / "b.parquet")
    assert one.step_ms == 20
    for name in corpus.ids:
        np.testing.assert_array_equal(one.units[name], other.units[name])


def test_a_moved_or_changed_checkpoint_is_named(
    make_corpus: Callable[..., Corpus], own: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=3)
    model, out = tmp_path / "km", tmp_path / "units.parquet"
    given = ["--features", own, "--layer", 1]
    run("discover", "kmeans", corpus.folder, *given, "--units", 3, "--out", model)
    moved = own.rename(tmp_path / "moved")
    result = run("encode", model, corpus.folder, "--out", out, code=1)
    assert "is gone" in result.stderr
    assert "--layer 1" in result.stderr
    given = ["--features", moved, "--layer", 1]
    run("extract", corpus.folder, *given, "--out", tmp_path / "feats")
    run("encode", model, corpus.folder, "--features", tmp_path / "feats", "--out", out)
    save_checkpoint(own, "hubert", seed=1)
    out.unlink()
    result = run("encode", model, corpus.folder, "--out", out, code=1)
    assert "has changed" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_vanished_recording_is_named_and_nothing_is_left(
    make_corpus: Callable[..., Corpus],
    hubert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jobs: int,
) -> None:
    monkeypatch.setattr("zerochain.features.extraction._SHARD_S", 1.0)
    corpus, out = make_corpus(n_utterances=5), tmp_path / "feats"
    options = SslOptions.of(hubert, 1)
    made = extract(corpus, options, out, jobs=jobs)
    for utterance in corpus.utterances:  # several shards, in order
        (alone,) = SslExtractor(options)([audio.read(corpus.audio_path(utterance))])
        np.testing.assert_allclose(made[utterance.id], alone, atol=1e-4)
    corpus.audio_path(corpus.utterances[3]).unlink()
    with pytest.raises(InputError, match=r"u3\.wav.*no such file"):
        extract(corpus, options, tmp_path / "again", jobs=jobs)
    assert not (tmp_path / "again").exists()


def test_another_sample_rate_is_resampled(hubert: Path, tmp_path: Path) -> None:
    wave = voice(np.random.default_rng(1), 1.0, 120)
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "wide.wav", wave, 16_000)
    soundfile.write(folder / "narrow.wav", wave[::2], 8_000)
    run("import", "folder", folder, "--out", tmp_path / "corpus")
    out = tmp_path / "feats"
    run("extract", tmp_path / "corpus", "--features", hubert, "--layer", 1, "--out", out)
    features = read_features(out)
    assert features["narrow"].shape == features["wide"].shape == (49, 16)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("config.json", "not a checkpoint folder"),
        ("model.safetensors", "no .safetensors file"),
        ("preprocessor_config.json", "is missing"),
    ],
)
def test_a_missing_file_is_named(own: Path, name: str, found: str) -> None:
    (own / name).unlink()
    with pytest.raises(InputError, match=found) as caught:
        SslOptions.of(own, 1)
    assert caught.value.remedy


def test_a_pickle_is_not_read(own: Path) -> None:
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        SslOptions.of(own, 1)


def test_damaged_weights(own: Path) -> None:
    weights = own / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="can't be read by transformers"):
        SslExtractor(SslOptions.of(own, 1))


def test_missing_weights_are_never_initialised_at_random(own: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(own / "model.safetensors")
    del weights["feature_projection.projection.weight"]
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights are missing.*feature_projection"):
        SslExtractor(SslOptions.of(own, 1))


@pytest.mark.parametrize(
    ("name", "refused"), [("encoder.extra.weight", True), ("lm_head.x", False)]
)
def test_unexpected_weights_are_refused_but_for_task_heads(
    own: Path, name: str, refused: bool
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(own / "model.safetensors") | {name: torch.ones(2)}
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    if refused:
        with pytest.raises(InputError, match=r"1 weights are of no layer.*encoder\.extra"):
            SslExtractor(SslOptions.of(own, 1))
    else:
        SslExtractor(SslOptions.of(own, 1))


def test_a_penalty_makes_segments_of_a_layers_units(
    make_corpus: Callable[..., Corpus], hubert: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4)
    given = ["--features", hubert, "--layer", 2, "--units", 4, "--device", "cpu"]
    run("discover", "kmeans", corpus.folder, *given, "--out", tmp_path / "m")
    n_segments, n_steps = [], []
    for penalty in (0, 1, 1000):
        out = tmp_path / f"{penalty}.parquet"
        run("encode", tmp_path / "m", corpus.folder, "--penalty", penalty, "--out", out)
        units = read_units(out)
        n_segments.append(sum(map(len, units.units.values())))
        n_steps.append(sum(len(units.steps(name)) for name in units.ids))
    assert n_segments[0] > n_segments[1] > n_segments[2] == len(corpus.ids)
    assert len(set(n_steps)) == 1


def test_a_masking_vector_is_not_needed(own: Path) -> None:
    from safetensors.torch import load_file, save_file

    before = SslExtractor(SslOptions.of(own, 2))(WAVES[:1])[0]
    weights = load_file(own / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_array_equal(SslExtractor(SslOptions.of(own, 2))(WAVES[:1])[0], before)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"do_normalize": None}, "doesn't say do_normalize"),
        ({"sampling_rate": 8000}, "8000 Hz"),
    ],
)
def test_an_odd_preprocessor(own: Path, change: dict[str, Any], found: str) -> None:
    path = own / "preprocessor_config.json"
    value = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    with pytest.raises(InputError, match=found):
        SslExtractor(SslOptions.of(own, 1))


def test_another_kind_of_model(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="checkpoint of 'bert'"):
        SslOptions.of(tmp_path, 1)


def test_no_such_layer(hubert: Path) -> None:
    with pytest.raises(InputError, match="layers 0 to 3, not 4"):
        SslOptions.of(hubert, 4)


def test_transformers_missing_is_said(hubert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="transformers, which is not installed") as caught:
        SslOptions.of(hubert, 1)
    assert "zerochain[ssl]" in str(caught.value)


def test_other_folders_are_no_checkpoints(tmp_path: Path) -> None:
    assert not is_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "bundle", "model": "kmeans"}')
    assert not is_checkpoint(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\x00")
    assert not is_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--features", "mfcc", "--layer", "3"], "--layer only applies to a checkpoint"),
        (["--features", "CHECKPOINT"], "give its --layer"),
        (
            ["--features", "CHECKPOINT", "--layer", "1", "--step-ms", "5"],
            "--step-ms only applies to --features mfcc",
        ),
        (["--features", "mfc"], "is not mfcc, log-mel, f0 or a checkpoint"),
    ],
)
def test_usage(
    make_corpus: Callable[..., Corpus], hubert: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    corpus = make_corpus(n_utterances=1)
    given = [str(hubert) if o == "CHECKPOINT" else o for o in options]
    result = run("extract", corpus.folder, *given, "--out", tmp_path / "feats", code=2)
    assert said in " ".join(result.stderr.split())
