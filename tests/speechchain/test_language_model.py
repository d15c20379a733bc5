"""Language models against sums written out, and decoding with one against enumeration."""

from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from chains import LETTERS

from commands import run
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.extraction import extracted
from zerochain.formats.corpus import Corpus
from zerochain.listeners.recogniser import plain_texts
from zerochain.modules.joint_recogniser import Encoded, JointConfig, JointRecogniser
from zerochain.speechchain import language_model
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import beams
from zerochain.speechchain.data import Symbols
from zerochain.speechchain.fusion import train_language_model
from zerochain.speechchain.language_model import LanguageModel
from zerochain.speechchain.sources import Sources, roles_of
from zerochain.speechchain.stage import transcribe
from zerochain.translation.decoding import beam_search

SYMBOLS = Symbols(tuple("abc"))
RNG = np.random.default_rng(0)
TEXTS = [RNG.integers(0, 3, RNG.integers(0, 6)) for _ in range(30)]


def by_definition(texts: list[np.ndarray], order: int, context: list[int], symbol: int) -> float:
    """Witten and Bell's p(symbol | context), counted anew."""
    lower = 1 / 4 if not context else by_definition(texts, order, context[1:], symbol)
    followed: Counter[int] = Counter()
    for text in texts:
        whole = [-1, *text.tolist(), 3]
        for i in range(1, len(whole)):
            if i >= len(context) and whole[i - len(context) : i] == context:
                followed[whole[i]] += 1
    total = followed.total()
    if not total:
        return lower
    return (followed[symbol] + len(followed) * lower) / (total + len(followed))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_are_those_of_the_definition(order: int) -> None:
    made = LanguageModel.of(TEXTS, SYMBOLS, order)
    made.check()
    np.testing.assert_allclose(np.exp(made.logs).sum(axis=1), 1, rtol=1e-5)
    for text in [[], [0], [2, 1, 0, 1], [1, 1, 1, 1, 1, 1]]:
        whole = [-1, *text, 3]
        wanted = [
            by_definition(TEXTS, order, whole[max(0, i - order + 1) : i], whole[i])
            for i in range(1, len(whole))
        ]
        assert made.score(np.array(text)) == pytest.approx(np.log(wanted).sum(), rel=1e-4)


def test_what_it_has_seen_is_likelier() -> None:
    made = LanguageModel.of([np.array([0, 1, 2])] * 3, SYMBOLS, 3)
    assert made.perplexity([np.array([0, 1, 2])]) < 2 < made.perplexity([np.array([2, 1, 0])])
    with pytest.raises(InputError, match="no text to make"):
        LanguageModel.of([], SYMBOLS)


