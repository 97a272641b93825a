"""Edits of a finished project's inputs: a run, ``plan`` and ``verify`` then agree with a run from nothing."""

import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from test_stale import CONFIG, append, lines, mask, object_rows, picture, prompt_rows, truth, write_inputs

from killing import hashes
from maskgrid.config.models import Config
from maskgrid.io.checks import UNNEEDED
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, sha256_of
from maskgrid.plan.plan import Plan, make_plan
from maskgrid.results.forecast import plan_text
from maskgrid.results.verify import verify_results
from soak.trials import Kind, Trial, WrongError
from warm import client
from workflow import Run, restored, snakemake

# These hold when a run was, or which jobs of it there were.
ASIDE = frozenset({"provenance.json", "report/provenance.js", "tracked/provenance.json", "outputs.json"})
LONG_AGO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A results folder after a run, and what is said of it."""

    code: int
    files: dict[str, str]
    problems: list[str]
    plan: str
    output: str


def prepare(folder: Path) -> Trial:
    project = folder / "project"
    write_inputs(project)
    (project / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    client()  # here, so that all trials share it
    if (started := run(project)).code != 0:
        raise WrongError(started.output[-3000:])
    saved = shutil.copytree(project, folder / "saved")
    first = outcome(project, Run(0, ""))
    if first.problems:
        raise WrongError(f"verify finds problems after the first run: {first.problems}")
    known = folder / "known"
    known.mkdir()
    (known / contents(project)).write_bytes(pickle.dumps(first))

    def trial(chance: random.Random) -> Iterator[str]:
        restored(project, saved)
        done = [edit(project, chance) for _ in range(chance.choice((1, 1, 2, 3)))]
        before = said_by_verify(project)
        after = outcome(project, run(project))
        yield from done
        yield "ends" if after.code == 0 else "ends with a reason"
        if after.code == 0 and changed(first.files, after.files) and not before:
            raise WrongError(f"after {done} verify found nothing stale, and the run changed results")
        path = known / contents(project)
        if not path.is_file():
            for name in ("results", ".snakemake"):
                shutil.rmtree(project / name)
            path.write_bytes(pickle.dumps(outcome(project, run(project))))
        compare(done, after, pickle.loads(path.read_bytes()))

    return trial


def run(project: Path) -> Run:
    """Run the workflow; without the solver that Snakemake starts for each choice of jobs."""
    return snakemake(project, None, "--scheduler", "greedy")


def contents(project: Path) -> str:
    """A digest of all inputs: runs from nothing with the same inputs are one run, whatever the files' times are."""
    found = [
        (path.relative_to(project).as_posix(), path.is_symlink(), sha256_of(path))
        for path in sorted(project.rglob("*"))
        if path.is_file() and is_input(project, path)
    ]
    return digest(found)


def outcome(project: Path, run: Run) -> Outcome:
    results = project / "results"
    found = {
        name: digest
        for name, digest in hashes(results).items()
        if name not in ASIDE and not any(part.startswith(".") for part in Path(name).parts)
    }
    return Outcome(run.code, found, said_by_verify(project), said_by_plan(project), run.output[-3000:])


def in_project(project: Path, ask: Callable[[Plan], str | list[str]]):
    here = Path.cwd()
    os.chdir(project)
    try:
        return ask(make_plan(Config.model_validate(CONFIG), Path(), Path("results")))
    except UserError as error:
        return f"refused: {error}"
    finally:
        os.chdir(here)


def said_by_verify(project: Path) -> list[str]:
    found = in_project(project, lambda plan: [str(problem) for problem in verify_results(plan)])
    return [found] if isinstance(found, str) else found


def said_by_plan(project: Path) -> str:
    return in_project(project, plan_text)


def changed(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The results that differ; the tables of this machine's paths and times do not count."""
    names = (one.keys() | other.keys()) - {"dataset/files.parquet", "tracked/files.parquet", "config.json"}
    return sorted(name for name in names if one.get(name) != other.get(name))


def compare(done: list[str], after: Outcome, anew: Outcome) -> None:
    """Require that a run after edits has the results, the verdict and the words of one from nothing."""
    if (after.code == 0) != (anew.code == 0):
        raise WrongError(f"{done}: {after.code} and {anew.code} from nothing:\n{after.output}\n{anew.output}")
    if after.code != 0:
        return
    left = [line for line in after.problems if line.startswith(UNNEEDED)]
    stale = [line for line in after.problems if line not in left]
    differing = [
        name
        for name in changed(after.files, anew.files)
        if name in anew.files or not any(name in line for line in left)
    ]
    if stale or anew.problems or differing or after.plan != anew.plan:
        raise WrongError(
            f"after {done}: stale {stale}, from nothing {anew.problems}, other bytes {differing[:10]}\n"
            f"{after.plan}\n{anew.plan if anew.plan != after.plan else ''}"
        )


def edit(project: Path, chance: random.Random) -> str:
    """Edit an input; returns what was done. Never with both size and time as before: that nobody sees."""
    name = chance.choice(list(EDITS))
    path = EDITS[name](project, chance)
    if path.is_file() and (when := chance.choice(("now", "long ago", "later"))) != "now":
        seconds = LONG_AGO + chance.randrange(10**6) if when == "long ago" else 2_000_000_000 + chance.randrange(10**6)
        os.utime(path, (seconds, seconds))
    return name


def _photo(project: Path, chance: random.Random) -> Path:
    return chance.choice(sorted((project / "photos").glob("*.png")))


def _replace_photo(project: Path, chance: random.Random) -> Path:
    path = _photo(project, chance)
    path.unlink()
    picture(path, chance.randint(100, 10**6), chance.choice(((40, 56), (44, 60))))
    return path


def _cut_photo(project: Path, chance: random.Random) -> Path:
    path = _photo(project, chance)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: chance.randrange(len(content))])
    return path


