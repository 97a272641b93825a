"""The stage ``track-export``: the masklets of a run in another form."""

import logging
from collections.abc import Callable, Mapping

from maskgrid.errors import UserError
from maskgrid.plan import Plan
from maskgrid.video.documents import write_sa_v
from maskgrid.video.masklets import Run, read_run
from maskgrid.video.overlay import write_overlay
from maskgrid.video.parameters import reading_of, tracking_config
from maskgrid.video.pictures import write_object_pictures, write_palette_pictures

log = logging.getLogger(__name__)


def export_run(plan: Plan, name: str, form: str) -> None:
    """Write a run's masklets as ``sa_v``, ``png``, ``palette`` or ``overlay``.

    Raises:
        UserError: there is no such run or form, or its masklets are missing.
    """
    if form not in FORMS:
        raise UserError(f"there is no form {form!r}; known are {', '.join(FORMS)}")
    run = read_run(plan, name)
    FORMS[form](plan, run)
    log.info("%s", plan.layout.tracked.export(form, name))


def _sa_v(plan: Plan, run: Run) -> None:
    kind = "auto" if tracking_config(plan).prompts is None else "manual"
    write_sa_v(plan.layout.tracked.export("sa_v", run.name), run, kind)


def _png(plan: Plan, run: Run) -> None:
    write_object_pictures(run, plan.layout.tracked.export("png", run.name))


def _palette(plan: Plan, run: Run) -> None:
    write_palette_pictures(run, plan.layout.tracked.export("palette", run.name))


def _overlay(plan: Plan, run: Run) -> None:
    layout = plan.layout.tracked
    write_overlay(run, reading_of(plan), layout.export("overlay", run.name), layout.sheet(run.name))


FORMS: Mapping[str, Callable[[Plan, Run], None]] = {
    "sa_v": _sa_v,
    "png": _png,
    "palette": _palette,
    "overlay": _overlay,
}
