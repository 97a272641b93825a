"""What a file of weights is, by its first bytes: names the usual mistakes before torch opens it."""

import zipfile
from pathlib import Path

from maskgrid.io.errors import UserError

_HEAD_BYTES = 512
_SAVE = 'torch.save({"model": model.state_dict()}, "weights.pt")'
# safetensors is no requirement of ours, so its files are converted once by whoever has them.
CONVERT = f"Convert it where safetensors is installed: {_SAVE.replace('model.state_dict()', 'load_file(path)')}"


def refuse_other_files(path: Path) -> None:
    """Check by its first bytes that a file can hold weights as ``torch.save`` writes them.

    Raises:
        UserError: it is empty, a Git LFS pointer, a web page, safetensors, or a zip archive of something else; one
            line that says what to do.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    reason = _reason(path, head)
    if reason is not None:
        raise UserError(f"model.checkpoint: {path} {reason}")


def _reason(path: Path, head: bytes) -> str | None:
    if not head:
        return "is empty (0 bytes). Copy or download it again."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights. Run git lfs pull in its repository, or download the file itself."
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not the weights. Download it again: the link may need a login, or lead to a preview."
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return f"holds safetensors, which cannot be read here. {CONVERT}"
    if head.startswith(b"PK") and not _holds_pickle(path):
        return (
            f"is a zip archive, but not one that torch.save writes. Unpack the weights from it, or save them: {_SAVE}"
        )
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return "is compressed. Unpack it first."
    return None


def _holds_pickle(path: Path) -> bool:
    """Return whether a zip archive has torch's data.pkl; True for a damaged one, which torch reports."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except zipfile.BadZipFile:
        return True
