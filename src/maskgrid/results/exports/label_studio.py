"""Label Studio's tasks with predictions: polygons, or pixels for the brush in its own run-length code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from maskgrid.config.exports import LabelStudioOptions
from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write, write_bytes
from maskgrid.io.json_lines import dumps
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.polygons import Fidelity, polygons_of
from maskgrid.results.exports.source import MaskFile, mask_of, score_of

# Bits of a run's length less one, by their number in two bits.
_LENGTH_BITS = (3, 4, 8, 16)
_CHANNELS = 4  # the code is of RGBA bytes


def write_label_studio(masks: MaskFile, folder: Path, options: LabelStudioOptions) -> dict[str, Any]:
    """Write ``tasks.json``, to import, and ``labeling_config.xml``, the project's interface.

    Returns:
        The shapes' IoU with the masks.
    """
    fidelity = Fidelity()
    with atomic_write(folder / "tasks.json") as stream:
        between = b"[\n"
        for image, entries in masks.images():
            stream.write(between + dumps(_task(masks, image, entries, options, fidelity)))
            between = b",\n"
        stream.write(b"\n]\n" if between != b"[\n" else b"[\n]\n")
    write_bytes(folder / "labeling_config.xml", _interface(masks, options).encode())
    return fidelity.as_dict()


def _task(
    masks: MaskFile, image: Entry, entries: list[Entry], options: LabelStudioOptions, fidelity: Fidelity
) -> dict[str, Any]:
    results = [result for entry in entries for result in _results(masks, entry, options, fidelity)]
    scores = [score_of(entry) for entry in entries]
    prediction = {
        "model_version": "maskgrid",
        "score": sum(scores) / len(scores) if scores else 0.0,
        "result": results,
    }
    url = options.image_prefix + quote(image["file_name"])
    return {"data": {"image": url, "file_name": image["file_name"]}, "predictions": [prediction]}


def _results(
    masks: MaskFile, entry: Entry, options: LabelStudioOptions, fidelity: Fidelity
) -> Iterator[dict[str, Any]]:
    counts, size_hw = mask_of(entry)
    height, width = size_hw
    about = {
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score_of(entry),
    }
    label = [masks.name_of(entry)]
    if options.shapes == "mask":
        fidelity.add(1.0)
        code = brush_code(counts, size_hw)
        value: dict[str, Any] = {"format": "rle", "rle": code, "brushlabels": label}
        yield {"id": str(entry["id"]), "type": "brushlabels", "value": value, **about}
        return
    polygons, _, iou = polygons_of(counts, size_hw, options.tolerance_px)
    fidelity.add(iou)
    for part, polygon in enumerate(polygons):
        points = (np.reshape(polygon, (-1, 2)) * 100 / (width, height)).tolist()
        value = {"points": points, "closed": True, "polygonlabels": label}
        yield {"id": f"{entry['id']}-{part}", "type": "polygonlabels", "value": value, **about}


def brush_code(counts: bytes, size_hw: tuple[int, int]) -> list[int]:
    """Label Studio's code of a mask, from COCO's compressed one, as the bytes of a bit stream (``@thi.ng/rle-pack``).

    The bytes coded are RGBA row by row, 255 or 0 in all channels. A head of 32 bits has their number, 5 bits the word's
    bits less one, and 4 x 4 bits the sizes of lengths less one. Each run is a bit 1, 2 bits that choose the size, the
    length less one, and the value in 8 bits.
    """
    n_pixels = size_hw[0] * size_hw[1]
    if n_pixels * _CHANNELS >= 1 << 32:
        size = f"{size_hw[1]} x {size_hw[0]}"
        raise UserError(f"exports.label_studio: its masks cannot have {size} pixels; take shapes: polygons")
    window, (top, left) = decode_window(counts, size_hw)
    # COCO's runs go down the columns; those of the mirrored mask go along the rows.
    runs = rle.run_lengths(rle.encode_window(window.T, (left, top), (size_hw[1], size_hw[0])))
    starts_inside = not runs[0]
    ends = np.cumsum(runs[1:] if starts_inside else runs).tolist()
    bits = [f"{n_pixels * _CHANNELS:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in _LENGTH_BITS)]
    longest, start, value = 1 << _LENGTH_BITS[-1], 0, bool(starts_inside)
    for end in ends:
        left = (end - start) * _CHANNELS
        while left:
            length = min(left, longest)
            choice = next(number for number, size in enumerate(_LENGTH_BITS) if length <= 1 << size)
            bits.append(f"1{choice:02b}{length - 1:0{_LENGTH_BITS[choice]}b}{255 * value:08b}")
            left -= length
        start, value = end, not value
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8))


def _interface(masks: MaskFile, options: LabelStudioOptions) -> str:
    kind = "BrushLabels" if options.shapes == "mask" else "PolygonLabels"
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in masks.names.values())
    return (
        f'<View>\n  <Image name="image" value="$image"/>\n  <{kind} name="label" toName="image">\n{labels}\n'
        f"  </{kind}>\n</View>\n"
    )
