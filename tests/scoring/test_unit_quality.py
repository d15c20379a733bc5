"""Scores with and without gold phones, from files to scores and tables."""

import csv
import warnings
from dataclasses import replace

import numpy as np
import pytest

from commands import run
from directions import assert_better
from zerochain.corpora.changes import Change, change_corpus
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, write_corpus
from zerochain.formats.kinds import find
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, read_phones
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.abx_plan import PHONE
from zerochain.scoring.abx import score_abx
from zerochain.scoring.quality import score_quality
from zerochain.scoring.units import score_bitrate, score_leakage, score_robustness, score_sentences

PHONES = ["SIL", "k", "a", "t", "a", "SIL"]
LABELS = ["SIL", "a", "k", "t"]


@pytest.fixture
def spoken(tmp_path):
    """12 utterances of 0.6 s, 100 ms per phone, and units of 20 ms that are the phones."""
    utterances, lines, units = [], {}, {}
    rng = np.random.default_rng(0)
    for i in range(12):
        name, order = f"u{i}", ["SIL", *rng.permutation(PHONES[1:5]).tolist(), "SIL"]
        utterances.append(
            Utterance(
                name,
                f"{name}.wav",
                0.6,
                speaker=("ana", "béa")[i % 2],
                split=("train", "test")[i % 3 == 2],
                text=f"Sentence {i // 4}!",
            )
        )
        lines[name] = [Phone(0.1 * k, 0.1 * k + 0.1, p) for k, p in enumerate(order)]
        units[name] = np.array([LABELS.index(p) for p in order for _ in range(5)], np.int32)
    corpus = write_corpus(tmp_path / "c", Corpus("c", tuple(utterances)), Phones(lines))
    speakers = {u.id: u.speaker for u in utterances}
    model = write_bundle(tmp_path / "m", "kmeans", {}, {"codebook": np.eye(4)}, {})
    unit_file = UnitFile(units, 4, 20.0, model, "oracle", speakers, corpus_id=corpus.id)
    write_units(tmp_path / "u.parquet", unit_file)
    return corpus


def values(scored):
    return {score.metric: score.value for score in scored.scores}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("what", ["quality", "abx"])
def test_shifts_are_finite(spoken, tmp_path, what, value):
    command = ("score", what, tmp_path / "u.parquet", "--corpus", spoken.folder)
    result = run(*command, "--shift-ms", value, "--out", tmp_path / "s.jsonl", code=2)
    assert "is not a finite number" in result.stderr


def test_units_that_are_phones_are_perfect(spoken, tmp_path):
    scored = score_quality(tmp_path / "u.parquet", spoken.folder)
    found = values(scored)
    for metric in ("pnmi", "v_measure", "completeness", "phone_purity", "cluster_purity"):
        assert found[metric] == pytest.approx(1)
    assert found["phone_error_rate_%"] > 0  # only where two of a kind meet: runs are merged
    for metric in ("boundary_precision_%", "mapped_boundary_precision_%"):
        assert found[metric] == 100
    assert found["r_value_%"] > 80
    first = scored.scores[0]
    assert (first.n, first.protocol) == (12 * 4 * 10, "10 ms frames")
    assert first.options["frames_without_phone"] == 12 * 2 * 10
    assert 0 < first.options["chance"] < 0.5
    assert first.inputs["corpus"] == spoken.id
    assert first.options["silences"] == "default"


def test_silences_shift_and_split_are_used_and_stated(spoken, tmp_path):
    with pytest.warns(CorpusWarning):
        with_silence = score_quality(tmp_path / "u.parquet", spoken.folder, silences={"none"})
    assert with_silence.scores[0].n == 12 * 60
    late = score_quality(tmp_path / "u.parquet", spoken.folder, shift_ms=50)
    assert values(late)["pnmi"] < 0.7
    assert values(late)["boundary_recall_%"] < 50
    assert late.scores[0].options["shift_ms"] == 50
    test = score_quality(tmp_path / "u.parquet", spoken.folder, split="test")
    assert test.scores[0].n == 4 * 40
    assert test.scores[0].options["split"] == "test"


