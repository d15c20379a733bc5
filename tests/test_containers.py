"""What containers promise beside what they hold, both ways; parts beside the whole."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sounds import ALL, chunk, mp3_in_wav, samples, sound, wav
from zerochain import audio
from zerochain.audio import Part
from zerochain.containers import examine
from zerochain.errors import InputError

PROMISING = [kind for kind in ALL if kind[0] not in ("IRCAM", "PAF", "PVF", "XI")]
"""Containers whose headers tell how long the sound is."""
CHUNKED = [("WAV", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16")]
BARE = [*CHUNKED, ("WAV", "PCM_24"), ("WAV", "ULAW"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
        ("NIST", "PCM_16"), ("SVX", "PCM_16")]  # fmt: skip
JOINED = [kind for kind in ALL if kind[0] in
          ("WAV", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")]  # fmt: skip
SOUND = (samples(6000)[:, 0] * 32767).astype("<i2").tobytes()


def decoded(path: Path, **part: float | None) -> np.ndarray:
    """At the file's own rate."""
    return audio.read(path, sample_rate=audio.info(path).sample_rate, **part)


def written(folder: Path, content: bytes, name: str = "a.wav") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("container", "codec"), ALL)
def test_what_is_whole_is_read_whole(tmp_path: Path, container: str, codec: str) -> None:
    path = written(tmp_path, sound(container, codec), "a.bin")
    with soundfile.SoundFile(io.BytesIO(path.read_bytes())) as file:
        n = 6080 if (container, codec) == ("WAV", "GSM610") else file.frames
        expected = file.read(n, dtype="float32") if file.seekable() else None
        header = audio.info(path)
        assert (header.n_samples, header.sample_rate) == (n, file.samplerate)
    assert header.note == ""
    wave = decoded(path)
    assert len(wave) == header.n_samples >= 6000
    assert expected is None or np.array_equal(wave, expected)


@pytest.mark.parametrize("kept", [0.6, 0.95, 1])
@pytest.mark.parametrize(("container", "codec"), PROMISING)
def test_what_is_cut_short_is_refused(
    tmp_path: Path, container: str, codec: str, kept: float
) -> None:
    content = sound(container, codec)
    path = written(tmp_path, content[: int(len(content) * kept) - 3])
    with pytest.raises(
        InputError, match=r"cut short|promises|missing|not a readable sound file"
    ) as caught:
        decoded(path)
    assert caught.value.path == path
    assert caught.value.remedy


@pytest.mark.parametrize(("container", "codec"), BARE)
def test_sound_behind_the_promised_size_is_read_with_a_note(
    tmp_path: Path, container: str, codec: str
) -> None:
    whole, behind = sound(container, codec), bytes(range(1, 253)) * 40
    n = examine(written(tmp_path, whole)).n_samples
    path = written(tmp_path, whole + behind)
    header = audio.info(path)
    width = examine(path).frame_bytes
    assert header.n_samples >= n + len(behind) // width
    assert "never finished" in header.note
    assert np.array_equal(decoded(path)[:n], decoded(written(tmp_path, whole)))


@pytest.mark.parametrize(("container", "codec"), JOINED)
def test_joined_files_are_read_one_after_the_other(
    tmp_path: Path, container: str, codec: str
) -> None:
    one, two = sound(container, codec), sound(container, codec, 4000, seed=1)
    waves = [decoded(written(tmp_path, content)) for content in (one, two)]
    path = written(tmp_path, one + two)
    assert "2 recordings joined" in audio.info(path).note
    assert np.array_equal(decoded(path), np.concatenate(waves))
    seam = len(waves[0]) / audio.info(path).sample_rate
    part = decoded(path, start=seam - 0.05, end=seam + 0.05)
    rate = audio.info(path).sample_rate
    around = slice(round((seam - 0.05) * rate), round((seam + 0.05) * rate))
    assert np.array_equal(part, np.concatenate(waves)[around])


def test_joined_recordings_that_differ_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, sound("WAV", "PCM_16") + sound("WAV", "PCM_16", channels=2))
    with pytest.raises(InputError, match=r"joined end to end.*1 channels.*and 2"):
        audio.info(path)


