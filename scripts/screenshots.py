"""Take the screenshots of pages shown in the docs: docs/images/report.jpg and explorer.jpg.

    python scripts/screenshots.py docs/images [demo/results]

The pages come from a finished run of the demo; without one, the demo first runs in a temporary folder. Without headless
Chromium the pictures are left as they are.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import chromium
import PIL.Image

ROOT = Path(__file__).parents[1]
# Picture: page, width and height of the window in CSS pixels.
PICTURES = {"report": ("index.html", 900, 2100), "explorer": ("explorer.html", 1280, 1000)}
# Wait for two frames and half a second more, so that the explorer can load and draw its image.
IS_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 500))))"


def main(folder: Path, results: Path | None) -> None:
    """Take the pictures and write them into a folder."""
    if chromium.find() is None:
        print(f"no Chromium (apt-get install chromium); report.jpg and explorer.jpg in {folder} are left as they are")
        return
    with tempfile.TemporaryDirectory() as work:
        pages = (results or run_demo(Path(work))) / "report"
        with chromium.tab() as tab:
            for name, (page, width, height) in PICTURES.items():
                tab.show(pages / page, width, height)
                tab.run(IS_DRAWN)
                shot = PIL.Image.open(io.BytesIO(tab.picture())).convert("RGB")
                shot.save(folder / f"{name}.jpg", quality=85, optimize=True)


def run_demo(work: Path) -> Path:
    """Run the demo as ``make demo`` does; return its results folder."""
    snakemake = Path(sys.executable).with_name("snakemake")
    command = [snakemake, "--snakefile", ROOT / "Snakefile", "--configfile", ROOT / "config/demo.yaml", "--cores", "2"]
    subprocess.run(command, cwd=work, check=True)
    return work / "results"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
