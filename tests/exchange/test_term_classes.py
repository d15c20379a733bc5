"""ZeroSpeech's files for term discovery: classes, gold phones and words."""

import pytest

from zerochain.errors import InputError
from zerochain.exchange.term_classes import read_classes, read_gold, read_terms, write_classes
from zerochain.formats.corpus import CorpusWarning
from zerochain.formats.phones import Phone
from zerochain.formats.spans import LabelledSpan, Spans, write_spans

CLASSES = "Class 0\na 0.5 1.25\nü/b 0 0.75\n\nClass 1 ki ta\na 2 2.5\n"
SPANS = (
    LabelledSpan("a", 0.5, 1.25, "0"),
    LabelledSpan("ü/b", 0, 0.75, "0"),
    LabelledSpan("a", 2, 2.5, "ki ta"),
)


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [CLASSES, CLASSES + "\n", CLASSES.replace("\n", "\r\n")])
def test_classes(tmp_path, text):
    """The empty line after the last class may be missing, which the reference refuses."""
    path = written(tmp_path / "x.classes", text)
    assert read_classes(path).rows == SPANS


def test_a_round_trip(tmp_path):
    write_classes(tmp_path / "x.txt", Spans(SPANS))
    assert read_terms(tmp_path / "x.txt").rows == SPANS
    assert (tmp_path / "x.txt").read_text("utf-8").endswith("\n\n")  # as the reference wants it


def test_terms_are_classes_or_a_table(tmp_path):
    for name in ("t.parquet", "t.csv"):
        write_spans(tmp_path / name, Spans(SPANS))
        assert read_terms(tmp_path / name).rows == SPANS
    tabs = "recording\tstart_s\tend_s\tlabel\na\t0.5\t1.25\t0\n"
    assert read_terms(written(tmp_path / "t.txt", tabs)).rows == SPANS[:1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "holds no span"),
        ("Class 1\n\nClass 2\n", "holds no span"),
        ("a 0 1\n", "line 1"),
        ("Class 1\na 0 1\n\nb 0 1\n", "line 4"),
        ("Class 1\na 0\n", "line 2"),
        ("Class 1\na 1 0.5\n", "from 1 to 0.5 s"),
        ("Class 1\na 0 nan\n", "'nan' is not a time"),
        ("Class 1\n../a 0 1\n", "can't be an utterance's id"),
        ("Class 1 x\na 0 1\n\nClass 1 y\nb 0 1\n", "lines 1 and 4 begin a class 'Class 1'"),
        ("Class 1 x\na 0 1\n\nClass 2 x\nb 0 1\n", "lines 1 and 4 begin a class 'x'"),
    ],
)
def test_bad_classes_are_refused(tmp_path, text, found):
    with pytest.raises(InputError, match=found):
        read_classes(written(tmp_path / "x.classes", text))


def test_names_with_spaces_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="names with spaces: a b"):
        write_classes(tmp_path / "x.classes", Spans((LabelledSpan("a b", 0, 1, "x"),)))
    assert not (tmp_path / "x.classes").exists()


def test_gold(tmp_path):
    path = written(tmp_path / "x.phn", "a 0.5 0.75 k\nb 0 1 SIL\na 0.25 0.5 ŋ\n\n")
    assert read_gold(path).by_id == {
        "a": [Phone(0.25, 0.5, "ŋ"), Phone(0.5, 0.75, "k")],
        "b": [Phone(0, 1, "SIL")],
    }
    for text, found in (
        ("", "no label"),
        ("a 0 1\n", "line 1"),
        ("a 1 1 k\n", "no label with"),
        ("a 1 0 k\n", "from 1 to 0 s"),
    ):
        with pytest.raises(InputError, match=found):
            read_gold(written(path, text))


def test_gold_labels_without_length_are_left_out_and_counted(tmp_path):
    lines = ["a 0 0 sil", "a 0 0.5 k", "a 0.5 0.5 a", "b 1 2 t"]
    whole = read_gold(written(tmp_path / "a.phn", "\n".join([lines[1], lines[3]])))
    with pytest.warns(CorpusWarning, match="2 labels without length left out"):
        assert read_gold(written(tmp_path / "b.phn", "\n".join(lines))).by_id == whole.by_id
