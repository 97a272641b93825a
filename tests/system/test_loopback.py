"""Who listens, and what they serve: maskgrid nothing, tests on the loopback interface and one folder alone."""

import ast
import re
import resource
import socket
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import pytest

from loopback import HOST, serving_folder
from maskgrid.cli import pages

ROOT = Path(__file__).parents[2]
SERVERS = {"http.server", "socketserver", "wsgiref", "wsgiref.simple_server", "xmlrpc.server", "asyncio"}
SECRET = b"a secret"


def asked(server, target):
    """Ask for a target exactly as it is written, which no client would; the status and the body."""
    with socket.create_connection((HOST, server.server_port)) as connection:
        connection.sendall(request(target))
        return answer(connection)


def request(target):
    return b"GET " + target + b" HTTP/1.0\r\n\r\n"


def answer(connection):
    got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
def server(tmp_path):
    """Serve ``results``, beside which a secret lies, with links that lead to it."""
    results = tmp_path / "results"
    (results / "report").mkdir(parents=True)
    (results / "report" / "index.html").write_bytes(b"the report")
    (results / "report" / "a b\u00e9.txt").write_bytes(b"a name with a space")
    (results / ".hidden").write_bytes(SECRET)
    (results / ".git").mkdir()
    (results / ".git" / "config").write_bytes(SECRET)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "results-of-others").mkdir()
    (tmp_path / "results-of-others" / "secret.txt").write_bytes(SECRET)
    (results / "link.txt").symlink_to(tmp_path / "secret.txt")
    (results / "relative.txt").symlink_to("../secret.txt")
    (results / "above").symlink_to(tmp_path)
    (results / "others").symlink_to("../results-of-others")
    (results / "twice.txt").symlink_to("link.txt")
    (results / "lost.txt").symlink_to("nowhere")
    (results / "loop").symlink_to("loop")
    (results / "inside.html").symlink_to("report/index.html")
    with serving_folder(results) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/report/index.html", b"the report"),
        (b"/report/index.html?setting=1#mask", b"the report"),
        (b"/report/%69ndex.html", b"the report"),
        (b"/report/a%20b%C3%A9.txt", b"a name with a space"),
        (b"/inside.html", b"the report"),  # a link that stays inside
    ],
)
def test_files_of_the_folder_are_served(server, target, body):
    assert asked(server, target) == (200, body)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/report",
        b"/report/",
        b"/../secret.txt",
        b"/report/../../secret.txt",
        b"/report/../report/index.html",
        b"/./report/index.html",
        b"/%2e%2e/secret.txt",
        b"/%2e%2e%2fsecret.txt",
        b"/..%2fsecret.txt",
        b"/%252e%252e%252fsecret.txt",
        b"/%c0%ae%c0%ae/secret.txt",
        b"/report/%2e%2e/%2e%2e/secret.txt",
        b"/../results-of-others/secret.txt",
        b"../secret.txt",
        b"/PARENT/secret.txt",
        b"//PARENT/secret.txt",
        b"/%2fPARENT/secret.txt",
        b"PARENT/secret.txt",
        b"file://PARENT/secret.txt",
        b"http://127.0.0.1/../secret.txt",
        b"/..\\secret.txt",
        b"/..%5csecret.txt",
        b"/report%5cindex.html",
        b"/%00",
        b"/report/index.html%00",
        b"/../secret.txt%00.html",
        b"/link.txt",
        b"/relative.txt",
        b"/twice.txt",
        b"/above/secret.txt",
        b"/above/results/report/../../secret.txt",
        b"/others/secret.txt",
        b"/lost.txt",
        b"/loop",
        b"/.hidden",
        b"/%2ehidden",
        b"/.git/config",
        b"/report//index.html",
        b"/none.txt",
        b"/" + b"a" * 5000,
    ],
)
def test_nothing_else_is_served(server, tmp_path, target):
    status, body = asked(server, target.replace(b"/PARENT", str(tmp_path).encode()))
    assert status == 404
    assert SECRET not in body


def test_only_the_loopback_interface_listens(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_thousand_requests_at_once(tmp_path):
    """All are connected before the first is sent, and all are sent before the first answer is read."""
    contents = [f"file {number}\n".encode() * (1 + 97 * number) for number in range(100)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.txt").write_bytes(content)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    with ExitStack() as stack:
        # Both ends of each connection and the files are in this process.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = stack.enter_context(serving_folder(tmp_path))
        address = (HOST, server.server_port)
        connections = [stack.enter_context(socket.create_connection(address, timeout=300)) for _ in range(1000)]
        for number, connection in enumerate(connections):
            connection.sendall(request(b"/%d.txt" % (number % 100)))
        answers = [answer(connection) for connection in connections]
    wrong = [number for number, got in enumerate(answers) if got != (200, contents[number % 100])]
    assert wrong == []


def imported(path):
    """The modules that a file imports, with the names that it takes from them as if they were modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def binds(path):
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in {"listen", "bind"} for call in calls)


def test_maskgrid_itself_has_no_port():
    files = [path for folder in ("src", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    assert [path for path in files if SERVERS & set(imported(path))] == []
    # maskgrid run hears from its Snakemake through a file in a private folder, which no network reaches.
    child = ROOT / "src" / "maskgrid" / "cli" / "running" / "child.py"
    assert [path for path in files if binds(path)] == [child]
    assert set(re.findall(r"\bAF_\w+", child.read_text())) == {"AF_UNIX"}


def test_tests_serve_through_one_module():
    files = [path for folder in ("tests", "benchmarks", "training") for path in (ROOT / folder).rglob("*.py")]
    # Handlers may be made anywhere; what binds may not.
    binding = [
        path for path in files if {"http.server.HTTPServer", "http.server.ThreadingHTTPServer"} & set(imported(path))
    ]
    assert binding == [ROOT / "tests" / "loopback.py"]


def test_open_opens_a_file_and_no_port(tmp_path, monkeypatch):
    page = tmp_path / "results" / "report" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("the report")
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)) or True)
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("a port was bound"))
    assert pages.open_page(None, tmp_path / "results") == str(page)
    assert opened == [page.as_uri()]
