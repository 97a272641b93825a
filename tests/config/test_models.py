"""The config has sam2's defaults and gives a clear one-line error for every mistake."""

import inspect
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from maskgrid.config.dataset import DatasetConfig
from maskgrid.config.files import load_config, parse_config, save_config, schema
from maskgrid.config.filters import FilterConfig
from maskgrid.config.models import Config, GeneratorConfig, ModelConfig
from maskgrid.config.pixels import PixelsConfig
from maskgrid.config.record import RecordConfig
from maskgrid.config.section import SweepBlock
from maskgrid.io.errors import UserError
from scripts.config_docs import with_tables

ROOT = Path(__file__).parents[2]


def test_generator_has_sam2s_parameters_and_defaults():
    signature = inspect.signature(SAM2AutomaticMaskGenerator.__init__)
    sam2 = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in {"self", "model", "kwargs"}
    }
    ours = GeneratorConfig().model_dump()
    # The only difference: masks are written to files, not returned as arrays. MaskGenerator has sam2's default.
    assert sam2.pop("output_mode") == "binary_mask"
    assert ours.pop("output_mode") == "coco_rle"
    assert ours == sam2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generatr": {}}, "generatr: unknown key; did you mean 'generator'?"),
        (
            {"generator": {"points_per_sid": 3}},
            "generator.points_per_sid: unknown key; did you mean 'points_per_side'?",
        ),
        ({"model": {"zebra": 3}}, "model.zebra: unknown key; known are checkpoint, config"),
        ({"generator": {"pred_iou_thresh": "0.8"}}, "generator.pred_iou_thresh: input should be a valid number"),
        ({"generator": {"pred_iou_thresh": 1.5}}, "generator.pred_iou_thresh: input should be less than or equal to 1"),
        ({"generator": {"use_m2m": 1}}, "generator.use_m2m: input should be a valid boolean"),
        ({"generator": {"points_per_side": True}}, "generator.points_per_side: input should be a valid integer"),
        ({"generator": {"mask_threshold": float("nan")}}, "generator.mask_threshold: input should be a finite number"),
        ({"generator": {"point_grids": [[[0.5, 0.5]]]}}, "generator: exactly one of points_per_side and point_grids"),
        ({"generator": {"points_per_side": None}}, "generator: points_per_side is null, so point_grids"),
        (
            {"generator": {"points_per_side": None, "point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}},
            "generator: point_grids has 1 grids, but crop_n_layers: 1 needs 2",
        ),
        (
            {"generator": {"points_per_side": None, "point_grids": [[[0.5, 1.5]]]}},
            "generator.point_grids[0][0][1]: input should be less than or equal to 1",
        ),
        (
            {"generator": {"points_per_side": 4, "crop_n_layers": 3, "crop_n_points_downscale_factor": 2}},
            "generator: crop_n_points_downscale_factor: 2 reduces points_per_side: 4 to 0 in crop layer 3",
        ),
        ({"generator": {"output_mode": "png"}}, "generator.output_mode: input should be 'coco_rle'"),
        ({"dataset": {"shard_size": 0}}, "dataset.shard_size: input should be greater than or equal to 1"),
        (
            {"model": {"device": "gpu"}},
            "model.device: 'gpu' is not possible; did you mean 'cuda'?; possible are: auto, cpu, cuda, cuda:1",
        ),
        ({"sweep": {"grit": {}}}, "sweep.grit: unknown key; did you mean 'grid'?"),
        ({"sweep": {"grid": {"pred_iou_thresh": []}}}, "sweep.grid.pred_iou_thresh: list should have at least 1 item"),
        (
            {"sweep": {"grid": {"pred_iou_thresh": {"start": 0.9, "stop": 0.8, "step": 0.1}}}},
            "sweep.grid.pred_iou_thresh: the range from 0.9 to 0.8 is empty",
        ),
        ({"sweep": []}, "sweep: list should have at least 1 item"),
        ([1, 2], "a config is a mapping of sections, not list"),
    ],
)
def test_mistakes_are_one_line_errors_with_the_key(values, message):
    with pytest.raises(UserError) as error:
        parse_config(values, "my.yaml")
    assert str(error.value).startswith(f"my.yaml: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("generator: {", "this is no YAML"),
        ("\tx: 1", "this is no YAML"),
        ("!!python/object:os.system {}", "this is no YAML"),
    ],
)
def test_invalid_yaml_is_an_error(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_config(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "c.yaml")


def test_an_empty_section_means_its_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("generator:\n  # points_per_side: 8\nmodel:\n")
    assert load_config(path) == Config()


@given(
    st.fixed_dictionaries(
        {
            "pred_iou_thresh": st.floats(0, 1),
            "stability_score_offset": st.floats(0, 10),
            "mask_threshold": st.floats(-32, 32),
            "points_per_side": st.integers(1, 64),
            "use_m2m": st.booleans(),
        }
    )
)
def test_the_saved_config_reads_back_the_same(tmp_path_factory, generator):
    path = tmp_path_factory.mktemp("config") / "config.json"
    config = parse_config({"generator": generator, "sweep": {"grid": {"box_nms_thresh": [0.5, 1e-5]}}}, "test")
    save_config(config, path)
    assert load_config(path) == config


def test_the_schema_in_the_repository_matches_the_models():
    kept = ROOT / "workflow/schemas/config.schema.json"
    assert kept.read_bytes() == schema(), "run: make schema"


def plain(model):
    """A section's keys and values, those too that files leave out at their defaults."""
    values = ((name, getattr(model, name)) for name in type(model).model_fields)
    return {name: plain(value) if isinstance(value, BaseModel) else value for name, value in values}


def test_the_shipped_config_lists_every_key_with_its_default():
    shipped, defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text()), plain(Config())
    shown = {"sweep", "exports"}  # examples
    assert list(shipped) == list(defaults)
    for name in defaults.keys() - shown:
        expected = json.loads(json.dumps(defaults[name]))  # lists for tuples
        assert shipped[name] == expected
        if isinstance(expected, dict):
            assert list(shipped[name]) == list(expected), name


def test_the_readme_explains_every_key():
    text = (ROOT / "config/README.md").read_text()
    assert with_tables(text) == text, "run: make schema"
    sections = [
        Config,
        DatasetConfig,
        PixelsConfig,
        ModelConfig,
        GeneratorConfig,
        FilterConfig,
        SweepBlock,
        RecordConfig,
    ]
    assert not [name for model in sections for name in model.model_fields if f"`{name}`" not in text]


@pytest.mark.parametrize(
    "text", ["sweep: {grid: {use_m2m: [true]}}\nsweep: {}\n", "generator:\n  use_m2m: true\n  use_m2m: false\n"]
)
def test_a_repeated_key_is_an_error(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml: .*the key '(sweep|use_m2m)' is repeated"):
        load_config(path)
