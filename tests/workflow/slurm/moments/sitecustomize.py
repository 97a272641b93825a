"""Stop a job of the rule ``generate`` at the moment that a test asks for; Python imports a module of this name itself.

The test makes the file ``stop/MOMENT`` in the run's folder. The first job that comes to the moment takes it, writes
into it who it is, and stops itself.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

N_IMAGES = 3  # of a shard


def moment_of(step: str, path: Path) -> str | None:
    """The moment at which a step is about to be taken."""
    if step == "rename" and path.name == f"{N_IMAGES - 1:06d}.1.arrow":
        return "at_its_last_image"
    if step == "remove" and path.suffix == ".arrow":  # the outputs have their names
        return "after_its_last_image"
    return None


def stop(step: str, path: Path) -> None:
    moment = moment_of(step, path)
    if moment is None:
        return
    journal = path.absolute().parent
    shard = journal.name.removeprefix(".").removesuffix(".parquet.journal")
    job = {
        "job_id": os.environ["SLURM_JOB_ID"],
        "node": os.environ["SLURMD_NODENAME"],
        "pass_name": journal.parent.name,
        "shard": shard,
        "n_images": len(list(journal.glob("*.1.arrow"))),
    }
    with suppress(FileNotFoundError):  # nobody asks for it
        taken = Path("stop", f"{moment}.{job['job_id']}")
        Path("stop", moment).rename(taken)
        taken.write_text(json.dumps(job))
        taken.rename(taken.with_name(f"{moment}.json"))
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:  # who cancels the job lets it go on first
            signal.pause()


if sys.orig_argv[1:4] == ["-m", "maskgrid", "generate"] and Path("stop").is_dir():
    from maskgrid.io import files

    files._observer.set(stop)
