"""Make the figure of docs/prompted.md: masks of boxes drawn by hand on SAM 2's own photographs.

    python scripts/prompted_figure.py docs/images ../shared/photos

The photographs (truck.jpg and groceries.jpg, 1800 x 1200 and 800 x 534 pixels) come from SAM 2's notebooks.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import orjson
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray

from maskgrid.cli.main import main as maskgrid
from maskgrid.masks import rle
from maskgrid.masks.pictures import colour

BOXES = Path(__file__).with_name("photo_boxes.json")
HEIGHT, OPACITY = 420, 0.55


def main(folder: Path, photos: Path) -> None:
    """Run the prompted job and write the figure into a folder; leave it alone if a photograph is missing."""
    names = [image["file_name"] for image in orjson.loads(BOXES.read_bytes())["images"]]
    if missing := [name for name in names if not (photos / name).is_file()]:
        print(f"{photos / missing[0]} is missing; {folder / 'prompted.jpg'} is left as it is")
        return
    target = folder.resolve() / "prompted.jpg"
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            shutil.copyfile(photos / name, Path(work) / name)
        results = run(Path(work), names)
        tiles = [draw(Path(work) / image["file_name"], image["id"], results) for image in results["images"]]
    sheet = PIL.Image.new("RGB", (sum(tile.width for tile in tiles) + 10 * (len(tiles) - 1), HEIGHT), "white")
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + 10
    sheet.save(target, quality=85, optimize=True)


def run(work: Path, names: list[str]) -> dict[str, list[dict[str, object]]]:
    """Run the commands of docs/prompted.md one after another; return the content of the COCO file."""
    os.chdir(work)
    Path("photos.txt").write_text("".join(f"{name}\n" for name in names))
    shutil.copyfile(BOXES, "boxes.json")
    Path("config.yaml").write_text(
        "dataset: {source: photos.txt}\nprompts: {source: boxes.json, multimask_output: false}\n"
    )
    for command in (["index"], ["prompts"], ["prompt", "--shard", "all"], ["prompt-merge"]):
        if code := maskgrid(command):
            sys.exit(code)
    coco: dict[str, list[dict[str, object]]] = orjson.loads(Path("results/prompted/annotations.json").read_bytes())
    os.chdir(BOXES.parent)
    return coco


def draw(path: Path, image_id: object, coco: dict[str, list[dict[str, object]]]) -> PIL.Image.Image:
    """Draw a photograph with its masks in colour and an outline for every box, whether or not it got a mask."""
    with PIL.Image.open(path) as image:
        photo = image.convert("RGB")
    canvas = np.asarray(photo).astype(np.float32)
    mine = [row for row in coco["annotations"] if row["image_id"] == image_id]
    for row in sorted(mine, key=lambda row: -int(str(row["area"]))):
        mask = mask_of(row)
        canvas[mask] += (np.array(colour("boxes", int(str(row["source_id"])))) - canvas[mask]) * OPACITY
    scale = HEIGHT / photo.height
    tile = PIL.Image.fromarray(canvas.astype(np.uint8)).resize((round(photo.width * scale), HEIGHT))
    pen = PIL.ImageDraw.Draw(tile)
    given = orjson.loads(BOXES.read_bytes())
    (known,) = (image["id"] for image in given["images"] if image["file_name"] == path.name)
    for box in (row for row in given["annotations"] if row["image_id"] == known):
        x, y, width, height = (edge * scale for edge in box["bbox"])
        pen.rectangle((x, y, x + width, y + height), outline=colour("boxes", box["id"]), width=2)
    return tile


def mask_of(row: dict[str, object]) -> NDArray[np.bool_]:
    """Decode the mask of an annotation."""
    code: dict[str, str | list[int]] = row["segmentation"]  # type: ignore[assignment]
    height, width = (int(side) for side in code["size"])
    return rle.decode(str(code["counts"]).encode(), (height, width))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
