"""What a study says in a few numbers, for the report and for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.names import DAY, HOUR, PARTICIPANT
from pp_p2p.results import stored_names

NONE: Final = "–"
"""Stands where there is no value."""

NO_BOUND: Final = "no bound"
"""Stands where a bound, or the gap to it, is infinite."""

STAGES: Final = ("plan", "joint", "trade")
"""Stages of a study with a certificate; ``joint`` is there where the study asks for it."""

ITEM_NAMES: Final = {
    "investment": "Investment (annuity)",
    "fixed_om": "Fixed O&M",
    "purchase": "Energy purchase",
    "sale": "Energy sale",
    "variable_om": "Variable O&M",
    "lost_load": "Lost load",
    "emission": "CO2",
    "replacement": "Replacement",
    "salvage": "Salvage value",
}
COUNTED: Final = {
    "line": ("tie line", "tie lines"),
    "replacement": ("replaced line", "replaced lines"),
    "switch": ("remote-controlled switch", "remote-controlled switches"),
    "sop": ("soft open point", "soft open points"),
}
"""Technologies that are counted, in the singular and the plural; the others have a size."""

PRICE_SHARE: Final = 1 / 2
"""An average price is told where net trade is at least this share of what is traded in all."""


@dataclass(frozen=True, kw_only=True)
class KeyFigures:
    """The numbers on top of the report; money in EUR or EUR/a, energy in MWh/a."""

    study: str
    cost_nothing: float
    cost_plan: float
    capex: float
    eens_nothing: float
    eens_plan: float
    eens_computed: bool
    n_built: int
    confirmed: dict[str, bool]

    @classmethod
    def of(cls, tree: xr.DataTree) -> KeyFigures:
        """Read them from a study's result."""
        plan = tree["plan"].to_dataset()
        cost, eens = plan["cost_eur_per_year"].sum("item"), plan["eens_mwh_per_year"]
        return cls(
            study=str(tree.attrs.get("study", "study")),
            cost_nothing=float(cost.sel(case="nothing")),
            cost_plan=float(cost.sel(case="plan")),
            capex=float(plan["capex_eur"].sum()),
            eens_nothing=float(eens.sel(case="nothing")),
            eens_plan=float(eens.sel(case="plan")),
            eens_computed=eens_computed(plan),
            n_built=int((plan["units"] > 0).sum()),
            confirmed=confirmed(tree),
        )

    def sentence(self, built: str) -> str:
        """Return the result in one sentence; `built` is from `built_text`."""
        cost, before = money(self.cost_plan), money(self.cost_nothing)
        if not self.eens_computed:
            verb = f"Building {built} costs {cost} a year instead of {before}"
            verb = verb if self.n_built else f"Nothing is built: the network costs {cost} a year"
            return f"{verb}; energy not served is not computed: no failure rates are given."
        was, now = digits(self.eens_nothing, 2), digits(self.eens_plan, 2)
        if self.n_built == 0:
            return (
                f"Nothing is built: the network costs {cost} a year as it is, and the energy not "
                f"served is {now} MWh/a."
            )
        if was == now:
            energy = f"energy not served stays at {now} MWh/a"
        else:
            way = "falls" if self.eens_plan < self.eens_nothing else "rises"
            energy = f"energy not served {way} from {was} to {now} MWh/a"
        return f"Building {built} costs {cost} a year instead of {before}; {energy}."


def stages(tree: xr.DataTree) -> tuple[str, ...]:
    """Return the stages that a study has."""
    return tuple(stage for stage in STAGES if stage in tree.children)


def confirmed(tree: xr.DataTree) -> dict[str, bool]:
    """Return whether the AC power flow confirms each stage."""
    return {s: tree[s].attrs.get("relaxation") == "exact" for s in stages(tree)}


def eens_computed(plan: xr.Dataset) -> bool:
    """Return whether failure rates were given; without any there is no energy not served."""
    return bool(plan.attrs.get("eens_computed", 1))


def built_text(plan: xr.Dataset) -> str:
    """Return what a plan builds as a phrase, by technology: ``1.4 MW of PV and 1 tie line``."""
    names = {"pv": "PV", "storage_energy": "more storage", "dispatchable": "dispatchable power"}
    units, technology = plan["units"].to_numpy(), plan["technology_built"].to_numpy().astype(str)
    phrases = []
    for key in dict.fromkeys(technology.tolist()):
        rows = technology == key
        mw, mwh = (float(plan[k].to_numpy()[rows].sum()) for k in ("built_p_mw", "built_e_mwh"))
        count = float(units[rows].sum())
        if count and key in COUNTED:
            phrases.append(f"{digits(count)} {COUNTED[key][count != 1]}")
        elif count:
            sizes = [f"{digits(mw)} MW"] * (mw > 0 or not mwh) + [f"{digits(mwh)} MWh"] * (mwh > 0)
            size = " / ".join(sizes)
            phrases.append(f"{size} of {names.get(key, key)}")
    return " and ".join(filter(None, [", ".join(phrases[:-1]), *phrases[-1:]]))


