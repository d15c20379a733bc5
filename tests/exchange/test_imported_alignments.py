"""Alignments through the imports: what comes in, what is said."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from zerochain.corpora.build import findings
from zerochain.corpora.folder import import_folder
from zerochain.errors import InputError
from zerochain.exchange.kaldi import import_kaldi
from zerochain.exchange.textgrid import textgrid_text
from zerochain.formats.corpus import CorpusWarning
from zerochain.formats.phones import PHONES_FILE, read_phones

LINE = [(1.0, 1.25, "p"), (1.25, 1.5, "a"), (1.5, 1.75, "t"), (1.75, 2.0, "a")]


def wav(path: Path, seconds: float, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(path, noise, rate)


def textgrid(path: Path, lasting: float, name: str, line: list[tuple[float, float, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textgrid_text(lasting, {name: line}), encoding="utf-8")


def phones(corpus: Path) -> dict[str, list[tuple[float, str]]]:
    by_id = read_phones(corpus / PHONES_FILE).by_id
    return {name: [(round(p.onset, 3), p.phone) for p in line] for name, line in by_id.items()}


def test_a_table_s_segments(tmp_path: Path) -> None:
    wav(tmp_path / "rec" / "u1.wav", 4, rate=8000)
    textgrid(tmp_path / "rec" / "u1.TextGrid", 4, "phones", LINE)
    table = tmp_path / "t.tsv"
    table.write_text("file\tid\tstart\tend\nu1.wav\tu1\t0.9\t3.1\nu1.wav\tz\t0\t1.2\n")
    with pytest.warns(CorpusWarning, match="8000 Hz"):
        corpus = import_folder(
            tmp_path / "rec", tmp_path / "c", table=table, alignments=tmp_path / "rec"
        )
    found = phones(tmp_path / "c")
    assert found["u1"] == [(0.1, "p"), (0.35, "a"), (0.6, "t"), (0.85, "a")]
    assert found["z"] == [(1.0, "p")]
    assert "1 phone clipped at an utterance's edge" in findings(corpus)


def test_kaldi_s_segments_and_recording_ids(tmp_path: Path) -> None:
    data = tmp_path / "data"
    wav(data / "audio" / "x.wav", 4)
    (data / "wav.scp").write_text("call audio/x.wav\n")
    (data / "segments").write_text("call-a call 0.9 1.5\ncall-b call 1.5 2.1\n")
    ctm = tmp_path / "phones.ctm"
    ctm.write_text("".join(f"call 1 {on} {off - on} {label}_B\n" for on, off, label in LINE))
    import_kaldi(data, tmp_path / "c", alignments=ctm, strip_word_positions=True)
    assert phones(tmp_path / "c") == {
        "call-a": [(0.1, "p"), (0.35, "a")],
        "call-b": [(0.0, "t"), (0.25, "a")],
    }
    ctm.write_text("call-a 1 0.1 0.2 p\ncall-b 1 0.1 0.2 t\n")
    import_kaldi(data, tmp_path / "own", alignments=ctm)
    assert phones(tmp_path / "own") == {"call-a": [(0.1, "p")], "call-b": [(0.1, "t")]}
    for times, onset in (("recording", 0.2), ("utterance", 1.1)):
        ctm.write_text("call-a 1 1.1 0.2 p\n")
        (data / "segments").write_text("call-a call 0.9 3.1\n")
        out = tmp_path / times
        import_kaldi(data, out, alignments=ctm, alignment_times=times)
        assert phones(out) == {"call-a": [(onset, "p")]}


def test_fifty_files_without_the_tier_are_one_line(tmp_path: Path) -> None:
    for i in range(8):
        wav(tmp_path / "rec" / f"{i}.wav", 0.2)
        textgrid(tmp_path / "rec" / f"{i}.TextGrid", 0.2, "phoneme-s", [(0, 0.2, "a")])
    with pytest.raises(InputError) as caught:
        import_folder(tmp_path / "rec", tmp_path / "c", alignments=tmp_path / "rec")
    message = str(caught.value)
    assert message.count("has no interval tier") == message.count("tier='phoneme-s'") == 1
    assert "8 files: " in message
    import_folder(tmp_path / "rec", tmp_path / "c", alignments=tmp_path / "rec", tier="PHONEME-?")
    assert len(phones(tmp_path / "c")) == 8


@pytest.mark.parametrize("table", [False, True])
def test_a_textgrid_of_another_recording_is_noticed(tmp_path: Path, table: bool) -> None:
    for name, lasting in (("u", 2.0), ("v", 4.0)):
        wav(tmp_path / "rec" / f"{name}.wav", 4)
        textgrid(tmp_path / "rec" / f"{name}.TextGrid", lasting, "phones", [(0.5, 1.0, "a")])
    rows = [f"{name}.wav\t{name}{i}\t{2 * i}\t{2 * i + 2.5 - i}" for name in "uv" for i in (0, 1)]
    (tmp_path / "t.tsv").write_text("\n".join(["file\tid\tstart\tend", *rows]))
    with pytest.warns(
        CorpusWarning, match=r"1 TextGrid longer or shorter .*u.TextGrid \(2 s, not 4"
    ):
        import_folder(
            tmp_path / "rec",
            tmp_path / "c",
            table=tmp_path / "t.tsv" if table else None,
            alignments=tmp_path / "rec",
        )


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    wav(tmp_path / "rec" / "u.wav", 1)
    try:
        textgrid(tmp_path / odd / "u.TextGrid", 1, "phones", [(0, 1, "SIL")])
    except OSError:
        pytest.skip("file names are text here")
    textgrid(tmp_path / odd / f"{odd}.TextGrid", 1, "phones", [(0, 1, "a")])
    with pytest.warns(CorpusWarning, match=r"caf\\udce9"):
        corpus = import_folder(
            tmp_path / "rec", tmp_path / odd / "c", alignments=tmp_path / odd, skip_bad=True
        )
    found = "".join(findings(corpus))
    assert r"caf\udce9.TextGrid" in found  # can't be an id
    assert r"caf\udce9/u.TextGrid" in found  # without a phone
    (tmp_path / "rec" / "u.wav").rename(tmp_path / odd / "u.wav")
    (tmp_path / odd / "wav.scp").write_text("u u.wav\n")
    for make in (import_folder, import_kaldi):
        with pytest.raises(InputError, match="the folder's path is not text"):
            make(tmp_path / odd, tmp_path / "d")


def test_what_deserves_a_look_is_kept_and_said(tmp_path: Path) -> None:
    wav(tmp_path / "rec" / "u.wav", 1)
    (tmp_path / "u.phn").write_text("0 0 p\n0 0.5 <p:>\n")
    with pytest.warns(CorpusWarning):
        corpus = import_folder(tmp_path / "rec", tmp_path / "c", alignments=tmp_path / "u.phn")
    assert "1 label without length left out" in findings(corpus)
    assert any(line.startswith("1 alignment without a phone: ") for line in findings(corpus))
