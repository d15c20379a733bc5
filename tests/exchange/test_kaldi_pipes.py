"""Commands of wav.scp: which file they decode, and what is refused because they do more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.exchange.kaldi_pipes import decoded_file


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sph2pipe -f wav -p x.sph", ("x.sph", None, None)),
        ("/opt/kaldi/sph2pipe_v2.5/sph2pipe -f wav -p -c 2 x.sph", ("x.sph", 2, None)),
        ("sph2pipe x.sph -f wav -c 1 -p | ffmpeg -threads 1 -i pipe:0 -ar 8000 -f wav pipe:1",
         ("x.sph", 1, 8000)),
        ("sph2pipe -f wav -p -c 2 x.sph | sox -t wav - -r 16000 -c 1 -t wav - remix 1",
         ("x.sph", 2, 16_000)),
        ("sox x.mp3 -t wav -", ("x.mp3", None, None)),
        ("sox -t flac x.flac -t wav -r 16k -b 16 -e signed-integer - channels 1",
         ("x.flac", None, 16_000)),
        ("sox -G x.flac -b16 -r16k -esigned-integer -c1 -twav -", ("x.flac", None, 16_000)),
        ("sox a=b.wav --bits=16 --rate=8000 --type=wav -", ("a=b.wav", None, 8000)),
        ("sox x.wav -t wav - rate -v 22050 dither 2> /dev/null", ("x.wav", None, 22_050)),
        ("ffmpeg -i 'my talk.m4a' -f wav -ar 16000 -ab 256k - 2>/dev/null",
         ("my talk.m4a", None, 16_000)),
        ("ffmpeg -i my talk.m4a -ar 16000 -map_channel 0.0.1  -f wav pipe:1",
         ("my talk.m4a", 2, 16_000)),
        ("ffmpeg -y -i x.wav -af 'pan=mono|c0=c1' -f wav -", ("x.wav", 2, None)),
        ("flac -c -d -s x.flac", ("x.flac", None, None)),
        ("cat x.flac | flac -cds -", ("x.flac", None, None)),
        ("cat 'a (1).wav'", ("a (1).wav", None, None)),
        ("wav-copy x.wav -", ("x.wav", None, None)),
        ("mpg123 -q -w - x.mp3", ("x.mp3", None, None)),
        ("lame --decode --quiet x.mp3 -", ("x.mp3", None, None)),
    ],
)  # fmt: skip
def test_the_file_is_taken(command: str, expected: tuple[object, ...]) -> None:
    assert decoded_file(command) == expected


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sox x.wav -t wav - speed 1.1", "makes sox do 'speed'"),
        ("sox x.wav -t wav - trim 0 10", "makes sox do 'trim'"),
        ("sox --vol 0.5 -t wav x.wav -t wav -", "gives sox '--vol'"),
        ("sox x.wav -t wav - remix 1,2", "channel '1,2'"),
        ("sox x.wav -t wav - remix 0", "channel '0'"),
        ("sox a.wav b.wav -t wav -", "doesn't decode one file"),
        ("sox x.wav y.wav", "doesn't decode one file"),
        ("sox x.wav -c 2 -t wav -", "'2' channels"),
        ("sox x.wav -c2 -t wav -", "'2' channels"),
        ("sox -v0.5 x.wav -t wav -", "gives sox '-v0.5'"),
        ("sox x.wav -t wav - rate fast", "a rate of 'fast'"),
        ("sph2pipe -f wav -p -t 0:10 x.sph", "gives sph2pipe '-t'"),
        ("ffmpeg -ss 10 -i x.wav -f wav -", "gives ffmpeg '-ss'"),
        ("ffmpeg -i x.wav -af volume=2 -f wav -", "gives ffmpeg '-af volume=2'"),
        ("ffmpeg -i x.wav -i y.wav -f wav -", "reads 2 files"),
        ("ffmpeg -i x.wav y.wav", "doesn't decode one file"),
        ("flac -cds --skip=100 x.flac", "gives flac '--skip=100'"),
        ("wav-copy scp:x.scp -", "archives"),
        ("wav-reverberate x.wav -", "runs 'wav-reverberate'"),
        ("gunzip -c x.wav.gz", "runs 'gunzip'"),
        ("cat a.wav b.wav", "reads 2 files"),
        ("cat", "reads no file"),
        ("cat x.wav | cat y.wav", "reads 2 files"),
        ("flac -cds -", "reads no file"),
        ("cat x.wav; rm -rf y", "holds ';'"),
        ("cat x.wav && rm y", "holds '&&'"),
        ("cat $HOME/x.wav", "a shell would have to"),
        ("cat `ls`", "a shell would have to"),
        ("cat 'x.wav", "isn't a command"),
        ("sph2pipe -c 2 x.sph | sox -t wav - -t wav - remix 2", "selects a channel twice"),
        ("", "names no program"),
        ("cat x.wav |", "names no program"),
        ("cat x.wav > y.wav", "a shell would have to"),
    ],
)
def test_whatever_does_more_is_refused(command: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"a command that .*{said}.*: write its output to a file"):
        decoded_file(command)


words = st.sampled_from(
    ["sox", "cat", "ffmpeg", "flac", "sph2pipe", "mpg123", "wav-copy", "-", "|", "-i", "-c", "1",
     "x.wav", "-t", "wav", "remix", "rate", "'", '"', "2", ">", "/dev/null", "-ar", "16k", "\\"]
)  # fmt: skip


@given(st.lists(words, max_size=8).map(" ".join))
def test_nothing_else_happens(command: str) -> None:
    try:
        decoded = decoded_file(command)
    except InputError:
        return
    assert decoded.file
    assert decoded.channel is None or decoded.channel > 0