def test_with_little_room_the_rarest_contexts_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = LanguageModel.of(TEXTS, SYMBOLS, 4)
    monkeypatch.setattr(language_model, "_MOST_CELLS", 4 * 8)
    made = LanguageModel.of(TEXTS, SYMBOLS, 4)
    made.check()
    assert len(made.logs) == 8 < len(whole.logs)
    np.testing.assert_allclose(np.exp(made.logs).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_ctc_beams_are_the_best_by_both(weight: float) -> None:
    made = LanguageModel.of(TEXTS, SYMBOLS, 3)
    scores = RNG.standard_normal((4, 4))
    logs = (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)
    sums: dict[tuple[int, ...], float] = {}
    for path in product(range(4), repeat=4):
        merged = [s for i, s in enumerate(path) if i == 0 or s != path[i - 1]]
        key = tuple(s for s in merged if s != 3)
        own = float(logs[range(4), path].sum())
        sums[key] = float(np.logaddexp(sums.get(key, -np.inf), own))

    def both(key: tuple[int, ...]) -> float:
        end = float(made.logs[_state(made, key), -1])  # the beam doesn't know yet that it ends
        return sums[key] + weight * (made.score(np.array(key, np.int64)) - end)

    wanted = sorted(sums, key=both, reverse=True)
    found = beams(logs, 200, made.fusion._replace(weight=weight))
    assert [tuple(s.tolist()) for s, _ in found[:5]] == wanted[:5]
    np.testing.assert_allclose([s for _, s in found[:5]], [sums[k] for k in wanted[:5]], atol=5e-3)


def _state(model: LanguageModel, symbols: tuple[int, ...]) -> int:
    state = 0
    for symbol in symbols:
        state = int(model.after[state, symbol])
    return state


def test_a_beam_of_attention_finds_the_best_by_both() -> None:
    torch.manual_seed(0)
    network = JointRecogniser(JointConfig(width=8, n_layers=1, n_symbols=3)).eval()
    made = LanguageModel.of(TEXTS, SYMBOLS, 3)
    encoded = Encoded(torch.randn(1, 5, 8), torch.tensor([5]))
    prior = LanguageModel(made.logs, made.after, made.symbols, weight=1.5).prior(
        torch.device("cpu")
    )
    limit = torch.tensor([3])

    def score(units: tuple[int, ...]) -> float:
        tokens = torch.tensor([[4, *units]])
        with torch.no_grad():
            logs = network.decoder(tokens, encoded.memory, encoded.lengths).log_softmax(2)[0]
        own = float(logs[range(len(units) + 1), [*units, 3]].sum())
        return (own + 1.5 * made.score(np.array(units, np.int64))) / (len(units) + 1)

    with torch.no_grad():
        (found,) = beam_search(network, encoded, limit, 40, merged=False, prior=prior)
    every = [units for n in range(4) for units in product(range(3), repeat=n)]
    best = max(every, key=score)
    assert tuple(found.units.tolist()) == best
    assert found.score == pytest.approx(score(best), abs=1e-4)


def test_its_weight_is_the_best_on_held_out_pairs(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    sources = Sources(tones.home, "train")
    report = train_language_model(paired, sources, tmp_path / "lm", paired=0.5, beam=3)
    assert report.error_rates[report.weight].value == min(
        one.value for one in report.error_rates.values()
    )
    made = LanguageModel.load(tmp_path / "lm")
    assert made.weight == report.weight
    assert set(made.symbols) == {" ", *LETTERS}
    assert 1 < report.perplexity < 8
    result = run(
        "chain", "transcribe", paired, tones.home, "--split", "test",
        "--out", tmp_path / "t.parquet", "--lm", tmp_path / "lm", "--lm-weight", 0.4,
        "--scores", tmp_path / "s.jsonl",
    )  # fmt: skip
    assert "CER" in result.output
    assert "of weight 0.4" in (tmp_path / "s.jsonl").read_text()
    assert "chain-language-model" in run("show", tmp_path / "lm").output
    one, other = (
        transcribe(
            paired,
            tones.home,
            tmp_path / "t.parquet",
            split="test",
            lm=tmp_path / "lm",
            lm_weight=w,
        )
        for w in (0.0, 50.0)
    )
    without = transcribe(paired, tones.home, tmp_path / "t.parquet", split="test")
    assert one.transcripts.texts == without.transcripts.texts != other.transcripts.texts


def test_speech_without_a_text_is_not_read(
    tones: Corpus, paired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that lose their texts or recordings, the texts are learned and no speech is read."""
    read: list[str] = []

    def spied(corpus: Corpus, *args: object, **options: object) -> object:
        read.extend(corpus.ids)
        return extracted(corpus, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("zerochain.speechchain.sources.extracted", spied)
    sources = Sources(tones.home, "train")
    report = train_language_model(paired, sources, tmp_path / "lm", paired=0.5, beam=2)
    roles = roles_of(plain_texts(tones.select(split="train")), 0.5)
    assert set(read) == {name for name, role in roles.items() if role == "pair"}
    n_paired = SpeechChain.load(paired).training["n_pairs"]
    assert report.n_texts == n_paired + sum(role == "text" for role in roles.values())


def test_texts_of_a_file_are_learned(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("abba\nbad cab\n", encoding="utf-8")
    result = run(
        "chain", "lm", paired, tones.home, "--split", "train", "--paired", 0.5,
        "--texts", tmp_path / "texts", "--order", 3, "--out", tmp_path / "lm",
    )  # fmt: skip
    assert "held-out" in result.output
    assert LanguageModel.load(tmp_path / "lm").order == 3


def test_others_are_refused(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    sources = Sources(tones.home, "train")
    with pytest.raises(InputError, match="was trained on other pairs"):
        train_language_model(paired, sources, tmp_path / "lm", paired=0.3)
    with pytest.raises(InputError, match="hypotheses of a beam"):
        train_language_model(paired, sources, tmp_path / "lm", paired=0.5, beam=1)
    LanguageModel.of(TEXTS, SYMBOLS).save(tmp_path / "other")
    with pytest.raises(ModelMismatchError, match="other symbols"):
        transcribe(paired, tones.home, tmp_path / "t.parquet", lm=tmp_path / "other")
    assert not (tmp_path / "lm").exists()
    run(
        "chain", "transcribe", paired, tones.home, "--lm-weight", 1, "--out",
        tmp_path / "t.parquet", code=2,
    )  # fmt: skip
