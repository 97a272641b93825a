"""Encode images for a predictor: on a CPU as sam2 does, on a CUDA device without waiting for it."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor

from maskgrid.network.graphs import Graphs
from maskgrid.network.model import products_in_tf32
from maskgrid.network.predictor import LowResolutionTransforms
from maskgrid.network.transfers import page_locked, to_device


class ImageEncoder:
    """Computes the features that a predictor's decoder reads."""

    def __init__(self, predictor: SAM2ImagePredictor, graphs: Graphs, *, is_fast: bool) -> None:
        """Wrap a predictor.

        Args:
            predictor: as from :func:`maskgrid.network.predictor.make_predictor`.
            graphs: those of the predictor's device.
            is_fast: whether a CUDA device may scale images itself and compute in TF32, with other last bits than sam2,
                which scales images on the CPU.
        """
        self.predictor, self.graphs, self.is_fast = predictor, graphs, is_fast
        self.on_cuda = predictor.device.type == "cuda"
        self._kept: tuple[Tensor, ...] | None = None
        self._norm: tuple[Tensor, Tensor] | None = None

    @property
    def prepares(self) -> bool:
        """Whether the CPU scales images for a device, which a thread can do while the device works on another one."""
        return self.on_cuda and not self.is_fast

    def prepare(self, image: NDArray[np.uint8]) -> Tensor | None:
        """Scale an image, uint8 (H, W, 3) RGB, as the network takes it: float32 (3, size, size), in page-locked memory.

        Any thread may call it. None if :meth:`encode` does better without.
        """
        transforms: LowResolutionTransforms = self.predictor._transforms
        return page_locked(transforms.prepare(image)) if self.prepares else None

    def encode(self, image: NDArray[np.uint8], prepared: Tensor | None = None) -> None:
        """Set the predictor's image.

        Args:
            image: uint8 (H, W, 3) RGB.
            prepared: what :meth:`prepare` made of it, if it was called.
        """
        predictor = self.predictor
        if not self.on_cuda:
            predictor.set_image(image)
            return
        scaled = self._scaled_there(image) if prepared is None else to_device(prepared, predictor.device)
        with products_in_tf32(wanted=self.is_fast):
            features = self.graphs.run("encoder", lambda pixels: self._features(image, pixels), scaled)
        predictor.reset_predictor()
        predictor._orig_hw = [image.shape[:2]]
        predictor._features = self._keep(features)
        predictor._is_image_set = True

    def _features(self, image: NDArray[np.uint8], prepared: Tensor) -> tuple[Tensor, ...]:
        transforms: LowResolutionTransforms = self.predictor._transforms
        transforms.prepared = prepared
        try:
            self.predictor.set_image(image)
        finally:
            transforms.prepared = None
        features = self.predictor._features
        return (features["image_embed"], *features["high_res_feats"])

    def _keep(self, features: tuple[Tensor, ...]) -> dict[str, Tensor | list[Tensor]]:
        if self.graphs.is_on:
            # At the same place for every image, where graphs of the decoder read them.
            self._kept = self._kept or tuple(torch.empty_like(each) for each in features)
            for place, each in zip(self._kept, features, strict=True):
                place.copy_(each)
            features = self._kept
        embedding, *finer = features
        return {"image_embed": embedding, "high_res_feats": finer}

    def _scaled_there(self, image: NDArray[np.uint8]) -> Tensor:
        """The image as the network takes it, float32 (3, size, size), on the device."""
        transforms, device = self.predictor._transforms, self.predictor.device
        if not self.is_fast:
            return to_device(transforms.prepare(image), device)
        if self._norm is None:
            mean, std = (torch.tensor(each, device=device)[:, None, None] for each in (transforms.mean, transforms.std))
            self._norm = mean, std
        pixels = to_device(torch.from_numpy(np.ascontiguousarray(image)), device)
        pixels = pixels.permute(2, 0, 1)[None].float().div_(255.0)
        size = (transforms.resolution, transforms.resolution)
        scaled = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)[0]
        return scaled.sub_(self._norm[0]).div_(self._norm[1])
