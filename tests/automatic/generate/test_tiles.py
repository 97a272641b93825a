"""Tiles against sam2: those that are sam2's crops give its masks, and any others what sam2 gives with such crops."""

import numpy as np
import pytest
import sam2.automatic_mask_generator
from pydantic import ValidationError
from sam2.utils.amg import generate_crop_boxes

from maskgrid import MaskGenerator
from maskgrid.automatic.generate.proposals import tile_boxes
from maskgrid.config.models import Config, GeneratorConfig
from maskgrid.config.settings import make_setting
from maskgrid.plan.passes import passes_of
from oracle import differences, sam2_masks

BASELINE_ID = "9fef0555ef"
BASE = {"points_per_side": 4, "pred_iou_thresh": 0.1, "stability_score_thresh": 0.1}
LAYERS = [(1, 0.3413333333333333), (1, 0.0), (1, 0.6), (2, 0.25), (3, 0.5)]
SETTINGS = [
    {},
    {"crop_nms_thresh": 0.3, "box_nms_thresh": 0.5},
    {"min_mask_region_area": 30, "stability_score_thresh": 0.5},
    {"mask_threshold": 0.5, "pred_iou_thresh": 0.0},
]


def as_tiles(side, layer, ratio):
    """The size and overlap of a crop layer's boxes in a square image."""
    boxes, layers = generate_crop_boxes((side, side), layer, ratio)
    of_layer = [box for box, number in zip(boxes, layers, strict=True) if number == layer]
    first, second = of_layer[0], of_layer[1]
    return of_layer, first[3] - first[1], first[3] - second[1]


def sides_that_fit(layer, ratio):
    """Sides of images in which all crops of a layer are of one size; in others sam2 cuts the last ones."""
    found = []
    for side in range(150, 260):
        boxes, size, overlap = as_tiles(side, layer, ratio)
        if tile_boxes((side, side), size, overlap) == [tuple(box) for box in boxes]:
            found.append(side)
    return found


@pytest.mark.parametrize(("layer", "ratio"), LAYERS)
def test_tiles_are_sam2s_crops_where_those_are_of_one_size(layer, ratio):
    assert len(sides_that_fit(layer, ratio)) > 10


@pytest.fixture(scope="module")
def tally():
    counts = {"settings": 0, "masks": 0}
    yield counts
    print(f"\ntiles against sam2: {counts['settings']} settings, {counts['masks']} masks, no difference")


@pytest.mark.parametrize(("layer", "ratio"), LAYERS[:4])
def test_tiles_that_are_sam2s_crops_give_sam2s_masks(layer, ratio, demo_model, photos, tally):
    side = sides_that_fit(layer, ratio)[3]
    image = np.ascontiguousarray(photos["astronaut"][20 : 20 + side, 40 : 40 + side])
    assert image.shape == (side, side, 3)
    _, size, overlap = as_tiles(side, layer, ratio)
    tiled = {"crop_n_layers": layer - 1, "tile_size_px": size, "tile_overlap_px": overlap}
    parameters = {**BASE, "crop_overlap_ratio": ratio}
    generator = MaskGenerator(demo_model, **parameters, **tiled)
    candidates = generator.candidates(image, 0.0, 0.0, (0.0, 0.5))
    for setting in SETTINGS:
        ours = generator.replay(candidates, **setting)
        theirs = sam2_masks(demo_model, image, **{**parameters, "crop_n_layers": layer, **setting})
        assert differences(ours, theirs) == [], setting
        tally["settings"] += 1
        tally["masks"] += len(theirs)
        assert len(theirs) > 3


