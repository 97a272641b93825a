"""Small made-up datasets with the tables that the stages write: candidates, selections and counts."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.candidates import CandidateRows, Candidates
from maskgrid.automatic.kept_masks import kept_masks
from maskgrid.automatic.replay.filters import replay
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.stage import image_counts
from maskgrid.automatic.tables import CANDIDATES, MASK_COUNTS, PASS_IMAGES, SELECTIONS
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import Setting, make_setting
from maskgrid.io.tables import read_table, write_table
from maskgrid.masks.coverage import Coverage
from maskgrid.masks.rle import encode
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import PassRun, Recording, passes_of, setting_runs

CHECKPOINT = "demo"
RECORDING = Recording(0.0, 0.0, (0.0, 1.5), (0.5, 1.0))
GENERATOR = GeneratorConfig(points_per_side=4, crop_n_layers=1, pred_iou_thresh=0.3, stability_score_thresh=0.3)


def setting(*names: str, in_grid: bool = False, checkpoint: str = CHECKPOINT, **changes: Any) -> Setting:
    generator = GeneratorConfig.model_validate(GENERATOR.model_dump() | changes)
    return make_setting(checkpoint, generator, names, in_grid)


def grid(**values: Sequence[Any]) -> list[Setting]:
    """All combinations as settings of a grid."""
    combinations = itertools.product(*values.values())
    return [setting(in_grid=True, **dict(zip(values, row, strict=True))) for row in combinations]


@dataclass(frozen=True, slots=True)
class MadeImage:
    key: str
    size_hw: tuple[int, int]
    candidates: tuple[Candidates, ...]
    status: str = "ok"

    def select(self, setting: Setting) -> Selection:
        return replay(self.candidates, setting.generator)


def make_images(n_images: int, n_points: int = 6, seed: int = 0) -> list[MadeImage]:
    """Images of different sizes, among them one without candidates and one that could not be read."""
    random = np.random.default_rng(seed)
    names = [f"{folder}/{number}.jpg" for number in range(n_images) for folder in ("a", "Ä", "z")][:n_images]
    images = [_make_image(name, random, n_points) for name in names]
    return [*images, _make_image("nothing.png", random, 0), MadeImage("broken.jpg", (0, 0), (), "truncated")]


def _make_image(key: str, random: np.random.Generator, n_points: int) -> MadeImage:
    height, width = (int(side) for side in random.integers(12, 40, 2))
    layers = (
        np.array([[0, 0, width, height]], np.int32),
        np.array([[0, 0, width - 3, height - 2], [3, 2, width, height]], np.int32),
    )
    parts = [
        Candidates(
            pass_=pass_,
            recording=RECORDING,
            size_hw=(height, width),
            crop_boxes_xyxy=crops,
            proposed_iou=(rows := _make_rows((height, width), len(crops), random, n_points)).predicted_iou[::2],
            rows=rows,
        )
        for pass_, crops in zip(passes_of(GENERATOR), layers, strict=True)
    ]
    return MadeImage(key, (height, width), tuple(_with_sorted_iou(part) for part in parts))


def _with_sorted_iou(part: Candidates) -> Candidates:
    scores = np.sort(part.proposed_iou)
    return Candidates(part.pass_, part.recording, part.size_hw, part.crop_boxes_xyxy, scores, part.rows)


def _make_rows(size_hw: tuple[int, int], n_crops: int, random: np.random.Generator, n_points: int) -> CandidateRows:
    """Two rows per candidate, one for each mask threshold; the higher threshold has the smaller mask."""
    n = n_crops * n_points
    masks = [mask for _ in range(n) for mask in _make_masks(size_hw, random)]
    near_edge = np.repeat(random.random(n) < 0.1, 2)
    counts = np.empty(2 * n, np.object_)
    counts[:] = [None if edge else encode(mask) for mask, edge in zip(masks, near_edge, strict=True)]
    return CandidateRows(
        candidate_id=np.repeat(np.arange(n, dtype=np.int32) * 3, 2),
        crop_index=np.repeat(np.arange(n_crops, dtype=np.int16), 2 * n_points),
        point_xy=np.repeat(random.uniform(0, 10, (n, 2)).astype(np.float32), 2, axis=0),
        predicted_iou=np.repeat(random.random(n, np.float32), 2),
        mask_threshold=np.tile(np.array(RECORDING.mask_thresholds), n),
        stability_scores=random.random((2 * n, 2), np.float32),
        near_crop_edge=near_edge,
        box_xyxy=np.array([_box(mask) for mask in masks], np.int32).reshape(-1, 4),
        area_px=np.array([mask.sum() for mask in masks], np.int32),
        counts=counts,
    )


def _make_masks(size_hw: tuple[int, int], random: np.random.Generator) -> list[NDArray[np.bool_]]:
    """A disc with a few specks, and a smaller disc."""
    y, x = np.ogrid[: size_hw[0], : size_hw[1]]
    centre_y, centre_x = random.integers(size_hw)
    distance = (y - centre_y) ** 2 + (x - centre_x) ** 2
    radius = random.uniform(1, 12)
    return [(distance <= radius**2) | (random.random(size_hw) < 0.01), distance <= (radius / 2) ** 2]


def _box(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1], rows[-1]]


def write_dataset(
    root: Path, images: Sequence[MadeImage], settings: Sequence[Setting], shard_of: Callable[[str], str]
) -> Layout:
    """Write all tables up to the selections; an image's key decides its shard."""
    layout = Layout(root)
    image_rows = [_image_row(image, shard_of(image.key)) for image in images]
    write_table(layout.images, pa.Table.from_pylist(image_rows, schema=IMAGES), {})
    good = sorted((image for image in images if image.status == "ok"), key=lambda image: image.key)
    for shard in {shard_of(image.key) for image in good}:
        members = [image for image in good if shard_of(image.key) == shard]
        for run in setting_runs(setting()):
            _write_pass(layout, shard, members, run)
        _write_selections(layout, shard, members, settings)
    return layout


