"""Processes that start at once: each is forked from one that has imported torch, Snakemake and maskgrid already.

Of a job of seconds, imports are most. Snakemake's jobs call a small client in place of Python.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import NoReturn

from workflow import ROOT, Run

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


def snakemake(folder: Path, *arguments: str) -> Run:
    """Run the workflow in a folder with the config that is there."""
    command = [client(), "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"))


@cache
def client() -> str:
    """Start the process that all others are forked from; returns the path of the client."""
    folder = Path(tempfile.mkdtemp(prefix="soak-warm"))
    path = folder / "python"
    path.write_text(CLIENT.format(python=sys.executable, path=str(folder / "socket")))
    path.chmod(0o755)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.listen(64)
    pid = os.fork()
    if pid == 0:
        serve(listening, str(path))
    listening.close()
    atexit.register(os.kill, pid, signal.SIGTERM)
    return str(path)


def serve(listening: socket.socket, python: str) -> NoReturn:
    """Answer each connection by a process of its own, until this one is ended."""
    try:
        import torch  # noqa: F401
        from snakemake import cli  # noqa: F401

        import maskgrid.automatic.generate
        import maskgrid.prompted.prompt
        import maskgrid.results.exports.stage
        import maskgrid.results.report.stage
        import maskgrid.tracked.merge
        import maskgrid.tracked.track  # noqa: F401

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                answer(connection, python)
            connection.close()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


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
    try:
        if module == "maskgrid":
            from maskgrid.cli.main import main

            return main(arguments)
        from snakemake import cli

        sys.executable = python
        cli.main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
