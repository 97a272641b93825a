"""What notebooks use: the signature, many images, pictures of masks, a COCO file."""

import inspect

import numpy as np
import PIL.Image
import pytest
from pycocotools.coco import COCO
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

import maskgrid
from maskgrid import MaskGenerator, UserError, show, write_coco

PARAMETERS = {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}


def test_the_signature_is_sam2s():
    ours = inspect.signature(MaskGenerator).parameters
    theirs = inspect.signature(SAM2AutomaticMaskGenerator).parameters
    named = [name for name in theirs if name not in ("model", "kwargs")]
    assert len(named) == 16
    assert list(ours)[: len(named) + 1] == ["model", *named]
    assert {name: ours[name].default for name in named} == {name: theirs[name].default for name in named}
    assert set(maskgrid.__all__) <= set(dir(maskgrid))


@pytest.mark.parametrize("output_mode", ["binary_mask", "coco_rle", "uncompressed_rle"])
def test_many_images_become_a_coco_file(demo_model, photos, tmp_path, output_mode, capsys):
    generator = MaskGenerator(demo_model, **PARAMETERS, output_mode=output_mode)
    paths = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "broken.png"]
    PIL.Image.fromarray(photos["coffee"]).save(paths[0])
    PIL.Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(paths[1])
    paths[2].write_bytes(b"no image")
    found = list(generator.generate_each(paths))
    assert [image for image, _ in found] == paths
    assert found[2][1] is None
    write_coco(tmp_path / "masks.json", found)
    coco = COCO(str(tmp_path / "masks.json"))
    assert [(image["file_name"], image["height"], image["width"]) for image in coco.dataset["images"]] == [
        (str(paths[0]), *photos["coffee"].shape[:2]),
        (str(paths[1]), 20, 30),
    ]
    masks = MaskGenerator(demo_model, **PARAMETERS).generate(photos["coffee"])
    written = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert len(masks) == len(written) > 0
    for mask, annotation in zip(masks, written, strict=True):
        np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), mask["segmentation"])
        rows, columns = np.nonzero(mask["segmentation"])
        extent = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert (annotation["bbox"], annotation["predicted_iou"]) == (extent, mask["predicted_iou"])
    picture = np.asarray(show(paths[0], found[0][1]))
    covered = np.any([mask["segmentation"] for mask in masks], axis=0)
    changed = (picture != photos["coffee"]).any(axis=-1)
    assert not changed[~covered].any()
    assert changed[covered].mean() > 0.9


def test_masks_of_another_image_are_refused(photos):
    mask = {"segmentation": np.ones((3, 4), bool), "area": 12, "bbox": [0, 0, 3, 2]}
    with pytest.raises(UserError, match="the mask has 3 x 4 pixels"):
        show(photos["coffee"], [mask])
