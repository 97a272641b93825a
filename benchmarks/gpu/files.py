"""A folder of photographs through the stages ``index`` and ``generate``, as a workflow's job runs them."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from gpu.check import Check
from gpu.measure import Result
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.plan.plan import make_plan


def files(check: Check) -> Iterator[Result]:
    """Images a second from JPEG files to candidates on the disk: loading, decoding, the network, codes, journal."""
    n_images = 4 if check.stand_in else 40
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photos"
        source.mkdir()
        for number in range(n_images):
            moved = np.roll(check.image(), number * 16, (0, 1))  # so that no two have the same content
            PIL.Image.fromarray(moved).save(source / f"{number}.jpg", quality=92)
        for mode, dtype in (("exact", "float32"), ("fast", "float32"), ("fast", "bfloat16")):
            yield {"mode": mode, "dtype": dtype, "images": n_images, **_stages(check, source, mode, dtype)}


def _stages(check: Check, source: Path, mode: str, dtype: str) -> Result:
    config = {
        "dataset": {"source": str(source)},
        "model": {"device": check.device.type, "mode": mode, "dtype": dtype},
        "generator": {"points_per_side": check.points, **check.thresholds("large")},
    }
    plan = make_plan(Config.model_validate(config), source.parent, source.parent / f"{mode}-{dtype}")
    started = time.perf_counter()
    index_dataset(plan)
    index_s = time.perf_counter() - started
    (run,), shards = plan.runs, plan.shards()
    network = Proposer(check.model("large", dtype), mode)
    started = time.perf_counter()
    for shard in shards:
        generate_shard(plan, run.checkpoint, run.pass_.name, shard, load=lambda *_: network)
    generate_s = time.perf_counter() - started
    n_images = len(list(source.iterdir()))
    return {"index_s": index_s, "generate_s": generate_s, "s_an_image": generate_s / n_images}
