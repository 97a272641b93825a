"""The facts about a results folder for the dataset card and its metadata."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.automatic.notes import statistics_origin
from maskgrid.config.settings import Setting
from maskgrid.io.fingerprint import maskgrid_version, package_versions
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.listing import WrittenExport, written_exports
from maskgrid.results.report.data import checkpoint_hashes, read_accuracy

_TABLES = {
    "dataset/images.parquet": "a row for every input, with size, hash, status and reason",
    "statistics/mask_counts.parquet": "a row for each setting and image: parameters, masks kept and dropped, coverage",
    "statistics/summary.parquet": "a row for each setting, with bootstrap intervals",
    "statistics/effects.parquet": "the main effect of each parameter value",
    "statistics/interactions.parquet": "what two parameter values do together beyond both main effects",
    "statistics/settings.parquet": "the settings and their ids",
}
_ACCURACY = {
    "statistics/accuracy.parquet": "a row for each setting and annotated image: recall, precision, IoU",
    "statistics/accuracy_summary.parquet": "the same for each setting over all images",
}


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Facts about a results folder.

    Attributes:
        title: the dataset's title.
        version: maskgrid's version.
        n_images: number of images with masks.
        statuses: number of inputs by status in the index.
        settings: all settings.
        baseline: the setting that others are compared with.
        exported: the settings with a COCO file, and their rows of the summary.
        accuracy: rows of the accuracy summary by setting id.
        checkpoints: hashes by name.
        model: other model parameters of the config.
        packages: versions by name.
        files: descriptions by path in the results folder.
        others: the same for exports that Croissant does not list: folders, and those of prompts.
        fingerprint: fingerprint of the statistics.
    """

    title: str
    version: str
    n_images: int
    statuses: Mapping[str, int]
    settings: tuple[Setting, ...]
    baseline: Setting
    exported: tuple[tuple[Setting, Mapping[str, Any]], ...]
    accuracy: Mapping[str, Mapping[str, Any]]
    checkpoints: Mapping[str, str]
    model: Mapping[str, Any]
    packages: Mapping[str, str]
    files: Mapping[str, str]
    others: Mapping[str, str]
    fingerprint: str

    @property
    def n_settings(self) -> int:
        """Number of settings."""
        return len(self.settings)


def read_facts(plan: Plan) -> DatasetFacts:
    """Read the facts from the tables.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    statuses = Counter(read_table(plan.layout.images, ["status"])["status"].to_pylist())
    summary = {row["setting_id"]: row for row in read_table(plan.layout.statistics("summary")).to_pylist()}
    hashes = checkpoint_hashes(plan, plan.shards())
    model = plan.config.model
    exports = written_exports(plan)
    files = _files(plan, exports)
    return DatasetFacts(
        title=f"SAM 2 masks of {source_name(plan)}",
        version=maskgrid_version(),
        n_images=statuses["ok"],
        statuses=dict(sorted(statuses.items())),
        settings=plan.settings,
        baseline=plan.baseline,
        exported=tuple((setting, summary[setting.id]) for setting in plan.exported()),
        accuracy=read_accuracy(plan),
        checkpoints={name.removeprefix("checkpoint "): sha256 for name, sha256 in hashes.items()},
        model={"dtype": model.arithmetic, "mode": model.mode, "apply_postprocessing": model.apply_postprocessing},
        packages=package_versions(),
        files=files,
        others={one.name: one.words for one in exports if one.name not in files},
        fingerprint=statistics_origin(plan)["fingerprint"],
    )


def source_name(plan: Plan) -> str:
    """The last part of the dataset's source; parent folders are private."""
    return Path(plan.config.dataset.source).name or "a folder of images"


def _files(plan: Plan, exports: Sequence[WrittenExport]) -> dict[str, str]:
    """The existing files that the config asks for, and their descriptions; a former config's may lie beside them."""
    listed = {
        f"annotations/{setting.label}.json": f"COCO annotations of the setting `{setting.label}`, compressed RLE"
        for setting in plan.exported()
    }
    listed |= {one.name: one.words for one in exports if one.label is not None and not one.is_folder}
    listed |= _TABLES
    if plan.ground_truth() is not None:
        listed |= _ACCURACY
    return {name: words for name, words in listed.items() if (plan.layout.root / name).is_file()}
