"""The command ``recommend``."""

from maskgrid.advice.evidence import gather
from maskgrid.advice.goals import Goal
from maskgrid.advice.text import advice_text
from maskgrid.errors import UserError
from maskgrid.plan import Plan


def recommend(plan: Plan, goal: Goal) -> str:
    """The setting for a goal, with reasons and config lines, as text.

    Raises:
        UserError: the goal makes no sense, or the statistics cannot answer it.
    """
    if goal.name == "coverage" and not 0.0 <= (goal.target or 0.0) <= 1.0:
        raise UserError(f"recommend: --coverage is a share of the image from 0 to 1, not {goal.target:g}")
    if min(goal.target or 0.0, goal.min_masks or 0.0, goal.max_masks or 0.0) < 0.0:
        raise UserError("recommend: a number of masks is not negative")
    return advice_text(plan, gather(plan, goal))
