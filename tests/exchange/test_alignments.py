"""Alignments: formats, matching by id, whose clock the times are on, repair of rounding."""

import itertools
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eaf import SAMPLE
from zerochain.audio import AudioInfo
from zerochain.corpora.build import Span
from zerochain.errors import InputError
from zerochain.exchange.alignment_files import read_ctm, read_phn
from zerochain.exchange.alignment_times import Notes, cut
from zerochain.exchange.alignments import read_alignments
from zerochain.exchange.textgrid import Interval, textgrid_text
from zerochain.formats.corpus import Utterance
from zerochain.formats.phones import Phone


def spans(
    durations: Mapping[str, float] | None = None, rate: int = 16_000, **of: float
) -> dict[str, Span]:
    """Whole recordings by id: how long each lasts."""
    lasting = {**(durations or {}), **of}
    return {
        name: Span(Utterance(name, f"{name}.wav", s), AudioInfo(rate, 1, round(s * rate)))
        for name, s in lasting.items()
    }


def part(
    name: str,
    start: float,
    end: float,
    *,
    of: str = "rec.wav",
    lasting: float = 4.0,
    channel: int | None = None,
    speaker: str | None = None,
    rate: int = 16_000,
) -> dict[str, Span]:
    """An utterance that is cut from a recording of so many seconds."""
    utterance = Utterance(
        name, of, end - start, start=start, end=end, channel=channel, speaker=speaker
    )
    return {name: Span(utterance, AudioInfo(rate, 1, round(lasting * rate)))}


def textgrid(
    path: Path, lasting: float, *tiers: tuple[str, list[tuple[float, float, str]]]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textgrid_text(lasting, dict(tiers)), encoding="utf-8")


def phn(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.phn"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_seconds_and_samples_give_the_same(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0000 0.5000 h#", "0.5000 0.7500 ʃ")
    phn(tmp_path, "b", "0 8000 h#", "8000 12000 ʃ")
    phones, bad, _ = read_alignments(tmp_path, spans(a=0.75, b=0.75))
    assert phones.by_id["a"] == phones.by_id["b"] == [Phone(0, 0.5, "h#"), Phone(0.5, 0.75, "ʃ")]
    assert bad == []


def test_whole_seconds_are_not_samples(tmp_path: Path) -> None:
    path = phn(tmp_path, "a", "0 1 A", "1 3 B")
    assert [interval.offset for interval in read_phn(path, 3.0)] == [1, 3]


def test_one_decimal_point_makes_them_seconds(tmp_path: Path) -> None:
    path = phn(tmp_path, "a", "0 1000.0 A")
    assert read_phn(path, 2.0)[0].offset == 1000  # which is then refused as beyond the end


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["0 1"], "line 1: 'onset offset phone' expected"),
        (["0.0 0.5 A", "", "0.5 x B"], "line 3: 'x' is not a time"),
        (["0.0 nan A"], "'nan' is not a time"),
        (["0.0 0.5 A", "0.48 0.6 B"], "line 2: 'B' from 0.48"),
        (["0.5 0.2 A"], "line 1: 'A' from 0.5 to 0.2"),
        (["-0.5 0.2 A"], "line 1"),
        (["0.0 1.06 A"], "ends at 1.06 s, the utterance at 1.000 s"),
        (["0.0 1.0 A", "1.0 1.04 B"], "has no duration in the recording"),
        ([], "holds no phone"),
    ],
)
def test_bad_alignments_are_listed_not_dropped(tmp_path: Path, lines: list[str], said: str) -> None:
    path = phn(tmp_path, "a", *lines)
    phones, bad, _ = read_alignments(tmp_path, spans(a=1.0))
    assert phones.by_id == {}
    assert [entry.file for entry in bad] == [str(path)]
    assert said in bad[0].reason


