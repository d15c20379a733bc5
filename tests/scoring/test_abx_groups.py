import csv
import unicodedata
from itertools import permutations

import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.abx_plan import PHONE
from zerochain.scoring.abx import score_abx
from zerochain.scoring.abx_groups import PhoneTable, group_errors, read_phone_table

TABLE = "phone,base,tone\ná,a,high\na,a,low\né,e,high\ne,e,low\n"
KINDS = {"á": ("a", "high"), "a": ("a", "low"), "é": ("e", "high"), "e": ("e", "low")}


@pytest.fixture
def corpus(tmp_path):
    """Features that know the vowel and nothing of its tone: tone pairs are at 50 exactly."""
    names = {f"u{i}": f"s{i}" for i in range(3)}
    line = [Phone(0.1 * i, 0.1 * (i + 1), p) for i, p in enumerate("áaée" * 3)]
    utterances = tuple(Utterance(u, f"{u}.wav", 1.2, s) for u, s in names.items())
    whole = Corpus("c", utterances, audio_root=str(tmp_path))
    whole = write_corpus(tmp_path / "c", whole, Phones(dict.fromkeys(names, line), "gold"))
    vowel = np.array([[1, 0] if p in "áa" else [0, 1] for p in "áaée" * 3], np.float32)
    with write_features(
        tmp_path / "f", extractor="f", options={}, step_ms=10, corpus_id=whole.id
    ) as writer:
        for name, speaker in names.items():
            writer.add(name, np.repeat(vowel, 10, axis=0), speaker)
    return whole.folder


def test_groups_of_hand_made_items(corpus, tmp_path):
    (tmp_path / "p.csv").write_text(TABLE, encoding="utf-8")
    scored = score_abx(
        tmp_path / "f",
        corpus,
        protocol=PHONE,
        phone_table=tmp_path / "p.csv",
        tables=tmp_path / "t",
    )
    for score in scored.scores:
        groups = score.options["groups"]
        assert list(groups) == ["base", "tone", "base+tone"]
        assert {name: group["error_%"] for name, group in groups.items()} == {
            "base": 0,
            "tone": 50,
            "base+tone": 0,
        }
        assert [group["n_pairs"] for group in groups.values()] == [4, 4, 4]
        assert sum(group["n_triples"] for group in groups.values()) == score.n
        weighted = sum(group["error_%"] * group["n_pairs"] for group in groups.values())
        assert weighted / 12 == pytest.approx(score.value)
    assert any("across, phones that differ in tone alone: 50.00 %" in n for n in scored.notes)
    with (tmp_path / "t" / "abx_groups.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["differ_in"] for row in rows] == ["base", "tone", "base+tone"] * 2


def test_scores_without_a_table_are_the_same(corpus, tmp_path):
    (tmp_path / "p.csv").write_text(TABLE, encoding="utf-8")
    plain = score_abx(tmp_path / "f", corpus, protocol=PHONE)
    grouped = score_abx(tmp_path / "f", corpus, protocol=PHONE, phone_table=tmp_path / "p.csv")
    assert [s.value for s in plain.scores] == [s.value for s in grouped.scores]
    assert all("groups" not in s.options for s in plain.scores)


def test_letters_of_a_table_in_either_unicode_form(corpus, tmp_path):
    found = []
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, TABLE.replace("high", "élevé", 1))
        (tmp_path / "p.csv").write_text(text, encoding="utf-8")
        given = score_abx(tmp_path / "f", corpus, protocol=PHONE, phone_table=tmp_path / "p.csv")
        found.append([score.options["groups"] for score in given.scores])
    assert found[0] == found[1]


def test_phones_that_the_table_lacks_are_listed(corpus, tmp_path):
    (tmp_path / "p.tsv").write_text("phone\ttone\na\tlow\ná\thigh\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"2 phones.*e.*é"):
        score_abx(tmp_path / "f", corpus, protocol=PHONE, phone_table=tmp_path / "p.tsv")


def test_groups_average_their_pairs():
    table = PhoneTable(("base", "tone"), {**KINDS, "A": ("a", "low")})
    rng = np.random.default_rng(0)
    pairs = [("within", a, b, rng.random(), 2, 3) for a, b in permutations([*KINDS, "A"], 2)]
    for one in group_errors(pairs, table):
        members = [p for p in pairs if table.group(p[1], p[2]) == one.group]
        assert one.error == pytest.approx(np.mean([p[3] for p in members]))
        assert (one.n_pairs, one.n_cells) == (len(members), 2 * len(members))
    assert table.group("a", "A") == "nothing"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("phone\na\n", "no column beside"),
        ("phone,tone\na,high\na,low\n", "twice"),
        ("phone,tone\n,high\n", "has no phone"),
        ("label,tone\na,high\n", "phone"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, found):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=found):
        read_phone_table(tmp_path / "p.csv")
