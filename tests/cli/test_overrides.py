"""Changes to the config on the command line have the config's types, and its messages."""

import pytest

from maskgrid.cli.overrides import overridden, split_words
from maskgrid.config.models import Config
from maskgrid.io.errors import UserError


def given(**sections):
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        (["generator.points_per_side=16"], "generator", "points_per_side", 16),
        (["generator.pred_iou_thresh=0.5", "generator.use_m2m=true"], "generator", "use_m2m", True),
        (
            ["generator={points_per_side: null, point_grids: [[[0.5, 0.5]]]}"],
            "generator",
            "points_per_side",
            None,
        ),
        (["dataset.source=*.jpg"], "dataset", "source", "*.jpg"),
        (["dataset.source=images-{000..009}.tar"], "dataset", "source", "images-{000..009}.tar"),
        (["dataset.source=a=b"], "dataset", "source", "a=b"),
    ],
)
def test_values_have_types(words, section, key, value):
    assert getattr(getattr(overridden(given(), words), section), key) == value


def test_a_section_that_the_config_lacks_is_made_and_one_that_is_there_is_kept():
    config = given(sweep={"grid": {"use_m2m": [True]}}, dataset={"source": "photos"})
    changed = overridden(config, ["sweep.grid.pred_iou_thresh=[0.5, 0.6]", "tracking.source=clips"])
    assert changed.sweep.grid == {"use_m2m": (True,), "pred_iou_thresh": (0.5, 0.6)}
    assert changed.tracking.source == "clips"
    assert changed.dataset.source == "photos"
    assert overridden(config, []) is config


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("generator.points_per_sid=1", "generator.points_per_sid: unknown key; did you mean 'points_per_side'?"),
        ("generater.points_per_side=1", "generater: unknown key; did you mean 'generator'?"),
        ("generator.points_per_side=eight", "generator.points_per_side: input should be a valid integer (got 'eight')"),
        ("generator.points_per_side.x=1", "points_per_side is no mapping"),
    ],
)
def test_mistakes_name_the_key(word, message):
    config = given(generator={"points_per_side": 8})
    with pytest.raises(UserError) as error:
        overridden(config, [word])
    assert str(error.value).startswith("command line: ")
    assert message in str(error.value)


def test_targets_are_told_from_overrides():
    words = ["tracked", "a.b=1", "results/annotations/x=1.json", "baseline=sa1b"]
    assert split_words(words) == (["tracked", "results/annotations/x=1.json"], ["a.b=1", "baseline=sa1b"])
