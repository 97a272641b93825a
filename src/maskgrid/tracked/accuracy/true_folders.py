"""Read true objects from folders: DAVIS's pictures of all objects, SA-V's pictures of one object, SA-V's JSON files."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.pixels.pillow import DECODE_ERRORS, FORMATS, pillow_limits
from maskgrid.dataset.sources.listing import files_below
from maskgrid.io.errors import UserError
from maskgrid.io.listings import image_key
from maskgrid.masks import rle
from maskgrid.tracked.accuracy.true_documents import sa_v_name, sa_v_video
from maskgrid.tracked.accuracy.true_masks import KEY, BadTruthError, FrameNames, TrueMask, TrueVideo, empty_code
from maskgrid.tracked.videos.frames import natural_key
from maskgrid.tracked.videos.index import Video

_SUFFIXES = frozenset({".png", ".json"})
_MODES = ("1", "P", "L", "I;16", "I")
# In pictures with a palette, pixels that count for nobody.
_VOID = 255


def folder_files(root: Path) -> list[Path]:
    """The pictures and JSON files below a folder.

    Raises:
        UserError: the folder cannot be listed, or holds none.
    """
    files = sorted((path for _, path in files_below(root, None, _SUFFIXES, KEY)), key=lambda p: natural_key(str(p)))
    if not files:
        raise UserError(f"{KEY}: there are no .png pictures and no .json files in {root}")
    return files


def folder_videos(root: Path, known: Collection[str], stop: int | None) -> list[TrueVideo]:
    """The videos of a folder: those of its pictures, and those of its JSON files.

    A folder that is named like a video has pictures of all its objects; folders in it, of one object each.

    Args:
        root: the folder.
        known: all names of the source's videos.
        stop: where reading ends.

    Raises:
        UserError: the folder cannot be listed, or holds no annotations.
    """
    pictures: dict[Path, list[Path]] = {}
    documents: dict[str, list[Path]] = {}
    for path in folder_files(root):
        if path.suffix.lower() == ".json":
            documents.setdefault(str(path.parent / sa_v_name(path)), []).append(path)
        else:
            pictures.setdefault(path.parent, []).append(path)
    by_object: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    found = []
    for folder, files in pictures.items():
        names, above = _names(root, folder), _names(root, folder.parent) if folder != root else ()
        if _is_of_one_object(names, above, known):
            by_object.setdefault(above, {})[folder.name] = files
        else:
            found.append(TrueVideo(names, partial(_read_palettes, files, stop)))
    found += [TrueVideo(names, partial(_read_objects, parts, stop)) for names, parts in by_object.items()]
    return [*found, *(sa_v_video(files[0], files, stop) for files in documents.values())]


def _names(root: Path, folder: Path) -> tuple[str, ...]:
    """A folder's path below the root, and its ends: ``480p/bear`` may be the video ``bear``."""
    parts = folder.relative_to(root).parts or (root.name,)
    return tuple(image_key("/".join(parts[start:])) for start in range(len(parts)))


def _is_of_one_object(names: Sequence[str], above: Sequence[str], known: Collection[str]) -> bool:
    """Whether not a folder, but the one above it is named like a video; whole paths count before their ends."""
    for own, others in ((names[:1], above[:1]), (names, above)):
        if any(name in known for name in own):
            return False
        if any(name in known for name in others):
            return True
    return False


def _read_palettes(files: Sequence[Path], stop: int | None, video: Video) -> Iterator[TrueMask]:
    """Yield a mask for each frame with a picture and each object of any of the pictures."""
    names, size_hw = FrameNames(video, stop, (path.stem for path in files)), video.size_hw
    frames: dict[int, dict[int, bytes]] = {}
    first: dict[int, Path] = {}
    for path in files:
        number = None
        try:
            number = names.of_picture(path.stem)
            if (other := first.setdefault(number, path)) != path:
                raise BadTruthError("duplicate", f"{other.name} and {path.name} are both of frame {number}")
            labels, has_palette = _labels(path, size_hw)
        except BadTruthError as error:
            yield TrueMask.bad(error, None, number)
            continue
        if has_palette and (void := labels == _VOID).any():
            yield TrueMask(None, number, rle.encode(void), is_void=True)
            labels = np.where(void, 0, labels)
        frames[number] = {int(one): rle.encode(labels == one) for one in np.unique(labels[labels > 0])}
    nothing = empty_code(size_hw)
    for one in sorted({number for codes in frames.values() for number in codes}):
        yield from (TrueMask(str(one), number, codes.get(one, nothing)) for number, codes in frames.items())


def _read_objects(folders: Mapping[str, Sequence[Path]], stop: int | None, video: Video) -> Iterator[TrueMask]:
    """Yield a mask for each picture: any pixel above 0 is on the object that its folder is named by."""
    stems = (path.stem for files in folders.values() for path in files)
    names, size_hw = FrameNames(video, stop, stems), video.size_hw
    for truth_id, files in folders.items():
        for path in files:
            number = None
            try:
                number = names.of_picture(path.stem)
                labels, _ = _labels(path, size_hw)
                yield TrueMask(truth_id, number, rle.encode(labels > 0))
            except BadTruthError as error:
                yield TrueMask.bad(error, truth_id, number)


def _labels(path: Path, size_hw: tuple[int, int]) -> tuple[NDArray[np.int32], bool]:
    """The numbers in a picture, shape (H, W), and whether it has a palette."""
    try:
        with pillow_limits(size_hw[0] * size_hw[1]), PIL.Image.open(path, formats=FORMATS) as image:
            if image.size != size_hw[::-1]:
                width, height = image.size
                message = f"{path.name} has {width} x {height} pixels, but the video {size_hw[1]} x {size_hw[0]}"
                raise BadTruthError("other_size", message)
            if image.mode not in _MODES:
                raise BadTruthError(
                    "bad_picture", f"{path.name} has colours ({image.mode}) instead of the objects' numbers"
                )
            return np.asarray(image).astype(np.int32), image.mode == "P"
    except (OSError, *DECODE_ERRORS):
        raise BadTruthError("bad_picture", f"{path.name} cannot be read as a picture") from None
