"""The player's page: one HTML file that knows all videos; what they show lies beside it."""

from collections.abc import Sequence
from typing import Any

from maskgrid.config.models import DEMO
from maskgrid.config.settings import differences
from maskgrid.io.wording import TOY
from maskgrid.pages.markup import Html, asset, element, join, page, text
from maskgrid.pages.scripts import embedded
from maskgrid.plan.plan import Plan
from maskgrid.tracked.exports.overlay_video import rate_of
from maskgrid.tracked.masklets import Run
from maskgrid.tracked.player.data import FRAMES_IN_PART

# Shared with the explorer: what draws masks, and zooms.
_SHARED = ("page", "masks", "packing", "raster", "view")
_OWN = ("clips", "lanes", "scene", "playing", "address", "player")


def player_page(plan: Plan, runs: Sequence[Run], fingerprint: str) -> bytes:
    """Make the page.

    Args:
        plan: the plan.
        runs: the tracked videos, each with all settings.
        fingerprint: the inputs' fingerprint, for the page's head.
    """
    scripts = [f"explorer/{name}.js" for name in _SHARED] + [f"player/{name}.js" for name in _OWN]
    return page(
        "player/player.html",
        {
            "style": asset("pages.css") + asset("player/player.css"),
            "script": "\n".join(["".join(asset(name)) for name in scripts]),
            "data": embedded(_page_data(plan, runs)),
            "fingerprint": fingerprint,
            "note": _note(plan),
        },
    )


def _note(plan: Plan) -> Html:
    if plan.config.model.checkpoint != DEMO:
        return join([])
    return element("p", {"class": "toy"}, element("strong", {}, text(f"Note: {TOY}.")))


def _page_data(plan: Plan, runs: Sequence[Run]) -> dict[str, Any]:
    """The videos in order, each with its settings, the config's own first."""
    titles, videos = _titles(plan), dict[str, dict[str, Any]]()
    for run in runs:
        new = {
            "key": run.video.video_key,
            "frames": run.video.video_name,
            "size_hw": run.video.size_hw,
            "n_frames": len(run.numbers),
            "first": run.numbers.start,
            "step": run.numbers.step,
            "rate_hz": float(rate_of(run)),
            "runs": [],
        }
        videos.setdefault(run.video.video_key, new)["runs"].append(
            {"setting": run.setting, "title": titles.get(run.setting, run.setting), "run": run.name}
        )
    return {"videos": list(videos.values()), "frames_in_part": FRAMES_IN_PART}


def _titles(plan: Plan) -> dict[str, str]:
    """Each setting's name with what differs from the config's own."""
    if len(plan.track_settings) < 2:
        return {}
    base = plan.track_settings[0]
    titles = {}
    for setting in plan.track_settings:
        is_base = setting.compared() == base.compared()
        titles[setting.label] = setting.label if is_base else f"{setting.label}: {differences(setting, base)}"
    return titles
