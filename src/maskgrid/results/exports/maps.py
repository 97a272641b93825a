"""Where the images of an export lie on the map."""

import logging
from collections.abc import Callable, Iterable

from maskgrid.dataset.georeference import Georeference, MissingMapsError
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.io.errors import UserError
from maskgrid.results.exports.source import MaskFile

log = logging.getLogger(__name__)

_LEFT_OUT = "its masks are left out"
_LONGEST = 60  # characters of a reference system's description in a message


def georeferences(
    masks: MaskFile, who_needs: str, instead: str, is_known: Callable[[str], bool] | None = None
) -> dict[str, Georeference]:
    """The place of each image that has one, by its name; the log names the others.

    Args:
        masks: the masks to export.
        who_needs: the beginning of the message if no image has one.
        instead: its end, what to do.
        is_known: whether a reference system can be written; None for any.

    Raises:
        UserError: no image has one, or one has a system that needs a further package.
    """
    found = {}
    for image, _, picture in masks.with_pictures():
        try:
            place = picture.georeference()
        except BadImageError as error:
            log.warning("%s: %s; %s", image["file_name"], error.message, _LEFT_OUT)
            continue
        except MissingMapsError as error:  # a finished export would lack the image after the package is installed
            raise UserError(f"{who_needs.partition(' ')[0]} {image['file_name']}: {error}") from None
        if place is None:
            log.warning("%s: is no GeoTIFF with a reference system; %s", image["file_name"], _LEFT_OUT)
        elif is_known is not None and not is_known(place.crs):
            log.warning("%s: its reference system, %s, is not known; %s", image["file_name"], place.crs, _LEFT_OUT)
        else:
            found[image["file_name"]] = place
    if not found:
        raise UserError(f"{who_needs} GeoTIFFs with a reference system, and no image is one; {instead}")
    return found


def one_system(maps: Iterable[Georeference], form: str) -> str | None:
    """The reference system of some images; None without any image.

    Raises:
        UserError: they have several, and a file has one.
    """
    systems = sorted({one.crs for one in maps})
    if len(systems) > 1:
        named = ", ".join(crs if len(crs) <= _LONGEST else f"{crs[:_LONGEST]}…" for crs in systems)
        raise UserError(
            f"exports.{form}: the images have several reference systems ({named}), and a file has one; "
            "take files: per_image"
        )
    return systems[0] if systems else None
