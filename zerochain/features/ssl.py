"""Features of self-supervised models: one layer of a HuBERT, WavLM or wav2vec 2.0 checkpoint.

Layers above the middle hold phones most clearly (Pasad, Chou and Livescu 2021). The checkpoint is a
folder on this machine, as `transformers` writes it; nothing is downloaded, unpickled or executed.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.formats.headers import parse_json
from zerochain.formats.identity import file_id

MODEL_TYPES = ("hubert", "wavlm", "wav2vec2")
_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_WINDOW_S, _MARGIN_S = 30.0, 2.0  # attention over an hour at once would take terabytes
_BATCH_S = 60.0  # seconds of speech, with padding, that the network is given at a time
_HEADS = ("lm_head", "classifier", "projector", "layer_weights", "project_", "quantizer")
"""Beginnings of the weights of tasks that checkpoints were trained for, on top of the layers."""
_UNUSED_WEIGHTS = {"masked_spec_embed"}  # needed in training alone, and left out by some


class SslOptions(Config):
    """Which layer of which checkpoint."""

    kind: Literal["ssl"] = "ssl"
    model_type: str
    checkpoint: str
    """SHA-256 of its files."""
    layer: int = Field(ge=0)
    """The output of this Transformer block; 0 is what the first block gets."""
    step_ms: float = Field(gt=0)
    path: str
    """Where it was. It may lie elsewhere and give the same."""

    @classmethod
    def of(cls, folder: Path, layer: int) -> Self:
        """Options for a layer of the checkpoint in `folder`.

        Raises:
            InputError: not a checkpoint of a known family, without safetensors, incomplete, no
                such layer, or transformers is not installed.
        """
        config = _config(folder)
        if not 0 <= layer <= config.num_hidden_layers:
            raise InputError(
                f"has layers 0 to {config.num_hidden_layers}, not {layer}",
                path=folder,
                remedy="choose another layer=; phones are clearest somewhat above the middle",
            )
        return cls(
            model_type=config.model_type,
            checkpoint=file_id(*_files(folder)),
            layer=layer,
            step_ms=1000 * math.prod(config.conv_stride) / SAMPLE_RATE,
            path=str(folder.absolute()),
        )

    def check_unchanged(self) -> None:
        """Raise InputError unless the checkpoint is still where it was, and the same."""
        folder = Path(self.path)
        if not is_checkpoint(folder):
            found = "the checkpoint that the units were found in is gone"
        elif file_id(*_files(folder)) != self.checkpoint:
            found = "the checkpoint has changed since the units were found"
        else:
            return
        raise InputError(
            found,
            path=folder,
            cause="it was moved, removed or replaced",
            remedy="put it back; or, where it is now, 'zerochain extract CORPUS --features "
            f"CHECKPOINT --layer {self.layer} --out FOLDER', and give that with --features FOLDER",
        )


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint of `transformers`."""
    try:
        value = parse_json((folder / _CONFIG).read_bytes(), folder / _CONFIG)
    except (OSError, InputError):
        return False
    return isinstance(value, dict) and "model_type" in value


