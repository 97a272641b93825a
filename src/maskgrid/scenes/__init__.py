"""Scenes that the project draws itself: images and clips with the exact mask of everything in them."""

from maskgrid.scenes.coco import scenes_as_coco
from maskgrid.scenes.drawing import draw_clip, draw_scene
from maskgrid.scenes.records import Clip, Scene
from maskgrid.scenes.styles import EASY, FULL, Style

__all__ = ["EASY", "FULL", "Clip", "Scene", "Style", "draw_clip", "draw_scene", "scenes_as_coco"]
