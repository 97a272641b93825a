"""Tiles: crops of a fixed size in pixels, which sam2 has no parameter for."""

from typing import Annotated

from pydantic import Field

from maskgrid.config.section import Section


class TileFields(Section):
    """Keys of the section ``generator`` that are not sam2's; off by default, and then left out of all files.

    The descriptions are also column metadata of the statistics tables.
    """

    tile_size_px: Annotated[int, Field(ge=16)] | None = Field(
        None,
        exclude_if=lambda size: size is None,
        description="also look in square tiles of this many pixels, beside the whole image and any crop layers; images "
        "of one tile are not tiled; null is off",
    )
    tile_overlap_px: Annotated[int, Field(ge=0)] | None = Field(
        None,
        exclude_if=lambda overlap: overlap is None,
        description="overlap of neighbouring tiles, at least; null: a third of tile_size_px",
    )

    @property
    def tile_px(self) -> tuple[int, int] | None:
        """Size and overlap of the tiles; None if they are off."""
        if self.tile_size_px is None:
            return None
        overlap = self.tile_size_px // 3 if self.tile_overlap_px is None else self.tile_overlap_px
        return self.tile_size_px, overlap


TILES: tuple[str, ...] = tuple(TileFields.model_fields)