class SslExtractor:
    """Turns waveforms into a layer's outputs: `extractor([wave, …])` gives one (T, D) array a wave.

    T = (n - receptive field) // step + 1, and 1 for a wave shorter than the receptive field,
    which is filled with zeros. Frames are float32 and equal to those of `transformers` for the
    wave alone, whatever it is batched with. Waves longer than `_WINDOW_S` are encoded in windows
    that overlap by `_MARGIN_S` on each side.
    """

    def __init__(self, options: SslOptions, device: str = "cpu") -> None:
        self.options, self.device = options, torch.device(device)
        folder = Path(options.path)
        config = _config(folder)
        self._normalises = _normalises(folder)
        self._step = math.prod(config.conv_stride)
        self._field = _receptive_field(config.conv_kernel, config.conv_stride)
        # Group norm in the first layer is over time, and padding would change it.
        self._pads = config.feat_extract_norm == "layer"
        self._model = _load(folder, options.layer).to(self.device)
        self._caught = torch.empty(0)
        blocks = self._model.encoder.layers
        if options.layer == 0:
            blocks[0].register_forward_pre_hook(lambda _, inputs: self._catch(inputs))
        else:
            blocks[-1].register_forward_hook(lambda _, inputs, output: self._catch(output))

    def __call__(self, waves: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Frames of each wave.

        Args:
            waves: mono samples at 16 kHz, each (n ≥ 1,).
        """
        ready = [self._prepared(wave) for wave in waves]
        windows = [w for owner, wave in enumerate(ready) for w in self._windows(owner, len(wave))]
        frames: dict[_Window, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for batch in self._batches(windows):
                frames |= self._encoded(batch, ready)
        parts: list[list[NDArray[np.float32]]] = [[] for _ in waves]
        for window in windows:
            parts[window.owner].append(frames[window])
        return [np.concatenate(part) for part in parts]

    def _prepared(self, wave: Waveform) -> Waveform:
        if self._normalises:
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        return np.pad(wave, (0, max(0, self._field - len(wave))))

    def _windows(self, owner: int, n_samples: int) -> Iterator[_Window]:
        n_frames = (n_samples - self._field) // self._step + 1
        length, margin = (round(s * SAMPLE_RATE / self._step) for s in (_WINDOW_S, _MARGIN_S))
        for first in range(0, n_frames, length):
            last = min(first + length, n_frames)
            begin, end = max(0, first - margin), min(last + margin, n_frames)
            yield _Window(
                owner=owner,
                begin=begin * self._step,
                # The last window takes the samples that are left: group norm sees all of them.
                end=n_samples if end == n_frames else (end - 1) * self._step + self._field,
                skip=first - begin,
                n_frames=last - first,
            )

    def _batches(self, windows: list[_Window]) -> Iterator[list[_Window]]:
        batch: list[_Window] = []
        for window in sorted(windows, key=lambda w: w.length):
            full = window.length * (len(batch) + 1) > _BATCH_S * SAMPLE_RATE
            if batch and (full or not (self._pads or window.length == batch[0].length)):
                yield batch
                batch = []
            batch.append(window)
        if batch:
            yield batch

    def _encoded(
        self, batch: list[_Window], waves: list[Waveform]
    ) -> dict[_Window, NDArray[np.float32]]:
        x = torch.zeros(len(batch), max(w.length for w in batch))
        mask = torch.zeros(x.shape, dtype=torch.long)
        for row, window in enumerate(batch):
            wave = waves[window.owner][window.begin : window.end]
            x[row, : len(wave)], mask[row, : len(wave)] = torch.from_numpy(wave), 1
        padded = None if bool(mask.all()) else mask.to(self.device)
        with warnings.catch_warnings():
            # WavLM gives torch masks of two types, which torch says it will not take for ever.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            self._model(x.to(self.device), attention_mask=padded)
        y = self._caught.float().cpu().numpy()
        return {w: y[row, w.skip : w.skip + w.n_frames] for row, w in enumerate(batch)}

    def _catch(self, output: Any) -> None:
        self._caught = output[0] if isinstance(output, tuple) else output


@dataclass(frozen=True)
class _Window:
    """Samples `begin` to `end` of a wave, of whose frames some at the start are skipped."""

    owner: int
    begin: int
    end: int
    skip: int
    n_frames: int

    @property
    def length(self) -> int:
        return self.end - self.begin


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field


def _config(folder: Path) -> Any:
    if not is_checkpoint(folder):
        raise InputError(
            f"is not a checkpoint folder (no {_CONFIG} with a model_type)",
            path=folder,
            remedy="give a folder that the save_pretrained of transformers wrote",
        )
    if importlib.util.find_spec("transformers") is None:
        raise InputError(
            "reading a checkpoint needs the package transformers, which is not installed",
            path=folder,
            remedy="pip install 'zerochain[ssl]'",
        )
    try:
        config = _transformers().AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error
    if config.model_type not in MODEL_TYPES:
        raise InputError(
            f"is a checkpoint of {config.model_type!r}, not of {', '.join(MODEL_TYPES)}",
            path=folder,
            cause="another kind of model",
            remedy="extract its features with its own code, and give them as a features folder",
        )
    return config


def _files(folder: Path) -> list[Path]:
    """What the features depend on."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(
            "holds no .safetensors file",
            path=folder,
            cause="its weights are a pickle (pytorch_model.bin), which could run anything",
            remedy="load it with transformers where you trust it, and save it again with "
            "save_pretrained(FOLDER, safe_serialization=True)",
        )
    if not (folder / _PREPROCESSOR).is_file():
        raise InputError(
            "is missing, and only it says whether waves are normalised",
            path=folder / _PREPROCESSOR,
            cause="only a part of the checkpoint was copied",
            remedy="copy it from where the checkpoint comes from",
        )
    return [folder / _CONFIG, folder / _PREPROCESSOR, *weights]


def _normalises(folder: Path) -> bool:
    """Whether mean and variance are taken out of every wave."""
    path = folder / _PREPROCESSOR
    try:
        value = parse_json(path.read_bytes(), path)
        normalises, rate = value["do_normalize"], value.get("sampling_rate", SAMPLE_RATE)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"doesn't say do_normalize ({error!r})",
            path=path,
            cause="it was edited, or is of another kind of model",
            remedy="copy it again from where the checkpoint comes from",
        ) from error
    if rate != SAMPLE_RATE:
        raise InputError(
            f"the checkpoint expects audio at {rate} Hz",
            path=path,
            remedy=f"take one at {SAMPLE_RATE} Hz",
        )
    return bool(normalises)


def _transformers() -> Any:
    import transformers  # optional, and slow

    return transformers


def _load(folder: Path, layer: int) -> Any:
    """The network up to a layer, in float32 and ready for inference."""
    _files(folder)
    try:
        with _quiet():  # what it would warn of is checked below
            model, report = _transformers().AutoModel.from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    missing = sorted(set(report["missing_keys"]) - _UNUSED_WEIGHTS)
    if missing:
        raise InputError(
            f"{len(missing)} weights are missing, such as {missing[0]!r}",
            path=folder,
            cause="the files belong to another config.json, or one of them was not copied",
            remedy="copy the checkpoint again",
        )
    unexpected = sorted(n for n in report["unexpected_keys"] if not n.startswith(_HEADS))
    if unexpected:
        raise InputError(
            f"{len(unexpected)} weights are of no layer of the network, such as {unexpected[0]!r}",
            path=folder,
            cause=f"the files belong to another {_CONFIG}",
            remedy="copy the checkpoint again",
        )
    del model.encoder.layers[max(layer, 1) :]
    return model.float().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    logging = _transformers().utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _unreadable(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"can't be read by transformers ({str(error).splitlines()[0]})",
        path=folder,
        cause="it was cut short while it was copied",
        remedy="copy the checkpoint again",
    )
