"""Processes that don't start Python anew: Snakemake, steps of pipelines and others are forks.

Snakemake and each step of a pipeline are processes of their own, whose imports take ten times as
long as what they do in a test; so are torchrun and the processes that it starts. While the fixture
`warm` lasts, a stand-in for the interpreter hands their command lines to a process that has
imported everything, which forks. There is one for all workers of a session; POSIX alone.

Not for tests of what a process imports, or of what it does while it starts.
"""

import fcntl
import os
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

SERVER = """
    import contextlib, fcntl, gc, importlib, marshal, os, pkgutil, runpy, select, shutil, signal
    import socket, sys, threading, traceback
    # What is imported late: by functions of ours, by optimisers (dynamo), by numba's first kernel.
    import accelerate, librosa.effects, numba, scipy.ndimage, scipy.signal, scipy.sparse.csgraph
    import scipy.special, sklearn.cluster, sklearn.linear_model, sklearn.mixture
    import torch._dynamo, torch.distributed.run
    import snakemake.cli
    from zerochain.report.style import require_report_extra
    require_report_extra()
    import matplotlib.backends.backend_agg, matplotlib.figure
    import zerochain.cli, zerochain.recordings, zerochain.report.sweep
    for command in pkgutil.iter_modules(zerochain.cli.__path__, "zerochain.cli."):
        importlib.import_module(command.name)
    numba.njit(lambda x: x)(1.0)
    snakemake.cli.get_argument_parser()  # imports its plugins, and what those import
    os.fsync = lambda fd: None  # as in the tests' own process

    HIGH = 200  # descriptors below it may be those of who asks

    def main():
        folder, stand_in = sys.argv[1:]
        try:
            serve(folder, stand_in)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # to take leave of all modules takes a while

    def serve(folder, stand_in):
        address, joining = os.path.join(folder, "socket"), socket.socket(socket.AF_UNIX)
        joining.bind(os.path.join(folder, "users"))
        joining.listen()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address + ".new")
        listening.listen()
        ended, wakes = socket.socketpair()
        ended.setblocking(False), wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno())
        gc.collect(), gc.freeze()  # which a fork would copy otherwise
        assert threading.active_count() == 1  # a thread may hold a lock, which a fork never gets
        os.rename(address + ".new", address)  # who sees it finds somebody who listens
        waiting = {}  # process → the connection of who asked for it
        users = [joining]  # and a connection to each of those for whom it is here
        gone = []
        while not gone or users != [joining]:
            ready, _, _ = select.select([listening, ended, *users], [], [])
            if ended in ready:
                ended.recv(1 << 12)
                tell(waiting)
            if listening in ready:
                connection, _ = listening.accept()
                others = [listening, *users, *waiting.values()]
                worker, handles = start(connection, stand_in, others)
                waiting[worker] = connection
                for handle in handles:  # who reads from a pipe waits until nobody can write
                    os.close(handle)
            gone = [user for user in users[1:] if user in ready]
            users = [user for user in users if user not in gone]
            if joining in ready:
                users.append(joining.accept()[0])
                with contextlib.suppress(OSError):  # has gone, which it finds next
                    users[-1].sendall(b"1")

    def tell(waiting):
        while waiting:
            worker, status = os.waitpid(-1, os.WNOHANG)
            if not worker:
                return
            with waiting.pop(worker) as connection, contextlib.suppress(OSError):  # has gone
                connection.sendall(marshal.dumps(os.waitstatus_to_exitcode(status)))

    def start(connection, stand_in, others):
        given, handles, _, _ = socket.recv_fds(connection, 1 << 20, 50)
        worker = os.fork()
        if not worker:
            signal.set_wakeup_fd(-1), signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in [connection, *others]:
                one.close()
            asked = marshal.loads(given)
            for end in [fcntl.fcntl(handle, fcntl.F_DUPFD, HIGH) for handle in handles]:
                os.dup2(end, asked["descriptors"].pop(0))
                os.close(end)
            sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
            sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)
            os._exit(run(asked, stand_in))
        return worker, handles

    def run(asked, stand_in):
        os.chdir(asked["folder"])
        os.environ.clear(), os.environ.update(asked["environment"])
        sys.executable = stand_in
        folders = os.environ.get("PYTHONPATH", "").split(":")  # looked through as a start does
        sys.path[:0] = [folder for folder in folders if folder and folder not in sys.path]
        for folder in folders:
            if os.path.exists(found := os.path.join(folder or ".", "sitecustomize.py")):
                runpy.run_path(found)
                break
        kind, *sys.argv = asked["words"]
        try:
            match kind, sys.argv[0]:
                case "-m", "zerochain":
                    zerochain.cli.main()
                case "-m", "snakemake":
                    snakemake.cli.main()
                case "-m", "torch.distributed.run":
                    torch.distributed.run.main()
                case "-m", "sphinx":
                    runpy.run_module("sphinx", run_name="__main__")
                case "-c", code:
                    sys.argv[0] = "-c"
                    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
                case _, script:
                    runpy.run_path(script, run_name="__main__")
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
    import _socket, marshal, os, sys  # little, for it is started for every step
    descriptors = [n for n in range(64) if os.path.exists(f"/dev/fd/{n}")]
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(sys.argv[1])
    asked = {"words": sys.argv[2:], "folder": os.getcwd()}
    asked |= {"environment": dict(os.environ), "descriptors": descriptors}
    handles = b"".join(n.to_bytes(4, sys.byteorder) for n in descriptors)
    passed = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handles)]
    connection.sendmsg([marshal.dumps(asked)], passed)
    code = marshal.loads(connection.recv(100) or marshal.dumps(1))
    if code < 0:
        os.kill(os.getpid(), -code)  # as it ended
    sys.exit(code)
"""
INTERPRETER = """\
#!/bin/sh
case "$*" in
"-P -m zerochain "* | "-P -m snakemake "* | "-P -c "*) shift ;;
"-m torch.distributed.run "* | "-m sphinx "* | "-c "*) ;;
"-P /"*.py* | "-u /"*.py*) shift && set -- script "$@" ;;
/*.py*) set -- script "$@" ;;
*) exec '{python}' "$@" ;;
esac
exec '{python}' -S -E '{folder}/client.py' '{folder}/socket' "$@"
"""
_LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "PYTHONMALLOC": "malloc"}
"""A fork copies the table of all pages, which takes half as long where Linux has few large ones."""