def test_joined_recordings_of_different_codecs(tmp_path: Path) -> None:
    rate = struct.pack("<I", 16_000)
    adpcm = sound("WAV", "IMA_ADPCM")
    assert adpcm[24:28] == rate
    contents = [sound("WAV", "PCM_16"), adpcm, sound("WAV", "FLOAT")]
    waves = np.concatenate([decoded(written(tmp_path, content)) for content in contents])
    path = written(tmp_path, b"".join(contents))
    assert np.array_equal(decoded(path), waves)
    assert np.array_equal(decoded(path, start=0.4, end=1), waves[6400:16_000])


@pytest.mark.parametrize(("container", "codec"), [*JOINED, ("SVX", "PCM_16"), ("SDS", "PCM_16")])
def test_zeros_that_fill_a_sector_are_no_sound(tmp_path: Path, container: str, codec: str) -> None:
    whole = sound(container, codec)
    n = examine(written(tmp_path, whole)).n_samples
    header = audio.info(written(tmp_path, whole + bytes(1000)))
    assert (header.n_samples, header.note) == (n, "")


def test_an_odd_number_of_gsm_blocks_ends_without_noise(tmp_path: Path) -> None:
    """libsndfile decodes the padding byte and what is left in its buffer as one block more."""
    made = io.BytesIO()
    with soundfile.SoundFile(made, "w", 8000, 1, "GSM610", format="WAV") as file:
        file.write(samples(320 * 7))
    path = written(tmp_path, made.getvalue())
    assert soundfile.info(path).frames == 320 * 8
    assert audio.info(path).n_samples == len(decoded(path)) == 320 * 7
    # Times by a program that takes the noise for sound still fit.
    assert len(decoded(path, start=0.1, end=0.32)) == 320 * 7 - 800


@pytest.mark.parametrize("counted", [8, 36, 44])
def test_a_size_that_counts_the_header_too_is_no_loss(tmp_path: Path, counted: int) -> None:
    n = len(SOUND)
    path = written(tmp_path, wav(SOUND, size=n + counted, riff=n + 36))
    assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000)
    with pytest.raises(InputError, match="cut short"):
        audio.info(written(tmp_path, wav(SOUND, size=n + counted, riff=n + 36 + counted)))


@pytest.mark.parametrize(
    ("container", "pattern"),
    [("WAV", b"data"), ("AU", b".snd\0\0\0\x18"), ("AIFF", b"SSND"), ("CAF", b"data")],
)
def test_files_of_open_size_that_were_joined(
    tmp_path: Path, container: str, pattern: bytes
) -> None:
    one = opened(container, pattern, b"\xff" * (8 if container == "CAF" else 4))
    path = written(tmp_path, one * 3)
    assert "3 recordings joined" in audio.info(path).note
    assert np.array_equal(decoded(path), np.tile(decoded(written(tmp_path, one, "b.au")), 3))


@pytest.mark.parametrize("container", ["W64", "CAF"])
def test_headers_that_libsndfile_repeats_in_a_pipe_are_no_sound(
    tmp_path: Path, container: str
) -> None:
    whole = sound(container, "PCM_16")
    header = whole[: -len(SOUND)]
    pattern = b"data" + (bytes.fromhex("f3acd3118cd100c04f8edb8a") if container == "W64" else b"")
    at = header.index(pattern) + len(pattern)
    size = struct.pack("<Q", 23) if container == "W64" else struct.pack(">Q", 4)
    opened = header[:at] + size + header[at + 8 :]
    path = written(tmp_path, opened + opened + whole[len(header) :] + header)
    assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000)
    assert np.array_equal(decoded(path), decoded(written(tmp_path, whole, "b.wav")))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF, 0x7FFFFFFF])
def test_sizes_left_open_are_no_damage(tmp_path: Path, size: int, riff: int) -> None:
    path = written(tmp_path, wav(SOUND, size=size, riff=riff))
    assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000)
    assert np.array_equal(decoded(path), decoded(written(tmp_path, wav(SOUND), "b.wav")))


