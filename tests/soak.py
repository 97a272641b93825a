"""Nightly test: read 100,000 damaged images and kill runs a thousand times. Run ``make soak``, or with numbers:

python tests/soak.py --images 100000 --kills 1000
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from corpus import MAX_PIXELS, animation, flip_bytes, oddities, oriented_jpeg, samples, scene
from maskgrid.dataset.images import BadImageError, ImageStatus, read_image

_PROGRESS_S = 30.0


def main() -> int:
    """Run both parts; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failures = 0
    if arguments.images:
        failures += soak_reader(arguments.images, arguments.seed)
    if arguments.kills:
        failures += soak_kills(arguments.kills, arguments.seed)
    return int(failures > 0)


def soak_reader(n_images: int, seed: int) -> int:
    """Read damaged files; return how many raised anything but ``BadImageError``."""
    originals = [content for content in originals_of() if content]
    statuses: Counter[str] = Counter()
    unexpected: Counter[str] = Counter()
    start = last = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        for number in range(n_images):
            path.write_bytes(mutate(originals, np.random.default_rng((seed, number))))
            try:
                statuses[read_status(path)] += 1
            except Exception as error:  # this is what the test looks for
                unexpected[type(error).__name__] += 1
                print(f"image {number} of seed {seed}:\n{traceback.format_exc()}", flush=True)
            if time.monotonic() - last > _PROGRESS_S:
                last = time.monotonic()
                print(f"{number + 1} of {n_images} images, {last - start:.0f} s", flush=True)
    print(f"reader: {n_images} images in {time.monotonic() - start:.0f} s; {dict(statuses.most_common())}")
    print(f"reader: unexpected exceptions: {dict(unexpected) or 'none'}", flush=True)
    return unexpected.total()


def originals_of() -> list[bytes]:
    """Small good and odd files of every format, to be damaged."""
    odd = [content for name, content, _ in oddities() if len(content) < 100_000]
    turned = [oriented_jpeg(scene(), orientation) for orientation in (3, 6, 8)]
    return [*samples().values(), *odd, *turned, animation("GIF"), animation("WEBP"), animation("PNG")]


def mutate(originals: list[bytes], chance: np.random.Generator) -> bytes:
    """Damage a file in one of five ways."""
    content = originals[chance.integers(len(originals))]
    kind = chance.integers(5)
    seed, place = int(chance.integers(1 << 30)), int(chance.integers(len(content)))
    if kind == 0:
        return flip_bytes(content, seed, count=int(chance.integers(1, 30)))
    if kind == 1:  # in the header, which has the sizes and offsets
        return flip_bytes(content[:64], seed, count=int(chance.integers(1, 6))) + content[64:]
    if kind == 2:
        return content[:place]
    if kind == 3:  # a part is missing, or repeated
        other = int(chance.integers(len(content)))
        return content[:place] + content[other:]
    other_content = originals[chance.integers(len(originals))]
    return content[:place] + other_content[int(chance.integers(len(other_content))) :]


def read_status(path: Path) -> str:
    """Read a file and return its status; raise everything but ``BadImageError``, even warnings."""
    bad: BadImageError | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = read_image(path, MAX_PIXELS).pixels
    except BadImageError as error:
        bad = error
    if bad is not None:
        assert bad.status in set(ImageStatus), bad.status
        assert "\n" not in bad.message
        return str(bad.status)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS
    return "ok"


def soak_kills(n_kills: int, seed: int) -> int:
    """Kill whole runs at random steps and times until they end; return how many ended with other bytes."""
    # Imported only here because they load torch, which the reader does not need.
    from killing import RememberingNetwork, die_after, die_at, hashes, run_all, tiny_plan, write_images
    from maskgrid import load_model
    from maskgrid.automatic.proposer import Proposer

    chance = random.Random(seed)
    memory = Path("/dev/shm")  # memory will do: a killed process loses nothing that it has written
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    write_images(folder / "source")
    network = RememberingNetwork(Proposer(load_model("demo", device="cpu")))
    whole = tiny_plan(folder / "source", folder / "whole")
    run_all(whole, network)
    start = time.monotonic()
    run_all(tiny_plan(folder / "source", folder / "timed"), network)
    duration = time.monotonic() - start
    expected = hashes(folder / "whole")
    killed = ended = wrong = 0
    start = last = time.monotonic()
    while killed < n_kills:
        plan = tiny_plan(folder / "source", folder / "killed")
        for _ in range(chance.randint(1, 12)):
            if chance.random() < 0.5:
                killed += die_at(lambda plan=plan: run_all(plan, network), chance.randint(1, 400))
            else:
                killed += die_after(lambda plan=plan: run_all(plan, network), chance.uniform(0.0, duration))
        run_all(plan, network)
        found = hashes(folder / "killed")
        ended += 1
        differing = sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))
        if differing != ["provenance.json"]:  # it contains the time of the run
            wrong += 1
            print(f"run {ended} of seed {seed} ended with other bytes: {differing}")
        shutil.rmtree(folder / "killed")
        if time.monotonic() - last > _PROGRESS_S:
            last = time.monotonic()
            print(f"{killed} of {n_kills} kills, {last - start:.0f} s", flush=True)
    shutil.rmtree(folder)
    print(f"kills: {killed} in {ended} runs in {time.monotonic() - start:.0f} s; {wrong} runs ended with other bytes")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
