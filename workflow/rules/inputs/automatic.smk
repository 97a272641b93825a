"""What the rules of the automatic job take."""

import orjson

from maskgrid.config.sweep import find


def recording_json(wildcards):
    """What to record for a shard; as it is recorded already, where that is enough for the sweep."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return orjson.dumps(PLAN.recording(run, wildcards.shard).as_dict()).decode()


def checkpoint_file(wildcards):
    """A checkpoint that the user has as a file: a new one makes its passes run again."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return own_files(run.checkpoint)


def candidate_files_of(shard):
    """The candidates of all passes over a shard."""
    return [str(PLAN.layout.candidates(run, shard)) for run in PLAN.runs]


def candidate_files(wildcards):
    """The same, of a job's shard."""
    after("index")
    return candidate_files_of(wildcards.shard)


def selection_files(wildcards):
    """The selections of all shards."""
    return [str(PLAN.layout.selections(shard)) for shard in shards()]


def gathered_file(wildcards):
    """The selections of all shards, as one file.

    A function that waits for the index: else Snakemake, which judges each job once before the checkpoint and once
    after it, would keep for what follows a merge the verdict of before.
    """
    after("index")
    return str(PLAN.layout.gathered)


def deleted_files(wildcards):
    """Candidates and selections that a COCO file is to be made from, and that were deleted when all was finished.

    A merge names none of its shards, so the target of everything asks for them. Usually nothing is looked at.
    """
    is_merged = all(Path(path).is_file() for path in annotation_files())
    if is_merged or not PLAN.layout.gathered.is_file():
        return []
    wanted = [
        path
        for shard in shards()
        for path in (
            *map(Path, candidate_files_of(shard)),
            PLAN.layout.selections(shard),
        )
    ]
    return [str(path) for path in wanted if not path.is_file()]