def opened(container: str, pattern: bytes, value: bytes) -> bytes:
    """A file whose bytes behind a pattern are others."""
    content = sound(container, "PCM_16")
    at = content.index(pattern) + len(pattern)
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize(
    "content",
    [
        opened("AU", b".snd\0\0\0\x18", b"\xff" * 4),
        opened("AU", b".snd\0\0\0\x18", bytes(4)),
        opened("CAF", b"data", b"\xff" * 8),
        opened("RF64", b"ds64\x1c\0\0\0", bytes(24)),
        opened("RF64", b"ds64\x1c\0\0\0", b"\xff" * 8 + bytes(16)),
        opened("AIFF", b"SSND", struct.pack(">I", 0x7FFFF000)),
        opened("AIFF", b"SSND", struct.pack(">I", 0x7F000008)),  # sox
        opened("AIFF", b"SSND", bytes(4)),
        opened("NIST", b"", sound("NIST", "PCM_16").replace(b"sample_count", b"other_field_")),
        opened("W64", b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"), bytes(8)),
    ],
)
def test_other_containers_leave_sizes_open_too(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    header = audio.info(path)
    assert header == audio.AudioInfo(16_000, 1, 6000)
    assert np.array_equal(decoded(path), decoded(written(tmp_path, sound("AU", "PCM_16"))))


@pytest.mark.parametrize(
    "tail",
    [
        chunk(b"LIST", b"INFOISFT" + bytes(100))[:-50],
        chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 3) + b"ab\0\0"),
        chunk(b"id3 ", b"x" * 100) + chunk(b"cue ", bytes(28)),
        chunk(b"_PMX", b"<x>" * 1000),
        chunk(b"ID3 ", b"ID3\3\0\0\0\0\0\x0a" + bytes(10)),
        b"ID3\3\0\0\0\0\0\x0a" + bytes(10),
        b"TAG" + b"x" * 125,
        bytes(30_000),
        b"\n",
    ],
)
@pytest.mark.parametrize("odd", [0, 1])
def test_what_may_follow_is_no_sound(tmp_path: Path, tail: bytes, odd: int) -> None:
    data = SOUND[: len(SOUND) - odd]  # half a sample at its end
    for pad in (b"\0" * odd, b""):
        path = written(tmp_path, wav(data, tail=pad + tail))
        assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000 - odd)


def test_a_header_of_an_earlier_moment(tmp_path: Path) -> None:
    path = written(tmp_path, wav(SOUND, size=2000, riff=2036))
    header = audio.info(path)
    assert header.n_samples == 6000
    assert header.note == (
        "the header's size was never finished: it promises 2000 bytes of sound; all 12000 that "
        "are there were read"
    )
    assert np.array_equal(decoded(path), decoded(written(tmp_path, wav(SOUND), "b.wav")))


@pytest.mark.parametrize("tail", [b"", chunk(b"LIST", b"INFO" + bytes(20))])
def test_more_than_4_gib(tmp_path: Path, tail: bytes) -> None:
    n = (1 << 32) + len(SOUND)
    head = wav(SOUND, size=n & 0xFFFFFFFF)
    path = written(tmp_path, head)
    with path.open("r+b") as file:
        file.truncate(44 + n)
        file.seek(44 + n)
        file.write(tail)
    assert audio.info(path).n_samples == n // 2
    assert "wrapped at 4 GiB" in audio.info(path).note
    first = np.frombuffer(SOUND, "<i2").astype(np.float32) / 32768
    assert np.array_equal(decoded(path, end=6000 / 16_000), first)
    assert not decoded(path, start=100_000, end=100_001).any()


def test_a_second_chunk_of_sound_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, wav(SOUND, tail=chunk(b"data", SOUND)))
    with pytest.raises(InputError, match="more sound, or something else, begins at byte 12,044"):
        audio.info(path)


