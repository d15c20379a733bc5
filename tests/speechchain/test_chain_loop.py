"""One step of the loop: where gradients go, what is kept out, and what counts how much."""

from typing import Any

import numpy as np
import pytest
import torch

from zerochain.modules.joint_recogniser import JointConfig, JointRecogniser
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig
from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig
from zerochain.speechchain.ctc import Path
from zerochain.speechchain.data import Material, Pairs, Speech, Symbols
from zerochain.speechchain.loop import ChainNetwork, LoopConfig, LoopTask
from zerochain.speechchain.synthesis_loss import (
    MAGNITUDE,
    SpeechMoments,
    SynthesisLoss,
    losses_of,
    synthesis,
)
from zerochain.speechchain.synthesiser import Aligned
from zerochain.training.recipe import Recipe

N_SYMBOLS, N_VECTOR = 3, 4


def speech(n: int, seed: int, *, waves: bool = False) -> Speech:
    rng = np.random.default_rng(seed)
    frames = [rng.normal(-40, 10, size=(30 + 4 * i, 80)).astype(np.float32) for i in range(n)]
    voices = rng.normal(size=(n, N_VECTOR)).astype(np.float32)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    samples = [rng.normal(size=160 * len(x) - 1).astype(np.float32) for x in frames]
    return Speech(tuple(f"u{i}" for i in range(n)), frames, voices, samples if waves else None)


