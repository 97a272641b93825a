"""A pass of the network over an image: prompts in, candidates out.

The steps are those of ``SAM2AutomaticMaskGenerator._process_batch``, in a cheaper order that gives the same masks:
scores are filtered before masks are up-sampled, masks are up-sampled a few at a time, and everything that the sweep's
thresholds need is measured at every recorded level while the logits are in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.amg import batch_iterator
from torch import Tensor

from maskgrid.automatic.candidates import CandidateRows, Candidates
from maskgrid.automatic.generate.device_masks import TooManyRunsError
from maskgrid.automatic.generate.prepared import PreparedPicture
from maskgrid.automatic.generate.proposals import Crop, Proposals, crops_of
from maskgrid.automatic.generate.recorder import Begun, Recorder
from maskgrid.dataset.pixels.windows import Picture, WholePicture
from maskgrid.io.errors import ImageTooLargeError
from maskgrid.network.decoder import Decoding, Mode
from maskgrid.network.graphs import Graphs
from maskgrid.network.image_encoder import ImageEncoder
from maskgrid.network.memory import is_of_device, is_out_of_memory, raise_failure, release_memory, with_less
from maskgrid.network.predictor import make_predictor
from maskgrid.network.transfers import to_device
from maskgrid.network.workers import one_ahead, one_behind
from maskgrid.plan.passes import Pass, Recording

# sam2 clamps a mask's logits to this before they become a prompt.
_CLAMP = 32.0


def _nothing() -> None:
    """Tell no one."""


class _Scores:
    """Scores of every mask proposed for an image, including those below the floor.

    Attributes:
        dtype: the scores' type; the network's until there are scores. Under a caller's autocast, the two differ.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._scores: list[Tensor] = []
        self._not_numbers: list[Tensor] = []

    def add(self, proposals: Proposals) -> None:
        """Add the scores of a batch. They stay on the device, so that nobody waits for them."""
        self.dtype = proposals.predicted_iou.dtype
        self._scores.append(proposals.predicted_iou.to(torch.float32, copy=True))
        self._not_numbers.append(proposals.logits.isnan().any())

    def sorted(self) -> NDArray[np.float32]:
        """All predicted IoUs, sorted; ``FloatingPointError`` if scores or logits are not numbers."""
        if not self._scores:
            return np.empty(0, np.float32)
        scores: NDArray[np.float32] = np.sort(torch.cat(self._scores).cpu().numpy())
        if not np.isfinite(scores).all() or bool(torch.stack(self._not_numbers).any()):
            raise FloatingPointError("the network returned scores or logits that are not numbers")
        return scores


@dataclass(frozen=True, slots=True)
class _Work:
    """What to run: some crops of a picture; ``each_crop`` is called after each."""

    picture: Picture
    pass_: Pass
    recording: Recording
    each_crop: Callable[[], None]
    crops: list[Crop]


