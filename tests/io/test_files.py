"""Full and failing disks, concurrent writers and killed ones."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pytest

from corpus import scene
from killing import count_steps, die_at
from maskgrid.cli.main import main
from maskgrid.io import files
from maskgrid.io.files import Step, atomic_write, is_part, observed, write_bytes
from maskgrid.io.folders import atomic_folder
from maskgrid.io.tables import read_table, write_table

TABLE = pa.table({"number": pa.array(range(50_000), pa.int64())})
WRITERS = {
    "bytes": lambda path: write_bytes(path, bytes(100_000)),
    "parquet": lambda path: write_table(path, TABLE, {"fingerprint": "x"}, rows_in_group=10_000),
}


def fail_at(step: int, code: int):
    """An observer that fails with this error from this step on, like a full disk."""
    seen = []

    def fail(kind: Step, path: Path) -> None:
        seen.append(kind)
        if len(seen) >= step and kind is not Step.REMOVE:
            raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("old", [None, b"old version"], ids=["absent", "old"])
def test_a_failing_disk_leaves_only_the_old_version(tmp_path, code, writer, old):
    path = tmp_path / "output"
    n_steps = count_steps(lambda: writer(tmp_path / "trial"))
    (tmp_path / "trial").unlink()
    assert n_steps >= 5
    for step in range(1, n_steps + 1):
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        with observed(fail_at(step, code)), pytest.raises(OSError) as caught:
            writer(path)
        assert (caught.value.errno, caught.value.filename) == (code, str(path))
        if step < n_steps:
            assert [entry.name for entry in tmp_path.iterdir()] == ["output"] * (old is not None)
            assert old is None or path.read_bytes() == old
        else:  # syncing the folder follows the rename, so the complete new version is already in place
            assert [entry.name for entry in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "Make room"), (errno.EIO, "disk or its network"), (errno.EDQUOT, "quota")]
)
def test_the_command_says_in_one_line_what_to_do(tmp_path, capsys, code, advice):
    config = make_run(tmp_path)
    with observed(fail_at(2, code)):
        exit_code = main(["index", "--config", str(config), "--results", str(tmp_path / "results")])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert exit_code == 1
    assert error.startswith(f"maskgrid: {tmp_path}/results/dataset/.files.parquet.journal/fingerprint: ")
    assert f": {os.strerror(code)}. " in error
    assert advice in error
    assert "run again" in error
    # No output, whole or in part: only the journal of what was found so far.
    assert [path.name for path in (tmp_path / "results" / "dataset").iterdir()] == [".files.parquet.journal"]


def test_a_bug_keeps_its_traceback(tmp_path):
    config = make_run(tmp_path)
    with observed(fail_at(2, errno.EBADF)), pytest.raises(OSError, match="Bad file descriptor"):
        main(["index", "--config", str(config), "--results", str(tmp_path / "results")])


def test_a_really_full_disk(tmp_path):
    """A limit on the file size, in a separate process, stands in for a full disk; the error is the kernel's own."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from maskgrid.cli.main import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "sys.exit(main(sys.argv[1:]))"
    )
    config = make_run(tmp_path)
    options = ["index", "--config", str(config), "--results", str(tmp_path / "results")]
    run = subprocess.run([sys.executable, "-c", program, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"maskgrid: {tmp_path}/results/dataset/.files.parquet.journal/")
    assert ": File too large. " in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    # No output, whole or in part: only the journal of what was found so far.
    assert [path.name for path in (tmp_path / "results" / "dataset").iterdir()] == [".files.parquet.journal"]


@pytest.mark.parametrize(
    "name", ["a" * 255, "a" * 250 + ".json", "ü" * 127, "ab" * 120 + ".parquet", os.fsdecode(b"\xff" * 255)]
)
@pytest.mark.parametrize("has_locks", [True, False])
def test_a_name_of_any_length_can_be_written(tmp_path, monkeypatch, name, has_locks):
    def fail(*_):
        raise OSError(errno.ENOLCK, "no locks")

    if not has_locks:
        monkeypatch.setattr(files.fcntl, "flock", fail)
    write_bytes(tmp_path / name, b"x")
    with atomic_folder(tmp_path / "sub" / name) as folder:
        write_bytes(folder / "a", b"y")
    assert (tmp_path / name).read_bytes() == b"x"
    assert (tmp_path / "sub" / name / "a").read_bytes() == b"y"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "sub"])


def test_the_leftovers_of_a_killed_writer_are_removed(tmp_path):
    path = tmp_path / "output"
    for _ in range(3):
        assert die_at(lambda: write_bytes(path, b"x" * 100_000), 3)
        assert len(list(filter(is_part, tmp_path.iterdir()))) == 1
    write_bytes(path, b"short")
    assert [entry.name for entry in tmp_path.iterdir()] == ["output"]
    assert path.read_bytes() == b"short"


def test_writers_of_one_output_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "output"
    with atomic_write(path) as first:
        first.write(b"first")
        with atomic_write(path) as second:
            second.write(b"second")
            first.flush()
            second.flush()
            parts = [entry for entry in tmp_path.iterdir() if is_part(entry)]
            assert sorted(part.read_bytes() for part in parts) == [b"first", b"second"]
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["output"]


def test_many_processes_write_one_output(tmp_path):
    path = tmp_path / "output"
    pids = [_fork_writer(path, number) for number in range(4)]
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    assert path.read_bytes() in [bytes([number]) * 20_000 for number in range(4)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["output"]


def test_writing_works_without_file_locks(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    write_table(tmp_path / "output", TABLE, {})
    assert read_table(tmp_path / "output").equals(TABLE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_decides_who_may_read(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "output", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "output").stat().st_mode) == 0o666 & ~umask


def _fork_writer(path: Path, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        for _ in range(200):
            write_bytes(path, bytes([number]) * 20_000)
        os._exit(0)
    return pid


def make_run(folder: Path) -> Path:
    (folder / "source").mkdir()
    PIL.Image.fromarray(scene()).save(folder / "source" / "image.png")
    config = folder / "config.yaml"
    config.write_text(f"dataset: {{source: {folder / 'source'}}}\n")
    return config
