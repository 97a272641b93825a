"""Make the figures of docs/parameters.md from the demo checkpoint's masks of one generated scene."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
from numpy.typing import NDArray
from sam2.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from maskgrid import MaskGenerator, load_model
from maskgrid.automatic.candidates import CandidateRows, Candidates
from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import make_setting
from maskgrid.dataset.demo import draw_scene
from maskgrid.io.wording import count
from maskgrid.masks.pictures import Pixels, grid, jpeg, tint
from maskgrid.network.predictor import make_predictor
from maskgrid.results.report.pictures import overlay
from maskgrid.results.report.samples import Sample

SEED, SIZE_HW, SIDE = 9_000_002, (256, 256), 300
# Thresholds at which the demo checkpoint keeps enough masks to show; those for large checkpoints are higher.
DEMO = {"points_per_side": 16, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.7}
BLUE, ORANGE, WHITE = (40, 120, 255), (255, 150, 0), (255, 255, 255)


def main(folder: Path) -> None:
    """Write the figures into a folder."""
    scene = draw_scene(SEED, SIZE_HW).image
    model = load_model("demo", device="cpu")
    generator = MaskGenerator(model, points_per_side=16, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    candidates = generator.candidates(scene)
    figures = {
        "grid": [points_tile(scene, 16), crops_tile(scene)],
        "threshold": threshold_tiles(scene, model, candidates[0].rows),
        "stability": stability_tiles(scene, model, candidates[0].rows),
        "scores": setting_tiles(scene, candidates, "pred_iou_thresh", (0.4, 0.5, 0.7)),
        "nms": setting_tiles(scene, candidates, "box_nms_thresh", (0.3, 0.7, 0.95)),
        "multimask": multimask_tiles(scene, model, candidates[0].rows),
        "m2m": m2m_tiles(scene, model),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, tiles in figures.items():
        sheet = grid([np.asarray(tile) for tile in tiles], len(tiles), gap_px=10)
        (folder / f"{name}.jpg").write_bytes(jpeg(sheet, quality=85))


def enlarge(pixels: Pixels) -> PIL.Image.Image:
    return PIL.Image.fromarray(pixels).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)


def label(tile: PIL.Image.Image, words: str) -> PIL.Image.Image:
    """Put a line of text below a tile."""
    labelled = PIL.Image.new("RGB", (SIDE, SIDE + 26), "white")
    labelled.paste(tile, (0, 0))
    font = PIL.ImageFont.load_default(15)
    PIL.ImageDraw.Draw(labelled).text((4, SIDE + 4), words, fill="black", font=font)
    return labelled


def draw_points(tile: PIL.Image.Image, points: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    draw = PIL.ImageDraw.Draw(tile)
    for x, y in points * SIDE:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def points_tile(scene: Pixels, n: int) -> PIL.Image.Image:
    tile = enlarge(scene)
    draw_points(tile, build_all_layer_point_grids(n, 0, 1)[0], WHITE)
    return label(tile, f"points_per_side: {n}, {n * n} prompts")


def crops_tile(scene: Pixels) -> PIL.Image.Image:
    """Draw the four crops of layer 1, and the points of one of them."""
    tile = enlarge(scene)
    boxes, layers = generate_crop_boxes(SIZE_HW, 1, 512 / 1500)
    crops = [np.array(box) * SIDE / SIZE_HW[0] for box, layer in zip(boxes, layers, strict=True) if layer == 1]
    draw = PIL.ImageDraw.Draw(tile)
    for box, colour in zip(crops, (ORANGE, BLUE, (0, 200, 120), (230, 60, 160)), strict=True):
        draw.rectangle(tuple(box - np.array([0, 0, 1, 1])), outline=colour, width=3)
    x0, y0, x1, y1 = crops[0] / SIDE
    grid = build_all_layer_point_grids(16, 1, 2)[1]
    draw_points(tile, grid * [x1 - x0, y1 - y0] + [x0, y0], ORANGE)
    return label(tile, "crop_n_layers: 1, ..._downscale_factor: 2")


def logits_at(scene: Pixels, model: torch.nn.Module, point_xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of one point's three masks, (3, H, W)."""
    predictor = make_predictor(model)
    predictor.set_image(scene)
    masks, _, _ = predictor.predict(point_xy[None], np.ones(1, int), multimask_output=True, return_logits=True)
    logits: NDArray[np.float32] = predictor._transforms.upsample(torch.from_numpy(masks), SIZE_HW).numpy()
    return logits


