"""The errors that a person is meant to read, as a message or in a row."""

import errno


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with 2.
    """


class MachineError(Exception):
    """Something that the same command may survive on another machine or later: says what failed, and what to do.

    The command line prints the message alone, without a traceback, and exits with 1, so that a workflow tries again.
    """


class ImageTooLargeError(Exception):
    """The device's memory does not hold one mask of an image: a status of that image, and no end of the work."""


_ADVICE = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room, or have the quota raised",
    errno.EFBIG: "Have the limit on the size of files raised",
    errno.EIO: "The disk or its network fails: look into the system's log",
    errno.ESTALE: "The network file system has gone away: have it mounted again",
    errno.EROFS: "The file system is mounted read-only: have it mounted again, or choose another results folder",
    errno.EACCES: "Have the permissions changed, or choose another results folder",
    errno.EPERM: "Have the permissions changed, or choose another results folder",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "The machine has too many files open: end other programs",
}


def disk_failure(error: OSError) -> MachineError | None:
    """An error of the operating system in words for a person; None where it is more likely a bug of ours."""
    if error.errno not in _ADVICE:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return MachineError(
        f"{where}{error.strerror}. {_ADVICE[error.errno]}, and run again: what is finished is complete and stays"
    )
