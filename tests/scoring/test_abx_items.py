import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.exchange.feature_files import import_features
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import read_features, write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.abx_plan import PHONE, ZS2019
from zerochain.metrics.items import Item, read_items, write_items
from zerochain.scoring.abx import export_items, score_abx

LINE = "abacabcb" * 3
NAMES = {f"in/u{i}": ("ana", "béa")[i // 2] for i in range(4)}


@pytest.fixture
def corpus(tmp_path):
    """Four utterances by two speakers; ids are paths, as of recordings in folders."""
    utterances = tuple(
        Utterance(u, f"{u}.wav", 1.2, speaker, split="test" if u == "in/u0" else "train")
        for u, speaker in NAMES.items()
    )
    line = [Phone(0.05 * i, 0.05 * (i + 1), p) for i, p in enumerate(LINE)]
    whole = Corpus("c", utterances, audio_root=str(tmp_path))
    return write_corpus(tmp_path / "c", whole, Phones(dict.fromkeys(NAMES, line), "gold")).folder


def features(folder, step_ms=10.0, zeros=0):
    rng = np.random.default_rng(0)
    centres = np.array([[4, 0, 0], [0, 4, 0], [-2, 0, 3]])
    with write_features(folder, extractor="x", options={}, step_ms=step_ms, corpus_id="") as writer:
        for u, speaker in NAMES.items():
            frames = np.repeat(centres[["abc".index(p) for p in LINE]], 5, axis=0)
            frames = (frames + 2 * rng.normal(size=frames.shape)).astype(np.float32)
            frames[:zeros] = 0
            writer.add(u, frames, speaker)
    return folder


def shortened(path, out):
    """The same items under names without folders, as challenges list them."""
    write_items(out, [i._replace(file=i.file.rpartition("/")[2]) for i in read_items(path)])
    return out


def test_items_need_no_corpus(corpus, tmp_path):
    source = features(tmp_path / "f")
    export_items(corpus, tmp_path / "x.item", protocol=PHONE)
    wanted = score_abx(source, corpus, protocol=PHONE)
    alone = score_abx(source, items=tmp_path / "x.item", protocol=PHONE)
    short = shortened(tmp_path / "x.item", tmp_path / "short.item")
    named = score_abx(source, items=short, ids="name", protocol=PHONE)
    both = score_abx(source, corpus, items=short, ids="name", protocol=PHONE)
    values = [[(s.value, s.interval, s.n) for s in one.scores] for one in (wanted, alone, named)]
    assert values[0] == values[1] == values[2] == [(s.value, s.interval, s.n) for s in both.scores]
    assert "corpus" not in alone.scores[0].inputs
    assert len(alone.scores[0].inputs["items"]) == 64
    with pytest.raises(InputError, match=r"like 'u0', but ids .* are paths like 'in/u0'") as error:
        score_abx(source, corpus, items=short, protocol=PHONE)
    assert "ids='name'" in str(error.value)


def test_a_split_keeps_its_items_and_counts_the_others(corpus, tmp_path):
    source = features(tmp_path / "f")
    export_items(corpus, tmp_path / "x.item", protocol=PHONE)
    listed = score_abx(source, corpus, items=tmp_path / "x.item", split="test", protocol=PHONE)
    gold = score_abx(source, corpus, split="test", protocol=PHONE)
    assert [s.value for s in listed.scores] == [s.value for s in gold.scores]
    assert listed.scores[0].options["exclusions"] == {"items_of_other_utterances": 3 * len(LINE)}


def test_what_takes_a_corpus_says_so(corpus, tmp_path):
    source = features(tmp_path / "f")
    export_items(corpus, tmp_path / "x.item", protocol=PHONE)
    with pytest.raises(InputError, match="no source of tokens to compare"):
        score_abx(source)
    with pytest.raises(InputError, match="only a corpus has splits"):
        score_abx(source, items=tmp_path / "x.item", split="test")
    write_items(
        tmp_path / "f.item", [Item(u, 0.1, 0.2, "a", "b", "c", s) for u, s in NAMES.items()]
    )
    with pytest.raises(InputError, match="needs the recordings' lengths"):
        score_abx(source, items=tmp_path / "f.item", protocol=ZS2019, shift_ms=10)
    write_items(tmp_path / "o.item", [Item("nobody", 0.1, 0.2, "a", "b", "c", "ana")])
    with pytest.raises(InputError, match="missing in the units or features: nobody"):
        score_abx(source, items=tmp_path / "o.item")


def test_features_of_another_step_are_refused(corpus, tmp_path):
    """Without the corpus at import the step is unknown; wrong frames would be compared."""
    for u in NAMES:
        file = tmp_path / "npy" / f"{u}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.ones((120, 3), np.float32))
    import_features(tmp_path / "npy", tmp_path / "wrong", step_ms=20)
    with pytest.raises(InputError, match=r"4 of 4 .* 2.40 s of features, 1.20 s of sound"):
        score_abx(tmp_path / "wrong", corpus, protocol=PHONE)
    # ZeroSpeech 2019's frames have no times, so lines of any length are as good as frames
    values = {
        score_abx(features(tmp_path / f"f{step}", step), corpus, protocol=ZS2019).scores[0].value
        for step in (10.0, 77.0)
    }
    assert len(values) == 1


def test_a_score_says_what_it_rests_on(corpus, tmp_path):
    source = features(tmp_path / "f", zeros=7)
    scored = score_abx(source, corpus, protocol=PHONE, mode="across")
    (score,) = scored.scores
    assert f"in {score.options['n_cells']:,} cells" in scored.notes[0]
    assert score.options["n_zero_vectors"] == 4 * 7
    assert any(note.startswith("28 all-zero vectors") for note in scored.notes)
    frames = read_features(source).frames
    assert int((~frames.any(axis=1)).sum()) == 28
    euclidean = score_abx(source, corpus, protocol=PHONE, mode="across", distance="euclidean")
    assert "n_zero_vectors" not in euclidean.scores[0].options


def test_tokens_without_a_match_are_counted(tmp_path):
    source = features(tmp_path / "f")
    once = [
        Item("in/u0", 0.5, 0.6, "c", "l", "r", "ana"),
        Item("in/u0", 0.7, 0.8, "d", "m", "r", "ana"),
    ]
    pairs = [
        Item(u, t, t + 0.1, p, "l", "r", NAMES[u])
        for u in ("in/u0", "in/u2") for t, p in ((0.1, "a"), (0.2, "a"), (0.3, "b"))
    ]  # fmt: skip
    write_items(tmp_path / "x.item", [*once, *pairs])
    scored = score_abx(source, items=tmp_path / "x.item", mode="within")
    (score,) = scored.scores
    # ana has one "c" and two "a"; "d" has another context than all others
    assert (score.options["n_items"], score.options["n_compared"]) == (8, 7)
    assert "1 item without a match to compare with" in scored.notes[0]


def test_of_both_modes_an_undefined_one_is_left_out_with_its_reason(corpus, tmp_path):
    """By default; a mode that was asked for is an error, and so is a score of neither."""
    source = features(tmp_path / "f")
    across = [Item(u, 0.1, 0.2, p, "x", "y", NAMES[u]) for u in ("in/u0", "in/u2") for p in "ab"]
    within = [Item("in/u0", t, t + 0.1, p, "x", "y", "ana") for p in "ab" for t in (0.1, 0.5)]
    for tokens, kept, why in (
        (across, "across", "no phone occurs twice"),
        ([*within, across[-1]._replace(phone="c")], "within", "for two values of speaker"),
        (within, "within", "only one speaker"),
    ):
        write_items(tmp_path / "x.item", tokens)
        scored = score_abx(source, items=tmp_path / "x.item")
        assert [kept in score.metric for score in scored.scores] == [True]
        (note,) = (note for note in scored.notes if "undefined" in note)
        assert why in note
        for mode in ("both", "within" if kept == "across" else "across"):
            with pytest.raises(InputError, match="ABX is undefined"):
                score_abx(source, items=tmp_path / "x.item", mode=mode)
    write_items(tmp_path / "x.item", [within[0], across[-1]])
    with pytest.raises(InputError, match="ABX is undefined"):
        score_abx(source, items=tmp_path / "x.item")
