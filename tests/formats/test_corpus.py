import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.phones import Phone, Phones, read_phones

LINE = Utterance(id="a", audio="a.wav", duration=1.0)


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    names = draw(st.lists(utterance_ids, min_size=1, max_size=8, unique=True))
    maybe_text = st.none() | st.text(st.characters(codec="utf-8"))
    lines = []
    for name in names:
        start = draw(st.none() | st.floats(0, 1e4))
        duration = draw(st.floats(1e-3, 1e4))
        lines.append(
            Utterance(
                id=name,
                audio=f"{name}.wav",
                duration=duration,
                speaker=draw(maybe_text),
                start=start,
                end=None if start is None else start + duration,
                split=draw(maybe_text),
                text=draw(maybe_text),
            )
        )
    return Corpus(
        name=draw(st.text(st.characters(codec="utf-8"))),
        utterances=tuple(lines),
        language=draw(st.text(st.characters(codec="utf-8"))),
        record={"skipped": [{"file": one, "id": one} for one in draw(st.lists(utterance_ids))]},
    )


@given(corpus=corpora())
def test_reads_what_was_written(tmp_path_factory: Any, corpus: Corpus) -> None:
    folder = tmp_path_factory.mktemp("c") / "corpus"
    written = write_corpus(folder, corpus)
    read = read_corpus(folder)
    assert read == written == replace(corpus, folder=folder)
    assert read.id == written.id


def test_the_id_follows_the_content(tmp_path: Path) -> None:
    one = write_corpus(tmp_path / "1", Corpus("c", (LINE,)))
    same = write_corpus(tmp_path / "2", Corpus("c", (LINE,)))
    other = write_corpus(tmp_path / "3", Corpus("c", (replace(LINE, text="x"),)))
    assert one.id == same.id != other.id


def test_a_part_keeps_the_id_of_the_whole(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(6)
    part = corpus.select(split="test", speaker="ana")
    assert part.ids == ["u2"]
    assert part.id == corpus.id
    assert part.audio_path(part.utterances[0]).is_file()


def test_select_nothing_lists_what_there_is(make_corpus: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError, match=r"split 'dev'.*splits: test, train; speakers: ana, béa"):
        make_corpus().select(split="dev")


def test_audio_relative_to_the_corpus_moves_with_it(tmp_path: Path) -> None:
    write_corpus(tmp_path / "here", Corpus("c", (LINE,), audio_root="wav"))
    (tmp_path / "here").rename(tmp_path / "there")
    corpus = read_corpus(tmp_path / "there")
    assert corpus.audio_path(corpus.utterances[0]) == tmp_path / "there/wav/a.wav"


def test_an_unwritten_corpus_has_no_id() -> None:
    with pytest.raises(InputError, match="never written"):
        _ = Corpus("c", (LINE,)).id


def test_phones_come_back_and_must_be_of_the_corpus(tmp_path: Path) -> None:
    phones = Phones({"a": [Phone(0.0, 0.5, "ŋ"), Phone(0.5, 1.0, "á")]}, source="by hand")
    write_corpus(tmp_path / "c", Corpus("c", (LINE,)), phones)
    assert read_phones(tmp_path / "c" / "phones.parquet") == phones
    stray = Phones({"zz": [Phone(0.0, 0.5, "ŋ")]})
    with pytest.raises(InputError, match="id of the phones is missing in the corpus c: zz"):
        write_corpus(tmp_path / "d", Corpus("c", (LINE,)), stray)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), "holds no utterance"),
        ((LINE, LINE), "1 duplicate id: a"),
        ((replace(LINE, audio="../a.wav"),), "not a path inside the audio folder"),
        ((replace(LINE, audio="x/../../a.wav"),), "not a path inside the audio folder"),
        ((replace(LINE, audio="/etc/passwd"),), "not a path inside the audio folder"),
        ((replace(LINE, audio=""),), "not a path inside the audio folder"),
        ((replace(LINE, audio="a\0.wav"),), "not a path inside the audio folder"),
        ((replace(LINE, id="../a"),), "can't be an utterance's id"),
        ((replace(LINE, id=""),), "can't be an utterance's id"),
        ((replace(LINE, id="a\nb"),), "can't be an utterance's id"),
        ((replace(LINE, id="e\u0301"),), "composed form"),
        ((replace(LINE, duration=0.0),), "is impossible"),
        ((replace(LINE, duration=float("nan")),), "is impossible"),
        ((replace(LINE, duration=-1.0),), "is impossible"),
        ((replace(LINE, start=-1.0, end=2.0),), "is impossible"),
        ((replace(LINE, start=2.0, end=1.0),), "not after its start"),
        ((replace(LINE, start=0.0, end=float("nan")),), "not after its start"),
        ((replace(LINE, start=0.0, end=float("inf")),), "not after its start"),
    ],
)
def test_refuses(tmp_path: Path, lines: tuple[Utterance, ...], found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        write_corpus(tmp_path / "c", Corpus("c", lines))
    assert caught.value.remedy
    assert str(caught.value).startswith(str(tmp_path / "c"))
    assert list(tmp_path.iterdir()) == []


def test_an_edited_table_is_refused_when_read(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    write_corpus(folder, Corpus("c", (LINE,)))
    path = folder / "utterances.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["audio"] = "../../etc/passwd"
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    with pytest.raises(InputError, match="not a path inside") as caught:
        read_corpus(folder)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "not a corpus"),
        ('{"kind": "corpus", "ver', "is not JSON"),
        ("[1]", "holds a JSON list"),
        (b"\xff\xfe\x00", "is not JSON"),
        ('{"kind": "features", "version": 1}', "holds a 'features', not a 'corpus'"),
        ('{"kind": "corpus", "version": 99}', "version 99; this zerochain reads version 1"),
        ('{"kind": "corpus"}', "version None"),
    ],
)
def test_refuses_another_header(tmp_path: Path, text: str | bytes | None, found: str) -> None:
    folder = tmp_path / "c"
    write_corpus(folder, Corpus("c", (LINE,)))
    (folder / "corpus.json").unlink()
    if text is not None:
        (folder / "corpus.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=found) as caught:
        read_corpus(folder)
    assert caught.value.path == folder / "corpus.json"
    assert caught.value.remedy


def test_a_file_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("hello")
    with pytest.raises(InputError, match="is not a corpus"):
        read_corpus(tmp_path / "c")


def test_the_header_is_plain_json(tmp_path: Path) -> None:
    write_corpus(tmp_path / "c", Corpus("mbóɔ́shi", (LINE,), language="mdw", record={"n": 2}))
    header = json.loads((tmp_path / "c" / "corpus.json").read_text(encoding="utf-8"))
    assert header["kind"] == "corpus"
    assert (header["name"], header["language"], header["record"]) == ("mbóɔ́shi", "mdw", {"n": 2})
