"""Leases of devices: processes hold pretended devices, wait for them and are killed."""

import getpass
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from maskgrid.io.errors import UserError
from maskgrid.network import device
from maskgrid.network.device import lease_one, take_device
from workflow import ROOT

NAMES = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}

# Prints which device it has, and holds it until its stdin is closed.
HOLDER = """
import logging, sys
from pathlib import Path
from maskgrid.network.device import lease_one

logging.basicConfig(level=logging.INFO)
lease = lease_one(sys.argv[2:], Path(sys.argv[1]))
print(lease.index, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder, names=NAMES):
    command = [sys.executable, "-c", HOLDER, str(folder), *names]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_each_process_has_a_device_of_its_own(tmp_path):
    with holder(tmp_path) as a, holder(tmp_path) as b, holder(tmp_path) as c, holder(tmp_path) as d:
        assert sorted(int(process.stdout.readline()) for process in (a, b, c, d)) == [0, 1, 2, 3]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_process_that_ends_frees_its_device_for_a_waiting_one(tmp_path, end):
    with holder(tmp_path, NAMES[:2]) as first:
        index = int(first.stdout.readline())
        with holder(tmp_path, NAMES[:2]) as second, holder(tmp_path, NAMES[:2]) as third:
            # One of the two gets the other device; the other logs that it waits.
            got, waits = in_order_of_lease(second, third)
            assert got.stdout.readline() == f"{1 - index}\n"
            assert "all 2 devices are taken" in waits.stderr.readline()
            if end is None:
                first.stdin.close()
            else:
                first.send_signal(end)
            assert waits.stdout.readline() == f"{index}\n"


def in_order_of_lease(a, b):
    """Return the two processes: first the one that got a device, then the one that waits."""
    with selectors.DefaultSelector() as selector:
        selector.register(a.stdout, selectors.EVENT_READ, (a, b))
        selector.register(b.stdout, selectors.EVENT_READ, (b, a))
        ((key, _), *_) = selector.select()
        return key.data


def test_processes_that_see_different_devices_share_locks_of_common_ones(tmp_path):
    with holder(tmp_path, ["GPU-c"]) as other:
        other.stdout.readline()
        lease = lease_one(["GPU-c", "GPU-d"], tmp_path)
        assert lease.index == 1
        lease.lock.release()


def test_the_default_lock_folder_belongs_to_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lease = lease_one(["GPU-a"])
    assert [path.name for path in tmp_path.glob("maskgrid-devices-*/*")] == ["GPU-a.lock"]
    lease.lock.release()


@pytest.fixture
def two_devices(tmp_path, monkeypatch):
    """Pretend that the machine has two CUDA devices; yield the devices set as torch's current one."""
    chosen = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}"))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    device._lease.cache_clear()
    yield chosen
    if device._lease.cache_info().currsize:
        device._lease().lock.release()
    device._lease.cache_clear()


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_one_of_several_devices_is_leased(two_devices, tmp_path, device):
    with holder(tmp_path / f"maskgrid-devices-{getpass.getuser()}", ["uuid-0"]) as other:
        other.stdout.readline()
        assert take_device(device) == torch.device("cuda", 1)
        assert take_device(device) == torch.device("cuda", 1)  # leased once per process
    assert set(two_devices) == {torch.device("cuda", 1)}


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
def test_a_named_device_is_used_without_a_lease(two_devices, tmp_path, device):
    assert take_device(device) == torch.device(device)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="no cuda:2 here"):
        take_device("cuda:2")


def test_a_job_that_sees_one_device_leases_nothing(two_devices, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert take_device("auto") == torch.device("cuda")
    assert not list(tmp_path.iterdir())


# Jobs end once four jobs with devices and one without have run at the same moment.
SNAKEFILE = """
rule all:
    input: expand("{number}.done", number=range(6)), "cpu.done"

rule network:
    output: "{number}.done"
    resources: gpu=1
    shell: "{python} {job} {output} GPU-a GPU-b GPU-c GPU-d"

rule cpu:
    output: "cpu.done"
    shell: "{python} {job} {output}"
"""
JOB = """
import sys, time
from pathlib import Path
from maskgrid.network.device import lease_one

here, output, *names = Path(), *sys.argv[1:]
lease = lease_one(names, here / "locks") if names else None
name = names[lease.index] if lease else "cpu"
mine = here / "running" / f"{name}.{output}"
mine.parent.mkdir(exist_ok=True)
mine.touch()
until = time.monotonic() + 120
while not (here / "met").exists() and time.monotonic() < until:
    running = sorted(path.name.split(".")[0] for path in mine.parent.iterdir())
    if len(running) == 5:
        (here / "met").write_text(" ".join(running))
    time.sleep(0.02)
mine.unlink()
Path(output).write_text(name)
"""


def test_four_network_jobs_run_at_once_on_their_own_devices_beside_a_cpu_job(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    text = SNAKEFILE.replace("{python}", sys.executable).replace("{job}", "job.py")
    (tmp_path / "Snakefile").write_text(text)
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "--resources", "gpu=4"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "met").read_text() == "GPU-a GPU-b GPU-c GPU-d cpu"
    assert Counter((tmp_path / f"{number}.done").read_text() for number in range(6)).keys() <= set(NAMES)


@pytest.mark.parametrize(
    ("name", "rule"), [("automatic", "generate"), ("automatic", "tiles"), ("prompted", "prompt"), ("tracked", "track")]
)
def test_rules_that_run_the_network_request_a_device_and_depend_on_its_arithmetic(name, rule):
    text = (ROOT / "workflow" / "rules" / f"{name}.smk").read_text()
    own = text.partition(f"rule {rule}:")[2].partition("\nrule ")[0]
    assert "gpu=1" in own
    assert "dtype=PLAN.config.model.arithmetic" in own


REPEATED = """
import sys, torch
from maskgrid.network.device import repeat_bits
repeat_bits(torch.device(sys.argv[1]))
cudnn = torch.backends.cudnn
print(torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
"""


@pytest.mark.parametrize(("device", "expected"), [("cuda", "True True False"), ("cpu", "False False False")])
def test_bits_are_repeated_on_cuda(device, expected):
    done = subprocess.run([sys.executable, "-c", REPEATED, device], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == expected
