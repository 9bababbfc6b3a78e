"""Public names that are loaded when they are first used: importing a package stays light.

Whatever takes a net as its first argument is told here, once for all, when it is given none.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pp_p2p.errors import Finding, raise_if_any


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

    @functools.cache
    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = importlib.import_module(homes[name])
        if homes[name] != package and hasattr(home, name):
            return _with_a_net(getattr(home, name), package)
        return importlib.import_module(f"{homes[name]}.{name}")

    return load, lambda: sorted(homes)


def _with_a_net(found: Any, package: str) -> Any:
    """Return a function whose first parameter is ``net`` so that it refuses anything else."""
    if not inspect.isfunction(found):
        return found
    if next(iter(inspect.signature(found).parameters), "") != "net":
        return found

    @functools.wraps(found)
    def checked(*args: Any, **options: Any) -> Any:
        if args or "net" in options:
            raise_if_any(_no_net(args[0] if args else options["net"], found.__name__))
        return found(*args, **options)

    checked.__module__ = package  # where it is found again, for instance by pickle
    return checked


def _no_net(net: object, function: str) -> tuple[Finding, ...]:
    """Return what is wrong with what was given for a net."""
    if isinstance(net, Mapping) and hasattr(net, "bus"):
        return ()
    finding = Finding(
        table=function,
        column="net",
        rule="is None" if net is None else f"is of type {type(net).__name__}, not a pandapower net",
        mend="pass a net, for instance pandapower.from_json(path)",
    )
    return (finding,)
