"""Let maskgrid's tracker be imported where PyAV is missing.

The tracker's module imports it for video files, which the check does not read. Its wheel has 35 MB, more than all other
wheels of the kit together.
"""

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def replace_if_missing() -> None:
    """Put empty modules in the place of PyAV's if it is not installed."""
    if importlib.util.find_spec("av") is None:
        sys.meta_path.append(_EmptyModules())


class _EmptyModules(MetaPathFinder, Loader):
    """Finds ``av`` and everything below it: modules in which every name is an exception class of that name."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] == "av" else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _placeholder  # type: ignore[method-assign]


def _placeholder(name: str) -> type[Exception]:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (Exception,), {})
