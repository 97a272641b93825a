import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from loopback import serving
from maskgrid.io import progress
from maskgrid.io.errors import UserError
from maskgrid.network import cache, download
from maskgrid.network import checkpoints as weights
from maskgrid.network.checkpoints import OFFICIAL, checkpoint_id, resolve_checkpoint
from maskgrid.network.official import OfficialCheckpoint

NAME = "sam2.1_hiera_tiny"
CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """How the loopback server behaves, and which requests it got."""

    url: str = ""
    content: bytes = CONTENT
    codes: list[int] = field(default_factory=list)  # status codes of the first answers, one per request
    cuts: list[int] = field(default_factory=list)  # after how many bytes to cut the next connections
    ranges: bool = True
    shift: int = 0  # offset of the wrong range in answers
    lengths: bool = True
    requests: list[str | None] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.requests.append(asked)
        if self.codes:
            handler.send_error(self.codes.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header(
                "Content-Range", f"bytes {start + self.shift}-{len(self.content) - 1}/{len(self.content)}"
            )
        if self.lengths:
            handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        body = self.content[start:]
        with suppress(ConnectionError):  # in some tests the client hangs up first
            handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *_arguments):
            """Log nothing."""

    with serving(Handler) as http:
        state.url = f"{http.url}/folder/"
        yield state


@pytest.fixture(autouse=True)
def small_checkpoint(monkeypatch):
    small = OfficialCheckpoint("http://127.0.0.1:9/unused", len(CONTENT), SHA256, CONFIG)
    monkeypatch.setattr(weights, "OFFICIAL", {NAME: small})
    monkeypatch.setattr(download, "RETRY_WAITS_S", (0.0, 0.0))


def resolve(server: Server, cache: Path) -> weights.Checkpoint:
    return resolve_checkpoint(NAME, None, cache, base_url=server.url)


def files(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if not path.name.startswith(".")}


def test_the_published_checkpoints():
    assert set(OFFICIAL) == {
        f"{release}_hiera_{size}" for release in ("sam2", "sam2.1") for size in ("tiny", "small", "base_plus", "large")
    }
    assert len({official.sha256 for official in OFFICIAL.values()}) == 8
    for name, official in OFFICIAL.items():
        assert official.url.endswith(f"/{name}.pt")
        assert official.config in weights._package_configs()
        assert len(bytes.fromhex(official.sha256)) == 32
        assert 150e6 < official.size_bytes < 900e6


def test_a_good_file_is_downloaded_once(server, tmp_path):
    checkpoint = resolve(server, tmp_path / "new" / "cache")
    assert checkpoint.path.read_bytes() == CONTENT
    assert (checkpoint.name, checkpoint.config, checkpoint.sha256) == (NAME, CONFIG, SHA256)
    assert files(tmp_path / "new" / "cache") == {f"{NAME}.pt", f"{NAME}.pt.verified.json"}
    assert resolve(server, tmp_path / "new" / "cache") == checkpoint
    assert server.requests == [None]


def test_a_verified_file_is_not_hashed_again(server, tmp_path, monkeypatch):
    resolve(server, tmp_path)
    hashed = []
    monkeypatch.setattr(cache, "sha256_of", lambda path: hashed.append(path) or SHA256)
    resolve(server, tmp_path)
    assert hashed == []
    os.utime(tmp_path / f"{NAME}.pt", ns=(1, 1))
    resolve(server, tmp_path)
    assert hashed == [tmp_path / f"{NAME}.pt"]
    (tmp_path / f"{NAME}.pt.verified.json").write_text("{")
    resolve(server, tmp_path)
    assert len(hashed) == 2


