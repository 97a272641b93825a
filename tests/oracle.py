"""sam2's own generator as the oracle."""

import numpy as np
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.utils.amg import rle_to_mask

from maskgrid.network.predictor import fit_feature_sizes


def sam2_generator(model, **parameters):
    """``SAM2AutomaticMaskGenerator`` with feature sizes set for models whose input is not 1024 pixels wide."""
    generator = SAM2AutomaticMaskGenerator(model, **parameters)
    fit_feature_sizes(generator.predictor)
    return generator


def sam2_masks(model, image, **parameters):
    """sam2's masks of an image, without the empty ones that it lets through at thresholds of 0.

    ``min_mask_region_area`` is applied as documented, with the method that sam2 has for it but never calls.
    """
    min_area = parameters.pop("min_mask_region_area", 0)
    generator = sam2_generator(model, **parameters)
    if min_area:
        nms_thresh = max(generator.box_nms_thresh, generator.crop_nms_thresh)
        generate = generator._generate_masks

        def with_regions(image):
            data = generate(image)
            full = torch.as_tensor([sum(rle["counts"][1::2]) > 0 for rle in data["rles"]], dtype=torch.bool)
            data.filter(full)
            return generator.postprocess_small_regions(data, min_area, nms_thresh)

        generator._generate_masks = with_regions
    try:
        masks = generator.generate(image)
    except IndexError:
        # If no crop has a mask, sam2 fails when it joins the crops. That means: no masks.
        assert generator.crop_n_layers > 0
        return []
    return [mask for mask in masks if mask["area"] > 0]


def differences(ours, theirs):
    """List how two lists of mask records differ, compared in order; empty if they are equal."""
    if len(ours) != len(theirs):
        return [f"{len(ours)} masks instead of {len(theirs)}"]
    found = []
    for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if our.keys() != their.keys():
            found.append(f"mask {index}: keys {sorted(our)} instead of {sorted(their)}")
        for key, value in their.items():
            same = np.array_equal(our[key], value) if isinstance(value, np.ndarray) else our[key] == value
            if not same and key != "segmentation":
                found.append(f"mask {index}: {key} {our[key]} instead of {value}")
            elif not same:
                found.append(f"mask {index}: segmentation")
    return found


def as_mask(segmentation):
    """Convert any of sam2's mask forms to a boolean mask."""
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, np.ndarray):
        return segmentation
    if isinstance(segmentation["counts"], list):
        return rle_to_mask(segmentation)
    return coco_mask.decode(segmentation).astype(bool)
