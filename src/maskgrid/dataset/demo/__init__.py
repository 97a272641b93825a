"""Synthetic scenes: drawn images and clips with the exact mask of everything in them."""

from maskgrid.dataset.demo.drawing import draw_clip, draw_scene
from maskgrid.dataset.demo.images import scenes_as_coco
from maskgrid.dataset.demo.records import Clip, Scene
from maskgrid.dataset.demo.textures import EASY, FULL, Style

__all__ = ["EASY", "FULL", "Clip", "Scene", "Style", "draw_clip", "draw_scene", "scenes_as_coco"]
