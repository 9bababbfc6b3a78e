"""Public names that are loaded when they are first used: importing a package stays light."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def load_when_used(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of `package`.

    Parameters
    ----------
    package : str
        Name of the package, for the error message.
    homes : mapping
        Public name -> module that holds it, or package whose module it is (also `package` itself,
        for a package within it). No other module may
        bear the name itself: once imported, it would stand in the package where the name is
        expected.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = importlib.import_module(homes[name])
        if homes[name] != package and hasattr(home, name):
            return getattr(home, name)
        return importlib.import_module(f"{homes[name]}.{name}")

    return load, lambda: sorted(homes)