IMAGES = pa.schema(
    [
        ("image_key", pa.string()),
        ("image_id", pa.int64()),
        ("status", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("exif_orientation", pa.int8()),
        ("sha256", pa.string()),
        ("shard", pa.string()),
    ]
)


def _image_row(image: MadeImage, shard: str) -> dict[str, Any]:
    known = {"image_key": image.key, "status": image.status}
    if image.status != "ok":
        return known
    height, width = image.size_hw
    more = {"height": height, "width": width, "exif_orientation": 1, "sha256": "0" * 64, "shard": shard}
    return known | more


def _write_pass(layout: Layout, shard: str, images: Sequence[MadeImage], run: PassRun) -> None:
    parts = [(image.key, part) for image in images for part in image.candidates if part.pass_ == run.pass_]
    origin = {"recording": RECORDING.as_dict()}
    rows = [row for key, part in parts for row in _candidate_rows(key, part.rows)]
    table = pa.Table.from_pylist(rows, schema=CANDIDATES)
    write_table(layout.candidates(run, shard), table, origin)
    of_images = [
        {
            "image_key": key,
            "status": "ok",
            "height": part.size_hw[0],
            "width": part.size_hw[1],
            "crop_boxes_xyxy": part.crop_boxes_xyxy.tolist(),
            "proposed_iou": part.proposed_iou.tolist(),
        }
        for key, part in parts
    ]
    table = pa.Table.from_pylist(of_images, schema=PASS_IMAGES)
    write_table(layout.pass_images(run, shard), table, origin)


def _candidate_rows(key: str, rows: CandidateRows) -> list[dict[str, Any]]:
    columns = {name: getattr(rows, name).tolist() for name in CANDIDATES.names if name != "image_key"}
    return [{"image_key": key, **dict(zip(columns, row, strict=True))} for row in zip(*columns.values(), strict=True)]


def _write_selections(layout: Layout, shard: str, images: Sequence[MadeImage], settings: Sequence[Setting]) -> None:
    selections: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for wanted in settings:
        for image in images:
            selection = image.select(wanted)
            selections += _selection_rows(wanted, image.key, selection)
            counts.append(image_counts(wanted, image.key, selection, *measure(selection)))
    write_table(layout.selections(shard), pa.Table.from_pylist(selections, schema=SELECTIONS), {})
    write_table(layout.shard_counts(shard), pa.Table.from_pylist(counts, schema=MASK_COUNTS), {})


@dataclass(frozen=True, slots=True)
class OfImage:
    """The masks that a setting keeps for one image."""

    image_key: str
    counts: list[bytes]
    predicted_iou: NDArray[np.float32]


def kept_by_image(setting: Setting, layout: Layout, shard: str) -> Iterator[OfImage]:
    """The masks that a setting keeps, image by image."""
    images = read_table(layout.images, filters=[("status", "=", "ok")]).to_pylist()
    sizes_hw = {row["image_key"]: (row["height"], row["width"]) for row in images}
    for part in kept_masks(setting, layout, shard, sizes_hw):
        start = 0
        for key, end in zip(part.image_keys, np.cumsum(part.n_masks).tolist(), strict=True):
            yield OfImage(key, part.counts[start:end], part.predicted_iou[start:end])
            start = end


def codes(selection: Selection) -> list[bytes]:
    """The RLE codes of a selection's masks."""
    return [
        selection.passes[layer].rows.counts[row] if region is None else region.counts
        for layer, row, region in zip(selection.layer, selection.row, selection.regions, strict=True)
    ]


def measure(selection: Selection) -> tuple[int, int]:
    coverage = Coverage.of(codes(selection), selection.passes[0].size_hw)
    return coverage.measure(np.ones(len(selection), np.bool_))


def _selection_rows(wanted: Setting, key: str, selection: Selection) -> list[dict[str, Any]]:
    rows = []
    for rank, (layer, row, region) in enumerate(zip(selection.layer, selection.row, selection.regions, strict=True)):
        rows.append(
            {
                "setting_id": wanted.id,
                "image_key": key,
                "rank": rank,
                "layer": int(layer),
                "candidate_id": int(selection.passes[layer].rows.candidate_id[row]),
                "counts": None if region is None else region.counts,
                "area_px": None if region is None else region.area_px,
                "box_xyxy": None if region is None else region.box_xyxy.tolist(),
            }
        )
    return rows
