"""Among how many jobs the tiles of a shard's large images are shared: known without the network."""

from collections.abc import Iterable
from pathlib import Path

from maskgrid.dataset.tables import read_shard
from maskgrid.plan.passes import PassRun
from maskgrid.plan.plan import Plan
from maskgrid.plan.tiles import n_tiles

# A killed process loses the work on this many tiles at most.
TILES_IN_PART = 8


def parts_of_image(size_hw: tuple[int, int], tile_px: tuple[int, int] | None) -> list[range]:
    """The tiles of an image that are run together; empty for one with so few that all are."""
    n = 0 if tile_px is None else n_tiles(size_hw, tile_px)
    if n <= TILES_IN_PART:
        return []
    return [range(start, min(start + TILES_IN_PART, n)) for start in range(0, n, TILES_IN_PART)]


def n_tile_jobs(sizes_hw: Iterable[tuple[int, int]], tile_px: tuple[int, int] | None, tiles_per_job: int | None) -> int:
    """Among how many jobs the tiles of some images are shared; 0 if one job does all."""
    if tiles_per_job is None:
        return 0
    parts = [part for size_hw in sizes_hw for part in parts_of_image(size_hw, tile_px)]
    n_jobs = min(-(-sum(map(len, parts)) // tiles_per_job), len(parts))
    return n_jobs if n_jobs > 1 else 0


def tile_job_files(plan: Plan, run: PassRun, shard: str) -> list[Path]:
    """What says that each of these jobs is done."""
    sizes_hw = ((image.height, image.width) for image in read_shard(plan.layout.images.parent, shard))
    n_jobs = n_tile_jobs(sizes_hw, run.pass_.tile_px, plan.config.dataset.tiles_per_job)
    return [plan.layout.tile_job(run, shard, job) for job in range(1, n_jobs + 1)]
