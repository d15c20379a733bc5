"""TextGrids in both text formats and both encodings."""

from pathlib import Path

import pytest

from zerochain.corpora.textgrid import read_textgrid
from zerochain.errors import InputError

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""3 4"" [5]"
    item [2]:
        class = "TextTier"
        name = "bells"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "ding"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "ʃ"
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = ""
        intervals [3]:
            xmin = 0.5
            xmax = 1.5
            text = "aː"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
3
"IntervalTier"
"words"
0
1.5
1
0
1.5
"say ""3 4"" [5]"
"TextTier"
"bells"
0
1.5
1
0.7
"ding"
"IntervalTier"
"phones"
0
1.5
3
0
0.25
"ʃ"
0.25
0.5
""
0.5
1.5
"aː"
"""


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_both_formats_in_both_encodings(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding=encoding)
    assert [i[1:] for i in read_textgrid(path)] == [(0, 0.25, "ʃ"), (0.5, 1.5, "aː")]
    assert [i.label for i in read_textgrid(path, "words")] == ['say "3 4" [5]']


def test_big_endian_as_praat_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"\xfe\xff" + SHORT.encode("utf-16-be"))
    assert len(read_textgrid(path)) == 2


def test_missing_tiers_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG)
    with pytest.raises(InputError, match=r"no interval tier 'segs'; .* 'words', 'phones'"):
        read_textgrid(path, "segs")
    path.write_text(LONG.replace('"phones"', '"Segments"'))
    with pytest.raises(InputError, match=r"tier named phones; .* 'words', 'Segments'"):
        read_textgrid(path)
    assert len(read_textgrid(path, "Segments")) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "in the middle"),
        (LONG[: len(LONG) // 2].encode(), "in the middle"),
        (SHORT[:-30].encode(), "in the middle"),
        (SHORT.replace("TextGrid", "Pitch 1").encode(), "no TextGrid"),
        (SHORT.replace("0.25\n", '"x"\n', 1).encode(), "where a number belongs"),
        (SHORT.replace('"ʃ"', "7").encode(), "where a label belongs"),
        (b"ooBinaryFile\x08TextGrid", "in the middle"),
        (SHORT.encode("latin-1", "replace") + b"\xe9", "neither UTF-8 nor UTF-16"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_textgrid(path)