def choose(rows: CandidateRows, low: float, high: float) -> int:
    """The row with the best predicted IoU among medium-sized masks with stability in [low, high)."""
    area = rows.area_px / (SIZE_HW[0] * SIZE_HW[1])
    stability = rows.stability_scores[:, 0]
    fits = (area > 0.015) & (area < 0.3) & (stability >= low) & (stability < high)
    return int(np.argmax(np.where(fits, rows.predicted_iou, -1)))


def logits_of(scene: Pixels, model: torch.nn.Module, rows: CandidateRows, row: int) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = logits_at(scene, model, rows.point_xy[row])[int(rows.candidate_id[row]) % 3]
    return logits


def threshold_tiles(scene: Pixels, model: torch.nn.Module, rows: CandidateRows) -> list[PIL.Image.Image]:
    logits = logits_of(scene, model, rows, choose(rows, 0.6, 0.85))
    share = np.clip(logits / 16 + 0.5, 0, 1)[..., None]
    heat = (share * np.array(ORANGE) + (1 - share) * np.array((20, 30, 60))).astype(np.uint8)
    tiles = [label(enlarge(heat), "logits, bright for high")]
    for level in (-2.0, 0.0, 2.0):
        tiles.append(label(enlarge(tint(scene, logits > level, BLUE, 0.6)), f"mask_threshold: {level:g}"))
    return tiles


def stability_tiles(scene: Pixels, model: torch.nn.Module, rows: CandidateRows) -> list[PIL.Image.Image]:
    tiles = []
    for row in (choose(rows, 0.93, 1.0), choose(rows, 0.5, 0.75)):
        logits = logits_of(scene, model, rows, row)
        inner, outer = logits > 1.0, logits > -1.0
        picture = tint(tint(scene, outer & ~inner, ORANGE, 0.9), inner, BLUE, 0.6)
        tiles.append(label(enlarge(picture), f"{inner.sum()} / {outer.sum()} px: {inner.sum() / outer.sum():.2f}"))
    return tiles


def setting_tiles(
    scene: Pixels, candidates: Sequence[Candidates], name: str, values: Sequence[float]
) -> list[PIL.Image.Image]:
    """Draw the masks that each value of a parameter keeps; the other parameters are ``DEMO``'s."""
    sample = Sample("scene", SIZE_HW, scene, {"demo": Replay({part.pass_.name: part for part in candidates})})
    tiles = []
    for value in values:
        chosen = DEMO | {name: value}
        drawn = overlay(sample, make_setting("demo", GeneratorConfig.model_validate(chosen)), SIDE)
        assert drawn is not None
        tiles.append(label(enlarge(drawn[0]), f"{name}: {value:g}, {count(drawn[1], 'mask')}"))
    return tiles


def multimask_tiles(scene: Pixels, model: torch.nn.Module, rows: CandidateRows) -> list[PIL.Image.Image]:
    point = rows.point_xy[choose(rows, 0.9, 1.0)]
    tiles = []
    for number, logits in enumerate(logits_at(scene, model, point), start=1):
        tile = enlarge(tint(scene, logits > 0, BLUE, 0.6))
        draw_points(tile, point[None] / np.array(SIZE_HW[::-1]), WHITE)
        tiles.append(label(tile, f"mask {number} of one prompt"))
    return tiles


def m2m_tiles(scene: Pixels, model: torch.nn.Module) -> list[PIL.Image.Image]:
    tiles = []
    for use_m2m in (False, True):
        generator = MaskGenerator(model, **DEMO, use_m2m=use_m2m)
        masks = sorted(generator.generate(scene), key=lambda mask: -mask["area"])
        picture = scene
        for number, mask in enumerate(masks):
            colour = (BLUE, ORANGE, (0, 200, 120), (230, 60, 160))[number % 4]
            picture = tint(picture, mask["segmentation"], colour, 0.6)
        tiles.append(label(enlarge(picture), f"use_m2m: {str(use_m2m).lower()}, {count(len(masks), 'mask')}"))
    return tiles


if __name__ == "__main__":
    main(Path(sys.argv[1]))
