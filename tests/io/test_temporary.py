"""Temporary folders go with their processes, at the latest when the next one makes its own."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

from maskgrid.io.temporary import temporary_folder

HOLD = """
import sys, time
from maskgrid.io.temporary import temporary_folder
with temporary_folder(sys.argv[1]) as folder:
    (folder / "large").write_bytes(b"1")
    print(folder, flush=True)
    time.sleep(600)
"""


def held(parent):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(parent)], stdout=subprocess.PIPE, text=True)
    return process, parent / process.stdout.readline().strip()


def made_old(*folders):
    for folder in folders:
        os.utime(folder, (1e9, 1e9))


def test_a_folder_is_there_for_the_block_alone(tmp_path):
    with suppress(KeyError), temporary_folder(str(tmp_path)) as folder:
        (folder / "file").write_bytes(b"")
        raise KeyError
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path):
    (tmp_path / "maskgrid-devices-me").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "maskgrid-tmp-link").symlink_to(tmp_path / "other")
    killed, left = held(tmp_path)
    living, kept = held(tmp_path)
    others = {"maskgrid-devices-me", "other", "maskgrid-tmp-link"}
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with temporary_folder(str(tmp_path)):
            assert left.is_dir(), "too new to tell whose it is"
        made_old(left, kept, *(tmp_path / name for name in others))
        with temporary_folder(str(tmp_path)) as folder:
            assert {path.name for path in tmp_path.iterdir()} == {folder.name, kept.name, *others}
            assert (kept / "large").is_file()
    finally:
        living.kill()
        for process in (killed, living):
            process.communicate()