def test_what_units_stand_for_can_be_learned_elsewhere(spoken, tmp_path):
    units, here = read_units(tmp_path / "u.parquet"), tmp_path / "u.parquet"

    def errors(**options):
        scored = score_quality(here, spoken.folder, **options)
        return next(s for s in scored.scores if s.metric == "phone_error_rate_%")

    own, train = errors(split="test"), errors(split="test", map_split="train")
    assert own.protocol == "many-to-one, learned on what is scored"
    assert train.protocol == "many-to-one, learned on split train"
    assert train.value == own.value  # it is the same mapping
    wrong = {k: (v + 1) % 4 for k, v in units.units.items()}
    write_units(tmp_path / "w.parquet", replace(units, units=wrong))
    other = errors(split="test", map_units=tmp_path / "w.parquet", map_split="train")
    assert other.value > 40 > own.value
    write_units(tmp_path / "x.parquet", replace(units, model_id="another"))
    with pytest.raises(ModelMismatchError):
        errors(map_units=tmp_path / "x.parquet")


def test_utterances_without_alignment_are_counted(spoken, tmp_path):
    phones = Phones({name: [Phone(0.1, 0.3, "a"), Phone(0.3, 0.5, "b")] for name in spoken.ids[:5]})
    write_corpus(spoken.folder, spoken, phones)
    scored = score_quality(tmp_path / "u.parquet", spoken.folder)
    assert scored.scores[0].options["exclusions"] == {"utterances_without_alignment": 7}
    assert "left out: 7 utterances without alignment" in scored.notes
    assert scored.scores[0].n == 5 * 40
    write_corpus(spoken.folder, spoken, Phones({spoken.ids[0]: phones.by_id[spoken.ids[0]]}))
    with pytest.raises(InputError, match="none of 4 utterances has gold phones"):
        score_quality(tmp_path / "u.parquet", spoken.folder, split="test")


def test_discophon_s_protocol_counts_silence(spoken, tmp_path):
    path = tmp_path / "u.parquet"
    scored = score_quality(path, spoken.folder, protocol="discophon", assignment="one-to-one")
    found = values(scored)
    assert found["pnmi"] == pytest.approx(1)
    assert found["phone_error_rate_%"] == 0  # "a" after "a" is one phone here, and two in ours
    assert (found["mapped_boundary_f1_%"], found["mapped_r_value_%"]) == (100, 100)
    assert {one.protocol for one in scored.scores} == {"discophon one-to-one"}
    units = read_units(path)
    constant = {name: np.zeros_like(line) for name, line in units.units.items()}
    write_units(path, replace(units, units=constant, n_units=300))
    score = score_quality(path, spoken.folder, protocol="discophon", tables=tmp_path / "t")
    assert values(score).keys() == {"pnmi", "phone_error_rate_%"}
    assert "DiscoPhon's many-to-one scores are of 256 units at most, not of 300" in score.notes
    with pytest.raises(InputError, match="fix: discover 4 units"):
        score_quality(path, spoken.folder, protocol="discophon", assignment="one-to-one")
    with pytest.raises(InputError, match="only apply to protocol='discophon'"):
        score_quality(path, spoken.folder, n_phonemes=3)
    with pytest.raises(InputError, match="map_split= don't apply"):
        score_quality(path, spoken.folder, protocol="discophon", map_split="train")


def test_undefined_scores_are_left_out_with_a_note(spoken, tmp_path):
    units = read_units(tmp_path / "u.parquet")
    constant = {name: np.zeros_like(line) for name, line in units.units.items()}
    write_units(tmp_path / "u.parquet", replace(units, units=constant))
    scored = score_quality(tmp_path / "u.parquet", spoken.folder)
    assert values(scored).keys() == {
        "pnmi",
        "v_measure",
        "phone_purity",
        "cluster_purity",
        "phone_error_rate_%",
    }
    assert any("completeness is undefined" in note for note in scored.notes)
    assert any("units never change" in note or "0 of units" in note for note in scored.notes)


