"""Processes that start at once: each is forked from one that has imported Snakemake and maskgrid already.

Of a job of seconds, imports are most. Snakemake's jobs call a small client in place of Python. Jobs that run the
network are forked from a second process, which has torch too and takes ten times as long to fork. A job that is killed
by its process number leaves the forked one running, so what kills jobs starts real ones.
"""

import ast
import atexit
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
# Subcommands of maskgrid that load torch.
WITH_TORCH = ("generate", "prompt", "track")
# Without json and socket, whose imports take longer than all else.
CLIENT = """#!{python} -SE
import _socket, posix, sys
server = _socket.socket(_socket.AF_UNIX)
has_torch = sys.argv[2] == "maskgrid" and len(sys.argv) > 3 and sys.argv[3] in {names!r}
server.connect({with_torch!r} if has_torch else {plain!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(ascii((sys.argv[1:], posix.getcwd(), posix.environ)).encode())
server.shutdown(_socket.SHUT_WR)
code = server.recv(16)
sys.exit(int(code) if code else 137)
"""


@cache
def client() -> str:
    """Start the processes that all others are forked from; returns the path of the client, to call in place of Python.

    It runs ``-m snakemake`` and ``-m maskgrid`` with their arguments, in its own folder and environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    path = folder / "python"
    sockets = {name: str(folder / name) for name in ("plain", "with_torch")}
    path.write_text(CLIENT.format(python=sys.executable, names=WITH_TORCH, **sockets))
    path.chmod(0o755)
    sources = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sources}
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, address in sockets.items():
        # Not a fork of this process, which may have threads.
        server = subprocess.Popen(
            [sys.executable, __file__, name, address, str(path)], env=environment, stdout=subprocess.PIPE
        )
        server.stdout.readline()  # it listens
        atexit.register(server.kill)
    return str(path)


def serve(what: str, address: str, python: str) -> NoReturn:
    """Answer each connection by a process of its own, until the process that started this one ends."""
    parent = os.getppid()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    listening.settimeout(2.0)
    print("listening", flush=True)  # the first connections wait for what follows
    (load_plain if what == "plain" else load_torch)()
    # A collection would write to all objects, and so copy the memory that forks share.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
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


def load_plain() -> None:
    """Import Snakemake, its plugins, and what maskgrid's jobs without a network import."""
    from snakemake import cli

    from maskgrid.cli.main import COMMANDS

    load_tables_and_pictures()
    cli.get_argument_parser()
    for command in COMMANDS:
        if command.name not in WITH_TORCH:
            command.function()


def load_torch() -> None:
    """Import and build what a job with a network imports and builds."""
    import numpy as np

    import maskgrid.automatic.generate
    import maskgrid.cli.main
    import maskgrid.prompted.prompt
    import maskgrid.tracked.track  # noqa: F401
    from maskgrid.network.model import load_model
    from maskgrid.network.predictor import make_predictor
    from maskgrid.tracked.propagation.tracker import load_tracker

    load_tables_and_pictures()
    # sam2 compiles its transforms, which takes longer than to build the model.
    make_predictor(load_model("demo", device="cpu")).set_image(np.zeros((40, 56, 3), np.uint8))
    load_tracker("demo", device="cpu")


def load_tables_and_pictures() -> None:
    for name in ("multiprocessing.synchronize", "pandas.core.methods.to_dict", "pillow_heif", "PIL.Image"):
        import_module(name)
    for name in ("csv", "dataset", "pandas_compat"):
        import_module(f"pyarrow.{name}")
    sys.modules["PIL.Image"].init()


def answer(connection: socket.socket, python: str) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        text = b""
        while part := connection.recv(1 << 16):
            text += part
        (_, module, *arguments), folder, environment = ast.literal_eval(text.decode())
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.chdir(folder)
        os.environ.clear()
        os.environb.update(environment)
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
