"""One small valid sound file of every container and codec that libsndfile writes, as bytes."""

import io
import struct
from functools import lru_cache

import numpy as np
import soundfile

RATES = {"WVE": 8000, "HTK": 16_000, "GSM610": 8000, "G721_32": 8000, "XI": 44_100}
KINDS = {
    "WAV": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 G721_32",
    "WAVEX": "PCM_16 PCM_24",
    "RF64": "PCM_16 FLOAT",
    "W64": "PCM_16 FLOAT IMA_ADPCM GSM610",
    "AIFF": "PCM_S8 PCM_U8 PCM_16 PCM_24 FLOAT DOUBLE ULAW ALAW IMA_ADPCM GSM610",
    "AU": "PCM_S8 PCM_16 PCM_24 FLOAT ULAW ALAW G721_32",
    "CAF": "PCM_16 PCM_24 FLOAT ULAW ALAC_16",
    "NIST": "PCM_16 PCM_24 ULAW ALAW",
    "FLAC": "PCM_16 PCM_24",
    "OGG": "VORBIS OPUS",
    "MP3": "MPEG_LAYER_III",
    "SVX": "PCM_S8 PCM_16",
    "VOC": "PCM_16 ULAW",
    "AVR": "PCM_16",
    "HTK": "PCM_16",
    "IRCAM": "PCM_16 FLOAT",
    "MAT4": "PCM_16 FLOAT",
    "MAT5": "PCM_16 FLOAT",
    "MPC2K": "PCM_16",
    "PAF": "PCM_16 PCM_24",
    "PVF": "PCM_16",
    "SDS": "PCM_16",
    "WVE": "ALAW",
    "XI": "DPCM_16",
}
ALL = [(container, codec) for container, codecs in KINDS.items() for codec in codecs.split()]
"""(container, codec) as libsndfile names them."""


def samples(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Something between noise and a voice, never digital silence: (n, channels)."""
    rng = np.random.default_rng(seed)
    time = np.arange(n)[:, None] / 16_000
    tone = np.sin(2 * np.pi * (150 + 40 * np.arange(channels)) * time)
    return (0.3 * tone + 0.1 * rng.uniform(-1, 1, (n, channels))).astype(np.float32)


@lru_cache
def sound(container: str, codec: str, n: int = 6000, channels: int = 1, seed: int = 0) -> bytes:
    """A whole file of `n` samples."""
    rate = RATES.get(codec) or RATES.get(container) or 16_000
    made = io.BytesIO()
    with soundfile.SoundFile(made, "w", rate, channels, codec, format=container) as file:
        file.write(samples(n, channels, seed))
    return made.getvalue()


def mp3_in_wav(mp3: bytes, rate: int = 16_000) -> bytes:
    """A WAV whose data are MPEG frames, as some recorders and old Windows programs write it."""
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, rate, 4000, 1, 0, 12, 1, 2, 576, 1, 1393)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", mp3)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(
    data: bytes, *, size: int | None = None, riff: int | None = None, tail: bytes = b""
) -> bytes:
    """A WAV of 16-bit samples at 16 kHz whose header may say other sizes than it has."""
    size = len(data) if size is None else size
    riff = 36 + len(data) + len(tail) if riff is None else riff
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVE" + chunk(b"fmt ", form)
    return head + b"data" + struct.pack("<I", size) + data + tail


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a RIFF file, with its padding byte."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
