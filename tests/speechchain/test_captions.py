"""Captions: pictures whose regions are letters, speech that is transcribed, texts alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chains import LETTERS, QUICK, texts_of, toned
from interruption import interrupted

from commands import run
from zerochain.cli.captions import NEAREST
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.normalisation import Moments
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import read_corpus, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.scores import read_scores
from zerochain.formats.transcripts import read_transcripts
from zerochain.modules.captioner import Captioner, CaptionerConfig, CaptionerSizes
from zerochain.modules.joint_recogniser import JointConfig, JointRecogniser
from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig
from zerochain.speechchain.captioning import caption, nearest_texts
from zerochain.speechchain.captions import (
    CaptionConfig,
    CaptionTask,
    CaptionTraining,
    PictureCaptioner,
    train_captioner,
)
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import Path as Transcript
from zerochain.speechchain.recogniser import ChainRecogniser
from zerochain.speechchain.synthesiser import ChainSynthesiser

SYMBOLS = (" ", *LETTERS)
SIZES = CaptionerSizes(width=32, n_layers=1, dropout=0.0)
FEW = QUICK.model_copy(update={"max_steps": 4, "validate_every": 2})
LONG = QUICK.model_copy(update={"max_steps": 150, "validate_every": 50})


def picture(text: str, rng: np.random.Generator) -> np.ndarray:
    """A region for each letter."""
    regions = np.eye(len(SYMBOLS), dtype=np.float32)[[SYMBOLS.index(c) for c in text]]
    return regions + 0.05 * rng.standard_normal(regions.shape, np.float32)


def draw(texts: dict[str, str], out: Path) -> Path:
    rng = np.random.default_rng(2)
    with write_features(
        out, extractor="letters", options={}, step_ms=1.0, corpus_id="c" * 64
    ) as writer:
        for name, text in texts.items():
            writer.add(name, picture(text, rng))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, pictures of its texts, and a speech chain."""
    root = tmp_path_factory.mktemp("captions")
    corpus = toned(root, texts_of(60))
    draw({u.id: str(u.text) for u in corpus.utterances}, root / "pictures")
    speech_chain(SYMBOLS).save(root / "chain")
    return root


def speech_chain(symbols: tuple[str, ...], **about: object) -> SpeechChain:
    n = len(symbols)
    sizes = {"width": 8, "n_encoder_blocks": 0, "n_decoder_blocks": 0}
    ones = np.ones(80, np.float32)
    return SpeechChain(
        ChainRecogniser(JointRecogniser(JointConfig(width=8, n_layers=1, n_symbols=n)), symbols),
        ChainSynthesiser(Synthesiser(SynthesiserConfig(**sizes, n_symbols=n)), ones, ones, symbols),
        **about,
    )


