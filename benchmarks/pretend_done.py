"""Make Snakemake record all outputs in this folder as those of finished jobs, as a real run does.

    cd FOLDER && python .../pretend_done.py SNAKEFILE

Only with these records does a plan compare every job's params and inputs with the earlier ones; without them it looks
at file times alone.
"""

import asyncio
import sys

from snakemake import cli, workflow
from snakemake.dag import DAG

_DAGS: list[DAG] = []


class RememberedDAG(DAG):
    """Snakemake's graph of jobs, kept after its call."""

    def __init__(self, *arguments, **options) -> None:  # noqa: ANN002, ANN003
        super().__init__(*arguments, **options)
        _DAGS.append(self)


async def note(dag: DAG) -> None:
    """Write the record of each job that has outputs."""
    for job in dag.jobs:
        if job.output:
            await dag.workflow.persistence.finished(job)


def main() -> int:
    """Plan, and record all jobs of the plan as finished."""
    workflow.DAG = RememberedDAG
    parser, arguments = cli.parse_args(["--snakefile", sys.argv[1], "-n", "--quiet", "all"])
    if not cli.args_to_api(arguments, parser):
        return 1
    asyncio.run(note(_DAGS[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
