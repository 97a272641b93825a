"""The stage ``index``: list the source, check every image, assign the good ones to shards."""

import logging
from collections import Counter
from pathlib import Path

from maskgrid.archives import expand_archives, read_known
from maskgrid.demo import DEMO_VERSION, write_demo
from maskgrid.errors import UserError
from maskgrid.fingerprint import fingerprint
from maskgrid.index import index_images, read_previous, write_index
from maskgrid.journal import Journal, forget_journal
from maskgrid.plan import Plan
from maskgrid.remote import is_url
from maskgrid.sources import list_inputs, listing_digest

log = logging.getLogger(__name__)

DEMO = "demo"


def index_dataset(plan: Plan) -> None:
    """Write the tables of the folder ``dataset``.

    What is known of the images is kept in a journal, so that a killed process is followed by one that goes on.

    Raises:
        UserError: the source is missing or empty, or not one of its images can be used.
    """
    folder = plan.layout.images.parent
    listed, previous = list_inputs(str(_source(plan)), plan.base_dir), read_previous(folder)
    items, archives = expand_archives(listed, previous, read_known(plan.layout.archives), progress=True)
    # What it holds is judged row by row, by the files' sizes and times, and so is valid for any config.
    journal = Journal(plan.layout.files, fingerprint({"journal": "index"}))
    index = index_images(items, plan.config.dataset.max_pixels, previous, True, journal)
    shards = write_index(index, plan.config.dataset.shard_size, folder, archives)
    forget_journal(plan.layout.files)
    statuses = Counter(index["status"].to_pylist())
    log.info(
        "%d inputs: %s; %d shards",
        len(items),
        ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())),
        len(shards),
    )
    if not shards:
        raise UserError(
            f"dataset.source: no image of {plan.config.dataset.source} can be used; see {plan.layout.images}"
        )


def source_digest(plan: Plan) -> str:
    """A digest of names, sizes and times at the source; the index is stale when it changes.

    Raises:
        UserError: the source is missing or empty.
    """
    source = plan.config.dataset.source
    if source == DEMO:
        return DEMO_VERSION
    if is_url(source):  # its files are inputs of the index, one by one
        return source
    return listing_digest(source, plan.base_dir)


def _source(plan: Plan) -> Path | str:
    source = plan.config.dataset.source
    if is_url(source):
        for path in plan.source_files():
            if not Path(path).is_file():
                raise UserError(
                    f"dataset.source: {source} is not fetched: there is no {path}. Run snakemake, which fetches it"
                )
        return plan.located(source).absolute()
    if source != DEMO:
        return source
    folder = (plan.layout.root / "demo").resolve()
    write_demo(folder)
    return folder
