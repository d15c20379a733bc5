import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.items import (
    Item,
    frame_span,
    is_pause,
    phone_items,
    read_items,
    triphone_items,
    write_items,
)

LINE = ["SIL", "a", "b", "c", "sp", "d", "e", "f"]
PHONES = Phones({"u": [Phone(i / 10, (i + 1) / 10, p) for i, p in enumerate(LINE)]}, "test")


def test_triphones_are_whole_and_never_touch_silence():
    items, excluded = triphone_items(PHONES, {"u": "ana"})
    assert items == [
        Item("u", 0.1, 0.4, "b", "a", "c", "ana"),
        Item("u", 0.5, 0.8, "e", "d", "f", "ana"),
    ]
    # a and c are next to SIL and sp, d next to sp, f at the edge
    assert excluded == {"silence": 2, "beside_silence": 4}
    assert len(items) + sum(excluded.values()) == len(LINE)


def test_phones_keep_their_neighbours_whatever_they_are():
    items, excluded = phone_items(PHONES, {"u": "ana"})
    assert [(i.previous, i.phone, i.next) for i in items] == [
        ("SIL", "a", "b"), ("a", "b", "c"), ("b", "c", "sp"),
        ("sp", "d", "e"), ("d", "e", "f"), ("e", "f", "#"),
    ]  # fmt: skip
    assert items[0][1:3] == (0.1, 0.2)
    assert excluded == {"silence": 2}


def test_silences_are_the_caller_s_choice():
    items, excluded = triphone_items(PHONES, {"u": "ana"}, silences={"b"})
    assert [i.phone for i in items] == ["sp", "d", "e"]
    assert excluded == {"silence": 1, "beside_silence": 4}


def test_an_unlabelled_gap_is_a_pause():
    line = [Phone(0, 0.1, "a"), Phone(0.1, 0.2, "b"), Phone(0.25, 0.3, "c"), Phone(0.31, 0.4, "d")]
    line.append(Phone(0.4, 0.5, "e"))
    items, excluded = triphone_items(Phones({"u": line}), {"u": "s"})
    assert [i.phone for i in items] == ["d"]
    assert excluded == {"beside_silence": 4}
    assert [i.previous for i in phone_items(Phones({"u": line}), {"u": "s"})[0]] == list("#a#cd")


@given(st.integers(0, 100_000), st.integers(1, 60))
def test_a_gap_of_twenty_milliseconds_is_none_whatever_the_floats(offset_01_ms, shift_ms):
    offset = offset_01_ms / 10_000 + shift_ms / 1000
    assert not is_pause(offset, (offset_01_ms + 200) / 10_000 + shift_ms / 1000)
    assert is_pause(offset, (offset_01_ms + 201) / 10_000 + shift_ms / 1000)


def test_no_speaker_and_no_item_are_errors():
    with pytest.raises(InputError, match="1 utterance without a known speaker: u"):
        triphone_items(PHONES, {"u": None})
    with pytest.raises(InputError, match="leave no item"):
        phone_items(Phones({"u": [Phone(0, 1, "SIL")]}), {"u": "ana"})


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([5.0, 10.0, 20.0, 40.0, 12.5]))
def test_frames_are_those_whose_middle_is_inside(onset_ms, length_ms, step_ms):
    first, last = frame_span(onset_ms / 1000, (onset_ms + length_ms) / 1000, step_ms)
    inside = [
        i for i in range(300)
        if 2 * onset_ms <= (2 * i + 1) * step_ms <= 2 * (onset_ms + length_ms)
    ]  # fmt: skip
    assert list(range(first, last)) == inside


def test_a_boundary_on_a_middle_counts_despite_floats():
    assert frame_span(0.035, 0.065, 10) == (3, 7)
    assert frame_span(0.0351, 0.0649, 10) == (4, 6)


def test_items_come_back_as_written(tmp_path):
    items, _ = triphone_items(PHONES, {"u": "ana"})
    write_items(tmp_path / "x.item", items)
    assert (tmp_path / "x.item").read_text().startswith("#file onset offset #phone prev-phone ")
    assert read_items(tmp_path / "x.item") == items
    bad = [items[0]._replace(previous=""), items[0]._replace(speaker="ana maria", file="a b")]
    said = r"1 phone \(''\), 1 file \('a b'\), 1 speaker \('ana maria'\)\n  likely cause: spaces"
    with pytest.raises(InputError, match=said):
        write_items(tmp_path / "x.item", [*items, *bad])
    assert read_items(tmp_path / "x.item") == items


@pytest.mark.parametrize(
    "text",
    [
        "#file onset offset #phone prev-phone next-phone speaker\nf 0.1 0.2 AA B C s1\n",
        "file onset offset phone prev-phone next-phone speaker\nf\t0.1  0.2 AA B C s1\n\n",
        "\ufefff 0.1 0.2 AA B C s1",
        "#item file onset offset #phone speaker prev-phone next-phone\n7 f 0.1 0.2 AA s1 B C\n",
    ],
)
def test_headers_as_they_occur(text, tmp_path):
    (tmp_path / "x.item").write_text(text, encoding="utf-8")
    assert read_items(tmp_path / "x.item") == [Item("f", 0.1, 0.2, "AA", "B", "C", "s1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no item"),
        ("#file onset offset #phone prev-phone next-phone speaker\n", "no item"),
        ("f 0.1 0.2 A B C s\nf 0.1 0.2 A B\n", "x.item:2: has 5 columns, not 7"),
        ("f 0.2 0.1 A B C s\n", "x.item:1: runs from 0.2 to 0.1"),
        ("f A 0.1 0.2 B C s\n", "not an interval"),
        ("f nan 0.2 A B C s\n", "not an interval"),
    ],
)
def test_bad_item_files_name_the_line(text, message, tmp_path):
    (tmp_path / "x.item").write_text(text)
    with pytest.raises(InputError, match=message):
        read_items(tmp_path / "x.item")
    with pytest.raises(InputError, match="no such file"):
        read_items(tmp_path / "y.item")


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1).map(
    lambda word: unicodedata.normalize("NFC", word)
)


def test_labels_are_composed_and_other_encodings_refused(tmp_path):
    path = tmp_path / "x.item"
    path.write_bytes("u 0 0.1 e\u0301 a b ana\n".encode())
    assert read_items(path)[0].phone == "é"
    path.write_bytes(b"u 0 0.1 \xe9 a b ana\nu 0 0.1 \xe8 a b ana\n")
    with pytest.raises(InputError, match="line 1 is not UTF-8"):
        read_items(path)


@given(
    st.lists(
        st.tuples(words, st.integers(0, 10**9), st.integers(1, 10**6), words, words, words, words),
        min_size=1,
        max_size=4,
    )
)
def test_any_labels_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.item"
    items = [
        Item(file, start / 1e6, (start + length) / 1e6, *labels)
        for file, start, length, *labels in rows
    ]
    write_items(path, items)
    assert read_items(path) == items
