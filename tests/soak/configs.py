"""Edits of good configs: never a traceback, never a wrong key named, the same verdict for ``plan`` and the workflow."""

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from corpus import scene
from maskgrid.cli.workflow_config import refuse_unreadable, typed
from maskgrid.config.files import load_config, parse_config, save_config
from maskgrid.config.places import placed
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan, make_plan
from maskgrid.results.forecast import plan_text
from soak.damage import Path as Place
from soak.damage import edited, flipped
from soak.trials import Kind, Trial, WrongError
from workflow import copy_own_weights, snakemake

GENERATOR = {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5, "crop_n_layers": 1}
FILTERS = {"min_area_px": 5, "max_area_frac": 0.9, "border": 0, "mask_nms_thresh": 0.9, "containment_keeps": "smaller"}
GRID = {"pred_iou_thresh": [0.3, 0.6], "stability_score_thresh": {"start": 0.5, "stop": 0.9, "step": 0.2}}
POINTS = [{"name": "sa1b", "pred_iou_thresh": 0.88}, {"name": "fine", "crop_n_layers": 1, "min_mask_region_area": 20}]
PHOTOS = {"dataset": {"source": "photos", "shard_size": 3}, "model": {"checkpoint": "demo", "device": "cpu"}}
FORMS = ["card", "sa1b", {"labels": {"order": "largest_first"}}, {"polygons": {"tolerance_px": 1.0}}, "yolo", "geojson"]
PROMPTS = {
    "source": "prompts.csv",
    "normalized": False,
    "multimask_output": True,
    "keep": "best",
    "max_hole_area": 3.5,
    "sweep": {"grid": {"refine_rounds": [0, 1]}, "points": [{"name": "high", "mask_threshold": 1.0}]},
}
# Together they have every section.
GOOD: tuple[dict[str, Any], ...] = (
    {"dataset": {"source": "demo"}},
    {
        **PHOTOS,
        "generator": GENERATOR,
        "filters": FILTERS,
        "sweep": {"grid": GRID, "points": POINTS, "exclude": [{"pred_iou_thresh": 0.3, "stability_score_thresh": 0.5}]},
        "annotations": ["baseline", "sa1b"],
        "baseline": "fine",
        "exports": FORMS,
    },
    {
        **PHOTOS,
        "sweep": [{"zip": {"box_nms_thresh": [0.5, 0.7], "crop_nms_thresh": [0.5, 0.7]}}, {"points": POINTS}],
        "record": {"pred_iou_thresh": 0.1, "mask_thresholds": [0.0, 1.0], "stability_score_offsets": [0.5]},
        "annotations": ["all"],
    },
    {**PHOTOS, "sweep": "settings.csv", "record": "all", "exports": ["webdataset", "masks_parquet", "panoptic"]},
    {
        **PHOTOS,
        "dataset": {
            "source": "photos/*.png",
            "ground_truth": "truth.json",
            "max_pixels": 1_000_000,
            "max_failed_fraction": 0.5,
            "pixels": {"bands": [1, 2, 3], "stretch": {"low": 0, "high": 255}, "nodata": 0, "pages": "all"},
        },
        "generator": {"points_per_side": None, "point_grids": [[[0.5, 0.5], [0.25, 0.75]]], "mask_threshold": 0.5},
        "categories": {"from": "ground_truth", "min_iou": 0.4, "min_containment": 0.8},
        "tune": {"goal": "f1", "vary": ["thresholds"], "settings": 50, "folds": 2, "images": 10, "seed": 3},
    },
    {
        **PHOTOS,
        "model": {"checkpoint": "mine.pt", "config": "mine.yaml", "allow_unverified": True, "mode": "fast"},
        "generator": {"tile_size_px": 64, "tile_overlap_px": 16, "use_m2m": True, "output_mode": "binary_mask"},
        "filters": {"region": "masks", "min_region_frac": 0.5, "max_aspect_ratio": 4.0, "max_masks": 10},
    },
    {**PHOTOS, "prompts": PROMPTS},
    {**PHOTOS, "automatic": True, "prompts": {"source": "truth.json", "use": "box_and_mask"}, "exports": []},
    {
        "model": {"checkpoint": "demo", "dtype": "bfloat16"},
        "tracking": {
            "source": "clips",
            "prompts": "objects.jsonl",
            "start": 0,
            "stop": 4,
            "stride": 2,
            "direction": "both",
            "max_frame_num_to_track": 3,
            "objects_per_job": 2,
            "exports": ["sa_v", "coco", "mots", "overlay"],
        },
    },
    {
        "model": {"checkpoint": "demo"},
        "generator": GENERATOR,
        "tracking": {
            "source": "clips",
            "automatic": {"generate_every": 2, "join_iou_thresh": 0.4, "end_after": None, "max_objects": 4},
            "sweep": {"grid": {"generate_every": [1, 2], "pred_iou_thresh": [0.5, 0.7]}},
            "exports": ["youtube_vis"],
        },
    },
    {
        **PHOTOS,
        "sweep": {"grid": {"checkpoint": ["demo", "sam2.1_hiera_tiny"], "pred_iou_thresh": [0.5]}},
        "tune": {"goal": "masks", "target": 12.5, "min_masks": 2, "max_masks": 30, "minutes": 1.5},
        "prompts": {"source": "demo"},
        "dataset": {"source": "demo", "ground_truth": None},
        "tracking": {"source": "demo", "prompts": "demo"},
    },
)
# What else is checked against a section, so that the message may name it: the sweep against the generator, and so on.
CHECKED_AGAINST = {
    "annotations": {"sweep", "generator", "filters", "model", "baseline"},
    "baseline": {"sweep", "generator", "filters", "model"},
    "sweep": {"generator", "filters", "model", "tracking"},
    "categories": {"dataset", "prompts"},
    "exports": {"prompts", "dataset"},
    "model": {"dataset", "prompts", "tracking", "automatic", "sweep"},
    "prompts": {"dataset"},
    "tracking": {"generator", "filters", "model", "dataset"},
    "dataset": {"prompts", "categories", "tune", "tracking"},
    "tune": {"dataset", "sweep", "generator", "filters", "record"},
    "filters": {"sweep"},
    "generator": {"sweep", "tracking"},
}