def test_rounding_is_corrected(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0 0.5005 A", "0.5 1.04 B")
    phones, bad, _ = read_alignments(tmp_path, spans(a=1.0))
    assert phones.by_id == {"a": [Phone(0, 0.5005, "A"), Phone(0.5005, 1.0, "B")]}
    assert bad == []


def test_gaps_stay(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.1 0.2 A", "0.5 0.6 B")
    assert [p.onset for p in read_alignments(tmp_path, spans(a=1.0)).phones.by_id["a"]] == [
        0.1,
        0.5,
    ]


@given(st.permutations(["0.0\t0.3\tA", "0.3\t0.5\t", "0.5\t0.6\tB", "0.6\t1.0\tC"]))
def test_lines_in_any_order_and_empty_labels_between_tabs(tmp_path_factory, lines) -> None:
    """As those of a CTM, and as Audacity writes a label without a text."""
    folder = tmp_path_factory.getbasetemp() / "any order"
    phn(folder, "a", *lines)
    phones, bad, _ = read_alignments(folder, spans(a=1.0))
    assert phones.by_id == {"a": [Phone(0, 0.3, "A"), Phone(0.5, 0.6, "B"), Phone(0.6, 1, "C")]}
    assert bad == []


def test_matching_by_path_or_name(tmp_path: Path) -> None:
    phn(tmp_path, "anna/a", "0.0 0.5 A")
    phn(tmp_path, "train/x/b", "0.0 0.5 B")
    phones, _, _ = read_alignments(tmp_path, spans({"anna/a": 1.0}, b=1.0, c=1.0))
    assert set(phones.by_id) == {"anna/a", "b"}


def test_a_ctm_may_be_of_more_recordings(tmp_path: Path) -> None:
    path = tmp_path / "all.ctm"
    path.write_text("a 1 0.1 0.2 p\nx 1 0.1 0.2 t\ny 1 0.1 0.2 t\n")
    phones, bad, notes = read_alignments(path, spans(a=1.0))
    assert (set(phones.by_id), bad) == ({"a"}, [])
    assert notes == ["2 alignments in a CTM or .phn for no recording left out: x, y"]
    with pytest.raises(InputError, match="no recording for 3 of 3 alignments: a, x, y"):
        read_alignments(path, spans(b=1.0))


def test_alignments_without_a_recording_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b", "x", "y"):
        phn(tmp_path, name, "0.0 0.5 A")
    with pytest.raises(InputError, match="no recording for 2 of 4 alignments: x, y"):
        read_alignments(tmp_path, spans(a=1.0, b=1.0))
    phones, bad, _ = read_alignments(tmp_path, spans(a=1.0, b=1.0), frozenset({"x", "y"}))
    assert set(phones.by_id) == {"a", "b"}
    assert bad == []


def test_two_alignments_of_one_utterance_are_refused(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0 0.5 A")
    (tmp_path / "words.ctm").write_text("a 1 0.0 0.5 A\n")
    with pytest.raises(InputError, match="two alignments for 1 utterance: a"):
        read_alignments(tmp_path, spans(a=1.0))


def test_ctm(tmp_path: Path) -> None:
    path = tmp_path / "phones.ctm"
    path.write_text(";; made by hand\na 1 0.0 0.5 A\nb 1 0.0 0.25 B\na 1 0.5 0.25 C 0.98\n")
    phones, _, _ = read_alignments(path, spans(a=1.0, b=1.0))
    assert phones.by_id == {
        "a": [Phone(0, 0.5, "A"), Phone(0.5, 0.75, "C")],
        "b": [Phone(0, 0.25, "B")],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 0.0 A\n", "line 1: 'id channel onset duration phone' expected"),
        ("a 1 0.0 0.5 A\na 2 0.5 0.5 B\n", "line 2: 'a' has several channels"),
        ("a 1 0.0 inf A\n", "line 1: 'inf' is not a time"),
        ("a 1 * * <ALT>\n", "line 1: <ALT> outside of alternatives"),
        ("a 1 * * <ALT_BEGIN>\na 1 * * <ALT_BEGIN>\n", "line 2: <ALT_BEGIN> within"),
        ("a 1 * * <ALT_BEGIN>\na 1 0 0.5 A\n", "ends within alternatives"),
    ],
)
def test_bad_ctm(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "phones.ctm").write_text(text)
    with pytest.raises(InputError, match=said):
        read_alignments(tmp_path, spans(a=1.0))


@pytest.mark.parametrize("between", ["* * ", "", "0 0 "])
def test_of_nist_s_alternatives_the_first_is_taken(tmp_path: Path, between: str) -> None:
    path = tmp_path / "a.ctm"
    lines = ["a 1 0.0 0.2 A", "BEGIN", "a 1 0.2 0.3 B", "ALT", "a 1 0.2 0.1 C", "a 1 0.3 0.2 D"]
    lines += ["ALT", "END", "a 1 0.5 0.5 E"]
    marks = {"BEGIN": "<ALT_BEGIN>", "ALT": "<Alt>", "END": "<ALT_END>"}
    path.write_text("".join(f"{f'a 1 {between}{marks[x]}' if x in marks else x}\n" for x in lines))
    phones, bad, notes = read_alignments(path, spans(a=1.0))
    assert phones.by_id == {"a": [Phone(0, 0.2, "A"), Phone(0.2, 0.5, "B"), Phone(0.5, 1, "E")]}
    assert bad == []
    assert notes == [
        "2 labels of a CTM's alternatives left out: the first alternative of each place was taken"
    ]


@pytest.mark.parametrize("name", ["mandarin.phn", "mandarin.wrd", "folder"])
def test_zerospeech_s_file_of_a_whole_corpus_is_a_ctm_in_other_words(
    tmp_path: Path, name: str
) -> None:
    """Lines in any order, recordings that the corpus lacks, names that are numbers."""
    rows = [("a", 0.5, 1, "B"), ("0007", 0, 0.25, "C"), ("a", 0, 0.5, "A"), ("other", 0, 9, "D")]
    path = tmp_path / (name if name != "folder" else "folder/of_all.phn")
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{one} {on} {off} {label}\n" for one, on, off, label in rows))
    ctm = tmp_path / "same.ctm"
    ctm.write_text("".join(f"{one} 1 {on} {off - on} {label}\n" for one, on, off, label in rows))
    corpus = spans({"0007": 1.0}, a=1.0)
    given, expected = (read_alignments(one, corpus) for one in (tmp_path / name, ctm))
    assert given.phones.by_id == expected.phones.by_id
    assert given[1:] == expected[1:]


def test_a_file_of_a_whole_corpus_has_four_fields_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "all.phn"
    path.write_text("a 0 0.5 A\na 0.5 1 B c\n")
    with pytest.raises(InputError, match="line 2: 'name onset offset label' expected"):
        read_alignments(path, spans(a=1.0))


def test_no_alignments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no alignment"):
        read_alignments(tmp_path, spans(a=1.0))
    with pytest.raises(InputError, match="no such file or folder"):
        read_alignments(tmp_path / "gone", spans(a=1.0))


def test_labels_without_length_are_left_out_and_counted(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 0 sil", "0 0.5 A", "0.5 0.5 B", "0.5 1 C", "1.02 1.02 sil")
    phones, bad, notes = read_alignments(tmp_path, spans(a=1.0))
    assert phones.by_id == {"a": [Phone(0, 0.5, "A"), Phone(0.5, 1, "C")]}
    assert bad == []
    assert notes == ["3 labels without length left out"]


centiseconds = st.lists(st.floats(0.001, 0.3), min_size=1, max_size=8)


@given(centiseconds)
def test_ctm_of_rounded_onsets_and_durations_keeps_every_phone(tmp_path_factory, lasting) -> None:
    """Aligners round both to 10 ms, each by itself, so that neighbours overlap or part."""
    times = [0.0, *itertools.accumulate(lasting)]
    pairs = list(itertools.pairwise(times))
    lines = [f"a 1 {on:.2f} {off - on:.2f} p{i}" for i, (on, off) in enumerate(pairs)]
    path = tmp_path_factory.getbasetemp() / "rounded.ctm"
    path.write_text("\n".join(reversed(lines)))
    phones, bad, _ = read_alignments(path, spans(a=times[-1] + 0.02))
    assert bad == []
    wanted = [f"p{i}" for i, (on, off) in enumerate(pairs) if round(off - on, 2) > 0]
    line = phones.by_id.get("a", [])
    assert sorted(p.phone for p in line) == sorted(wanted)
    for before, after in itertools.pairwise(line):
        assert before.onset < before.offset <= after.onset + 1e-9
    for phone in line:
        on, off = pairs[int(phone.phone[1:])]
        assert abs(phone.onset - on) <= 0.0201
        assert abs(phone.offset - off) <= 0.0201


def test_ctm_of_five_to_eight_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.ctm"
    rest = ["", " 0.9", " 0.9 lex", " NA lex ana"]
    path.write_text("".join(f"a 1 0.{i} 0.1 p{more}\n" for i, more in enumerate(rest)))
    assert len(read_alignments(path, spans(a=1.0)).phones.by_id["a"]) == 4
    path.write_text("a 1 0.0 0.1 p 1 lex ana more\n")
    with pytest.raises(InputError, match="line 1: 'id channel onset duration phone' expected"):
        read_ctm(path)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("written_at", ["own", "16 kHz"])
def test_samples_at_the_recordings_own_rate_or_at_16_khz(
    tmp_path: Path, rate: int, written_at: str
) -> None:
    n = rate if written_at == "own" else 16_000
    phn(tmp_path, "a", f"0 {n} A", f"{n} {2 * n - 50} B")
    phones, _, _ = read_alignments(tmp_path, spans(a=2.0, rate=rate))
    assert [p.onset for p in phones.by_id["a"]] == [0, 1]


def test_samples_that_fit_two_rates_are_refused(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 16000 A")  # of 4 s: 1 s at 16 kHz, 2 s at 8 kHz
    _, bad, _ = read_alignments(tmp_path, spans(a=4.0, rate=8000))
    assert "fits 4.000 s at 8000 Hz as well as at 16000 Hz" in bad[0].reason


@pytest.mark.parametrize(
    ("per_s", "said"),
    [(1000, "milliseconds"), (200, "5 ms"), (100, "10 ms"), (50, "20 ms"), (10**7, "100 ns")],
)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_numbers_that_count_no_samples_are_refused(
    tmp_path: Path, per_s: int, said: str, rate: int
) -> None:
    phn(tmp_path, "a", f"0 {per_s} A", f"{per_s} {2 * per_s - per_s // 50} B")
    _, bad, _ = read_alignments(tmp_path, spans(a=2.0, rate=rate))
    assert "neither seconds nor samples: they may be" in bad[0].reason
    assert said in bad[0].reason


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_milliseconds_that_stop_early_are_no_samples(
    tmp_path: Path, rate: int, share: float
) -> None:
    ends = [round(10_000 * share * k / 4) for k in range(5)]
    phn(tmp_path, "u", *(f"{a} {b} p" for a, b in itertools.pairwise(ends)))
    phones, bad, _ = read_alignments(tmp_path, spans(u=10.0, rate=rate))
    assert phones.by_id == {}
    assert "neither seconds nor samples" in bad[0].reason


def test_samples_of_labels_that_end_early_are_samples(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 8000 A", "8000 16000 B")  # 1 s of 4 s
    phones, _, _ = read_alignments(tmp_path, spans(a=4.0))
    assert [p.offset for p in phones.by_id["a"]] == [0.5, 1]


def test_buckeye_s_xlabel(tmp_path: Path) -> None:
    lines = ["signal a", "nfields 1", "#", "0.00 122 {B_TRANS}", " 0.25  122 s; glottal"]
    text = "\n".join([*lines, " 0.50  121", " 0.75 122 iy", ""])
    (tmp_path / "a.phones").write_text(text)
    phones, bad, _ = read_alignments(tmp_path, spans(a=1.0))
    assert bad == []
    assert phones.by_id["a"] == [Phone(0, 0.25, "s"), Phone(0.5, 0.75, "iy")]


def test_lines_end_where_editors_say_and_labels_are_composed(tmp_path: Path) -> None:
    for name, end in (("a", "\n"), ("b", "\r\n"), ("c", "\r")):
        lines = ["0 0.5 e\u0301", "0.5 1 x\u2028y\x85z"]
        (tmp_path / f"{name}.phn").write_bytes(end.join(lines).encode())
    phones, _, _ = read_alignments(tmp_path, spans(a=1.0, b=1.0, c=1.0))
    for line in phones.by_id.values():
        assert [p.phone for p in line] == ["é", "x\u2028y\x85z"]


@pytest.mark.parametrize("name", ["a.phn", "a.ctm"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"0 0.5 A\n0.5 1 \xe9\n")
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        (read_ctm if name == "a.ctm" else lambda path: read_phn(path, 1.0))(tmp_path / name)


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 1 A")
    (tmp_path / "._a.phn").write_bytes(b"\0\5\x16\7")
    phn(tmp_path, ".trash/b", "0 1 A")
    phones, bad, notes = read_alignments(tmp_path, spans(a=1.0))
    assert set(phones.by_id) == {"a"}
    assert bad == []
    assert notes == ["1 hidden file among the alignments passed over"]


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 1 A")
    (tmp_path / "b.phn").symlink_to(tmp_path / "gone.phn")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone.txt")
    _, bad, _ = read_alignments(tmp_path, spans(a=1.0, b=1.0))
    assert [one.file for one in bad] == ["b.phn"]


def test_a_link_to_another_utterance_s_alignment_is_one(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 1 A")
    (tmp_path / "b.phn").symlink_to(tmp_path / "a.phn")
    assert set(read_alignments(tmp_path, spans(a=1.0, b=1.0)).phones.by_id) == {"a", "b"}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    phn(tmp_path / "disk", "a", "0 1 A")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "here")
    assert set(read_alignments(tmp_path / "here", spans(a=1.0)).phones.by_id) == {"a"}


def test_names_may_keep_the_sound_s_suffix(tmp_path: Path) -> None:
    path = tmp_path / "all.ctm"
    path.write_text(";; made by hand\n  ;; as well\na.wav 1 0.1 0.2 p\nx/b.FLAC 1 0.1 0.2 t\n")
    assert set(read_alignments(path, {**spans(a=1.0), **spans({"y/b": 1.0})}).phones.by_id) == {
        "a",
        "y/b",
    }


def test_times_of_a_ctm_that_are_none_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "all.ctm"
    path.write_text("a 1 * * A\n")
    with pytest.raises(InputError, match=r"all\.ctm: line 1: '\*' is not a time"):
        read_alignments(path, spans(a=1.0))


def test_base_names_and_last_folders(tmp_path: Path) -> None:
    recordings = spans({"wav/ana/1": 1.0, "wav/bob/1": 1.0, "wav/eva/2": 1.0})
    for name in ("ana/1", "bob/1", "x/2"):
        phn(tmp_path / "one", name, f"0 1 {name}")
    phones = read_alignments(tmp_path / "one", recordings).phones
    assert {k: line[0].phone for k, line in phones.by_id.items()} == {
        "wav/ana/1": "ana/1",
        "wav/bob/1": "bob/1",
        "wav/eva/2": "x/2",
    }
    phn(tmp_path / "two", "1", "0 1 A")
    with pytest.raises(
        InputError, match=r"several recordings for 1 of 1 alignment: .*wav/ana/1 or wav/bob/1"
    ):
        read_alignments(tmp_path / "two", recordings)
    phn(tmp_path / "three", "wav/eva/2", "0 1 A")
    phn(tmp_path / "three", "wav/iva/2", "0 1 A")  # not Eva's: hers is there
    with pytest.raises(InputError, match="no recording for 1 of 2 alignments: wav/iva/2"):
        read_alignments(tmp_path / "three", recordings)


LINE = [(1.0, 1.25, "p"), (1.25, 1.5, "a"), (1.5, 1.75, "t"), (1.75, 2.0, "i")]


def placed(line: list[Phone]) -> list[tuple[str, float]]:
    return [(p.phone, round(p.onset, 6)) for p in line]


@pytest.mark.parametrize("suffix", ["TextGrid", "phn", "ctm"])
def test_a_whole_recordings_alignment_is_cut_along_its_utterances(
    tmp_path: Path, suffix: str
) -> None:
    if suffix == "TextGrid":
        textgrid(tmp_path / "rec.TextGrid", 4.0, ("phones", LINE))
    elif suffix == "phn":
        phn(tmp_path, "rec", *(f"{on} {off} {label}" for on, off, label in LINE))
    else:
        lines = [f"rec 1 {on} {off - on} {label}\n" for on, off, label in LINE]
        (tmp_path / "all.ctm").write_text("".join(lines))
    two = {**part("x", 0.9, 1.5), **part("y", 1.5, 2.1)}
    phones, bad, notes = read_alignments(tmp_path, two)
    assert (bad, notes) == ([], [])
    assert placed(phones.by_id["x"]) == [("p", 0.1), ("a", 0.35)]
    assert placed(phones.by_id["y"]) == [("t", 0.0), ("i", 0.25)]
    phones, _, notes = read_alignments(tmp_path, part("x", 0.9, 1.5))
    assert set(phones.by_id) == {"x"}
    assert notes == ["2 phones of whole recordings outside every utterance"]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.sets(st.integers(1, 60)))
def test_utterances_side_by_side_share_every_phone_out(lasting: list[int], cuts: set[int]) -> None:
    """None is lost or doubled where it isn't cut into halves; clipping is all that is lost."""
    times = [0, *itertools.accumulate(lasting)]
    line = [Interval(f"{i}", a, b, "x") for i, (a, b) in enumerate(itertools.pairwise(times))]
    edges = [0, *sorted(c + 0.3 for c in cuts if c + 0.3 < times[-1]), times[-1]]
    found = []
    for begin, end in itertools.pairwise(edges):
        kept = cut(line, begin, end - begin, Notes())
        assert all(-1e-9 <= one.onset < one.offset <= end - begin + 1e-9 for one in kept)
        found += kept
    places = [one.place for one in found]
    assert len(places) == len(set(places))
    whole = {one.place: one for one in line}
    for one in found:
        length = whole[one.place].offset - whole[one.place].onset
        assert (one.offset - one.onset) * 2 > length
    for one in line:
        inside = [e for e in edges if one.onset < e < one.offset]
        if len(inside) <= 1:
            assert one.place in places


def test_names_decide_and_times_overrule_where_they_can(tmp_path: Path) -> None:
    """A TextGrid says how long its recording lasts; .phn and CTM have but their labels."""
    cut_out = part("u", 0.9, 3.1)
    relative = [(a - 0.9, b - 0.9, label) for a, b, label in LINE]
    own = [("p", 0.1), ("a", 0.35), ("t", 0.6), ("i", 0.85)]
    for name in ("u", "rec"):
        for i, (lasting, line) in enumerate([(4.0, LINE), (2.2, relative)]):
            folder = tmp_path / f"{name}{i}"
            textgrid(folder / f"{name}.TextGrid", lasting, ("phones", line))
            assert placed(read_alignments(folder, cut_out).phones.by_id["u"]) == own
    text = "".join(f"{a} {b} {label}\n" for a, b, label in LINE)
    folder = tmp_path / "late"
    phn(folder, "u", *text.splitlines(), "2.9 3.0 s")  # beyond the utterance's end
    assert placed(read_alignments(folder, cut_out).phones.by_id["u"]) == [*own, ("s", 2.0)]


def test_what_can_t_be_told_is_as_its_neighbours_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ctm"
    unclear = "u 1 1.00 0.25 p\nu 1 1.25 0.25 a\n"
    path.write_text(unclear)
    same_name = part("u", 0.9, 3.1, of="u.wav")
    _, bad, _ = read_alignments(path, same_name)
    assert "begins at 0.9 s of its recording" in bad[0].reason
    assert "alignment_times=" in bad[0].reason
    for times, onset in (("utterance", 1.0), ("recording", 0.1)):
        phones, bad, _ = read_alignments(path, same_name, times=times)
        assert placed(phones.by_id["u"])[0] == ("p", onset)
    # A CTM by utterance is Kaldi's, unless other lines of it tell.
    other_name = {**part("u", 0.9, 3.1), **part("v", 3.0, 3.5)}
    assert placed(read_alignments(path, other_name).phones.by_id["u"])[0] == ("p", 1.0)
    path.write_text(unclear + "v 1 3.1 0.1 t\n")
    phones = read_alignments(path, other_name).phones
    assert placed(phones.by_id["u"])[0] == ("p", 0.1)
    assert placed(phones.by_id["v"])[0] == ("t", 0.1)
    path.write_text(unclear + "v 1 3.1 0.1 t\nw 1 0.0 0.1 t\n")
    _, bad, _ = read_alignments(path, {**other_name, **part("w", 2.0, 3.0)})
    assert ["'u'" in one.reason for one in bad] == [True]


def test_an_utterance_that_ends_early(tmp_path: Path) -> None:
    """It begins where the recording does, so only the end tells the clocks apart."""
    for i, (lasting, line) in enumerate([(4.0, LINE), (1.5, LINE[:2])]):
        textgrid(tmp_path / f"{i}" / "rec.TextGrid", lasting, ("phones", line))
        for name in ("rec", "u"):
            phones, bad, _ = read_alignments(tmp_path / f"{i}", part(name, 0, 1.5))
            assert bad == []
            assert placed(phones.by_id[name]) == [("p", 1.0), ("a", 1.25)]


def test_textgrids_with_times_of_what_they_were_cut_from(tmp_path: Path) -> None:
    textgrid(tmp_path / "u.TextGrid", 2.0, ("phones", LINE))
    text = (tmp_path / "u.TextGrid").read_text()
    (tmp_path / "u.TextGrid").write_text(text.replace("xmin = 0\n", "xmin = 0.9\n"))
    for whole in (spans(u=1.1), part("u", 0.9, 2.0)):
        phones, bad, _ = read_alignments(tmp_path, whole)
        assert bad == []
        assert placed(phones.by_id["u"])[0] == ("p", 0.1)


def test_a_recording_shorter_than_its_alignment_is_refused(tmp_path: Path) -> None:
    phn(tmp_path, "rec", "0 1 A", "5 6 B")
    two = {**part("x", 0.5, 1.5), **part("y", 2, 3)}
    phones, bad, _ = read_alignments(tmp_path, two)
    assert "ends at 6 s, the recording at 4.000 s" in bad[0].reason
    phn(tmp_path, "rec", "0.5 1 A", "2 2.5 B", "2.4 3 C")  # all of it or nothing
    phones, bad, _ = read_alignments(tmp_path, two)
    assert "'C' from 0.4" in bad[0].reason
    assert phones.by_id == {}


def test_channels_and_speakers_at_the_same_time(tmp_path: Path) -> None:
    sides = {**part("l", 0, 2, channel=1), **part("r", 1, 3, channel=2)}
    path = tmp_path / "a.ctm"
    path.write_text("rec A 1.0 0.5 p\nrec B 1.2 0.5 t\n")
    phones = read_alignments(path, sides).phones
    assert placed(phones.by_id["l"]) == [("p", 1.0)]
    assert placed(phones.by_id["r"]) == [("t", 0.2)]
    path.write_text("rec A 1.0 0.5 p\n")
    assert set(read_alignments(path, sides).phones.by_id) == {"l"}
    path.write_text("rec 1 1.0 0.5 p\n")
    _, bad, _ = read_alignments(path, sides)
    assert "'l' and 'r' overlap in the recording" in bad[0].reason
    voices = {**part("l", 0, 2, speaker="ana"), **part("r", 1, 3, speaker="bob")}
    folder = tmp_path / "tiers"
    tiers = [("ana - phones", [(1.0, 1.5, "p")]), ("bob - phones", [(1.2, 1.7, "t")])]
    textgrid(folder / "rec.TextGrid", 4.0, *tiers)
    phones = read_alignments(folder, voices).phones
    assert placed(phones.by_id["l"]) == [("p", 1.0)]
    assert placed(phones.by_id["r"]) == [("t", 0.2)]


def test_a_recording_by_kaldi_s_name(tmp_path: Path) -> None:
    path = tmp_path / "a.ctm"
    path.write_text("call7 1 1.0 0.5 p\n")
    found = read_alignments(path, part("u", 0.9, 2), recordings={"u": ["call7"]})
    assert placed(found.phones.by_id["u"]) == [("p", 0.1)]


def test_a_ctm_by_files_where_each_side_of_a_call_is_a_recording(tmp_path: Path) -> None:
    """As NIST writes it, and Kaldi's recipes name recordings: call-A and call-B of one file."""
    path = tmp_path / "a.ctm"
    path.write_text("call A 0.5 0.5 p\ncall B 0.75 0.5 a\n")
    sides = {}
    for channel, side in ((1, "A"), (2, "B")):
        u = Utterance(f"call-{side}", "wavs/x.wav", 2.0, channel=channel)
        sides[u.id] = Span(u, AudioInfo(16_000, 2, 32_000))
    for file in ("call", "x"):  # as reco2file_and_channel calls it, or as it is called
        path.write_text(f"{file} A 0.5 0.5 p\n{file} B 0.75 0.5 a\n")
        named = {name: [name, "call"] for name in sides}
        found = read_alignments(path, sides, frozenset({"wavs/x"}), recordings=named).phones.by_id
        assert found == {"call-A": [Phone(0.5, 1, "p")], "call-B": [Phone(0.75, 1.25, "a")]}


def test_an_utterance_called_like_another_recording_is_refused(tmp_path: Path) -> None:
    phn(tmp_path, "b", "1 2 A")
    clash = {**part("b", 0.5, 3, of="a.wav"), **part("c", 0.5, 3, of="b.wav")}
    with pytest.raises(InputError, match="several recordings for 1 of 1 alignment: b"):
        read_alignments(tmp_path, clash)


@pytest.mark.parametrize(("tier", "told"), [("timed", 1), ("words", 1), ("Béa's words", 0)])
def test_phones_whose_times_nobody_measured_are_told(tmp_path: Path, tier: str, told: int) -> None:
    (tmp_path / "a.eaf").write_text(SAMPLE, encoding="utf-8")
    phones, bad, notes = read_alignments(tmp_path, spans(a=4.0), tier=tier)
    assert phones.by_id["a"]
    assert bad == []
    assert sum("no times of their own" in note for note in notes) == told


def test_an_alignment_without_a_phone_is_said(tmp_path: Path) -> None:
    textgrid(tmp_path / "a.TextGrid", 1.0, ("phones", [(0, 0.5, "<p:>")]))
    textgrid(tmp_path / "b.TextGrid", 1.0, ("phones", [(0, 0.5, "p")]))
    textgrid(tmp_path / "c.TextGrid", 1.0, ("phones", []))
    phones, _, notes = read_alignments(tmp_path, spans(a=1.0, b=1.0, c=1.0))
    assert set(phones.by_id) == {"a", "b"}
    assert len(notes) == 1
    assert notes[0].startswith("2 alignments without a phone: ")


def test_word_positions_are_noticed_and_can_go(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0 0.5 SIL", "0.5 0.7 AA1_B", "0.7 0.8 T_E", "0.8 1 AA1_S")
    phones, _, notes = read_alignments(tmp_path, spans(a=1.0))
    assert len(notes) == 1
    assert "strip_word_positions=True" in notes[0]
    phones, _, notes = read_alignments(tmp_path, spans(a=1.0), strip_word_positions=True)
    assert [p.phone for p in phones.by_id["a"]] == ["SIL", "AA1", "T", "AA1"]
    assert notes == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["?", "a", "<cl>", "b"], "in brackets: '<cl>' (1 time), '?' (1 time)"),
        (["1", "2", "a"], "'1' (1 time), '2' (1 time)"),
        (["55", "˥", "@", "{", "a1"], "'55' (1 time), '˥' (1 time)"),
        (["?", "@", "{", "}", "2:", "9~", "6", "&", "@\\", "3`"], ""),
        (["!", "|", "||", "ǃ", "ǁ", "ʘ", "a˥˩", "a1"], ""),
        (["ŋ", "\\ng", "t\\sh", "\\o/"], "Praat's backslash notation: '\\\\ng' (1 time)"),
        (["s\\", "r\\`", "h\\", "J\\_<", "ts\\", "@\\", "3\\"], ""),  # X-SAMPA
        (["hello", "a", "b c"], "'b c' (1 time), 'hello' (1 time)"),
        (["t͡ɕʰʷː", "aɪ̯̃ː", "ax-h", "ʔ", "AA1", "<p:>", "****", "ŋ̊", "é"], ""),
    ],
)
def test_labels_that_look_wrong_are_noticed(tmp_path: Path, labels: list[str], said: str) -> None:
    lines = [(i / 10, (i + 1) / 10, label) for i, label in enumerate(labels)]
    textgrid(tmp_path / "a.TextGrid", 1.0, ("phones", lines))
    phones, _, notes = read_alignments(tmp_path, spans(a=1.0))
    assert len(notes) == bool(said)
    assert said in "".join(notes)
    assert [p.phone for p in phones.by_id["a"]] == [unicodedata.normalize("NFC", x) for x in labels]
