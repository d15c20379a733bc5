"""Pipelines that don't start Python for every step: Snakemake and its steps are forks.

Snakemake and each step of a pipeline are processes of their own, whose imports take ten times as
long as what they do in a test. While the fixture `warm` lasts, a stand-in for the interpreter hands
their command lines to a process that has imported everything, which forks. There is one for all
tests of a session; POSIX alone.
"""

import os
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SERVER = """
    import fcntl, gc, importlib, json, os, pkgutil, runpy, socket, sys, threading, traceback
    import numba, scipy.ndimage, scipy.signal, scipy.sparse.csgraph, scipy.special  # used late
    import snakemake.cli
    import zerochain.cli, zerochain.recordings, zerochain.report.sweep
    for command in pkgutil.iter_modules(zerochain.cli.__path__, "zerochain.cli."):
        importlib.import_module(command.name)

    HIGH = 200  # descriptors below it may be those of who asks

    def main():
        address, stand_in = sys.argv[1:]
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address + ".new")
        listening.listen()
        gc.collect(), gc.freeze()  # which a fork would copy otherwise
        assert threading.active_count() == 1  # a thread may hold a lock, which a fork never gets
        os.rename(address + ".new", address)  # who sees it finds somebody who listens
        while True:
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                answer(connection, stand_in)
                os._exit(0)
            connection.close()
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass

    def answer(connection, stand_in):
        given, handles, _, _ = socket.recv_fds(connection, 1 << 20, 50)
        asked = json.loads(given)
        worker = os.fork()
        if not worker:
            connection.close()
            for end in [fcntl.fcntl(handle, fcntl.F_DUPFD, HIGH) for handle in handles]:
                os.dup2(end, asked["descriptors"].pop(0))
                os.close(end)
            sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
            sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)
            os._exit(run(asked, stand_in))
        for handle in handles:  # who reads from a pipe waits until nobody can write
            os.close(handle)
        _, status = os.waitpid(worker, 0)
        connection.sendall(bytes([min(255, abs(os.waitstatus_to_exitcode(status)))]))

    def run(asked, stand_in):
        os.chdir(asked["folder"])
        os.environ.clear(), os.environ.update(asked["environment"])
        sys.executable = stand_in
        for folder in os.environ.get("PYTHONPATH", "").split(":"):  # as a start does
            if os.path.exists(found := os.path.join(folder or ".", "sitecustomize.py")):
                runpy.run_path(found)
                break
        sys.argv = asked["words"]
        try:
            if asked["module"] == "zerochain":
                zerochain.cli.main()
            elif asked["module"] == "snakemake":
                snakemake.cli.main()
            else:
                runpy.run_path(asked["module"], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
        return code

    main()
"""
CLIENT = """
    import json, os, socket, sys
    descriptors = [n for n in range(64) if os.path.exists(f"/dev/fd/{n}")]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    module, *words = sys.argv[2:]
    asked = {"module": module, "words": [module, *words], "folder": os.getcwd()}
    asked |= {"environment": dict(os.environ), "descriptors": descriptors}
    socket.send_fds(connection, [json.dumps(asked).encode()], descriptors)
    sys.exit((connection.recv(1) or b"\\x01")[0])
"""
INTERPRETER = """\
#!/bin/sh
case "$1 $2 $3" in
"-P -m zerochain" | "-P -m snakemake") shift 2 ;;
"-P "*.py*) shift ;;
*) exec '{python}' "$@" ;;
esac
exec '{python}' -S -E '{folder}/client.py' '{folder}/socket' "$@"
"""


@contextmanager
def stand_in(**environment: str) -> Iterator[str]:
    """The path of a stand-in for the interpreter, whose process is started with an environment."""
    with TemporaryDirectory() as place:
        folder = Path(place)  # short: a socket's path has to be
        (folder / "server.py").write_text(textwrap.dedent(SERVER))
        (folder / "client.py").write_text(textwrap.dedent(CLIENT))
        python = folder / "python"
        python.write_text(INTERPRETER.format(python=sys.executable, folder=folder))
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, "-P", folder / "server.py", folder / "socket", python]
        running = subprocess.Popen(command, env={**os.environ, **environment})
        try:
            while not (folder / "socket").exists():
                assert running.poll() is None
                time.sleep(0.05)
            yield str(python)
        finally:
            running.kill()
            running.wait()


@pytest.fixture(scope="session")
def warm_interpreter() -> Iterator[str]:
    """The stand-in that all tests share."""
    with stand_in() as python:
        yield python


@pytest.fixture
def warm(warm_interpreter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasts, what pipelines start is forked."""
    monkeypatch.setattr(sys, "executable", warm_interpreter)
