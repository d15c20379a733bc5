"""Judges from outside: published models, trained on other speech than the user's.

A judge that the project trains knows the corpus, and may share its faults; these come with weights
of their own, in wheels (`pip install 'zerochain[quality]'`), and know nothing of the corpus: DNSMOS
(Reddy et al. 2021, 2022) predicts how listeners would rate speech, PocketSphinx (Huggins-Daines et
al. 2006) recognises English, and Resemblyzer's encoder (Wan et al. 2018) compares voices. The price
is that they were trained on other languages and recordings, mostly English: compare systems by
them, beside the scores of the recordings themselves, and do not read their values as those of
listeners.

All take mono speech at 16 kHz; samples beyond full scale are clipped, as in a 16-bit file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.errors import InputError
from zerochain.listeners.speaker_encoder import Vectors


class Outside:
    """A judge from outside.

    Raises:
        InputError: its package is missing, or can't be loaded.
    """

    NAME: ClassVar[str]
    """The judge's, as its authors write it."""
    PACKAGES: ClassVar[tuple[str, ...]]
    """What it needs, by import name; the first is the one with the weights."""
    TRAINED_ON: ClassVar[str]
    INSTALL: ClassVar[str] = "pip install 'zerochain[quality]'"

    def __init__(self) -> None:
        missing = self.missing()
        if missing:
            raise InputError(
                f"{self.NAME} needs the package {missing}, which is not installed",
                remedy=self.INSTALL,
            )

    @classmethod
    def missing(cls) -> str:
        """The first of its packages that is not installed; "" if all are."""
        return next((name for name in cls.PACKAGES if not importlib.util.find_spec(name)), "")

    @classmethod
    def left_out(cls, *scores: str) -> str:
        """A note: these scores are left out, since its package is missing."""
        return (
            f"left out: {', '.join(scores)}: {cls.NAME} needs the package {cls.missing()}, which "
            f"is not installed ({cls.INSTALL})"
        )

    @property
    def label(self) -> str:
        """For a score's protocol: name, version, and what it was trained on."""
        version = importlib.metadata.version(self.PACKAGES[0])
        return f"{self.NAME} ({self.PACKAGES[0]} {version}), trained on {self.TRAINED_ON}"


class Opinion(NamedTuple):
    """Predicted mean opinion scores, about 1 (bad) … 5 (excellent)."""

    overall: float
    """By the question of ITU-T P.835 about the whole."""
    signal: float
    """… about the speech alone."""
    background: float
    """… about the background: high where it doesn't disturb."""
    p808: float
    """By the one question of ITU-T P.808, from another network."""


class Dnsmos(Outside):
    """DNSMOS: predicted opinions of listeners, P.835 and P.808.

    It takes windows of 9.01 s. A shorter recording is repeated until it fills one, and cut there;
    of a longer one a window begins at every whole second that has one left, and their mean counts,
    as in speechmos. (Left to itself, speechmos doubles a short recording until it is long enough:
    one of four seconds costs seven windows.)
    """

    NAME = "DNSMOS"
    PACKAGES = ("speechmos", "onnxruntime", "requests")  # requests: undeclared, but imported
    TRAINED_ON = "noisy and denoised speech, mostly English"
    WINDOW = 144_160
    """Samples, 9.01 s."""

    def __call__(self, wave: Waveform) -> Opinion:
        """How listeners would rate one recording (n,).

        Raises:
            InputError: it is empty or silent, or contains NaN.
        """
        why = inaudible(wave)
        if why:
            raise InputError(f"a recording can't be judged: {why}", cause="it was cut badly")
        window = np.clip(wave, -1, 1)
        if len(window) < self.WINDOW:
            window = np.resize(window, self.WINDOW)
        rated = self._model(window, SAMPLE_RATE, False)
        keys = ("ovrl_mos", "sig_mos", "bak_mos", "p808_mos")
        return Opinion(*(float(rated[key]) for key in keys))

    @cached_property
    def _model(self) -> Any:
        from onnxruntime import InferenceSession, SessionOptions
        from speechmos import dnsmos

        options = SessionOptions()
        # By default it starts a thread per core, which spin while they wait: on a busy machine
        # they take three times the CPU time and no less of the clock.
        options.intra_op_num_threads = 1
        folder = Path(dnsmos.__file__).parent / "dnsmos_models"
        model = object.__new__(dnsmos.DNSMOS)  # whose constructor takes no such options
        model.onnx_sess = InferenceSession(str(folder / "sig_bak_ovr.onnx"), options)
        model.p808_onnx_sess = InferenceSession(str(folder / "model_v8.onnx"), options)
        return model


class Sphinx(Outside):
    """PocketSphinx with its own models of US English: 130,000 words."""

    NAME = "PocketSphinx"
    PACKAGES = ("pocketsphinx",)
    TRAINED_ON = "US English"

    def transcribe(self, wave: Waveform) -> str:
        """The words of one recording (n,), in lower case; "" where it found none.

        It does not depend on what was recognised before.
        """
        if inaudible(wave):
            return ""
        decoder = self._decoder
        decoder.reinit_feat()  # else its estimates of channel and noise are of earlier recordings
        decoder.start_utt()
        samples = np.round(np.clip(wave, -1, 1) * 32_767).astype("<i2")
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return "" if found is None else str(found.hypstr)

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


class Resemblyzer(Outside):
    """Resemblyzer's speaker encoder, of the voices of some thousand English speakers."""

    NAME = "Resemblyzer"
    # webrtcvad comes from webrtcvad-wheels: that of Resemblyzer's own list needs a compiler, and
    # pkg_resources, which setuptools 82 removed.
    PACKAGES = ("resemblyzer", "webrtcvad")
    TRAINED_ON = "English (LibriSpeech, VoxCeleb)"
    INSTALL = "pip install --no-deps resemblyzer webrtcvad-wheels"

    def embed(self, wave: Waveform) -> Vectors | None:
        """The voice of one recording: (256,), of unit length; None where it detects no speech."""
        if inaudible(wave):
            return None
        preprocess, encoder = self._model
        speech = preprocess(np.clip(wave, -1, 1))
        return np.asarray(encoder.embed_utterance(speech), np.float32) if len(speech) else None

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        with warnings.catch_warnings():  # it imports from a namespace that SciPy deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                from resemblyzer import VoiceEncoder, preprocess_wav
            except ImportError as error:
                raise InputError(
                    f"{self.NAME} can't be loaded ({error})",
                    cause="it is older than a package that it uses",
                    remedy=f"{self.INSTALL}, or leave this judge out",
                ) from error
        return preprocess_wav, VoiceEncoder("cpu", verbose=False)


def inaudible(wave: Waveform) -> str:
    """Why nothing is audible in a recording, in a word; "" if there is something."""
    if not np.isfinite(wave).all():
        return "NaN"
    return "" if len(wave) and wave.any() else "silent"
