import io
import sys

import pytest

from zerochain import progress
from zerochain.training.log import Display, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3500, "58 min"),
        (3600, "1 h 00 min"),
        (3 * 3600 + 290, "3 h 05 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_bar_shows_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_PATIENCE_S", -1)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    display = Display("Training f0", 0, 3)
    assert display.label() == "Training f0"
    for step in progress.track(range(1, 4), display.label):
        display.validated({"step": step, "train_loss": 1 / step, "valid_loss": 2 / step})
    assert "Training f0, loss 0.3333, validation 0.6667" in screen.getvalue()
    assert "steps/s" not in screen.getvalue()


def test_all_but_the_main_process_are_mute(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display("Training", 0, 10, mute=True)
    display.tell("goes on")
    display.validated({"step": 10, "valid_loss": 1.0})
    assert not capsys.readouterr().err


def test_a_task_may_call_its_loss_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    Display("Training", 0, 10).validated({"step": 10, "error": 3.0, "valid_loss": 1.0})
    assert capsys.readouterr().err.startswith("Training: step 10 of 10, validation 1.0000, ")
