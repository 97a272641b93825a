"""The facts about a results folder for the dataset card and its metadata."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.automatic.notes import statistics_origin
from maskgrid.config.settings import Setting
from maskgrid.io.fingerprint import maskgrid_version, package_versions
from maskgrid.io.tables import read_table
from maskgrid.io.wording import count
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.note import n_files_in, size_bytes
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
_FORMS = {
    "polygons": "the same masks as polygons: holes are lost",
    "sa1b": "the same masks in SA-1B's form, a JSON an image",
}
_FOLDERS = {
    "labels": "a picture of labels an image; a pixel has one mask or none",
    "panoptic": "COCO's panoptic form; a pixel has one mask or none",
    "yolo": "Ultralytics segmentation: holes are lost",
    "geojson": "polygons with holes, in pixels",
    "labelme": "LabelMe's files",
    "label_studio": "Label Studio's tasks with predictions",
    "cutouts": "each mask cut out of its picture",
    "webdataset": "pictures and masks side by side",
    "masks_parquet": "pictures and masks as a table",
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
        folders: the same for exports that are folders, with sizes.
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
    folders: Mapping[str, str]
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
        model={"dtype": model.dtype, "mode": model.mode, "apply_postprocessing": model.apply_postprocessing},
        packages=package_versions(),
        files=_files(plan),
        folders=described_folders(plan),
        fingerprint=statistics_origin(plan)["fingerprint"],
    )


def source_name(plan: Plan) -> str:
    """The last part of the dataset's source; parent folders are private."""
    return Path(plan.config.dataset.source).name or "a folder of images"


def described_folders(plan: Plan) -> dict[str, str]:
    """The existing exports that are folders, of settings and of prompts, with their sizes."""
    layout, config = plan.layout, plan.config
    paths = {
        layout.export(form, setting.label): words
        for form, words in _FOLDERS.items()
        if form in config.setting_forms()
        for setting in plan.exported()
    }
    paths |= {
        layout.prompted_export(form): f"{words}, for the prompts"
        for form, words in _FOLDERS.items()
        if form in config.prompted_forms()
    }
    return {
        f"{path.relative_to(layout.root).as_posix()}/": f"{words}; {count(n_files_in(path), 'file')}, {_size(path)}"
        for path, words in paths.items()
        if path.is_dir()
    }


def _size(path: Path) -> str:
    """The size of a folder for people."""
    size = size_bytes(path) / 1e6
    return f"{size / 1e3:.1f} GB" if size >= 1e3 else f"{size:.1f} MB"


def _files(plan: Plan) -> dict[str, str]:
    """The existing files that the config asks for, and their descriptions; a former config's may lie beside them."""
    listed = {
        f"annotations/{setting.label}.json": f"COCO annotations of the setting `{setting.label}`, compressed RLE"
        for setting in plan.exported()
    }
    for form, words in _FORMS.items():
        if form in plan.config.setting_forms():
            paths = [plan.layout.export(form, setting.label) for setting in plan.exported()]
            listed |= {path.relative_to(plan.layout.root).as_posix(): words for path in paths}
    listed |= _TABLES
    if plan.ground_truth() is not None:
        listed |= _ACCURACY
    return {name: words for name, words in listed.items() if (plan.layout.root / name).is_file()}
