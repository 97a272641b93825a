"""Measure how fast the explorer opens, and its memory, with few and with many images in the dataset.

    python benchmarks/explorer_scale.py RESULTS [--images 14 1000 10000]

Takes the explorer of a finished run, and makes datasets of any size from it: the list names all images, and every
hundredth (of 14: each) has data, a copy of one of the run's. Headless Chromium opens the page at an image that is not
inside it, and then goes through the others. The first picture is timed from the click on a link until it is painted.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import orjson

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import chromium

from maskgrid.pages.scripts import script
from maskgrid.results.explorer.image import file_name

N_VISITED = 60
IS_PAINTED = "typeof rasters !== 'undefined' && rasters.length > 0 && !isAsked && current?.key === '%s'"


def main() -> None:
    """Measure and print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[14, 1000, 10_000])
    arguments = parser.parse_args()
    for n_images in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report"
            keys = make(arguments.results / "report", report, n_images)
            measure(report, n_images, keys)


def make(source: Path, report: Path, n_images: int) -> list[str]:
    """Write a report folder of so many images; return the keys of those that have data."""
    scripts = sorted(source.glob("explorer/*/*.js"))
    (report / "explorer" / "all").mkdir(parents=True)
    shutil.copy(source / "explorer.html", report)
    keys = [f"folder/{number:05}.jpg" for number in range(n_images)]
    step = 1 if n_images < 100 else 100
    for number in range(0, n_images, step):
        path = scripts[number // step % len(scripts)]
        head, packs = orjson.loads(b"[" + path.read_bytes().split(b",\n", 1)[1].removesuffix(b");\n") + b"]")
        name = report / "explorer" / "all" / file_name(keys[number])
        name.with_suffix(".js").write_bytes(script("image", "0" * 64, {**head, "key": keys[number]}, packs))
    for key in keys:
        os.link(path.with_suffix(".jpg"), report / "explorer" / "all" / f"{file_name(key)}.jpg")
    listed = {
        "key": keys,
        "name": [file_name(key) for key in keys],
        "folder": ["all"] * n_images,
        "size_hw": [[512, 512]] * n_images,
        "problem": [None] * n_images,
        "n_masks": {},
    }
    (report / "explorer" / "images.js").write_bytes(script("images", "0" * 64, listed))
    return keys[::step]


def measure(report: Path, n_images: int, keys: list[str]) -> None:
    """Open the page, go through images, and print the times and the memory."""
    with chromium.tab() as tab:
        tab.send("Performance.enable")
        tab.send("Page.navigate", url="about:blank")
        start = time.perf_counter()
        tab.show(report / "explorer.html", 1400, 900, address=f"image={keys[-1]}")
        wait(tab, keys[-1])
        first_s = time.perf_counter() - start
        times = []
        for key in (keys * N_VISITED)[:N_VISITED]:
            start = time.perf_counter()
            tab.run(f"openImage(listing.key.indexOf({orjson.dumps(key).decode()})); 0")
            wait(tab, key)
            times.append(time.perf_counter() - start)
        tab.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in tab.send("Performance.getMetrics")["metrics"]}
    times.sort()
    page_mb, list_mb = ((report / name).stat().st_size / 1e6 for name in ("explorer.html", "explorer/images.js"))
    print(
        f"{n_images:,} images: page {page_mb:.1f} MB, list {list_mb:.2f} MB; first picture {first_s:.2f} s; another "
        f"image median {times[len(times) // 2]:.2f} s, at most {times[-1]:.2f} s; after {N_VISITED} images "
        f"{metrics['JSHeapUsedSize'] / 1e6:.0f} MB of memory"
    )


def wait(tab: chromium.Tab, key: str) -> None:
    """Wait until an image is painted."""
    while not tab.run(IS_PAINTED % key):
        time.sleep(0.005)


if __name__ == "__main__":
    main()
