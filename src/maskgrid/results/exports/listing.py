"""The exports that are there, for the card and the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskgrid.config.exports import FOLDER_FORMS
from maskgrid.io.errors import UserError
from maskgrid.io.wording import count, size
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.note import read_note

WORDS = {
    "polygons": "the same masks as polygons: holes are lost",
    "sa1b": "the same masks in SA-1B's form, a JSON an image",
    "labels": "a picture of labels an image; a pixel has one mask or none",
    "panoptic": "COCO's panoptic form; a pixel has one mask or none",
    "yolo": "Ultralytics segmentation: holes are lost",
    "geojson": "polygons with holes, in pixels",
    "geopackage": "polygons with holes, on the map",
    "labelme": "LabelMe's files",
    "label_studio": "Label Studio's tasks with predictions",
    "cutouts": "each mask cut out of its picture",
    "webdataset": "pictures and masks side by side",
    "masks_parquet": "pictures and masks as a table",
}


@dataclass(frozen=True, slots=True)
class WrittenExport:
    """An export that is there.

    Attributes:
        form: one of ``exports`` in the config.
        label: the setting's name or id; None for the masks of prompts.
        name: path in the results folder; a folder's ends with ``/``.
        n_files: number of files and links in a folder, 1 for a file.
        size_bytes: bytes of the files; links count nothing.
    """

    form: str
    label: str | None
    name: str
    n_files: int
    size_bytes: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; else it is one file."""
        return self.name.endswith("/")

    @property
    def words(self) -> str:
        """What it is, and how large."""
        n_files = f"{count(self.n_files, 'file')}, " if self.is_folder else ""
        return (
            f"{WORDS[self.form]}{', for the prompts' if self.label is None else ''}; {n_files}{size(self.size_bytes)}"
        )


def written_exports(plan: Plan) -> list[WrittenExport]:
    """The exports that the config asks for and that are there; a former config's may lie beside them."""
    places = ((form, label, path) for form, label, path in _places(plan) if path.exists())
    found = (_written(plan.layout.root, form, label, path) for form, label, path in places)
    return [one for one in found if one is not None]


def _places(plan: Plan) -> Iterator[tuple[str, str | None, Path]]:
    of_settings, of_prompts = plan.config.setting_forms(), plan.config.prompted_forms()
    for form in WORDS:
        if form in of_settings:
            for setting in plan.exported():
                yield form, setting.label, plan.layout.export(form, setting.label)
    for form in WORDS:
        if form in of_prompts:
            yield form, None, plan.layout.prompted_export(form)


def _written(root: Path, form: str, label: str | None, path: Path) -> WrittenExport | None:
    """None for a folder of somebody else's, which ``verify`` names."""
    name = path.relative_to(root).as_posix()
    if form not in FOLDER_FORMS:
        return WrittenExport(form, label, name, 1, path.stat().st_size)
    try:
        note = read_note(path)
    except UserError:
        return None
    return WrittenExport(form, label, f"{name}/", note.n_files, note.size_bytes)
