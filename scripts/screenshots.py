"""Take the screenshots of pages shown in the docs: report*.jpg, explorer*.jpg and player*.jpg in docs/images.

    python scripts/screenshots.py docs/images [results]

The pages come from the run that docs/first-dataset.md shows (maskgrid init && maskgrid run); without its results, it
first runs in a temporary folder. Without headless Chromium the pictures are left as they are.
"""

import io
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import chromium
import PIL.Image

# Wait for two frames and half a second more, so that the explorer can load and draw its image.
IS_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 500))))"
LOAD = "Promise.all([...document.images].map((one) => one.decode().catch(() => 0)))"
# The curves under the sliders come while nobody waits.
CURVES = "new Promise((done) => setTimeout(done, 2500))"
_TRACKING = ("tracking.source=demo", "tracking.prompts=demo", "tracking.exports=[player]")
_SMALL = "max_area_frac=0.3"
ZOOMED = f"image=photos/coins.png&{_SMALL}&zoom=3.2&x=190&y=105"
COMPARED = f"image=photos/coins.png&{_SMALL}&compare=setting%3Diou0.7_st0.7_nms0.5%26max_area_frac%3D0.3"
PHONE = f"image=photos/coins.png&{_SMALL}"
TOP_OF_PICTURES = 'document.querySelector("#disagreement h3").getBoundingClientRect().top + scrollY - 8'


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a page.

    Attributes:
        page: file name in the report's folder.
        size_wh: width and height of the picture in CSS pixels.
        script: what to do first.
        top: where the picture begins, as a script.
        address: what goes after # in the address.
    """

    page: str
    size_wh: tuple[int, int]
    script: str = "0"
    top: str = "0"
    address: str = ""


SHOTS = {
    "report": Shot("index.html", (1280, 1000), LOAD),
    "report-masks": Shot("index.html", (1140, 722), LOAD, TOP_OF_PICTURES),
    "explorer": Shot("explorer.html", (1280, 920), CURVES),
    "explorer-zoomed": Shot(
        "explorer.html", (1400, 900), f"{CURVES}.then(() => showPointed({{x: 176, y: 66}}))", "0", ZOOMED
    ),
    "explorer-compared": Shot("explorer.html", (1400, 900), CURVES, "0", COMPARED),
    "explorer-truth": Shot("explorer.html", (1400, 900), CURVES, "0", "image=scenes/04.png&truth=1&max_area_frac=0.3"),
    "player": Shot("../tracked/player.html", (1280, 850), address="video=clip-1&frame=6&chosen=1"),
    "player-phone": Shot("../tracked/player.html", (390, 844), address="video=clip-1&frame=6"),
    "explorer-phone": Shot("explorer.html", (390, 844), f"{CURVES}.then(() => scrollTo(0, 430))", "0", PHONE),
}


def main(folder: Path, results: Path | None) -> None:
    """Take the pictures and write them into a folder."""
    if chromium.find() is None:
        print(f"no Chromium (apt-get install chromium); the screenshots in {folder} are left as they are")
        return
    with tempfile.TemporaryDirectory() as work:
        pages = (results or run_demo(Path(work))) / "report"
        with chromium.tab() as tab:
            for name, shot in SHOTS.items():
                take(tab, pages / shot.page, shot).save(folder / f"{name}.jpg", quality=80, optimize=True)


def take(tab: chromium.Tab, page: Path, shot: Shot) -> PIL.Image.Image:
    """Open a page and take its picture."""
    tab.send("Page.navigate", url="about:blank")  # another address alone would not load the page again
    tab.show(page, *shot.size_wh, address=shot.address)
    tab.run(IS_DRAWN)
    tab.run(shot.script)
    tab.run(IS_DRAWN)
    # A picture of what is not in sight makes the window larger for a moment, and the explorer draws anew.
    picture = tab.picture() if shot.top == "0" else tab.picture(tab.run(shot.top), shot.size_wh[1])
    return PIL.Image.open(io.BytesIO(picture)).convert("RGB")


def run_demo(work: Path) -> Path:
    """Run the demo as the page does; return its results folder."""
    for command in (["init"], ["run"], ["run", "tracked", *_TRACKING]):
        subprocess.run([sys.executable, "-m", "maskgrid", *command], cwd=work, check=True)
    return work / "results"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