def _swap_photos(project: Path, chance: random.Random) -> Path:
    one, other, aside = project / "photos/0.png", project / "photos/2.png", project / "photos/aside"
    for source, target in ((one, aside), (other, one), (aside, other)):
        if source.exists():
            source.rename(target)
    return one


def _rename_photo(project: Path, chance: random.Random) -> Path:
    path = _photo(project, chance)
    return path.rename(path.with_name(f"{path.stem}x.png"))


def _link_photo(project: Path, chance: random.Random) -> Path:
    path = _photo(project, chance)
    target = project / "elsewhere.png"
    if chance.random() < 0.5:
        shutil.copy2(path, target)
    else:
        picture(target, chance.randint(100, 10**6))
    path.unlink()
    path.symlink_to(target)
    return path


def _rewrite_list(project: Path, chance: random.Random) -> Path:
    path = project / "photos.txt"
    names = [f"photos/{each.name}" for each in (project / "photos").iterdir()] + ["photos/nowhere.png"]
    path.write_text("".join(f"{name}\n" for name in chance.choices(names, k=chance.randint(1, 5))))
    return path


def _reformat_truth(project: Path, chance: random.Random) -> Path:
    path = project / "truth.json"
    path.write_text(path.read_text().replace(", ", ",\n"))
    return path


def _add_photo(project: Path, chance: random.Random) -> Path:
    picture(project / "photos" / "new.png", chance.randint(100, 10**6))
    append(project / "photos.txt", b"photos/new.png\n")
    return project / "photos" / "new.png"


def _frame(project: Path, chance: random.Random) -> Path:
    path = project / "clips" / "a" / f"{chance.randint(0, 3)}.png"
    picture(path, chance.randint(100, 10**6))
    return path


def _remove_frame(project: Path, chance: random.Random) -> Path:
    path = project / "clips" / "a" / "1.png"
    path.unlink(missing_ok=True)
    return path


def _add_video(project: Path, chance: random.Random) -> Path:
    for number in range(2):
        picture(project / "clips" / "b" / f"{number}.png", 50 + number)
    rows = [*object_rows(20), {"video": "b", "frame": 0, "object_id": 1, "box_xyxy": [2, 2, 20, 20]}]
    lines(project / "objects.jsonl", *rows)
    return project / "objects.jsonl"


def _mask(project: Path, chance: random.Random) -> Path:
    path = project / "masks" / f"{chance.choice(('true', 'prompt', 'object'))}.png"
    mask(path, chance.randint(1, 30))
    return path


def _true_objects(project: Path, chance: random.Random) -> Path:
    """Replace, add or remove what stands on a frame, also on frames and in videos that are not there."""
    path = project / "true" / chance.choice(("a", "a", "a", "b")) / f"{chance.randint(0, 3)}.png"
    if path.is_file() and chance.random() < 0.2:
        path.unlink()
    else:
        mask(path, chance.randint(1, 30))
    return path


def _written(name: str, write: Callable[[Path, int], None]) -> Callable[[Path, random.Random], Path]:
    def edit(project: Path, chance: random.Random) -> Path:
        write(project / name, chance.randint(1, 18))
        return project / name

    return edit


def _touch(project: Path, chance: random.Random) -> Path:
    path = chance.choice([each for each in sorted(project.rglob("*")) if each.is_file() and is_input(project, each)])
    os.utime(path)
    return path


def is_input(project: Path, path: Path) -> bool:
    return path.relative_to(project).parts[0] not in ("results", "logs", "benchmarks", ".snakemake", "config.yaml")


EDITS: dict[str, Callable[[Path, random.Random], Path]] = {
    "replace a photo": _replace_photo,
    "cut a photo": _cut_photo,
    "swap photos": _swap_photos,
    "rename a photo": _rename_photo,
    "link a photo": _link_photo,
    "add a photo": _add_photo,
    "rewrite the list": _rewrite_list,
    "replace or add a frame": _frame,
    "remove a frame": _remove_frame,
    "add a video": _add_video,
    "replace a mask": _mask,
    "change the true objects": _true_objects,
    "replace the truth": _written("truth.json", truth),
    "reformat the truth": _reformat_truth,
    "replace the prompts": _written("prompts.jsonl", lambda path, left: lines(path, *prompt_rows(left))),
    "replace the videos' prompts": _written("objects.jsonl", lambda path, left: lines(path, *object_rows(left))),
    "replace the settings": _written("settings.csv", lambda path, n: path.write_text(f"pred_iou_thresh\n0.{n}\n")),
    "change the weights": _written("mine.pt", lambda path, n: append(path, b"\0" * n)),
    "change their config": _written("mine.yaml", lambda path, n: append(path, b"#" * n + b"\n")),
    "touch something": _touch,
}
KIND = Kind("edits", prepare, 1_000, 5, 1800.0, None, "edited projects")