def prepare(folder: Path) -> Trial:
    make_inputs(folder)
    os.chdir(folder)

    def trial(chance: random.Random) -> Iterator[str]:
        text, places = edited_config(chance)
        Path("config.yaml").write_bytes(text)
        yield (verdict := judged(Path("config.yaml"), places))
        if chance.random() < 1 / 400:
            yield dry_run(folder, verdict)

    return trial


def make_inputs(folder: Path) -> None:
    """Everything that the good configs name."""
    for name in ("photos/0.png", "photos/1.png", "clips/a/0.png", "clips/a/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(scene(40, 56, seed=len(name))).save(folder / name)
    (folder / "masks").mkdir()
    for name in ("0.png", "1.png"):
        PIL.Image.fromarray(np.full((40, 56), 255, np.uint8)).save(folder / "masks" / name)
    (folder / "settings.csv").write_text("name,pred_iou_thresh,use_m2m\na,0.1,true\nb,0.2,false\n")
    (folder / "prompts.csv").write_text('image,box_xyxy\n0.png,"[2, 3, 20, 18]"\n')
    (folder / "objects.jsonl").write_text('{"video": "a", "frame": 0, "point_coords": [[5, 5]]}\n')
    annotation = {
        "id": 1,
        "image_id": 0,
        "bbox": [2, 3, 9, 9],
        "segmentation": [[2, 3, 20, 3, 20, 18]],
        "category_id": 1,
    }
    coco = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "a"}],
    }
    (folder / "truth.json").write_text(json.dumps(coco))
    copy_own_weights(folder)


def edited_config(chance: random.Random) -> tuple[bytes, list[Place] | None]:
    """A good config with edits, as YAML, and where they are; None: somewhere in the text."""
    values = copy.deepcopy(chance.choice(GOOD))
    if chance.random() < 0.1:
        text = yaml.safe_dump(values, sort_keys=False).encode()
        return flipped(text, chance, chance.randint(1, 3), len(text)), None
    places = []
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
        values, place = edited(values, chance)
        places.append(place)
    style = None if chance.random() < 0.8 else True
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=style, allow_unicode=chance.random() < 0.5)
    return text.encode(), places