@pytest.fixture(autouse=True)
def recogniser(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A recogniser that knows what was said, one letter excepted, and how sure it is."""
    sure = {"confidence": 0.8}

    def transcribe(
        self: ChainRecogniser, utterances: list[np.ndarray], beam: int = 5
    ) -> list[Transcript]:
        said = np.array([1, 2, 0, 3])
        return [Transcript(said, said, float(np.log(sure["confidence"]))) for _ in utterances]

    monkeypatch.setattr(ChainRecogniser, "transcribe", transcribe)
    return sure


def trained(
    folder: Path, out: Path, recipe: object = FEW, chain: str = "chain", **config: object
) -> CaptionTraining:
    return train_captioner(
        folder / "tones-corpus",
        folder / "pictures",
        folder / chain,
        out,
        split="train",
        config=CaptionConfig(**{"paired": 0.5, **config}),
        sizes=SIZES,
        recipe=recipe,  # type: ignore[arg-type]
    )


def test_letters_are_captioned_and_found(folder: Path, tmp_path: Path) -> None:
    report = trained(folder, tmp_path / "c", LONG, method="all")
    assert report.n_pairs > 30
    assert (report.n_spoken, report.n_texts) == (0, 0)
    found = caption(
        tmp_path / "c", folder / "tones-corpus", folder / "pictures", tmp_path / "t.parquet",
        split="test",
    )  # fmt: skip
    n = len(read_corpus(folder / "tones-corpus").select(split="test").utterances)
    assert len(found.captions.texts) == n
    assert read_transcripts(tmp_path / "t.parquet").texts == found.captions.texts
    for one in (found.cer, found.exact, found.first, found.five):
        assert one is not None
        assert one.n == n
        assert one.interval is not None
    assert found.cer is not None
    assert found.cer.value < 60
    assert found.five is not None
    assert found.first is not None
    assert found.first.value <= found.five.value
    assert found.five.value > 60  # a tenth of that is chance
    result = run(
        "chain", "caption", tmp_path / "c", folder / "tones-corpus", folder / "pictures",
        "--split", "test", "--nearest", "test", "--beam", 1, "--out", tmp_path / "t.parquet",
        "--scores", tmp_path / "s.jsonl",
    )  # fmt: skip
    assert "CER of the nearest picture's text" in result.output
    scores = [s for s in read_scores(tmp_path / "s.jsonl") if s.system == NEAREST]
    assert [score.value for score in scores] == [0, 100]  # each is nearest to itself


def test_the_nearest_picture_is_found_as_by_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    moments = Moments(rng.normal(size=3).astype(np.float32), np.array([1, 2, 3], np.float32))
    pictures, known = (
        [rng.normal(size=(r, 3)).astype(np.float32) for r in rows] for rows in ((2, 4), (4, 3, 1))
    )

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        wide = [np.zeros((4, 3)) for _ in range(2)]
        for w, x in zip(wide, (a, b), strict=True):
            w[: len(x)] = (x - moments.mean) / moments.deviation
        return float(np.square(wide[0] - wide[1]).sum())

    wanted = ["abc"[int(np.argmin([distance(p, k) for k in known]))] for p in pictures]
    assert nearest_texts(pictures, known, list("abc"), moments) == wanted


def test_what_is_paired_decides_what_it_learns_from(folder: Path, tmp_path: Path) -> None:
    pairs = trained(folder, tmp_path / "p", method="paired")
    chain = trained(folder, tmp_path / "c")
    bound = trained(folder, tmp_path / "a", method="all")
    assert pairs.n_pairs == chain.n_pairs < bound.n_pairs
    assert (pairs.n_spoken, pairs.n_texts) == (0, 0)
    assert chain.n_spoken > 5 < chain.n_texts
    n_valid = round(bound.n_pairs / 9)
    assert bound.n_pairs == pytest.approx(
        pairs.n_pairs + chain.n_spoken + chain.n_texts, abs=n_valid
    )


def test_unsure_transcripts_are_left_out(
    folder: Path, tmp_path: Path, recogniser: dict[str, float]
) -> None:
    recogniser["confidence"] = 0.2
    report = trained(folder, tmp_path / "c")
    assert report.n_spoken == 0
    assert report.excluded["unsure_transcripts"] > 5
    assert trained(folder, tmp_path / "d", min_confidence=0.1).n_spoken > 5


def test_interrupted_it_goes_on_to_the_same_captioner(folder: Path, tmp_path: Path) -> None:
    trained(folder, tmp_path / "whole")
    with interrupted(CaptionTask, 3), pytest.raises(KeyboardInterrupt):
        trained(folder, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="other data or other settings"):
        trained(folder, tmp_path / "c", beta=0.5)
    trained(folder, tmp_path / "c")
    assert bundle_id(tmp_path / "c") == bundle_id(tmp_path / "whole")


def test_one_by_one_equals_many() -> None:
    torch.manual_seed(0)
    network = Captioner(CaptionerConfig(width=16, n_in=5, n_regions=9, n_symbols=5)).eval()
    ones = np.ones(5, np.float32)
    model = PictureCaptioner(network, 0 * ones, ones, SYMBOLS, 12)
    rng = np.random.default_rng(0)
    pictures = [picture(text, rng) for text in ("ab", "abcd dcba", "c")]
    for beam in (1, 5):
        many = model.captions(pictures, beam)
        for one, (text, score) in zip(pictures, many, strict=True):
            ((again, own),) = model.captions([one], beam)
            assert again == text
            assert own == pytest.approx(score, abs=1e-4)
    vectors = model.vectors(pictures)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.vectors(pictures[:1]), vectors[:1], atol=1e-5)
    texts = [np.array([1, 2]), np.array([3, 0, 4, 4])]
    both = model.text_vectors(texts)
    np.testing.assert_allclose(model.text_vectors(texts[:1]), both[:1], atol=1e-5)


@pytest.mark.parametrize(
    ("symbols", "about", "error", "found"),
    [
        (SYMBOLS, {"paired": 0.25}, ModelMismatchError, "trained with paired=0.25"),
        (SYMBOLS, {"method": "all"}, ModelMismatchError, "trained on all texts"),
        (("0", "1"), {}, InputError, "one of units"),
        (("x", "y"), {}, InputError, "0 different texts of pictures can be used"),
    ],
)
def test_chains_that_do_not_fit_are_refused(
    folder: Path,
    tmp_path: Path,
    symbols: tuple[str, ...],
    about: dict[str, object],
    error: type[InputError],
    found: str,
) -> None:
    corpus = read_corpus(folder / "tones-corpus")
    training = {"config": {"paired": 0.5, **about}, "method": about.get("method", "paired")}
    made = speech_chain(symbols, training=training, trained_on={"corpus": corpus.id})
    if symbols == ("0", "1"):
        made = replace(
            made,
            recogniser=replace(made.recogniser, unit_model="m" * 64),
            synthesiser=replace(made.synthesiser, unit_model="m" * 64),
        )
    made.save(folder / (name := f"chain-{found.replace(' ', '-')}"))
    with pytest.raises(error, match=found):
        trained(folder, tmp_path / "c", chain=name)
    assert not (tmp_path / "c").exists()


def test_tags_of_languages_are_no_characters(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_corpus(folder / "tones-corpus")
    tagged = {u.id: f"<xx>{(u.text or '').replace(' ', ' <yy>')}" for u in whole.utterances}
    utterances = tuple(replace(u, text=tagged[u.id]) for u in whole.utterances)
    corpus = write_corpus(tmp_path / "tagged", replace(whole, utterances=utterances))
    names = (" ", *(f"{c}<{language}>" for c in LETTERS for language in ("xx", "yy")))
    speech_chain(names).save(tmp_path / "chain")
    made = tmp_path / "c"
    train_captioner(
        corpus.home, folder / "pictures", tmp_path / "chain", made,
        config=CaptionConfig(method="paired"), sizes=SIZES, recipe=FEW,
    )  # fmt: skip
    one_language = [(text.replace("<yy>", ""), 0.0) for text in tagged.values()]
    monkeypatch.setattr(PictureCaptioner, "captions", lambda *_: one_language)
    found = caption(made, corpus.home, folder / "pictures", tmp_path / "t.parquet")
    assert found.cer is not None
    assert found.exact is not None
    assert (found.cer.value, found.exact.value) == (0, 100)


def test_pictures_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    draw({"u0": "ab", "u1": "ba"}, tmp_path / "pictures")
    (tmp_path / "tones-corpus").symlink_to(folder / "tones-corpus")
    (tmp_path / "chain").symlink_to(folder / "chain")
    with pytest.raises(InputError, match="pictures"):
        trained(tmp_path, tmp_path / "c")
    trained(folder, tmp_path / "c", method="paired")
    corpus = folder / "tones-corpus"
    draw({"other": "ab"}, tmp_path / "others")
    with pytest.raises(InputError, match="pictures of none of the utterances"):
        caption(tmp_path / "c", corpus, tmp_path / "others", tmp_path / "t.parquet")
    draw({"u0": "ab" * 30}, tmp_path / "long")
    with pytest.raises(InputError, match=r"up to .* regions of 5 values"):
        caption(tmp_path / "c", corpus, tmp_path / "long", tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_the_commands(folder: Path, tmp_path: Path) -> None:
    corpus, made = folder / "tones-corpus", tmp_path / "captioner"
    result = run(
        "chain", "train-captioner", corpus, folder / "pictures", "--split", "train",
        "--paired", 0.5, "--chain", folder / "chain", "--steps", 2, "--width", 8, "--out", made,
    )  # fmt: skip
    assert "with transcripts" in result.output
    assert "captioner" in run("show", made).output
    result = run(
        "chain", "caption", made, corpus, folder / "pictures", "--split", "test", "--out",
        tmp_path / "t.parquet", "--beam", 1, "--scores", tmp_path / "s.jsonl",
    )  # fmt: skip
    assert "picture found first" in result.output
    scores = read_scores(tmp_path / "s.jsonl")
    assert [score.metric for score in scores] == [
        "caption_cer_%",
        "caption_exact_%",
        "picture_recall_at_1_%",
        "picture_recall_at_5_%",
    ]
