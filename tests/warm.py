"""Pipelines that don't import torch for every step: their commands run in forks of one process.

A step of a pipeline is a process of its own, whose imports take ten times as long as what it does
in a test. `warm` stands in for the interpreter that a pipeline's steps are run with: it hands
their command lines to a process that has imported everything, which forks.
"""

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER = """
    import json, os, socket, sys, traceback
    import numba, scipy.ndimage, scipy.signal, scipy.sparse.csgraph, scipy.special  # used late
    import zerochain.inversion.speaking, zerochain.inversion.stage, zerochain.recordings
    import zerochain.report.page, zerochain.scoring.translation, zerochain.scoring.units
    from zerochain.cli import main
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1] + ".new")
    listening.listen()
    os.rename(sys.argv[1] + ".new", sys.argv[1])  # who sees it finds somebody who listens
    while True:
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            continue
        with connection:
            given, handles, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            asked = json.loads(given)
            os.dup2(handles[0], 1), os.dup2(handles[1], 2)
            os.chdir(asked["folder"])
            os.environ.clear(), os.environ.update(asked["environment"])
            sys.argv, code = ["zerochain", *asked["arguments"]], 0
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stdout.flush(), sys.stderr.flush()
            connection.sendall(bytes([code]))
        os._exit(0)
"""
CLIENT = """
    import json, os, socket, sys
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    asked = {"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
    socket.send_fds(connection, [json.dumps(asked).encode()], [1, 2])
    sys.exit((connection.recv(1) or b"\\x01")[0])
"""
INTERPRETER = """\
#!/bin/sh
if [ "$1 $2 $3" = "-P -m zerochain" ]; then
    shift 3
    exec '{python}' -S -E '{folder}/client.py' '{folder}/socket' "$@"
fi
exec '{python}' "$@"
"""


@contextmanager
def warm() -> Iterator[None]:
    """While it lasts, steps of pipelines that this process starts are forks; POSIX alone."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place)  # short: a socket's path has to be
        (folder / "server.py").write_text(textwrap.dedent(SERVER))
        (folder / "client.py").write_text(textwrap.dedent(CLIENT))
        python = folder / "python"
        python.write_text(INTERPRETER.format(python=sys.executable, folder=folder))
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        (folder / "sitecustomize.py").write_text(f"import sys\nsys.executable = {str(python)!r}\n")
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        running = subprocess.Popen([sys.executable, folder / "server.py", folder / "socket"])
        try:
            while not (folder / "socket").exists():
                assert running.poll() is None
                time.sleep(0.05)
            yield
        finally:
            running.kill()
            running.wait()