def owner_names(tree: xr.DataTree) -> dict[int, str]:
    """Return the name of every owner, the operator's too."""
    return stored_names(tree["network"].to_dataset())


def per_year(values: xr.DataArray, weight: xr.DataArray) -> xr.DataArray:
    """Return the sum over days, each as often as it stands for real ones."""
    return (values * weight).sum(DAY)


def traded_mwh(tree: xr.DataTree) -> xr.DataArray:
    """Return the energy traded on each typical day (day, seller, buyer), MWh."""
    step_h = float(tree["days"].attrs["step_h"])
    return tree["trade"].to_dataset()["trade_mw"].sum(HOUR) * step_h


def trade_per_year(tree: xr.DataTree) -> xr.Dataset:
    """Return money and energy of every participant over all days.

    Returns
    -------
    Dataset
        Over ``participant``: ``cost_alone_eur``, ``cost_eur``, ``payment_eur``, ``saving_eur``,
        ``fee_eur``, ``sold_mwh``, ``bought_mwh``, ``net_mwh`` (bought less sold) and
        ``average_price_eur_per_mwh``: payment per MWh of net trade, NaN where trade runs both
        ways and a price would say nothing; each ``operator_*`` of the first four as a scalar,
        where an operator stands apart; ``gain_eur``.
    """
    trade = tree["trade"].to_dataset()
    weight, energy = trade["weight"], per_year(traded_mwh(tree), trade["weight"])
    names = ("cost_alone_eur", "cost_eur", "payment_eur", "saving_eur")
    wanted = [*names, "fee_eur", *(f"operator_{k}" for k in names), "gain_eur"]
    ds = xr.Dataset({k: per_year(trade[k], weight) for k in wanted if k in trade})
    ds["sold_mwh"] = (PARTICIPANT, energy.sum("buyer").to_numpy())
    ds["bought_mwh"] = (PARTICIPANT, energy.sum("seller").to_numpy())
    net, gross = ds["bought_mwh"] - ds["sold_mwh"], ds["bought_mwh"] + ds["sold_mwh"]
    ds["net_mwh"] = net
    defined = (np.abs(net) >= PRICE_SHARE * gross) & (gross > 0)
    ds["average_price_eur_per_mwh"] = ds["payment_eur"].where(defined) / net.where(defined)
    return ds


def span_text(tree: xr.DataTree) -> str:
    """Return which span the typical days stand for: ``a year``, or so many days."""
    n = float(tree["days"]["weight"].sum())
    return "a year" if 364.5 < n < 366.5 else f"{digits(n)} days"


def day_title(tree: xr.DataTree, k: int) -> str:
    """Return date of the `k`-th typical day, how many days it stands for, why it is in."""
    days = tree["days"].to_dataset().isel({DAY: k})
    date, n = str(days["source_day"].item()), float(days["weight"])
    name = date or f"Mean day {int(days[DAY]) + 1}"
    why = [key.replace("_", " ") for key, of in extreme_days(tree).items() if of == date]
    parts = [name, f"{digits(n)} day{'' if n == 1 else 's'}", *why]
    return " · ".join(parts)


def extreme_days(tree: xr.DataTree) -> dict[str, str]:
    """Return kind -> date of the extreme days."""
    text = str(tree["days"].attrs.get("extreme_days", "") or "{}")
    found = json.loads(text)
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def diverged(attrs: dict[Any, Any]) -> str:
    """Return the steps whose AC replay did not converge, as text."""
    value = attrs.get("ac_diverged_steps", "")
    steps = json.loads(value) if isinstance(value, str) and value else value
    listed = [] if isinstance(steps, str) else np.atleast_1d(steps).tolist()
    return ", ".join(str(int(k)) for k in listed) or "none"


def first_of(attrs: dict[Any, Any], names: Sequence[str]) -> Any:
    """Return the first of the attributes `names` that is there, or None."""
    return next((attrs[k] for k in names if k in attrs), None)


def digits(value: object, n: int = 3) -> str:
    """Return a number with `n` significant digits; huge and tiny ones as 1.2e-08."""
    if value is None or value == "":
        return NONE
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return NONE
    if math.isinf(number):
        return "infinite" if number > 0 else "-infinite"
    if number == 0:
        return "0"
    size = math.floor(math.log10(abs(number)))
    if not -5 < size < 9:
        return f"{number:.{n - 1}e}"
    rounded = round(number, n - 1 - size)
    text = f"{rounded:,.{max(n - 1 - size, 0)}f}".replace(",", "\u202f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(eur: float) -> str:
    """Return an amount as ``1.61 M EUR``, ``450 k EUR`` or ``12 EUR``."""
    if abs(eur) >= 999_500:
        text = f"{eur / 1e6:.2f} M EUR"
    elif abs(eur) >= 999.5:
        text = f"{digits(eur / 1e3)} k EUR"
    else:
        text = f"{digits(eur)} EUR"
    return text.replace(" ", "\u00a0")


def whole(value: object) -> str:
    """Return a number rounded to whole units, thousands apart."""
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        return digits(number)
    text = f"{number:,.0f}".replace(",", "\u202f")
    return "0" if text == "-0" else text