def test_without_gold_phones_the_fix_is_named(spoken, tmp_path):
    (spoken.folder / "phones.parquet").unlink()
    with pytest.raises(InputError, match="leakage, robustness and sentences"):
        score_quality(tmp_path / "u.parquet", spoken.folder)


def test_one_phone_is_refused(spoken, tmp_path):
    write_corpus(spoken.folder, spoken, Phones({name: [Phone(0, 0.6, "a")] for name in spoken.ids}))
    with pytest.raises(InputError, match="all frames are of one phone"):
        score_quality(tmp_path / "u.parquet", spoken.folder)


def test_tables(spoken, tmp_path):
    score_quality(tmp_path / "u.parquet", spoken.folder, tables=tmp_path / "t")
    rows = list(csv.reader((tmp_path / "t" / "phone_by_unit.csv").open(encoding="utf-8")))
    assert rows[0] == ["phone", "0", "1", "2", "3"]
    assert rows[1:] == [
        ["a", "0", "240", "0", "0"],
        ["k", "0", "0", "120", "0"],
        ["t", "0", "0", "0", "120"],
        ["(no phone)", "240", "0", "0", "0"],
    ]
    assert find(tmp_path / "t").passed_over == []  # no file that a report wouldn't know
    units = list(csv.DictReader((tmp_path / "t" / "unit_to_phone.csv").open(encoding="utf-8")))
    assert [row["phone"] for row in units] == ["(no phone)", "a", "k", "t"]
    assert {row["share"] for row in units} == {"1.0000"}


def test_leakage_of_units_that_name_their_speaker(spoken, tmp_path):
    units = read_units(tmp_path / "u.parquet")
    named = {n: np.full(30, 2 * (units.speakers[n] == "ana"), np.int32) for n in units.ids}
    write_units(tmp_path / "u.parquet", replace(units, units=named))
    scored = score_leakage(tmp_path / "u.parquet", spoken.folder, model=tmp_path / "m")
    assert values(scored) == {"speaker_probe_histograms_%": 100, "speaker_probe_vectors_%": 100}
    first = scored.scores[0]
    assert first.options["chance"] == first.options["chance_uniform"] == 50
    assert first.protocol == "2 speakers, 5 folds"
    assert "model" in first.inputs


def test_leakage_refuses_too_few_speakers(spoken, tmp_path):
    here = tmp_path / "u.parquet"
    with pytest.raises(InputError, match="needs two speakers"):
        score_leakage(here, spoken.folder, split="test")  # two utterances of each
    assert score_leakage(here, spoken.folder, split="test", n_folds=2).scores[0].n == 4
    write_bundle(tmp_path / "other", "kmeans", {}, {"codebook": np.eye(4) * 2}, {})
    with pytest.raises(ModelMismatchError):
        score_leakage(here, spoken.folder, model=tmp_path / "other")
    nobody = replace(spoken, utterances=tuple(replace(u, speaker=None) for u in spoken.utterances))
    write_corpus(spoken.folder, replace(nobody, folder=None))
    with pytest.raises(InputError, match="without a known speaker"):
        score_leakage(here, spoken.folder)


@pytest.fixture
def changed(make_corpus, tmp_path):
    """A corpus, the same with noise, and units of both."""
    before = make_corpus(n_utterances=5)
    after = change_corpus(before.folder, tmp_path / "noisy", Change.of("noise", 3))
    rng = np.random.default_rng(0)
    units = {u.id: rng.integers(0, 9, round(u.duration * 50)) for u in before.utterances}
    other = {name: np.where(rng.random(len(u)) < 0.2, 0, u) for name, u in units.items()}
    for name, corpus, made in (("before", before, units), ("after", after, other)):
        arrays = {k: v.astype(np.int32) for k, v in made.items()}
        write_units(
            tmp_path / f"{name}.parquet",
            UnitFile(arrays, 9, 20.0, "model", "oracle", corpus_id=corpus.id),
        )
    return before, after


