"""Have Snakemake note that all outputs which lie in this folder are of jobs that it has finished, as it does in a run.

    cd FOLDER && python .../pretend_done.py SNAKEFILE

Only then does a plan compare params and inputs of every job with those of before; without notes it looks at times.
"""

import asyncio
import sys

from snakemake import cli, workflow
from snakemake.dag import DAG

_DAGS: list[DAG] = []


class RememberedDAG(DAG):
    """Snakemake's graph of jobs, kept beyond its call."""

    def __init__(self, *arguments, **options) -> None:  # noqa: ANN002, ANN003
        super().__init__(*arguments, **options)
        _DAGS.append(self)


async def note(dag: DAG) -> None:
    """Write the record of each job that has outputs."""
    for job in dag.jobs:
        if job.output:
            await dag.workflow.persistence.finished(job)


def main() -> int:
    """Plan, and note all jobs of the plan as finished."""
    workflow.DAG = RememberedDAG
    parser, arguments = cli.parse_args(["--snakefile", sys.argv[1], "-n", "--quiet", "all"])
    if not cli.args_to_api(arguments, parser):
        return 1
    asyncio.run(note(_DAGS[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
