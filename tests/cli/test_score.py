import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from zerochain import audio
from zerochain.cli import main
from zerochain.cli.lazy import LazyGroup
from zerochain.errors import InputError
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, read_phones
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.bitrate import unit_bitrates
from zerochain.metrics.items import read_items, triphone_items, write_items

LINE = ["a", "b", "a", "c", "a", "b", "a", "c", "a", "b", "a", "SIL"]
STEP_S = 0.02


@pytest.fixture
def spoken(make_corpus, tmp_path):
    """A corpus with gold phones, units that know them, their model and features."""
    corpus = make_corpus(8, speakers=("ana", "béa", "çem"), test_every=2)
    phones, units, rng = {}, {}, np.random.default_rng(0)
    for u in corpus.utterances:
        width = u.duration / len(LINE)
        phones[u.id] = [Phone(i * width, (i + 1) * width, p) for i, p in enumerate(LINE)]
        middles = (np.arange(int(u.duration / STEP_S)) + 0.5) * STEP_S
        labels = np.array(["abcSIL".find(LINE[int(t / width)]) for t in middles])
        units[u.id] = np.where(rng.random(len(labels)) < 0.3, 7, labels).astype(np.int32)
    shutil.rmtree(corpus.folder)
    corpus = write_corpus(corpus.folder, corpus, Phones(phones, "gold"))
    speakers = {u.id: u.speaker for u in corpus.utterances}
    codebook = rng.normal(size=(8, 5)).astype(np.float32)
    model = write_bundle(tmp_path / "model", "kmeans", {}, {"codebook": codebook}, {})
    unit_file = UnitFile(units, 8, 1000 * STEP_S, model, "oracle K=8", speakers)
    write_units(tmp_path / "units.parquet", unit_file)
    with write_features(
        tmp_path / "feats", extractor="mfcc", options={}, step_ms=1000 * STEP_S, corpus_id=corpus.id
    ) as writer:
        for u in corpus.utterances:
            shift = 5 * ["ana", "béa", "çem"].index(u.speaker)
            writer.add(u.id, codebook[units[u.id]] + np.float32(shift), u.speaker)
    return corpus


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        words = ["score", *map(str, arguments)]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == code, result.output
        return result.output

    return call


def last(n):
    return read_scores_here()[-n:]


def read_scores_here():
    return read_scores(Path("s.jsonl"))


def test_abx_of_units_alone_with_their_model_and_of_features(spoken, run):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    output = run("abx", "units.parquet", *common)
    assert "abx_within_%" in output
    assert "left out: 8 silence" in output
    within, across = last(2)
    assert (within.metric, across.metric) == ("abx_within_%", "abx_across_%")
    assert across.protocol == "triphone"
    assert across.options["distance"] == "identical"
    assert across.options["exclusions"] == {"silence": 8, "beside_silence": 16}
    assert across.system == "oracle K=8"
    assert across.inputs["corpus"] == spoken.id
    assert across.n >= across.options["n_cells"] > 0
    assert across.options["n_of"] == "triples"
    assert across.value < 50

    run("abx", "units.parquet", *common, "--model", "model", "--system", "mine")
    by_codebook = last(1)[0]
    assert by_codebook.options["distance"] == "angular"
    assert by_codebook.inputs["model"] == read_units_here().model_id
    assert by_codebook.system == "mine"

    run("abx", "feats", *common, "--mode", "across", "--normalise", "speaker")
    features = last(1)[0]
    assert features.system == "mfcc speaker-norm"
    run("abx", "feats", *common, "--mode", "across", "--distance", "euclidean")
    assert last(1)[0].value > features.value  # the speakers' shift is in the way
    assert len(read_scores_here()) == 6


def read_units_here():
    return read_units(Path("units.parquet"))


def test_items_from_a_file_score_like_the_corpus_s_phones(spoken, run, tmp_path):
    speakers = {u.id: u.speaker for u in spoken.utterances}
    items, _ = triphone_items(read_phones(spoken.folder / PHONES_FILE), speakers)
    write_items(tmp_path / "x.item", items)
    assert len(read_items(tmp_path / "x.item")) == len(items)
    common = ("--corpus", spoken.folder, "--out", "s.jsonl", "--mode", "across")
    run("abx", "units.parquet", *common)
    run("abx", "units.parquet", *common, "--items", "x.item")
    gold, listed = last(2)
    assert listed.value == gold.value
    assert len(listed.inputs["items"]) == 64
    run("abx", "units.parquet", *common, "--items", "x.item", "--split", "test")
    assert last(1)[0].options["exclusions"]["items_of_other_utterances"] == len(items) // 2


