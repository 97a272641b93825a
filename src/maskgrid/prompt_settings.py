"""A setting of the prompted job: one full assignment of ``predict``'s parameters, and its id."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from maskgrid.prompt_config import PromptConfig

# The section itself, without its sweep.
BASELINE = "baseline"
# The first two are the decoder's; the others are applied to its logits.
PROMPT_SWEEPABLE = ("multimask_output", "refine_rounds", "mask_threshold", "max_hole_area", "max_sprinkle_area")
PROMPT_WITHOUT_EFFECT = frozenset({"prompts_per_batch"})


@dataclass(frozen=True, slots=True)
class PromptSetting:
    """One point of a sweep over given objects.

    Attributes:
        id: short hash of the values; the same in every run and every sweep that contains the setting.
        names: the names that the config gives to it; empty for a point of a grid.
        config: the section with this setting's values.
        in_grid: whether it comes from a sweep's grid, zip or table, and not from a single point alone.
    """

    id: str
    names: tuple[str, ...]
    config: PromptConfig
    in_grid: bool = False

    @property
    def label(self) -> str:
        """The first name, or the id where there is none."""
        return self.names[0] if self.names else self.id

    def parameters(self) -> dict[str, Any]:
        """The parameters that can be swept, as plain values."""
        return {name: getattr(self.config, name) for name in PROMPT_SWEEPABLE}


def make_prompt_setting(config: PromptConfig, overrides: Mapping[str, Any], in_grid: bool = False) -> PromptSetting:
    """The config's section with other values; the id depends on all values that decide about masks."""
    changed = config.model_copy(update={**overrides, "sweep": None})
    values = {
        name: float(value) if isinstance(PromptConfig.model_fields[name].default, float) else value
        for name, value in changed.model_dump(include={*PROMPT_SWEEPABLE, "keep"}).items()
    }
    digest = hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
    return PromptSetting(digest, (), changed, in_grid)
