"""Any terminal, and whatever the operating system refuses: no traceback, nothing half-done."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.cli.score import save_scores
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import Score, append_scores, read_scores
from zerochain.scoring.common import Scored

SCORE = Score("bitrate_bit/s", 1.0, (0.5, 1.5), 3, "zs2019", "béa → ŋ", {}, {"n_of": "symbols"})


@pytest.mark.parametrize("encoding", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": ""}])
def test_a_terminal_that_knows_ascii_alone(tmp_path: Path, encoding: dict[str, str]) -> None:
    utterances = (Utterance(id="ŋa", audio="ŋa.wav", duration=1.0, speaker="béa"),)
    write_corpus(tmp_path / "corpus", Corpus("čeština", utterances))
    append_scores(tmp_path / "s.jsonl", [SCORE])
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **encoding}
    code = "from zerochain.cli import main; import sys; main(sys.argv[1:])"
    for path in ("corpus", "s.jsonl", "none"):
        done = subprocess.run(
            [sys.executable, "-c", code, "show", path],
            env={**os.environ, **plain, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == (path == "none")
        assert b"Traceback" not in done.stderr
        assert done.stdout if path != "none" else done.stderr


def test_a_table_that_can_t_be_made_appends_nothing(tmp_path: Path) -> None:
    broken = Score("m", 1.0, None, 1, "p", "s", {}, {})  # without what a table needs
    with pytest.raises(KeyError):
        save_scores(Scored([SCORE, broken]), tmp_path / "s.jsonl")
    assert not (tmp_path / "s.jsonl").exists()


def test_a_terminal_that_is_gone_leaves_all_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("click.echo", gone)
    with pytest.raises(BrokenPipeError):
        save_scores(Scored([SCORE, SCORE]), tmp_path / "s.jsonl")
    assert len(read_scores(tmp_path / "s.jsonl")) == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data/u"), "/data/u: can't be used"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (MemoryError("Unable to allocate 9 TiB"), "not enough memory (Unable to allocate 9 TiB)"),
    ],
)
def test_what_the_system_refuses_is_said_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("zerochain.cli.score_units.score_usage", refuse)
    result = CliRunner().invoke(main, ["score", "usage", "u.parquet", "--out", "s.jsonl"])
    assert result.exit_code == 1
    assert said in result.output
    assert "fix:" in result.output
