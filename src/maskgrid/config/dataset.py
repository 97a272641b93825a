"""The config's section ``dataset``."""

from pydantic import Field

from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.config.section import Fraction, Section


class DatasetConfig(Section):
    """The images, and how they are split into jobs."""

    source: str = Field(
        "demo",
        min_length=1,
        description="demo, a folder (searched recursively), a glob, a list (.txt, .csv, .parquet), a COCO .json or tar "
        "archives (images-{000..009}.tar), also by URL",
    )
    shard_size: int = Field(64, ge=1, description="at most this many images per shard; one job works on one shard")
    tiles_per_job: int | None = Field(
        None,
        ge=1,
        exclude_if=lambda value: value is None,  # so that files without it stay as they were
        description="with generator.tile_size_px: share the tiles of a shard's large images among jobs of about this "
        "many; null: one job does all",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="a larger image is rejected from its header, without decoding; with generator.tile_size_px a "
        "larger TIFF is read in windows, and a JPEG or PNG by maskgrid[large]",
    )
    max_failed_fraction: Fraction = Field(
        0.2,
        description="the run fails at the end, after all other work, if more than this share of the images is unusable",
    )
    ground_truth: str | None = Field(
        "auto",
        min_length=1,
        description="a COCO .json with objects to measure masks against; auto: the source's own annotations, "
        "if it is a COCO file or the demo; null for none",
    )
    georeference: bool = Field(
        False,
        exclude_if=lambda value: not value,  # so that files without it stay as they were
        description="true: images.parquet has the reference system and the transform of each GeoTIFF, as crs and "
        "transform",
    )
    pixels: PixelsConfig = Field(
        PLAIN,
        exclude_if=lambda pixels: pixels == PLAIN,  # so that files without it stay as they were
    )
