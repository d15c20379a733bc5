import itertools
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.formats.phones import Phone, Phones, read_phones, write_phones

labels = st.text(st.characters(codec="utf-8"))


@st.composite
def alignments(draw: st.DrawFn) -> list[Phone]:
    times = sorted(draw(st.sets(st.integers(0, 10_000), min_size=2, max_size=8)))
    ms = [t / 1000 for t in times]
    return [Phone(a, b, draw(labels)) for a, b in itertools.pairwise(ms)]


@given(by_id=st.dictionaries(utterance_ids, alignments(), max_size=5), source=labels)
def test_reads_what_was_written(
    tmp_path_factory: Any, by_id: dict[str, list[Phone]], source: str
) -> None:
    path = tmp_path_factory.mktemp("p") / "phones.parquet"
    write_phones(path, Phones(by_id, source))
    composed = {
        name: [p._replace(phone=unicodedata.normalize("NFC", p.phone)) for p in line]
        for name, line in by_id.items()
    }
    assert read_phones(path) == Phones(composed, source)


def test_one_letter_is_one_phone_however_it_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    forms = [Phone(0.0, 0.1, "é"), Phone(0.1, 0.2, "e\u0301")]
    write_phones(path, Phones({"u": forms}))
    assert {p.phone for p in read_phones(path).by_id["u"]} == {"é"}
    table = pq.read_table(path)
    typed = table.set_column(3, table.schema.field("phone"), [["e\u0301", "é"]])
    # Another program may have kept the metadata and written labels of its own.
    pq.write_table(typed.replace_schema_metadata(table.schema.metadata), path)
    assert {p.phone for p in read_phones(path).by_id["u"]} == {"é"}


@pytest.mark.parametrize(
    "line",
    [
        [Phone(0.0, 0.0, "a")],
        [Phone(0.5, 0.2, "a")],
        [Phone(0.0, 0.5, "a"), Phone(0.3, 0.6, "b")],
        [Phone(-1.0, 0.5, "a")],
        [Phone(float("nan"), 0.5, "a")],
        [Phone(0.0, float("inf"), "a")],
    ],
)
def test_refuses_times_that_make_no_sense(tmp_path: Path, line: list[Phone]) -> None:
    with pytest.raises(InputError, match="utterance 'u': phone") as caught:
        write_phones(tmp_path / "p.parquet", Phones({"u": line}))
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_gaps_between_phones_are_fine(tmp_path: Path) -> None:
    phones = Phones({"u": [Phone(0.0, 0.1, "a"), Phone(0.3, 0.4, "b")]})
    write_phones(tmp_path / "p.parquet", phones)
    assert read_phones(tmp_path / "p.parquet") == phones


def test_refuses_an_id_that_leaves_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be an utterance's id"):
        write_phones(tmp_path / "p.parquet", Phones({"../u": [Phone(0.0, 0.1, "a")]}))
