"""How hard a scene is: counts, sizes, and what the camera does to it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """The knobs of the generator; a curriculum is a sequence of styles.

    Attributes:
        most_things: most things in a scene.
        least_radius, most_radius: half the extent of a thing as a fraction of the image's shorter side.
        part_chance: chance that a thing has parts, 0 to 1.
        family_chance: chance that the things of a scene are of one kind and colour, 0 to 1.
        damage: strength of texture contrast, blur, noise and JPEG artefacts, 0 to 1.
    """

    most_things: int
    least_radius: float
    most_radius: float
    part_chance: float
    family_chance: float
    damage: float


FULL = Style(most_things=12, least_radius=0.03, most_radius=0.36, part_chance=0.3, family_chance=0.15, damage=1.0)
EASY = Style(most_things=6, least_radius=0.09, most_radius=0.36, part_chance=0.1, family_chance=0.05, damage=0.4)