def test_mp3_in_a_wav_goes_by_its_frames(tmp_path: Path) -> None:
    mp3 = sound("MP3", "MPEG_LAYER_III")
    plain = decoded(written(tmp_path, mp3, "a.mp3"))
    assert np.array_equal(decoded(written(tmp_path, mp3_in_wav(mp3))), plain)
    assert np.array_equal(decoded(written(tmp_path, mp3, "misnamed.wav")), plain)
    with pytest.raises(InputError, match="cut short"):
        decoded(written(tmp_path, mp3_in_wav(mp3[:-100])))


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"#!AMR\n", "AMR"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"\xff\xf1\x50\x80", "AAC"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path: Path, head: bytes, found: str) -> None:
    with pytest.raises(InputError, match=f"{found}.*isn't read here") as caught:
        audio.info(written(tmp_path, head + bytes(range(256)) * 8, "a.m4a"))
    assert "ffmpeg" in str(caught.value.remedy)


def test_a_shortened_sphere_is_named(tmp_path: Path) -> None:
    content = sound("NIST", "PCM_16").replace(
        b"sample_coding -s3 pcm", b"sample_coding -s26 pcm,embedded-shorten-v2.00"
    )
    with pytest.raises(InputError, match="embedded-shorten") as caught:
        audio.info(written(tmp_path, content))
    assert "sph2pipe" in str(caught.value.remedy)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "AU"])
def test_a_tag_before_other_containers_is_passed_over(tmp_path: Path, container: str) -> None:
    whole = sound(container, "PCM_16")
    path = written(tmp_path, ID3V2 * 2 + whole)
    assert audio.info(path).note == ""
    assert np.array_equal(decoded(path), decoded(written(tmp_path, whole, "b.wav")))


def test_a_chunk_without_its_padding_byte_before_the_sound(tmp_path: Path) -> None:
    whole = wav(SOUND)
    unpadded = b"LIST" + struct.pack("<I", 5) + b"INFOx"
    path = written(tmp_path, whole[:12] + unpadded + whole[12:])
    assert np.array_equal(decoded(path), decoded(written(tmp_path, whole, "b.wav")))


ID3V1 = b"TAG" + b"x" * 125
APE = b"APETAGEX" + struct.pack("<III", 2000, 32, 0) + bytes(12)
ID3V2 = b"ID3\4\0\0\0\0\1\0" + bytes(128)
FOOTED = b"ID3\4\0\x10\0\0\0\x40" + bytes(64) + b"3DI\4\0\x10\0\0\0\x40"
"""An ID3v2 tag with a footer, by which it is found from the end."""


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (ID3V2, b""),
        (ID3V2 * 2, ID3V1),
        (b"", APE),
        (b"", APE + ID3V1),
        (b"", bytes(3000)),
        (b"", FOOTED),
        (b"", ID3V2 + ID3V1),
        (ID3V2, APE + FOOTED),
    ],
)
def test_tags_around_mp3_are_no_sound(tmp_path: Path, before: bytes, behind: bytes) -> None:
    mp3 = sound("MP3", "MPEG_LAYER_III")
    plain = decoded(written(tmp_path, mp3))
    path = written(tmp_path, before + mp3 + behind, "b.mp3")
    assert np.array_equal(decoded(path), plain)
    assert audio.info(path).note == ""


def test_a_tag_that_claims_more_than_is_there_hides_no_recording(tmp_path: Path) -> None:
    mp3, tag = sound("MP3", "MPEG_LAYER_III"), b"ID3\4\0\0\0\7\0\0" + bytes(100)
    with pytest.raises(InputError, match="no MPEG frame"):
        audio.info(written(tmp_path, mp3 + tag + mp3, "b.mp3"))


def test_tagged_mp3_are_joined(tmp_path: Path) -> None:
    mp3, tag = sound("MP3", "MPEG_LAYER_III"), b"ID3\3\0\0\0\0\x07\x76" + bytes(1014)
    path = written(tmp_path, (tag + mp3 + b"TAG" + b"x" * 125) * 2)
    assert "2 recordings joined" in audio.info(path).note
    assert np.array_equal(decoded(path), np.tile(decoded(written(tmp_path, mp3, "b.mp3")), 2))


