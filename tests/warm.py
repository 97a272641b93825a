"""Processes that start at once: each is forked from one that has imported torch, Snakemake and maskgrid already.

Of a job of seconds, imports are most. Snakemake's jobs call a small client in place of Python. A job that is killed by
its process number leaves the forked one running, so what kills jobs starts real ones.
"""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    socket.send_fds(server, [b"x"], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    code = server.recv(16)
sys.exit(int(code) if code else 137)
"""


@cache
def client() -> str:
    """Start the process that all others are forked from; returns the path of the client, to call in place of Python.

    It runs ``-m snakemake`` and ``-m maskgrid`` with their arguments, in its own folder and environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    path = folder / "python"
    path.write_text(CLIENT.format(python=sys.executable, path=str(folder / "socket")))
    path.chmod(0o755)
    sources = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sources}
    # Not a fork of this process, which may have threads.
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder / "socket"), str(path)], env=environment, stdout=subprocess.PIPE
    )
    server.stdout.readline()  # it listens
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    return str(path)


def serve(path: str, python: str) -> NoReturn:
    """Answer each connection by a process of its own, until the process that started this one ends."""
    import torch  # noqa: F401
    from snakemake import cli  # noqa: F401

    import maskgrid.automatic.generate.stage
    import maskgrid.prompted.prompt
    import maskgrid.results.exports.stage
    import maskgrid.results.report.stage
    import maskgrid.tracked.merge
    import maskgrid.tracked.track  # noqa: F401

    parent = os.getppid()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    listening.settimeout(2.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("listening", flush=True)
    while os.getppid() == parent:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        if os.fork() == 0:
            listening.close()
            answer(connection, python)
        connection.close()
    sys.exit()


def answer(connection: socket.socket, python: str) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        text = b""
        while part := connection.recv(1 << 16):
            text += part
        (_, module, *arguments), folder, environment = json.loads(text)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        code = call(module, arguments, python)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


def call(module: str, arguments: list[str], python: str) -> int:
    sys.argv[1:] = arguments
    sys.executable = python
    try:
        if module == "maskgrid":
            from maskgrid.cli.main import main

            return main(arguments)
        from snakemake import cli

        cli.main(arguments)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    serve(*sys.argv[1:])