def judged(path: Path, places: list[Place] | None) -> str:
    """The verdict of both readers on a config; raises if they differ or are no help."""
    by_people, by_workflow = outcome_of(lambda: plan_of_people(path)), outcome_of(lambda: plan_of_workflow(path))
    if isinstance(by_people, str) != isinstance(by_workflow, str):
        raise WrongError(f"plan: {said(by_people)}\nworkflow: {said(by_workflow)}\n{path.read_text(errors='replace')}")
    if isinstance(by_people, str):
        check_message(path, by_people, places)
        return "refused"
    assert isinstance(by_workflow, Plan)
    if by_people.config != by_workflow.config:
        raise WrongError(f"plan and workflow read other values:\n{by_people.config}\n{by_workflow.config}")
    check_jobs_config(by_people)
    listed = outcome_of(lambda: plan_text(by_people, verbose=True))
    if listed.startswith("refused: "):
        check_message(path, listed, places)
        return "refused when its files are looked at"
    return "accepted"


def outcome_of(read) -> Any:
    """What a reader returns, or its message."""
    try:
        return read()
    except UserError as error:
        return f"refused: {error}"


def said(outcome: Any) -> str:
    return outcome if isinstance(outcome, str) else "accepted"


def plan_of_people(path: Path) -> Plan:
    """As ``maskgrid plan`` and ``maskgrid run`` read a config."""
    with placed([path]):
        plan = make_plan(load_config(path), Path(), Path("results"))
        plan.require_checkpoints()
        return plan


def plan_of_workflow(path: Path) -> Plan:
    """As ``workflow/rules/common.smk`` reads a config."""
    with placed([path]):
        refuse_unreadable(path)
        config: dict[str, Any] = {}
        try:
            update_config(config, load_configfile(str(path)))
        except Exception as error:
            raise WrongError(f"Snakemake does not read it: {error}\n{path.read_text()}") from error
        update_config(config, typed({}, ()))
        config.pop("pathvars", None)
        plan = make_plan(parse_config(config), Path(), Path("results"))
        plan.require_checkpoints()
        return plan


def check_jobs_config(plan: Plan) -> None:
    """The jobs read the config as the workflow writes it: with the same settings."""
    written = Path("jobs.json")
    save_config(plan.config, written)
    read = make_plan(load_config(written), Path(), Path("results"))
    names = [(each.settings_digest(), each.track_settings, each.prompt_settings, each.runs) for each in (plan, read)]
    if names[0] != names[1]:
        raise WrongError(f"the jobs read other settings:\n{names[0]}\n{names[1]}")


def check_message(path: Path, message: str, places: list[Place] | None) -> None:
    """One line that names the key that was edited, or its section."""
    text = message.removeprefix("refused: ")
    if "\n" in text or "Traceback" in text:
        raise WrongError(f"not one line: {text!r}")
    if places is None:
        return
    key = text.removeprefix(f"{path}").removeprefix(",").strip()
    if key.startswith("line "):
        key = key.partition(": ")[2]
    key = key.removeprefix(": ")
    if key.startswith(("the config is empty", "a config is a mapping", "this is no YAML", "cannot be read")):
        return
    section = key.partition(":")[0].partition(".")[0].partition("[")[0]
    edits = {str(place[0]) if place else "" for place in places}
    if not key.startswith(tuple(edits)) and not CHECKED_AGAINST.get(section, set()) & edits:
        raise WrongError(f"{text!r} does not name {places}\n{path.read_text()}")


def dry_run(folder: Path, verdict: str) -> str:
    run = snakemake(folder, None, "-n")
    if "Traceback" in run.output or (run.code == 0) != (verdict == "accepted"):
        raise WrongError(f"{verdict}, and snakemake -n ends with {run.code}:\n{run.output[-3000:]}")
    return "dry run agrees"


KIND = Kind("configs", prepare, 100_000, 500, 120.0, None, "edited configs")
