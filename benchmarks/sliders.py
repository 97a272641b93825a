"""Measure how fast the explorer's sliders answer, at every position, on an image with about 1,500 candidates.

    python benchmarks/sliders.py [--points-per-side 23] [--results FOLDER]

The demo checkpoint segments a photograph with all floors open, so that every proposed mask is a candidate. Headless
Chromium then opens the explorer and moves each slider, the filters' too, through a hundred of its positions. An answer
takes from the input event until its masks are drawn; of very many masks the largest, and the others with the next
pictures. It does so at three zooms, and zooms and moves the image there. Last, the curves under the sliders are
computed. ``--results`` uses the explorer of a finished run instead.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import skimage.data
import yaml

from maskgrid.cli.main import main as maskgrid

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import chromium

COMMANDS = (
    ["index"],
    ["generate"],
    ["replay", "--shard", "all"],
    ["statistics"],
    ["explorer", "--shard", "all"],
    ["report"],
)
# Runs in the page and calls its functions, at three zooms. Overlaps are counted once: a second round shows what a
# slider takes that goes back.
MOVES = """
(async () => {
  const isPainted = () => painting.next().done;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  while (!scene || !rasters.length || isAsked) await frame();
  const answers = [], moves = [];
  const timed = (act) => {
    const start = performance.now();
    act();
    const selected = performance.now();
    isAsked = true;  // draw now: waiting for the screen's next frame is not the page's work
    draw();
    const answered = performance.now();
    while (!isPainted()) draw();
    isAsked = false;
    return [selected, answered, performance.now()].map((end) => end - start);
  };
  for (const zoom of [1, 4, 16]) {
    showWhole();
    view.zoom = zoom;
    moved();
    for (const round of ["first", "again"]) {
      for (const range of document.querySelectorAll("#sliders input[type=range]")) {
        const before = range.value;
        const low = Number(range.min), high = Number(range.max);
        const step = Math.max((high - low) / 100, Number(range.step));
        for (let value = low; value <= high + 1e-9; value += step) {
          await frame();
          const move = () => { range.value = value; range.dispatchEvent(new Event("input")); };
          answers.push([zoom, round, range.id, ...timed(move), selection.kept.length]);
        }
        range.value = before;
        range.dispatchEvent(new Event("input"));
      }
    }
    for (let at = 0; at < 60; at++) {
      await frame();
      moves.push([zoom, ...timed(() => (at % 2 ? zoomBy(at % 4 === 1 ? 1.1 : 1 / 1.1) : panBy(7, 3)))]);
    }
  }
  // The curves come while nobody waits, in stretches that never keep a slider waiting for long.
  for (const chart of charts.values()) chart.key = null;
  const stretches = [], work = curvesInTurn(scene, settingOf(values));
  for (let isDone = false; !isDone;) {
    const start = performance.now();
    isDone = work.next().done;
    stretches.push(performance.now() - start);
  }
  const shown = [canvas.height, canvas.width];
  return {candidates: scene.rows.n, shown, answers, moves, stretches, curves: charts.size};
})()
"""


def main() -> int:
    """Measure the answers and print their times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points-per-side", type=int, default=23)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = (arguments.results or make(Path(folder), arguments.points_per_side)) / "report" / "explorer.html"
        with chromium.tab() as tab:
            tab.show(page, 1280, 900)
            found = tab.run(MOVES)
            version = tab.send("Browser.getVersion")["product"]
    height, width = found["shown"]
    print(f"{found['candidates']:,} candidates, shown at {width} x {height}; {version} on {platform.machine()}")
    for name in dict.fromkeys(row[2] for row in found["answers"]):
        rows = [row[3:] for row in found["answers"] if row[2] == name]
        choose, answer, picture, kept = np.array(rows, float).T
        print(
            f"{name:<24} {len(rows):>4} positions, {kept.min():.0f} to {kept.max():.0f} masks: "
            f"median {np.median(answer):.1f} ms, at most {answer.max():.1f} ms "
            f"(choosing {np.median(choose):.1f}, at most {choose.max():.1f}; painted at most {picture.max():.1f})"
        )
    for zoom in dict.fromkeys(row[0] for row in found["answers"]):
        print_times(f"answers at zoom {zoom}", [row[4] for row in found["answers"] if row[0] == zoom])
        print_times(f"zoom and pan at zoom {zoom}", [row[2] for row in found["moves"] if row[0] == zoom])
    print_times("all answers", [row[4] for row in found["answers"]])
    stretches = np.array(found["stretches"])
    print(
        f"{found['curves']} curves, while nobody waits: {stretches.sum():.0f} ms together, the longest stretch "
        f"{stretches.max():.1f} ms"
    )
    return 0


def print_times(what: str, times_ms: list[float]) -> None:
    """Print the median and the worst of some times."""
    times = np.array(times_ms)
    print(
        f"{what}: median {np.median(times):.1f} ms, of 99 % {np.quantile(times, 0.99):.1f} ms, at most "
        f"{times.max():.1f} ms; {np.sum(times > 50)} of {len(times)} above 50 ms"
    )


def make(folder: Path, points_per_side: int) -> Path:
    """Run maskgrid on one photograph with open floors; return the results folder."""
    (folder / "photos").mkdir()
    PIL.Image.fromarray(skimage.data.astronaut()).save(folder / "photos" / "astronaut.png")
    config = {
        "dataset": {"source": str(folder / "photos")},
        "generator": {"points_per_side": points_per_side, "pred_iou_thresh": 0.6, "stability_score_thresh": 0.6},
        "record": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    }
    os.chdir(folder)
    Path("config.yaml").write_text(yaml.safe_dump(config))
    commands = [*COMMANDS]
    commands[1] = ["generate", "--checkpoint", "demo", "--pass", f"crop0-grid{points_per_side}", "--shard", "all"]
    for command in commands:
        if code := maskgrid(command):
            sys.exit(code)
    return Path("results").resolve()


if __name__ == "__main__":
    sys.exit(main())