def test_an_aiff_with_an_id3_chunk(tmp_path: Path) -> None:
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    path = written(tmp_path, sound("AIFF", "PCM_16") + b"ID3 " + struct.pack(">I", 20) + tag)
    assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000)


def voc(*blocks: tuple[int, bytes, int]) -> bytes:
    """Of (type, content, size to be written)."""
    made = [bytes([kind]) + size.to_bytes(3, "little") + data for kind, data, size in blocks]
    return b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11" + b"".join(made) + b"\0"


def test_blocks_of_voc(tmp_path: Path) -> None:
    head = struct.pack("<IBBHI", 16_000, 16, 1, 4, 0)
    data, n = head + SOUND, len(SOUND)
    for size in (n + 12, n + 4):  # sox writes the latter
        path = written(tmp_path, voc((9, data, size)))
        assert audio.info(path) == audio.AudioInfo(16_000, 1, 6000)
    with pytest.raises(InputError, match="cut short"):
        audio.info(written(tmp_path, voc((9, data, n + 12))[:-1000]))
    with pytest.raises(InputError, match="several blocks"):
        audio.info(written(tmp_path, voc((9, data[:6012], 6012), (2, data[6012:], n - 6000))))


def test_mp3_without_a_table_is_walked(tmp_path: Path) -> None:
    mp3 = sound("MP3", "MPEG_LAYER_III", 20_000)
    bare = mp3[mp3.index(b"\xff\xf3", 4) :]
    path = written(tmp_path, bare, "a.mp3")
    n_frames = len(range(0, 20_000 + 1105, 576))
    assert audio.info(path).n_samples == n_frames * 576  # libsndfile takes it for 11,088
    delay = 1105  # of the encoder and the decoder: without the table, nothing says it
    assert np.allclose(decoded(path)[delay:][:20_000], decoded(written(tmp_path, mp3, "t.mp3")))
    with pytest.raises(InputError, match="last MPEG frame promises"):
        audio.info(written(tmp_path, bare[:-10], "b.mp3"))


def test_frames_beyond_the_table_are_read(tmp_path: Path) -> None:
    mp3 = sound("MP3", "MPEG_LAYER_III", 20_000)
    bare = mp3[mp3.index(b"\xff\xf3", 4) :]
    path = written(tmp_path, mp3 + bare, "a.mp3")
    assert len(decoded(path)) >= 40_000
    assert "more follow and were read" in audio.info(path).note


def test_an_ogg_without_its_last_page_is_noticed(tmp_path: Path) -> None:
    content = sound("OGG", "VORBIS", 60_000)
    last = content.rindex(b"OggS")
    header = audio.info(written(tmp_path, content[:last], "a.ogg"))
    assert 0 < header.n_samples < 60_000
    assert "not marked as the last" in header.note
    second = content.rindex(b"OggS", 0, last)
    with pytest.raises(InputError, match="Ogg pages are missing"):
        audio.info(written(tmp_path, content[:second] + content[last:], "b.ogg"))


def test_a_damaged_ogg_page_is_refused(tmp_path: Path) -> None:
    content = bytearray(sound("OGG", "VORBIS", 60_000))
    content[len(content) // 2] ^= 1
    with pytest.raises(InputError, match="wrong checksum"):
        audio.info(written(tmp_path, bytes(content), "a.ogg"))


@pytest.mark.parametrize("promised", [0, 1, 5000])
def test_flac_goes_on_behind_its_promise(tmp_path: Path, promised: int) -> None:
    whole = sound("FLAC", "PCM_16", 30_000)
    packed = int.from_bytes(whole[18:26], "big") >> 36 << 36 | promised
    path = written(tmp_path, whole[:18] + packed.to_bytes(8, "big") + whole[26:], "a.flac")
    assert np.array_equal(decoded(path), decoded(written(tmp_path, whole, "b.flac")))
    assert ("never finished" in audio.info(path).note) == (promised > 0)


@pytest.mark.parametrize("name", ["a.au", "a.snd", "a.vox", "a.gsm", "a.wav"])
def test_text_is_no_sound_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, b"This is a text, and no sound at all. " * 100, name)
    with pytest.raises(InputError, match="not a readable sound file"):
        audio.info(path)