def test_a_file_placed_by_hand_is_used(tmp_path):
    (tmp_path / f"{NAME}.pt").write_bytes(CONTENT)
    assert resolve_checkpoint(NAME, None, tmp_path).path == tmp_path / f"{NAME}.pt"


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, tmp_path):
    path = resolve(server, tmp_path).path
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(1, 1))
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_wrong_hash_is_never_returned(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    for _ in range(2):
        with pytest.raises(UserError, match=rf"not {SHA256[:12]}\.\.\.\), which was removed; run again"):
            resolve(server, tmp_path)
        assert files(tmp_path) == set()
    assert server.requests == [None, None]


@pytest.mark.parametrize("lengths", [True, False])
def test_a_cut_connection_is_resumed(server, tmp_path, lengths):
    server.lengths = lengths
    server.cuts = [300_000, 1, 400_000]
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=300001-", "bytes=700001-"]


def test_a_later_run_resumes(server, tmp_path):
    server.cuts = [500_000, 0, 0, 0]
    with pytest.raises(UserError, match=r"run again to get the rest \(500 kB of 1\.02 MB are here\)"):
        resolve(server, tmp_path)
    assert files(tmp_path) == {f"{NAME}.pt.part"}
    server.cuts.clear()
    server.requests.clear()
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT
    assert server.requests == ["bytes=500000-"]


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.ranges, server.cuts = False, [300_000]
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-"]


def test_a_server_that_answers_with_another_range_is_refused(server, tmp_path):
    server.shift, server.cuts = 1, [300_000]
    with pytest.raises(UserError, match="asked for the bytes from 300000 on, but"):
        resolve(server, tmp_path)
    assert (tmp_path / f"{NAME}.pt.part").read_bytes() == CONTENT[:300_000]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_a_complete_or_too_long_partial_file_of_an_earlier_run(server, tmp_path, size):
    (tmp_path / f"{NAME}.pt.part").write_bytes((CONTENT + b"xxxxx")[:size])
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT
    assert len(server.requests) == (size > len(CONTENT))


def test_temporary_server_errors_are_retried(server, tmp_path):
    server.codes = [503, 429]
    assert resolve(server, tmp_path).path.read_bytes() == CONTENT


def test_404_says_what_to_do(server, tmp_path):
    server.codes = [404]
    with pytest.raises(UserError) as caught:
        resolve(server, tmp_path)
    assert str(caught.value) == (
        f"{NAME}.pt could not be fetched: the server answers 404 Not Found; run again, or download "
        f"{server.url}{NAME}.pt on another machine and copy it to {tmp_path / NAME}.pt"
    )
    assert len(server.requests) == 1


def test_a_login_page_is_not_taken_for_the_file(server, tmp_path):
    server.content = b"<html>please log in</html>"
    with pytest.raises(UserError, match="another file, of 26 bytes"):
        resolve(server, tmp_path)
    assert files(tmp_path) == set()


def test_a_page_of_unknown_length_is_refused_too(server, tmp_path):
    server.content, server.lengths = b"<html>please log in</html>", False
    with pytest.raises(UserError, match="could not be fetched"):
        resolve(server, tmp_path)
    assert f"{NAME}.pt" not in files(tmp_path)


def test_no_network(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UserError) as caught:
        resolve_checkpoint(NAME, None, tmp_path, base_url=url)
    assert str(caught.value) == (
        f"{NAME}.pt could not be fetched: no connection (Connection refused); run again, or download "
        f"{url}/{NAME}.pt on another machine and copy it to {tmp_path / NAME}.pt"
    )


def test_a_full_disk(server, tmp_path, monkeypatch):
    def full(_response, _stream, _size_bytes, _show):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(UserError, match=r"No space left on device. Make room, or .* MASKGRID_CACHE"):
        resolve(server, tmp_path)
    assert len(server.requests) == 1


def test_a_cache_folder_that_cannot_be_created(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="weights cannot be written"):
        resolve(server, tmp_path / "file" / "cache")


def test_simultaneous_jobs_download_once(server, tmp_path):
    results = []
    threads = [threading.Thread(target=lambda: results.append(resolve(server, tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert server.requests == [None]


def test_two_users_processes_download_once_into_one_cache(server, tmp_path):
    code = (
        "import sys; from pathlib import Path; from maskgrid.network import checkpoints, official\n"
        f"small = official.OfficialCheckpoint('', {len(CONTENT)}, {SHA256!r}, {CONFIG!r})\n"
        f"checkpoints.OFFICIAL = {{{NAME!r}: small}}\n"
        f"path, url = Path({str(tmp_path)!r}), {server.url!r}\n"
        f"print(checkpoints.resolve_checkpoint({NAME!r}, None, path, base_url=url).sha256)"
    )
    users = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [user.communicate()[0].strip() for user in users] == [SHA256] * 3
    assert server.requests == [None]


def test_an_environment_variable_sets_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKGRID_CACHE", str(tmp_path))
    (tmp_path / f"{NAME}.pt").write_bytes(CONTENT)
    assert resolve_checkpoint(NAME, None).path == tmp_path / f"{NAME}.pt"


def test_progress_is_written_in_lines_to_a_log(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)
    resolve(server, tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert lines[-1].startswith(f"{NAME}.pt: 1.02M/1.02MB [")


def test_progress_is_a_bar_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    resolve(server, tmp_path)
    assert f"{NAME}.pt: 100%" in capsys.readouterr().err


# Users' own files


@pytest.fixture
def own_file(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "my model.pt").write_bytes(b"weights")
    return "runs/my model.pt"


def test_own_weights_need_consent(own_file):
    digest = hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(UserError, match=f"{digest}.*set model.allow_unverified: true"):
        resolve_checkpoint(own_file, CONFIG)
    checkpoint = resolve_checkpoint(own_file, CONFIG, allow_unverified=True)
    assert checkpoint.path == Path(own_file).absolute()
    assert (checkpoint.name, checkpoint.config, checkpoint.sha256) == (
        checkpoint_id(own_file),
        CONFIG,
        digest,
    )


def test_known_weights_need_no_consent(own_file):
    Path(own_file).write_bytes(CONTENT)
    assert resolve_checkpoint(own_file, CONFIG).sha256 == SHA256


def test_own_weights_need_a_config(own_file):
    with pytest.raises(UserError, match=f"model.config is missing.*one of .*{CONFIG}"):
        resolve_checkpoint(own_file, None, allow_unverified=True)
    with pytest.raises(UserError, match=r"'../secret.yaml' is neither"):
        resolve_checkpoint(own_file, "../secret.yaml", allow_unverified=True)
    Path("mine.yaml").write_text("model: {}")
    assert resolve_checkpoint(own_file, "mine.yaml", allow_unverified=True).config == str(Path("mine.yaml").absolute())


def test_own_weights_that_are_missing(tmp_path):
    with pytest.raises(UserError, match=f"there is no file {tmp_path}/gone.pt"):
        resolve_checkpoint(f"{tmp_path}/gone.pt", CONFIG)


def test_an_unknown_name_gets_a_hint():
    for function in (checkpoint_id, lambda name: resolve_checkpoint(name, None)):
        with pytest.raises(UserError, match=f"Did you mean '{NAME}'"):
            function("sam2.1_heira_tiny")


def test_ids_are_safe_in_file_names_and_need_no_file():
    assert checkpoint_id(NAME) == NAME
    assert checkpoint_id("demo") == "demo"
    strange = checkpoint_id("/data/../{weights} of me/épreuve n°1 $(x).pt")
    assert strange.startswith("_preuve_n_1___x_-")
    assert strange.isascii()
    ids = {checkpoint_id(path) for path in ("a/w.pt", "b/w.pt", "./a/w.pt", "a//w.pt")}
    assert len(ids) == 2


# The demo weights


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(weights, "_PACKAGED", tmp_path)
    (tmp_path / "maskgrid_demo.pt").write_bytes(b"demo")
    (tmp_path / "maskgrid_demo.yaml").write_text("model: {}")
    (tmp_path / "demo_sha256.txt").write_text(f"{hashlib.sha256(b'demo').hexdigest()}  maskgrid_demo.pt\n")
    return tmp_path


def test_the_demo_weights_are_in_the_package(package):
    demo = resolve_checkpoint("demo", None)
    assert demo.path == package / "maskgrid_demo.pt"
    assert (demo.name, demo.config) == ("demo", str(package / "maskgrid_demo.yaml"))
    assert demo.sha256 == hashlib.sha256(b"demo").hexdigest()


def test_a_damaged_installation(package):
    (package / "maskgrid_demo.pt").write_bytes(b"other")
    with pytest.raises(UserError, match="damaged"):
        resolve_checkpoint("demo", None)
    (package / "demo_sha256.txt").unlink()
    with pytest.raises(UserError, match="incomplete"):
        resolve_checkpoint("demo", None)
