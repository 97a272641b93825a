"""Where the workflow's files are: in the installed package, or in the checkout that it was installed from."""

from pathlib import Path

from maskgrid.config.messages import unknown_name
from maskgrid.io.errors import UserError

_PACKAGE = Path(__file__).parents[1]
# Where Snakemake itself looks for profiles by name.
_USER_PROFILES = (Path("~/.config/snakemake"), Path("/etc/xdg/snakemake"))


def workflow_folder() -> Path:
    """The folder of ``Snakefile``, ``workflow``, ``config`` and ``profiles``.

    Raises:
        UserError: the package was copied without them.
    """
    for folder in (_PACKAGE / "pipeline", _PACKAGE.parents[1]):
        if (folder / "workflow" / "Snakefile").is_file():
            return folder
    raise UserError(f"the workflow's files are missing beside {_PACKAGE}; install maskgrid again")


def profile_folder(name: str) -> Path:
    """Find a Snakemake profile: a folder, or its name in ``./profiles``, in the package or where Snakemake looks.

    Raises:
        UserError: there is none; names those that there are.
    """
    packaged = workflow_folder() / "profiles"
    for folder in (Path(name), *(home / name for home in (Path("profiles"), packaged, *_USER_PROFILES))):
        if (folder.expanduser() / "config.yaml").is_file():
            return folder.expanduser().resolve()
    known = sorted({path.parent.name for home in (Path("profiles"), packaged) for path in home.glob("*/config.yaml")})
    hint = unknown_name(name, known) or f"; known are {', '.join(known)}, and any folder with a config.yaml"
    raise UserError(f"--profile: there is no profile {name!r}{hint}")