class Proposer:
    """Runs passes of one model over images.

    Attributes:
        beside: whether masks are measured while the network works on the next ones; until memory runs out.
    """

    def __init__(self, model: SAM2Base, mode: Mode = "exact") -> None:
        """Wrap a model that is already on its device.

        Args:
            model: sam2's own model object, as from :func:`maskgrid.load_model`.
            mode: ``exact`` for sam2's masks bit for bit; ``fast`` for the least work, with masks that agree.
        """
        self.predictor, self.mode = make_predictor(model), mode
        device = self.predictor.device
        self.graphs = Graphs(device, same_bits=mode == "exact")
        self.decoding = Decoding(self.predictor, mode, self.graphs)
        self.encoder = ImageEncoder(self.predictor, self.graphs, is_fast=mode == "fast")
        self.recorder = Recorder(self.predictor, mode, self.graphs)
        # On a CPU, the network keeps all cores busy; MPS does not support two threads.
        self.beside = device.type == "cuda"

    def prepare(self, picture: Picture, pass_: Pass) -> Picture:
        """Do the part of a pass that needs the CPU alone: for the thread that reads the next image.

        Where a device scales images itself, or the network runs on the CPU, the picture stays as it is. So it does for
        tiles, of which a job may look at some others.
        """
        if not self.encoder.prepares or pass_.tile_px is not None or not isinstance(picture, WholePicture):
            return picture
        first = crops_of(picture, pass_)[0]  # which is never empty
        try:
            made = self.encoder.prepare(np.ascontiguousarray(first.cut(picture)))
        except RuntimeError as error:
            if not is_of_device(error):
                raise
            return picture  # the network's thread meets the device's error too, and knows how to go on
        if made is None:
            return picture
        return PreparedPicture(picture.pixels, picture.shrink, first_box_xyxy=first.box_xyxy, first_scaled=made)

    @torch.no_grad()
    def run(
        self,
        image: NDArray[np.uint8] | Picture,
        pass_: Pass,
        recording: Recording,
        points_per_batch: int = 64,
        each_crop: Callable[[], None] = _nothing,
        tiles: range | None = None,
    ) -> Candidates:
        """Run one pass over one image, or over some of its tiles.

        If memory runs out, fewer masks are up-sampled at once, which changes no result, and then fewer prompts are
        decoded at once.

        Args:
            image: uint8 (H, W, 3) RGB, or a picture that is read part by part.
            pass_: which crops and prompts.
            recording: the floor and the levels to record.
            points_per_batch: prompts to decode at once. sam2's results can differ in the last bit between batch sizes;
                these equal sam2's at the same batch size.
            each_crop: called when a crop is done; more often than there are crops if memory runs out.
            tiles: the crops to run, by their numbers; None for all. Their candidates are those of a run over all.

        Raises:
            FloatingPointError: the network returned values that are not numbers.
            ImageTooLargeError: the device's memory is too small for one mask of the image.
            BadImageError: a picture's file cannot be read any more.
            MachineError: the device failed, or its memory is too small for one prompt.
        """
        if isinstance(image, np.ndarray):
            image = WholePicture(image)
        if self.graphs.is_on and torch.is_inference_mode_enabled():
            # What graphs keep could not be written over outside of the caller's inference mode.
            with torch.inference_mode(False):
                return self.run(image, pass_, recording, points_per_batch, each_crop, tiles)
        crops = crops_of(image, pass_)
        work = _Work(image, pass_, recording, each_crop, crops if tiles is None else crops[tiles.start : tiles.stop])
        # No more than there are, so that halving makes a difference at once. With m2m, masks fill the batches.
        most = min(points_per_batch, pass_.n_points * (pass_.n_masks_per_point if pass_.use_m2m else 1))
        if self.beside:
            try:
                return self._run(work, True, most)
            except ImageTooLargeError:
                pass
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise_failure(error)
            # The work may fit if the two take turns; further images would hit the same limit.
            self.beside = False
            self.graphs.give_up()
            release_memory("the network and its masks in turn")
        return with_less(partial(self._run, work, False), most)

    def ways(self) -> dict[str, Any]:
        """Which ways a CUDA device has taken so far, where there is a choice: for the metadata of results."""
        decoding = self.decoding
        return {
            "shorter_decoder": self.mode == "fast" or any(decoding.is_equal.values()),
            "drawn_at_once": decoding.drawn_at_once,
            "kernels": self.recorder.uses_kernels,
            "graphs": self.graphs.names(),
        }

    def _run(self, work: _Work, beside: bool, points_per_batch: int) -> Candidates:
        try:
            return self._candidates(work, beside, points_per_batch)
        except TooManyRunsError as error:
            self.recorder.make_room(error.n_runs)
            return self._run(work, beside, points_per_batch)

    def _candidates(self, work: _Work, beside: bool, points_per_batch: int) -> Candidates:
        recording, scores = work.recording, _Scores(self.decoding.dtype)

        def begun() -> Iterator[Begun]:
            for crop, proposals in self._asked(work, points_per_batch):
                scores.add(proposals)
                yield self.recorder.begin(proposals, crop, recording)

        recorded = one_behind(self.recorder.finish, begun(), self.predictor.device, beside=beside)
        rows = [row for part in recorded for row in part]
        self.predictor.reset_predictor()
        self.decoding.forget()
        return Candidates(
            pass_=work.pass_,
            recording=recording,
            size_hw=work.picture.size_hw,
            crop_boxes_xyxy=np.array([crop.box_xyxy for crop in work.crops], np.int32).reshape(-1, 4),
            proposed_iou=scores.sorted(),
            rows=CandidateRows.concatenate(rows, len(recording.stability_score_offsets)),
            dtype=str(scores.dtype).removeprefix("torch."),
        )

    def _asked(self, work: _Work, points_per_batch: int) -> Iterator[tuple[Crop, Proposals]]:
        seen = [crop for crop in work.crops if not crop.is_empty]
        beside = len(seen) > 1 and (self.encoder.prepares or not isinstance(work.picture, WholePicture))
        for crop, (pixels, prepared) in one_ahead(partial(self._read, work.picture), seen, beside=beside):
            self.encoder.encode(pixels, prepared)
            for proposals in self._proposals(crop, work.pass_, work.recording.pred_iou_thresh, points_per_batch):
                yield crop, proposals
            work.each_crop()

    def _read(self, picture: Picture, crop: Crop) -> tuple[NDArray[np.uint8], Tensor | None]:
        """A crop's pixels, and what the CPU makes of them for the device; in a thread."""
        pixels = np.ascontiguousarray(crop.cut(picture))
        if isinstance(picture, PreparedPicture) and picture.first_box_xyxy == crop.box_xyxy:
            return pixels, picture.first_scaled
        return pixels, self.encoder.prepare(pixels)

    def _proposals(self, crop: Crop, pass_: Pass, floor: float, points_per_batch: int) -> Iterator[Proposals]:
        height, width = crop.size_hw
        grid = pass_.point_grid() * np.array([[width, height]])
        first_id = crop.index * len(grid) * pass_.n_masks_per_point
        for (points,) in batch_iterator(points_per_batch, grid):
            point_xy = torch.as_tensor(points, dtype=torch.float32)
            # Every mask is refined, whatever its first score.
            first_floor = 0.0 if pass_.use_m2m else floor
            logits, predicted_iou = self._predict(point_xy, crop, pass_.multimask_output, floor=first_floor)
            point_xy = point_xy.repeat_interleave(logits.shape[1], dim=0)
            logits, predicted_iou = logits.flatten(0, 1), predicted_iou.flatten(0, 1)
            if pass_.use_m2m:
                logits, predicted_iou = self._refine(point_xy, logits, crop, points_per_batch, floor)
            ids = torch.arange(first_id, first_id + len(logits))
            first_id += len(logits)
            yield Proposals(logits, predicted_iou, point_xy, ids)

    def _predict(
        self,
        point_xy: Tensor,
        crop: Crop,
        multimask_output: bool,
        mask_input: Tensor | None = None,
        floor: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Decode one click per prompt: logits (n, c, h, w) and predicted IoU (n, c)."""
        point_xy = to_device(point_xy, self.predictor.device)
        points = self.predictor._transforms.transform_coords(point_xy, normalize=True, orig_hw=crop.size_hw)
        labels = torch.ones(len(points), dtype=torch.int, device=points.device)
        return self.decoding.predict(
            points[:, None, :], labels[:, None], mask_input, multimask_output=multimask_output, floor=floor
        )

    def _refine(
        self, point_xy: Tensor, logits: Tensor, crop: Crop, points_per_batch: int, floor: float
    ) -> tuple[Tensor, Tensor]:
        """sam2's mask-to-mask step: decode each proposal again, with its mask and its point as the prompt."""
        refined, predicted_iou = [], []
        for points, masks in batch_iterator(points_per_batch, point_xy, logits.clamp(-_CLAMP, _CLAMP)):
            better, iou = self._predict(points, crop, False, masks[:, None], floor)
            refined.append(better[:, 0])
            predicted_iou.append(iou[:, 0])
        return torch.cat(refined), torch.cat(predicted_iou)
