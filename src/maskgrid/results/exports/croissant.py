"""Croissant 1.0 metadata (http://mlcommons.org/croissant/1.0): the files of a dataset and their columns."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Node = dict[str, Any]

# Terms of the specification in its own namespace.
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_FORMATS = {".parquet": "application/x-parquet", ".json": "application/json", ".tar": "application/x-tar"}
_ANNOTATION_FIELDS = {
    "id": ("sc:Integer", "$.annotations[*].id", "the annotation's id, from 1"),
    "image_id": ("sc:Integer", "$.annotations[*].image_id", "the image's id in this file"),
    "area": ("sc:Integer", "$.annotations[*].area", "pixels of the mask"),
    "counts": ("sc:Text", "$.annotations[*].segmentation.counts", "COCO's compressed run-length code of the mask"),
    "predicted_iou": ("sc:Float", "$.annotations[*].predicted_iou", "the network's estimate of the mask's IoU"),
    "stability_score": ("sc:Float", "$.annotations[*].stability_score", "IoU of the mask cut higher and lower"),
}


def croissant(name: str, description: str, root: Path, files: Sequence[Path]) -> Node:
    """The metadata of a dataset.

    Args:
        name: letters, digits, ``-`` and ``_``.
        description: a few sentences.
        root: the results folder; paths are relative to it.
        files: Parquet tables, COCO files and archives; each is hashed.
    """
    described = [_file_object(root, path) for path in files]
    record_sets = [_table(root, path) for path in files if path.suffix == ".parquet"]
    record_sets += [_annotations(root, path) for path in files if path.parent.name == "annotations"]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "isLiveDataset": False,
        "distribution": described,
        "recordSet": record_sets,
    }


def _id(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _file_object(root: Path, path: Path) -> Node:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": _id(root, path),
        "name": _id(root, path),
        "contentUrl": _id(root, path),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _FORMATS[path.suffix],
        "sha256": digest,
    }


def _table(root: Path, path: Path) -> Node:
    """A record set with a field for each column whose type Croissant has."""
    file_id = _id(root, path)
    name = path.stem
    fields = [
        _field(name, column.name, _data_type(kind), _described(column), {"column": column.name}, file_id, is_list)
        for column in pq.read_schema(path)
        for kind, is_list in [_item_type(column.type)]
        if _data_type(kind)
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _annotations(root: Path, path: Path) -> Node:
    name = f"annotations_{path.stem}"
    fields = [
        _field(name, field, kind, words, {"jsonPath": place}, _id(root, path))
        for field, (kind, place, words) in _ANNOTATION_FIELDS.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _field(
    record_set: str, name: str, data_type: str, description: str, extract: Node, file_id: str, is_list: bool = False
) -> Node:
    field = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": {"fileObject": {"@id": file_id}, "extract": extract},
    }
    return {**field, "repeated": True} if is_list else field


def _described(column: pa.Field) -> str:
    text: bytes = (column.metadata or {}).get(b"description", b"")
    return text.decode()


def _item_type(kind: pa.DataType) -> tuple[pa.DataType, bool]:
    """The type of a list's or dictionary's values, or the type itself; and whether it is a list."""
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    item = kind.value_type if is_list or pa.types.is_dictionary(kind) else kind
    return item, is_list


def _data_type(kind: pa.DataType) -> str:
    """Croissant's name of a type; empty if it has none, as for bytes."""
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Text" if pa.types.is_string(kind) else ""