@pytest.mark.parametrize(("size_px", "overlap_px"), [(100, 33), (90, 0), (64, 40), (128, None)])
def test_any_tiles_give_what_sam2_gives_with_such_crops(size_px, overlap_px, demo_model, photos, monkeypatch, tally):
    image = np.ascontiguousarray(photos["coffee"][60:210, 100:330])
    tiled = {"tile_size_px": size_px, "tile_overlap_px": overlap_px}
    boxes = tile_boxes(image.shape, size_px, size_px // 3 if overlap_px is None else overlap_px)

    def crops(size_hw, n_layers, overlap_ratio):
        height, width = size_hw
        return [[0, 0, width, height], *map(list, boxes)], [0, *[1] * len(boxes)]

    generator = MaskGenerator(demo_model, **BASE, use_m2m=size_px == 90, **tiled)
    candidates = generator.candidates(image, 0.0, 0.0, (0.0, 0.5))
    monkeypatch.setattr(sam2.automatic_mask_generator, "generate_crop_boxes", crops)
    for setting in SETTINGS[:2]:
        ours = generator.replay(candidates, **setting)
        parameters = {**BASE, "use_m2m": size_px == 90, "crop_n_layers": 1}
        assert differences(ours, sam2_masks(demo_model, image, **parameters, **setting)) == []
        tally["settings"] += 1
        tally["masks"] += len(ours)


@pytest.mark.parametrize("size_hw", [(150, 230), (99, 400), (100, 100), (40, 260), (1, 300), (333, 101)])
@pytest.mark.parametrize(("size_px", "overlap_px"), [(100, 33), (100, 0), (100, 99), (64, 5)])
def test_tiles_cover_the_image_and_overlap_as_asked(size_hw, size_px, overlap_px):
    height, width = size_hw
    boxes = np.array(tile_boxes(size_hw, size_px, overlap_px)).reshape(-1, 4)
    if max(size_hw) <= size_px:
        assert len(boxes) == 0
        return
    covered = np.zeros(size_hw, int)
    for x0, y0, x1, y1 in boxes.tolist():
        assert (x1 - x0, y1 - y0) == (min(size_px, width), min(size_px, height))
        covered[y0:y1, x0:x1] += 1
    assert covered.min() >= 1
    for starts, length in ((np.unique(boxes[:, 0]), width), (np.unique(boxes[:, 1]), height)):
        assert starts[0] == 0
        assert (np.diff(starts) <= size_px - overlap_px).all()
        assert len(starts) == 1 or starts[-1] + size_px == length


def test_an_image_of_one_tile_has_the_masks_without_tiles(demo_model, photos):
    image = np.ascontiguousarray(photos["coffee"][60:160, 100:200])
    plain = MaskGenerator(demo_model, **BASE).generate(image)
    assert differences(MaskGenerator(demo_model, **BASE, tile_size_px=100).generate(image), plain) == []
    assert len(plain) > 1


def test_without_tiles_ids_and_files_are_what_they_were():
    assert "tile_size_px" not in Config().model_dump_json()
    plain, tiled = GeneratorConfig(), GeneratorConfig(tile_size_px=300)
    # The id that this setting has had since there were settings.
    assert make_setting("demo", plain).id == make_setting("demo", GeneratorConfig(tile_overlap_px=7)).id == BASELINE_ID
    assert make_setting("demo", tiled).id != BASELINE_ID
    assert make_setting("demo", tiled).id == make_setting("demo", GeneratorConfig(**tiled.model_dump())).id
    same = GeneratorConfig(tile_size_px=300, tile_overlap_px=100)
    assert make_setting("demo", tiled).id == make_setting("demo", same).id
    assert [pass_.name for pass_ in passes_of(tiled)] == ["crop0-grid32", "tile300-100-grid32"]
    assert [pass_.name for pass_ in passes_of(plain)] == ["crop0-grid32"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tile_size_px": 100, "tile_overlap_px": 100}, "must be below tile_size_px"),
        ({"tile_size_px": 8}, "greater than or equal to 16"),
        ({"tile_size_px": 100, "points_per_side": 2, "crop_n_points_downscale_factor": 4}, "to 0 in crop layer 1"),
    ],
)
def test_impossible_tiles(values, message):
    with pytest.raises(ValidationError, match=message):
        GeneratorConfig(**values)