def test_the_phone_protocol_and_silences_of_one_s_own(spoken, run):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl", "--mode", "across")
    run("abx", "units.parquet", *common, "--protocol", "phone")
    stated = last(1)[0].options
    assert (stated["max_tokens"], stated["max_speakers"], stated["seed"]) == (10, 5, 0)
    run("abx", "units.parquet", *common, "--protocol", "phone", "--silence", "SIL,c")
    assert last(1)[0].options["exclusions"]["silence"] == 8 * 3


def test_protocols_of_the_challenges_and_their_variants(spoken, run):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    run("abx", "feats", *common, "--protocol", "zs2019", "--distance", "dtw_cosine")
    challenge = last(1)[0]
    assert (challenge.protocol, challenge.options["distance"]) == ("zs2019", "angular")
    assert (challenge.options["direction"], challenge.options["frames"]) == ("ax", "fraction")
    run("abx", "feats", *common, "--protocol", "zs2019", "--distance", "levenshtein")
    run("abx", "feats", *common, "--protocol", "zs2021", "--context", "any", "--reference-slicing")
    assert {s.protocol for s in last(2)} == {"zs2021 any context, reference slicing"}
    assert last(1)[0].options["frames"] == "middle-less-one"
    output = run("abx", "feats", *common, "--protocol", "zs2019", "--mode", "within", code=1)
    assert "not defined within speakers" in output
    run("abx", "units.parquet", *common, "--protocol", "discophon", "--max-tokens", "3")
    assert {s.protocol for s in last(2)} == {"discophon, 3 tokens"}
    stated = last(1)[0].options
    assert (stated["distance"], stated["max_tokens"], stated["max_speakers"]) == ("identical", 3, 5)
    output = run("abx", "feats", *common, "--max-speakers", "none", code=2)
    assert "not a valid integer" in output


def test_two_systems_beside_each_other(spoken, run):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    output = run("abx", "feats", *common, "--tables", "t1")
    assert "pairs of phones and pairs of speakers: t1" in output
    run("abx", "feats", *common, "--tables", "t2", "--normalise", "speaker", "--system", "normed")
    output = run("compare", "t1", "t2")
    assert "normed" in output
    assert "across" in output
    assert "across: no interval, so neither is shown to be better" in run("compare", "t1", "t1")
    assert "not 'abx-cells'" in run("compare", "t1", "units.parquet", code=1)


def test_one_speaker_across_is_said_or_refused(spoken, run, tmp_path):
    alone = replace(spoken.select(speaker="ana"), folder=None, name="alone")
    phones = Phones(
        {i: [Phone(k / 12, (k + 1) / 12, p) for k, p in enumerate(LINE)] for i in alone.ids}
    )
    write_corpus(tmp_path / "alone", alone, phones)
    common = ("--corpus", "alone", "--out", "s.jsonl")
    assert "only one speaker" in run("abx", "units.parquet", *common)
    assert [s.metric for s in read_scores_here()] == ["abx_within_%"]
    for mode in ("across", "both"):
        output = run("abx", "units.parquet", *common, "--mode", mode, code=1)
        assert "only one speaker" in output
    assert len(read_scores_here()) == 1


def test_mismatches_are_refused(spoken, run, tmp_path):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    write_bundle(tmp_path / "other", "kmeans", {}, {"codebook": np.eye(8, dtype=np.float32)}, {})
    assert "units are of unit model" in run(
        "abx", "units.parquet", *common, "--model", "other", code=1
    )
    assert "leave --model out" in run("abx", "feats", *common, "--model", "model", code=1)
    assert "no such file" in run("abx", "nowhere.parquet", *common, code=1)
    units = read_units_here()
    part = replace(units, units={k: units.units[k] for k in units.ids[:-1]})
    write_units(tmp_path / "part.parquet", part)
    assert f"missing in the units or features: {units.ids[-1]}" in run(
        "abx", "part.parquet", *common, code=1
    )
    (spoken.folder / "phones.parquet").unlink()
    assert "has no gold phones" in run("abx", "units.parquet", *common, code=1)
    assert not (tmp_path / "s.jsonl").exists()


