"""Errors written for people, as a message or in a table row."""

import errno
from importlib.metadata import distributions


class UserError(Exception):
    """An error that the user can fix; says what is wrong, where, and what to do.

    The command line prints only the message, without a traceback, and exits with 2.
    """


class MachineError(Exception):
    """An error that may not recur on another machine or later; says what failed, and what to do.

    The command line prints only the message, without a traceback, and exits with 1, so that the workflow retries.
    """


class ImageTooLargeError(Exception):
    """Device memory is too small for a single mask of an image. Becomes that image's status; the work goes on."""


_ADVICE = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room, or raise the quota",
    errno.EFBIG: "Raise the limit on file size",
    errno.EIO: "The disk or its network is failing: check the system log",
    errno.ESTALE: "The network file system went away: remount it",
    errno.EROFS: "The file system is mounted read-only: remount it, or choose another results folder",
    errno.EACCES: "Change the permissions, or choose another results folder",
    errno.EPERM: "Change the permissions, or choose another results folder",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "The machine has too many open files: close other programs",
}


def disk_failure(error: OSError) -> MachineError | None:
    """Turn an operating system error into advice for the user; None if it is more likely our own bug."""
    if error.errno not in _ADVICE:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return MachineError(
        f"{where}{error.strerror}. {_ADVICE[error.errno]}, and run again: finished files are complete and stay"
    )


def wrong_torchvision(error: RuntimeError) -> UserError | None:
    """Turn the error of importing a torchvision that was built for another torch into advice; None for others."""
    if "operator torchvision::" not in str(error):
        return None
    torch, torchvision = (
        " ".join([name, *[found.version for found in distributions(name=name)][:1]])
        for name in ("torch", "torchvision")
    )
    return UserError(
        f"{torchvision} does not load beside {torch}, for it was built for another one: install both from one place"
    )
