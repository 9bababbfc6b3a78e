"""Open a net by a short name: one that pandapower or SimBench ships, or a JSON file."""

from __future__ import annotations

import ast
import difflib
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from pp_p2p.errors import Finding, InvalidInput

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SIMBENCH_PREFIX: Final = "simbench:"
_WORDS: Final = {"true": True, "false": False, "none": None}
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def open_net(source: str | os.PathLike[str]) -> pandapowerNet:
    """Open a net.

    Parameters
    ----------
    source : str or path
        One of

        * the name of a function of ``pandapower.networks`` that needs no argument, such as
          ``"case33bw"``, with keyword arguments after a question mark where wanted, such as
          ``"create_cigre_network_mv?with_der=pv_wind"``;
        * ``"simbench:CODE"``, such as ``"simbench:1-MV-rural--0-sw"``; needs the extra
          ``pp-p2p[simbench]``;
        * the path of a pandapower JSON file.

    Returns
    -------
    pandapowerNet
        A net of its own; changing it changes nothing else.

    Raises
    ------
    InvalidInput
        Unknown name, code or argument, with close matches; missing or foreign file; SimBench
        not installed.
    """
    text = os.fspath(source).strip()
    if text.startswith(SIMBENCH_PREFIX):
        return _from_simbench(text.removeprefix(SIMBENCH_PREFIX).strip())
    if Path(text).is_file() or text.lower().endswith(".json"):
        return _from_file(Path(text))
    name, _, query = text.partition("?")
    return _from_pandapower(name.strip(), query)


def bundled_names() -> tuple[str, ...]:
    """Return the names of pandapower's nets that `open_net` knows, sorted."""
    return tuple(sorted(_bundled()))


def _bundled() -> dict[str, Callable[..., Any]]:
    import pandapower.networks

    return {
        name: function
        for name, function in vars(pandapower.networks).items()
        if inspect.isfunction(function)
        and function.__module__.startswith("pandapower.networks")
        and not name.startswith("_")
        and all(
            parameter.default is not inspect.Parameter.empty
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind in _NAMED
        )
    }


def _from_pandapower(name: str, query: str) -> pandapowerNet:
    known = _bundled()
    if name not in known:
        raise _refused(
            f"{name!r} is neither a net that pandapower ships nor a file",
            f"{_close(name, known)}; or give 'simbench:CODE' or the path of a JSON file",
        )
    function = known[name]
    arguments = {key: _literal(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    accepted = [p.name for p in inspect.signature(function).parameters.values() if p.kind in _NAMED]
    unknown = [key for key in arguments if key not in accepted]
    if unknown:
        listed = ", ".join(accepted) or "none"
        raise _refused(f"{name} takes no argument {unknown[0]!r}", f"its arguments are: {listed}")
    if not arguments:
        return function()
    try:
        net = function(**arguments)
    except (ValueError, TypeError, LookupError, UserWarning) as error:
        raise _refused(
            f"{name} refuses {query!r}: {error}", "see its documentation in pandapower.networks"
        ) from error
    return _checked(net, f"{name}?{query}")


def _from_simbench(code: str) -> pandapowerNet:
    try:
        import simbench
    except ImportError as error:
        raise _refused(
            f"'{SIMBENCH_PREFIX}{code}' needs SimBench, which is not installed",
            "pip install pp-p2p[simbench]",
        ) from error
    codes = simbench.collect_all_simbench_codes()
    if code not in codes:
        raise _refused(f"{code!r} is not a SimBench code", _close(code, codes))
    return simbench.get_simbench_net(code)


def _from_file(path: Path) -> pandapowerNet:
    import pandapower

    if not path.is_file():
        beside = [str(other) for other in path.parent.glob("*.json")]
        raise _refused(f"there is no file {path}", _close(str(path), beside))
    try:
        net = pandapower.from_json(str(path))
    except (ValueError, TypeError, LookupError, AttributeError, UserWarning) as error:
        raise _refused(
            f"{path} is not a pandapower net: {error}", "write it with pandapower.to_json"
        ) from error
    return _checked(net, str(path))


def _checked(net: Any, source: str) -> pandapowerNet:
    import pandapower

    if not isinstance(net, pandapower.pandapowerNet):
        raise _refused(
            f"{source} gives a {type(net).__name__}, not a net", "leave out what splits the net"
        )
    return net


def _literal(text: str) -> object:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _close(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lowered, n=3, cutoff=0.5)
    matches = [lowered[match] for match in close]
    return f"did you mean {' or '.join(matches)}?" if matches else f"there are {len(names)} known"


def _refused(rule: str, mend: str) -> InvalidInput:
    return InvalidInput(Finding(table="source", rule=rule, mend=mend))