def test_robustness_names_the_change_and_the_chance(changed, tmp_path):
    before, after = changed
    files = tmp_path / "before.parquet", tmp_path / "after.parquet"
    scored = score_robustness(*files, after.folder)
    per_step, per_segment = scored.scores
    assert (per_step.metric, per_segment.metric) == ("ued_noise_%", "unit_changes_noise_%")
    assert per_step.protocol == "pink noise, SNR 3 dB; steps of 20 ms"
    assert per_segment.protocol == "pink noise, SNR 3 dB"
    assert 5 < per_step.value < per_segment.value < 30 < per_segment.options["chance"]
    assert per_step.inputs["corpus"] == before.id
    assert per_step.n == 5
    assert score_robustness(*files, after.folder, split="test").scores[0].n == 1


def test_robustness_refuses_what_doesn_t_belong_together(changed, tmp_path):
    before, after = changed
    files = tmp_path / "before.parquet", tmp_path / "after.parquet"
    with pytest.raises(InputError, match="not a corpus of changed recordings"):
        score_robustness(*files, before.folder)
    with pytest.raises(InputError, match="swapped"):
        score_robustness(*reversed(files), after.folder)
    units = read_units(files[1])
    write_units(files[1], replace(units, method="oracle penalty=1"))
    assert "encoded differently" in score_robustness(*files, after.folder).notes[0]
    write_units(files[1], replace(units, model_id="another"))
    with pytest.raises(ModelMismatchError):
        score_robustness(*files, after.folder)
    part = {name: units.units[name] for name in units.ids[1:]}
    write_units(files[0], replace(read_units(files[0]), units=part))
    write_units(files[1], units)
    with pytest.raises(InputError, match="missing in the units: u0"):
        score_robustness(*files, after.folder)


def test_every_metric_prefers_better_units(spoken, changed, tmp_path):
    units, rng = tmp_path / "u.parquet", np.random.default_rng(1)
    scored = [score_quality(units, spoken.folder), score_sentences(units, spoken.folder)]
    exact = read_units(units)
    # The phones in random order, and their boundaries 40 ms late.
    late = {
        n: np.roll(rng.permutation(u.reshape(-1, 5)).ravel(), 2) for n, u in exact.units.items()
    }
    write_units(units, replace(exact, units=late))
    assert_better(scored[0], score_quality(units, spoken.folder))
    random = {n: rng.permutation(u) for n, u in exact.units.items()}
    write_units(units, replace(exact, units=random))
    assert_better(scored[1], score_sentences(units, spoken.folder))
    files = tmp_path / "before.parquet", tmp_path / "after.parquet"
    worse = score_robustness(*files, changed[1].folder)
    write_units(files[1], replace(read_units(files[1]), units=read_units(files[0]).units))
    assert_better(score_robustness(*files, changed[1].folder), worse)