def test_bitrate_and_usage(spoken, run, tmp_path):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    run("bitrate", "units.parquet", *common)
    units, seconds = read_units_here(), {u.id: u.duration for u in spoken.utterances}
    challenge, segments, timed, apart = last(4)
    assert challenge.value == unit_bitrates(units, seconds).units.value
    assert segments.value == unit_bitrates(units, seconds).segments.value
    assert timed.value == unit_bitrates(units, seconds).timed_segments.value
    assert apart.value == unit_bitrates(units, seconds).factored_segments.value
    assert [score.metric for score in (challenge, segments, timed, apart)] == [
        "bitrate_bit/s",
        "segment_bitrate_bit/s",
        "timed_segment_bitrate_bit/s",
        "factored_segment_bitrate_bit/s",
    ]
    test = spoken.select(split="test").ids
    run("bitrate", "units.parquet", *common, "--split", "test")
    only = replace(units, units={k: units.units[k] for k in test})
    assert last(4)[0].value == unit_bitrates(only, seconds).units.value
    write_units(tmp_path / "part.parquet", only)
    output = run("bitrate", "part.parquet", *common)
    assert "4 utterances of the corpus without units" in output
    assert last(4)[0].value == unit_bitrates(only, seconds).units.value
    assert "missing in the unit file" in run(
        "bitrate", "part.parquet", *common, "--split", "train", code=1
    )
    run("usage", "units.parquet", "--out", "s.jsonl")
    usage, perplexity = last(2)
    assert (usage.metric, usage.value) == ("codebook_usage", 5 / 8)
    assert 1 < perplexity.value < 5


def test_resynthesis(spoken, run, tmp_path):
    for u in spoken.utterances:
        wave = audio.read(spoken.audio_path(u))
        audio.write(
            tmp_path / "wavs" / f"{u.id}.wav", np.append(wave, np.zeros(300, np.float32)) / 2
        )
    common = ("--corpus", spoken.folder, "--judge", "none", "--out", "s.jsonl")
    run("resynthesis", "wavs", *common)
    scores = {score.metric: score for score in last(7)}
    distance = scores["log_spectral_distance_dB"]
    assert distance.value < 1
    assert scores["estoi"].value > 0.99
    assert scores["mcd_sp2mc24_dB"].value < 0.5
    assert scores["log_f0_rmse_cents"].value < 10
    assert (distance.n, distance.system) == (8, "wavs")
    assert distance.options["n_fft"] == 512
    run("resynthesis", "wavs", *common, "--against", "source", "--voice", "ana")
    assert [s.metric for s in last(2)] == [
        "source_f0_correlation",
        "source_voicing_decision_error_%",
    ]
    output = run("resynthesis", "wavs", *common, "--max-difference-ms", "10", code=1)
    assert "its resynthesis" in output
    (tmp_path / "wavs" / f"{spoken.ids[0]}.wav").unlink()
    assert f"missing in the folder wavs: {spoken.ids[0]}" in run(
        "resynthesis", "wavs", *common, code=1
    )
    audio.write(
        tmp_path / "wavs" / f"{spoken.ids[0]}.wav",
        audio.read(spoken.audio_path(spoken.utterances[0])),
    )
    audio.write(tmp_path / "wavs" / "unknown.wav", np.ones(9, np.float32) / 2)
    assert "missing in the corpus tiny: unknown" in run("resynthesis", "wavs", *common, code=1)


def test_a_folder_of_npy_files_is_told_how_to_come_in(spoken, run, tmp_path):
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "u.npy", np.ones((3, 2), np.float32))
    output = run("abx", "npy", "--corpus", spoken.folder, "--out", "s.jsonl", code=1)
    assert "zerochain import features" in output


