"""Stop a job of the rule ``generate`` at the moment that a test asks for; Python imports a module of this name itself.

The test makes the file ``stop/MOMENT`` in the run's folder, with the name of a node to leave alone. The first job that
comes to the moment elsewhere takes the file, writes who it is, and waits: for SIGUSR1, or for its end.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

N_IMAGES = 3  # of the largest shard


def moment_of(step: str, path: Path) -> str | None:
    """The moment at which a step is about to be taken."""
    if step == "create" and path.name.endswith(".0.arrow") and any(path.parent.glob("*.1.arrow")):
        return "between_two_images"
    if step == "rename" and path.name == f"{N_IMAGES - 1:06d}.1.arrow":
        return "at_its_last_image"
    if step == "remove" and path.suffix == ".arrow":  # the outputs have their names
        return "after_its_last_image"
    return None


def stop(step: str, path: Path) -> None:
    moment = moment_of(step, path)
    if moment is None:
        return
    asked = Path("stop", moment)
    with suppress(FileNotFoundError):  # nobody asks for it
        node, journal = asked.read_text(), path.absolute().parent
        if node == os.environ["SLURMD_NODENAME"]:
            return
        job = {
            "job_id": os.environ["SLURM_JOB_ID"],
            "node": os.environ["SLURMD_NODENAME"],
            "pid": os.getpid(),
            "pass_name": journal.parent.name,
            "shard": journal.name.removeprefix(".").removesuffix(".parquet.journal"),
            "n_images": len(list(journal.glob("*.1.arrow"))),
        }
        mine = asked.with_name(f"{moment}.{job['job_id']}")
        asked.rename(mine)
        mine.write_text(json.dumps(job))
        mine.rename(asked.with_name(f"{moment}.json"))
        signal.sigwait({signal.SIGUSR1})


if sys.orig_argv[1:4] == ["-m", "maskgrid", "generate"] and Path("stop").is_dir():
    from maskgrid.io import files

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # in all threads, which are yet to come
    files._observer.set(stop)