def task(tts: str = "parallel", **config: Any) -> LoopTask:
    torch.manual_seed(0)
    rng = np.random.default_rng(2)
    tacotron = tts == "tacotron"
    one = speech(6, 0, waves=tacotron)
    texts = [rng.integers(0, N_SYMBOLS, 5) for _ in range(6)]
    pairs = Pairs.of(one, texts)
    lasting = [np.array([2, *[2] * 5, -(-len(x) // 2) - 12]) for x in one.frames]
    aligned = Aligned(pairs, lasting, 0)
    material = Material(
        Symbols(tuple("abc")), pairs, pairs, texts[:3], speech(4, 1, waves=tacotron), {}
    )
    network = ChainNetwork(
        JointRecogniser(JointConfig(width=8, n_layers=1, n_symbols=N_SYMBOLS, dropout=0.0)),
        Synthesiser(
            SynthesiserConfig(
                width=8,
                n_encoder_blocks=1,
                n_decoder_blocks=1,
                n_symbols=N_SYMBOLS,
                n_vector=N_VECTOR,
                architecture=tts,
                n_bins=MAGNITUDE.n_bins if tacotron else 0,
            )
        ),
    )
    moments = SpeechMoments.of(one)
    judge = SpeakerNet(SpeakerNetConfig(width=8, n_blocks=1, dim=N_VECTOR))
    losses = losses_of(SynthesisLoss(), moments, judge, "cpu")
    settings = LoopConfig(**{"min_confidence": 0.0, **config})
    return LoopTask(
        network, losses, material, aligned, aligned, settings, Recipe(batch_size=2), "cpu"
    )


def gradients(made: LoopTask, batch: Any) -> dict[str, float]:
    network = made.networks["chain"]
    network.zero_grad()
    losses = network(made._losses, batch)
    losses["train_loss"].backward()
    sums = {"recogniser": 0.0, "synthesiser": 0.0}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            sums[name.partition(".")[0]] += float(parameter.grad.abs().sum())
    return sums


def test_the_loss_is_the_papers_sum() -> None:
    made = task(alpha=0.25, beta=0.5)
    with torch.no_grad():
        losses = made.networks["chain"](made._losses, made.batch(1, 0))
    paired = losses["paired_asr"] + losses["paired_tts"]
    alone = losses["text_asr"] + losses["speech_tts"]
    assert float(losses["train_loss"]) == pytest.approx(float(0.25 * paired + 0.5 * alone))
    assert 0 <= float(losses["texts_kept"]) <= 1
    assert 0 <= float(losses["speech_kept"]) <= 1


def test_batches_depend_on_seed_step_and_process_alone() -> None:
    made, again = task(), task()
    one, same, other = made.batch(3, 0), again.batch(3, 0), made.batch(4, 0)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["seed"], other["seed"])


@pytest.mark.parametrize("tts", ["parallel", "tacotron"])
def test_texts_teach_the_recogniser_and_speech_the_synthesiser(tts: str) -> None:
    made = task(tts, alpha=0.0)
    batch = made.batch(1, 0)
    made._spoken = _all_kept(made)  # type: ignore[method-assign]
    texts = {k: v for k, v in batch.items() if not k.startswith("speech")}
    found = gradients(made, texts)
    assert found["recogniser"] > 0 == found["synthesiser"]
    made._trusted = lambda paths, lengths: [1.0] * len(paths)  # type: ignore[method-assign]
    alone = {k: v for k, v in batch.items() if not k.startswith("text")}
    found = gradients(made, alone)
    assert found["synthesiser"] > 0 == found["recogniser"]


def test_speech_may_teach_the_recogniser_its_own_transcripts() -> None:
    made = task(alpha=0.0, beta=1.0, own_weight=0.5)
    made._trusted = lambda paths, lengths: [1.0] * len(paths)  # type: ignore[method-assign]
    batch = {k: v for k, v in made.batch(1, 0).items() if not k.startswith("text")}
    losses = made.networks["chain"](made._losses, batch)
    wanted = losses["speech_tts"] + 0.5 * losses["speech_asr"]
    torch.testing.assert_close(losses["train_loss"], wanted)
    assert min(gradients(made, batch).values()) > 0


def _all_kept(made: LoopTask) -> Any:
    spoken = made._spoken

    def kept(*args: Any) -> Any:
        found = spoken(*args)
        return found._replace(weights=torch.ones_like(found.weights))

    return kept


@pytest.mark.parametrize("feedback", ["argmax", "gumbel"])
@pytest.mark.parametrize(
    ("source", "tts"), [("pairs", "parallel"), ("speech", "parallel"), ("pairs", "tacotron")]
)
def test_feedback_reaches_the_recogniser(feedback: str, source: str, tts: str) -> None:
    made = task(tts, alpha=0.0, feedback=feedback, feedback_from=source)
    made._trusted = lambda paths, lengths: [1.0] * len(paths)  # type: ignore[method-assign]
    batch = {k: v for k, v in made.batch(1, 0).items() if not k.startswith("text")}
    assert gradients(made, batch)["recogniser"] > 0


def test_straight_through_is_one_hot_with_the_gradient_of_the_softmax() -> None:
    made = task(feedback="argmax", temperature=0.5)
    scores = torch.randn(2, 4, N_SYMBOLS, requires_grad=True)
    chosen = made._chosen(scores)
    hard = torch.nn.functional.one_hot(scores.argmax(dim=2), N_SYMBOLS)
    torch.testing.assert_close(chosen, hard.float())
    weight = torch.randn_like(scores)
    (got,) = torch.autograd.grad((chosen * weight).sum(), scores)
    soft = (scores / 0.5).softmax(dim=2)
    (wanted,) = torch.autograd.grad((soft * weight).sum(), scores)
    torch.testing.assert_close(got, wanted)


def test_true_symbols_reconstruct_as_in_training() -> None:
    """Feedback through one-hot symbols that are right is the synthesiser's own error."""
    made = task(feedback="argmax")
    network, batch = made.networks["chain"], made.batch(1, 0)
    hot = torch.nn.functional.one_hot(batch["symbols"], N_SYMBOLS).float()
    with torch.no_grad():
        got = made._reconstructed(network, hot, batch["counts"], batch)  # type: ignore[arg-type]
        _, wanted = synthesis(network.synthesiser, made._synthesis, batch, N_SYMBOLS)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_speech_may_be_transcribed_with_a_beam() -> None:
    made = task(generation="beam")
    batch = {k: v for k, v in made.batch(1, 0).items() if not k.startswith("text")}
    with torch.no_grad():
        losses = made.networks["chain"](made._losses, batch)
    assert all(bool(torch.isfinite(value)) for value in losses.values())


def test_texts_whose_attention_failed_are_kept_out_and_counted() -> None:
    made = task("tacotron")
    batch = made.batch(1, 0)
    synthesiser = made.networks["chain"].synthesiser
    assert synthesiser.tacotron is not None
    for bias, failed in ((-50.0, 1.0), (50.0, None)):  # never ends, or at once
        with torch.no_grad():
            synthesiser.tacotron.end.weight.zero_()
            synthesiser.tacotron.end.bias.fill_(bias)
            losses = made.networks["chain"](made._losses, batch)
        assert float(losses["texts_kept"]) == 0
        assert float(losses["text_asr"]) == 0
        if failed is not None:
            assert float(losses["texts_failed"]) == failed


def test_what_failed_weighs_nothing() -> None:
    made = task(min_confidence=0.3)
    none = np.zeros(0, np.int64)
    paths = [
        Path(none, none, 0.0),
        Path(np.zeros(5, np.int64), np.arange(5), float(np.log(0.6))),
        Path(np.zeros(5, np.int64), np.arange(5), float(np.log(0.2))),
        Path(np.zeros(15, np.int64), np.arange(15), float(np.log(0.9))),
    ]
    weights = made._trusted(paths, torch.full((4,), 30))
    assert weights == [0.0, pytest.approx(0.6), 0.0, 0.0]


def test_nothing_to_learn_from_is_a_loss_of_zero_and_no_nan() -> None:
    made = task(min_confidence=1.0, alpha=0.0)
    with torch.no_grad():
        losses = made.networks["chain"](made._losses, made.batch(1, 0))
    assert float(losses["speech_tts"]) == 0.0
    assert all(bool(torch.isfinite(v)) for v in losses.values())
    gradient = gradients(made, made.batch(1, 0))
    assert all(np.isfinite(v) for v in gradient.values())