def test_sentences_by_two_speakers(spoken, tmp_path):
    here = tmp_path / "u.parquet"
    scored = score_sentences(here, spoken.folder)
    (one,) = scored.scores
    assert one.protocol == "same text"
    assert one.n == 3 * 4  # of the six pairs of each sentence two are by one speaker
    assert one.options["exclusions"] == {"pairs_of_one_or_an_unknown_speaker": 6}
    assert 0 < one.value < 100
    assert one.options["chance"] > 0
    same = {n: np.full(30, int(n[1:]) // 4, np.int32) for n in spoken.ids}
    write_units(here, replace(read_units(here), units=same))
    again = score_sentences(here, spoken.folder).scores[0]
    assert (again.value, again.options["chance"]) == (0, 100)


def test_sentences_of_a_pairs_file(spoken, tmp_path):
    here, pairs = tmp_path / "u.parquet", tmp_path / "pairs.parquet"
    write_pairs(pairs, Pairs((("u0", "u1"), ("u1", "u4"), ("u2", "u0")), spoken.id, spoken.id))
    (one,) = score_sentences(here, spoken.folder, pairs=pairs).scores
    assert (one.protocol, one.n) == ("pairs file", 2)  # u2 and u0 are both Ana's
    assert "pairs" in one.inputs
    write_pairs(pairs, Pairs((("u0", "unknown"),), spoken.id, spoken.id))
    with pytest.raises(InputError, match="unknown"):
        score_sentences(here, spoken.folder, pairs=pairs)


def test_no_sentence_twice_is_refused(spoken, tmp_path):
    mute = tuple(replace(u, text=None) for u in spoken.utterances)
    write_corpus(spoken.folder, replace(spoken, utterances=mute, folder=None))
    with pytest.raises(InputError, match="no sentence is spoken by two speakers"):
        score_sentences(tmp_path / "u.parquet", spoken.folder)


def test_the_command_line(spoken, tmp_path):
    common = ("--corpus", spoken.folder, "--out", tmp_path / "s.jsonl")
    units = tmp_path / "u.parquet"
    output = run(
        "score", "quality", units, *common, "--silence", "SIL,k", "--tables", tmp_path / "t"
    )
    assert "pnmi" in output.output
    assert "chance" in output.output
    assert (tmp_path / "t" / "unit_to_phone.csv").exists()
    run("score", "leakage", units, *common, "--folds", "3")
    run("score", "sentences", units, *common)
    output = run("export", "textgrid", units, "--corpus", spoken.folder, "--out", tmp_path / "tg")
    assert "12 TextGrids, 12 with gold phones" in output.output
    metrics = [score.metric for score in read_scores(tmp_path / "s.jsonl")]
    assert "speaker_probe_histograms_%" in metrics
    assert "sentence_distance_%" in metrics
    assert metrics[0] == "pnmi"
    for command in ("quality", "leakage", "robustness", "sentences"):
        assert "Example" in run("score", command, "--help").output


def test_a_change_on_the_command_line(changed, tmp_path):
    before, _ = changed
    out = tmp_path / "slow"
    run("corpus", "change", before.folder, "--by", "speed", "--amount", 1.2, "--out", out)
    assert (
        "asked for"
        in run(
            "corpus", "change", before.folder, "--by", "speed", "--amount", 9, "--out", out, code=1
        ).output
    )
    files = tmp_path / "before.parquet", tmp_path / "after.parquet"
    output = run(
        "score", "robustness", *files, "--corpus", tmp_path / "noisy", "--out", tmp_path / "s.jsonl"
    )
    assert "ued_noise_%" in output.output


def test_units_of_another_corpus_of_the_same_ids_are_told(spoken, tmp_path):
    again = replace(spoken, language="other", utterances=spoken.utterances, folder=None)
    again = write_corpus(tmp_path / "c2", again, read_phones(spoken.home / PHONES_FILE))
    for score in (score_quality, score_bitrate, score_abx):
        told = [
            note for note in score(tmp_path / "u.parquet", again.folder).notes if "made of" in note
        ]
        assert [note.startswith("the units were made of corpus") for note in told] == [True]
        own = score(tmp_path / "u.parquet", spoken.folder).notes
        assert not [note for note in own if "made of" in note]


@pytest.mark.parametrize("score", [score_quality, score_abx])
def test_silences_that_are_misspelled_or_not_named_are_told(spoken, tmp_path, score):
    """Spelled in another case they are no silences, and the pauses would count as phones."""
    options = {"protocol": PHONE} if score is score_abx else {}
    given = tmp_path / "u.parquet", spoken.folder
    with pytest.warns(CorpusWarning) as warned:
        score(*given, silences={"sil", "k"}, **options)
    assert [str(one.message) for one in warned] == [
        "silences that are no label of corpus 'c': 'sil'",
        "labels that usually are silences count as phones: 'SIL' (24 times)",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(*given, silences={"SIL", "k"}, **options)
