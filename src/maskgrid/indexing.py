"""The stage ``index``: list the source, check every image, assign the good ones to shards."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.archives import expand_archives, read_known
from maskgrid.demo import DEMO_VERSION, write_demo
from maskgrid.errors import UserError
from maskgrid.fingerprint import fingerprint
from maskgrid.index import index_images, read_previous, write_index
from maskgrid.journal import Journal, forget_journal
from maskgrid.plan import Plan
from maskgrid.remote import is_url
from maskgrid.sources import file_state, list_inputs, listing_digest

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


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """How many files of the source are new, have another size or time, or are gone since it was indexed."""

    n_new: int
    n_changed: int
    n_gone: int

    def __bool__(self) -> bool:
        return bool(self.n_new or self.n_changed or self.n_gone)

    def __str__(self) -> str:
        return f"{self.n_new} new, {self.n_changed} changed and {self.n_gone} gone"


def source_changes(plan: Plan) -> SourceChanges | None:
    """What has become of the source since its index; None where there is no index, or the source is not one of files.

    Raises:
        UserError: the source is missing or empty.
    """
    source = plan.config.dataset.source
    if source == DEMO or is_url(source):
        return None
    there = {item.key: file_state(item) for item in list_inputs(source, plan.base_dir)}
    files, archives = read_previous(plan.layout.images.parent), read_known(plan.layout.archives)
    if files is None or archives is None:
        return None
    single = files.filter(pc.is_null(files["archive"]))
    known = dict(zip(single["image_key"].to_pylist(), _states(single), strict=True))
    known |= dict(zip(archives["archive"].to_pylist(), _states(archives), strict=True))
    n_changed = sum(there[key] != known[key] for key in there.keys() & known.keys())
    return SourceChanges(len(there.keys() - known.keys()), n_changed, len(known.keys() - there.keys()))


def _states(table: pa.Table) -> list[tuple[int | None, int | None]]:
    return list(zip(table["size_bytes"].to_pylist(), table["mtime_ns"].to_pylist(), strict=True))


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