def patched(container: str, offset: int, value: bytes) -> bytes:
    content = sound(container, "PCM_16")
    return content[:offset] + value + content[offset + len(value) :]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (patched("WAV", 24, struct.pack("<I", 16_800_000)), "a sample rate of 16,800,000 Hz"),
        (patched("WAV", 24, struct.pack("<i", -16_000)), "a sample rate of"),
        (patched("WAV", 24, struct.pack("<I", 0)), "a sample rate of 0 Hz"),
        (patched("WAV", 22, struct.pack("<H", 0)), "0 channels|not a readable"),
        (patched("WAV", 22, struct.pack("<H", 60_000)), "60000 channels"),
        (patched("AU", 16, struct.pack(">I", 1 << 31)), "a sample rate of"),
        (patched("AIFF", 28, b"\xff\xff"), "a sample rate of nan"),
        (patched("AIFF", 28, b"\xc0\x0c"), "a sample rate of -16,000 Hz"),
        (patched("CAF", 20, struct.pack(">d", np.nan)), "a sample rate of nan"),
        (patched("HTK", 4, bytes(4)), "a sample period of 0"),
        (patched("MAT4", 31, struct.pack("<d", np.nan)), "sample rate|not a readable"),
        (patched("W64", 56, b"\xff" * 7 + b"\x7f"), "no 'data' chunk"),
        (patched("FLAC", 21, b"\xff\xff\xff\xff\xff"), "promises|can't be decoded|readable"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        decoded(written(tmp_path, content))
    assert caught.value.path == tmp_path / "a.wav"


SEEKS = ["PCM_16", "PCM_24", "FLOAT", "ULAW"]
CODECS = [("WAV", codec) for codec in SEEKS] + [
    ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("AU", "G721_32"),
    ("AIFF", "GSM610"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("PAF", "PCM_24"), ("SDS", "PCM_16"),
    ("XI", "DPCM_16"),
]  # fmt: skip


@pytest.fixture(scope="module", params=CODECS, ids="-".join)
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """A file of 1 s or more, and all of its samples."""
    path = tmp_path_factory.mktemp("parts") / "a.bin"
    path.write_bytes(sound(*request.param, 20_000))
    return path, decoded(path)


times = st.floats(0, 1).map(lambda x: round(x, 4))
parts = st.lists(
    st.tuples(times, times).filter(lambda p: abs(p[0] - p[1]) > 0.001), min_size=1, max_size=6
)


@settings(max_examples=10, deadline=None)
@given(chosen=parts)
def test_a_part_is_the_slice_of_the_whole(
    recording: tuple[Path, np.ndarray], chosen: list[tuple[float, float]]
) -> None:
    path, whole = recording
    rate = audio.info(path).sample_rate
    seconds = len(whole) / rate
    asked = [Part(min(p) * seconds, max(p) * seconds) for p in chosen]
    asked.append(Part(start=(len(whole) - 300) / rate))
    slices = [
        whole[round(p.start * rate) : len(whole) if p.end is None else round(p.end * rate)]
        for p in asked
    ]
    for part, expected in zip(asked, slices, strict=True):
        assert np.array_equal(decoded(path, start=part.start, end=part.end), expected)
    together = audio.read_parts(path, asked, sample_rate=rate)
    for wave, expected in zip(together, slices, strict=True):
        assert np.array_equal(wave, expected)
    resampled = audio.read_parts(path, asked, sample_rate=12_000)
    for wave, expected in zip(resampled, slices, strict=True):
        assert np.array_equal(wave, audio.resample(expected, rate, 12_000))


@pytest.mark.parametrize(("container", "codec"), [("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_one_bad_part_does_not_keep_others_from_being_read(
    tmp_path: Path, container: str, codec: str
) -> None:
    path = written(tmp_path, sound(container, codec))
    asked = [Part(5, 6), Part(0.1, 0.2), Part(0, 0.1, channel=2), Part(), Part(0.3, float("nan"))]
    last = [block for block in audio.blocks(path, asked) if block.is_last]
    assert sorted(block.part for block in last) == [0, 1, 2, 3, 4]
    assert {block.part for block in last if block.error} == {0, 2, 4}
    for block in last:
        if block.error:
            with pytest.raises(InputError) as caught:
                audio.read(path, **asked[block.part]._asdict())
            assert str(caught.value) == str(block.error)


def test_damage_spoils_only_the_parts_it_lies_in(tmp_path: Path) -> None:
    content = bytearray(sound("FLAC", "PCM_16", 100_000))
    content[len(content) // 2] ^= 0xFF
    path = written(tmp_path, bytes(content), "a.flac")
    asked = [Part(0, 1), Part(2, 4), Part(5, 6)]
    last = {block.part: block for block in audio.blocks(path, asked) if block.is_last}
    assert [last[i].error is None for i in range(3)] == [True, False, True]
    with pytest.raises(InputError, match="100000 samples"):
        audio.read(path)


def test_blocks_together_are_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path, sound("WAV", "PCM_16", 200_000, channels=2))
    found = list(audio.blocks(path, sample_rate=11_025))
    assert len(found) > 3
    assert max(len(block.wave) for block in found) < 70_000
    whole = audio.read(path, sample_rate=11_025)
    assert np.array_equal(np.concatenate([block.wave for block in found]), whole)
    both = np.frombuffer(path.read_bytes()[44:], "<i2").reshape(-1, 2) / np.float32(32768)
    expected = audio.resample(both.mean(axis=1), 16_000, 11_025)
    assert np.array_equal(whole, expected)


def test_levels_tell_channels_that_differ_or_cancel(tmp_path: Path) -> None:
    wave = samples(100_000)[:, 0]
    rms = float(np.sqrt(np.mean(wave.astype(float) ** 2)))
    for other, mean, apart in ((wave, rms, 0), (-wave, 0, rms), (0 * wave, rms / 2, rms / 2)):
        soundfile.write(tmp_path / "a.wav", np.stack([wave, other], 1), 16_000, subtype="FLOAT")
        levels = next(b.levels for b in audio.blocks(tmp_path / "a.wav") if b.is_last)
        assert levels is not None
        assert levels.rms[0] == pytest.approx(rms, rel=1e-4)
        assert levels.mean_rms == pytest.approx(mean, rel=1e-4)
        assert levels.difference_rms == pytest.approx(apart, rel=1e-4)
    one = next(b for b in audio.blocks(tmp_path / "a.wav", [Part(channel=1)]) if b.is_last)
    assert one.levels is None


@pytest.mark.parametrize(("container", "codec"), ALL)
def test_damaged_files_are_read_or_refused(tmp_path: Path, container: str, codec: str) -> None:
    rng = np.random.default_rng(ALL.index((container, codec)))
    whole = sound(container, codec, 3000)
    for _ in range(12):
        content = bytearray(whole)
        for at in rng.integers(0, min(len(content), rng.choice([100, len(content)])), 3):
            content[at] = rng.choice([0, 0xFF, 0x7F, rng.integers(256)])
        if rng.random() < 0.3:
            del content[rng.integers(len(content)) :]
        path = written(tmp_path, bytes(content))
        try:
            header = audio.info(path)
        except InputError:  # anything else is a failure
            continue
        assert 0 < header.n_samples <= 8192 * len(content)
        for block in audio.blocks(path, [Part(), Part(0, 0.01)]):
            assert block.error is None or block.error.path == path


def test_a_width_that_the_header_contradicts_is_refused(tmp_path: Path) -> None:
    content = bytearray(sound("WAV", "PCM_16"))
    at = content.index(b"fmt ") + 8
    content[at + 12 : at + 14] = (4).to_bytes(2, "little")  # of a mono file: 2
    with pytest.raises(InputError, match="says 16 bits, but 4 bytes for each sample"):
        decoded(written(tmp_path, bytes(content)))
