"""What all parts share: the device, the models, the photograph, the sizes, and both sides' generators."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sides import DEFAULT, DEMO
from synthetic_model import make_model
from torch import Tensor

from gpu import measure
from maskgrid import MaskGenerator
from maskgrid.network.decoder import Decoding
from maskgrid.network.model import DTYPES, run_in
from maskgrid.network.predictor import fit_feature_sizes, make_predictor

Image = NDArray[np.uint8]
# sam2's masks of an image, or maskgrid's.
Generate = Callable[[Image], measure.Masks]
SIDES = ("sam2", "exact", "fast")
_PROMPTS = 64


class Check:
    """What all parts share.

    Attributes:
        device: where everything runs.
        out: the folder of the results.
        photo: the photograph, or None for scikit-image's.
        repeat: turns of what is timed.
        stand_in: the model in place of large and tiny, with few points and small images; None for the real check.
        trials: the trials to run; None for all.
        points: prompts per side of an image.
        size_hw: of an image.
        large_hw: of a large image.
        n_frames: of a video.
        n_objects: of a video with many.
    """

    def __init__(
        self,
        device: torch.device,
        out: Path,
        photo: Path | None = None,
        repeat: int = 3,
        stand_in: str | None = None,
        trials: list[str] | None = None,
    ) -> None:
        self.device, self.out, self.photo = device, out, photo
        self.repeat, self.stand_in, self.trials = repeat, stand_in, trials
        self.points, self.n_frames, self.n_objects = (4, 4, 2) if stand_in else (32, 30, 16)
        self.size_hw, self.large_hw = ((120, 180), (300, 400)) if stand_in else ((1200, 1800), (3000, 4000))
        self._models: dict[tuple[str, str], SAM2Base] = {}
        self._images: dict[tuple[int, int], Image] = {}

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def architecture(self, name: str) -> str:
        """The model that runs under a name."""
        return self.stand_in if self.stand_in and name != "demo" else name

    def has_real_masks(self, name: str) -> bool:
        """Whether a model draws masks, of which agreement can be measured, not discs."""
        return self.architecture(name) == "demo"

    def thresholds(self, name: str) -> dict[str, float]:
        """The generator's thresholds for a model."""
        return DEMO if self.has_real_masks(name) else DEFAULT

    def model(self, name: str, dtype: str = "float32") -> SAM2Base:
        """A model, made once."""
        name = self.architecture(name)
        if (name, dtype) not in self._models:
            made = make_model(name, str(self.device))  # seeded: the same weights for each dtype
            if dtype != "float32":
                run_in(made, made.device, DTYPES[dtype])
            self._models[name, dtype] = made
        return self._models[name, dtype]

    def image(self, size_hw: tuple[int, int] | None = None) -> Image:
        """The photograph, uint8 (H, W, 3), at a size; by default ``size_hw``."""
        height, width = size_hw or self.size_hw
        if (height, width) not in self._images:
            photo = self._photo()
            if photo.size != (width, height):
                photo = photo.resize((width, height), PIL.Image.Resampling.BICUBIC)
            self._images[height, width] = np.array(photo)
        return self._images[height, width]

    def _photo(self) -> PIL.Image.Image:
        if self.photo is not None:
            return PIL.Image.open(self.photo).convert("RGB")
        import skimage.data

        return PIL.Image.fromarray(skimage.data.astronaut())

    def generator(self, side: str, name: str, dtype: str = "float32", **more: Any) -> Generate:  # noqa: ANN401
        """The generator of a side: ``sam2``, ``exact`` or ``fast``."""
        return self.sam2(name, dtype, **more) if side == "sam2" else self.ours(name, side, dtype, **more).generate

    def sam2(self, name: str, dtype: str = "float32", **more: Any) -> Generate:  # noqa: ANN401
        """sam2's generator; below float32 under autocast, as sam2 is used."""
        generator = SAM2AutomaticMaskGenerator(self.model(name), **self._parameters(name, more))
        fit_feature_sizes(generator.predictor)

        def generate(image: Image) -> measure.Masks:
            lower = dtype != "float32"
            with torch.autocast(self.device.type, DTYPES[dtype]) if lower else nullcontext():
                masks: measure.Masks = generator.generate(image)
            return masks

        return generate

    def ours(self, name: str, mode: str, dtype: str = "float32", **more: Any) -> MaskGenerator:  # noqa: ANN401
        """maskgrid's generator."""
        return MaskGenerator(self.model(name, dtype), mode=mode, **self._parameters(name, more))

    def _parameters(self, name: str, more: dict[str, Any]) -> dict[str, Any]:
        return {"points_per_side": self.points, **self.thresholds(name), "output_mode": "coco_rle", **more}

    def timed(self, work: Callable[[], object], repeat: int | None = None) -> dict[str, Any]:
        """:func:`gpu.measure.timed` on the device."""
        return measure.timed(work, self.device, repeat or self.repeat)

    def queued(self, work: Callable[[], object], times: int = 10) -> dict[str, float]:
        """:func:`gpu.measure.queued` on the device."""
        return measure.queued(work, self.device, times)

    def sync(self) -> None:
        """Wait for the device."""
        measure.sync(self.device)

    def batch(self, name: str, dtype: str = "float32") -> "Batch":
        """One batch of prompts on the photograph."""
        return Batch(self, name, dtype)


class Batch:
    """One batch of clicks on the photograph, for both sides' decoders; call within ``torch.no_grad()``.

    Attributes:
        predictor: has the photograph set.
        model: its model.
        points: (n, 1, 2), in the model's frame.
        labels: int (n, 1).
    """

    def __init__(self, check: Check, name: str, dtype: str) -> None:
        self.predictor: SAM2ImagePredictor = make_predictor(check.model(name, dtype))
        self.model = self.predictor.model
        self.predictor.set_image(check.image())
        n = min(_PROMPTS, check.points**2)
        places = torch.rand(n, 1, 2, generator=torch.Generator().manual_seed(0)).to(check.device)
        self.points = places * self.model.image_size
        self.labels = torch.ones(n, 1, dtype=torch.int, device=check.device)

    def sam2(self) -> tuple[Tensor, Tensor]:
        """sam2's logits and scores."""
        logits, scores, _ = self.predictor._predict(self.points, self.labels, return_logits=True)
        return logits, scores

    def decoding(self, mode: str) -> Decoding:
        """A decoding that takes the shorter way, whether or not that has sam2's bits here."""
        decoding = Decoding(self.predictor, mode)
        decoding.is_equal[len(self.points), True] = True
        return decoding

    def ours(self, decoding: Decoding, floor: float = 0.0) -> tuple[Tensor, Tensor]:
        """maskgrid's logits and scores."""
        return decoding.predict(self.points, self.labels, floor=floor)