def test_items_by_name_without_a_corpus(spoken, run, tmp_path):
    export = ["export", "items", str(spoken.folder), "--out", "x.item"]
    assert CliRunner().invoke(main, export).exit_code == 0
    output = run("abx", "feats", "--items", "x.item", "--ids", "name", "--out", "s.jsonl")
    assert "across: " in output
    assert " cells" in output
    wanted = run("abx", "feats", "--corpus", spoken.folder, "--out", "s.jsonl")
    assert "abx_across_%" in wanted
    values = [score.value for score in read_scores_here()]
    assert values[:2] == values[2:]
    assert "no source of tokens to compare" in run("abx", "feats", "--out", "s.jsonl", code=1)


def test_published_numbers_are_whole_on_a_narrow_terminal(spoken, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    common = ("--corpus", spoken.folder, "--system", "a system with a rather long name", "--out")
    run("abx", "units.parquet", *common, "s.jsonl")
    output = run("bitrate", "units.parquet", *common, "s.jsonl", "--beside", "published")
    table = [line for line in output.splitlines() if line.startswith("│") and "dtw_" in line]
    assert len(table) > 20
    assert not any("…" in line for line in table)


def test_whoever_stops_reading_is_told_nothing():
    """As of `zerochain … | head -3`."""

    @click.group(cls=LazyGroup)
    def group():
        pass

    @group.command()
    def talk():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    result = CliRunner().invoke(group, ["talk"])
    assert (result.exit_code, result.output) == (1, "")


def test_help_and_options_from_a_file(spoken, run, tmp_path):
    for command in ("abx", "bitrate", "usage", "resynthesis"):
        assert "Example" in run(command, "--help")
    (tmp_path / "c.yaml").write_text(json.dumps({"corpus": str(spoken.folder), "mode": "across"}))
    run("abx", "units.parquet", "--config", "c.yaml", "--out", "s.jsonl")
    assert [s.metric for s in read_scores_here()] == ["abx_across_%"]


def test_what_stands_beside_is_known_before_scores_are_appended(spoken, run, monkeypatch):
    def fail(*_):
        raise InputError("the published results can't be read", remedy="install zerochain again")

    monkeypatch.setattr("zerochain.report.published.published_systems", fail)
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    run("abx", "units.parquet", *common)
    before = Path("s.jsonl").read_bytes()
    run("bitrate", "units.parquet", *common, "--beside", "published", code=1)
    assert Path("s.jsonl").read_bytes() == before


def test_a_few_triples_are_no_score(spoken, run, tmp_path):
    ids = spoken.select(split="test").ids[:2]
    few = replace(spoken, utterances=tuple(u for u in spoken.utterances if u.id in ids))
    few = replace(few, folder=None, name="few")
    phones = {i: [Phone(k / 12, (k + 1) / 12, p) for k, p in enumerate("cacbc")] for i in ids}
    write_corpus(tmp_path / "few", few, Phones(phones))
    units = read_units_here()
    write_units(tmp_path / "few.parquet", units.restrict(ids))
    common = ("--corpus", "few", "--out", "s.jsonl")
    output = run("abx", "few.parquet", *common, "--mode", "across", "--system", "few")
    assert "too little data for a score: " in output
    assert "--protocol phone" in output
    assert " 0.000" not in output
    (score,) = read_scores_here()
    assert score.n < 30
    assert score.options["n_speakers"] == 2
    output = run("bitrate", "few.parquet", *common, "--system", "few", "--beside", "published")
    assert "--beside: abx_across_% of few rests on too little data" in output
    output = run("beside", "s.jsonl", code=1)
    assert "abx_across_% of few rests on too little data" in output
    assert "--protocol phone" in output


def test_what_intervals_rest_on_and_what_bit_rates_mean(spoken, run):
    common = ("--corpus", spoken.folder, "--out", "s.jsonl")
    output = run("abx", "units.parquet", *common, "--protocol", "phone")
    assert "the interval is over 3 speakers" in output
    assert last(1)[0].options["n_phone_pairs"] == 3  # of a, b and c
    assert 0 < last(1)[0].options["n_items_per_side"] <= last(1)[0].options["n_compared"]
    output = run("bitrate", "units.parquet", *common)
    assert "bitrate_bit/s: every unit of the file is a symbol" in output
    assert "segment_bitrate_bit/s: repeats are merged" in output