def _started(environment: dict[str, str]) -> Path:
    """The folder of a new stand-in, whose process is started with an environment.

    The process ends, and deletes the folder, once all who joined it have gone.
    """
    folder = Path(mkdtemp())  # short: a socket's path has to be
    (folder / "server.py").write_text(textwrap.dedent(SERVER))
    (folder / "client.py").write_text(textwrap.dedent(CLIENT))
    python = folder / "python"
    python.write_text(INTERPRETER.format(python=sys.executable, folder=folder))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    command = [sys.executable, "-P", folder / "server.py", folder, python]
    running = subprocess.Popen(command, env={**os.environ, **_LARGE_PAGES, **environment})
    while not (folder / "socket").exists():
        assert running.poll() is None
        time.sleep(0.05)
    return folder


def _joined(folder: Path) -> socket.socket:
    """What keeps the process of a stand-in alive until it is closed; OSError where it ends."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / "users"))
    if not connection.recv(1):
        raise ConnectionResetError
    return connection


@contextmanager
def stand_in(**environment: str) -> Iterator[str]:
    """The path of a stand-in for the interpreter, whose process is started with an environment."""
    folder = _started(environment)
    with _joined(folder):
        yield str(folder / "python")


@pytest.fixture(scope="session")
def warm_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The stand-in that all tests share, also those of other workers: the first one starts it.

    To import everything takes longer than most of what is forked.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # that of the session
    with (place / "warm").open("a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.seek(0)
        folder = Path(note.read())
        try:
            connection = _joined(folder)
        except OSError:  # there is none yet, or all who used it have gone
            folder = _started({})
            connection = _joined(folder)
            note.truncate(0)
            note.write(str(folder))
    with connection:
        yield str(folder / "python")


@pytest.fixture
def warm(warm_interpreter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasts, what pipelines start is forked."""
    monkeypatch.setattr(sys, "executable", warm_interpreter)
