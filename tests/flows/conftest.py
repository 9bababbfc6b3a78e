"""A study's result as the report and the summary read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

HOURS = np.arange(24.0)
N_DAYS, N_BUS, N_PEOPLE = 3, 5, 3
DAYS = {"day": np.arange(N_DAYS), "hour": HOURS}
WEIGHT = np.array([200.0, 165.0, 1.0])
OVER = ("day", "hour")


@pytest.fixture
def study_tree() -> Callable[..., xr.DataTree]:
    """Return a function that makes a study's tree; its arguments change the usual one."""

    def make(
        *,
        name: str = "small",
        built: bool = True,
        agreed: bool = True,
        exact: bool = True,
        together: bool = False,
        **more: Any,
    ) -> xr.DataTree:
        root = xr.Dataset(
            attrs={
                "study": name,
                "study_file": '[study]\nname = "small" # <b>&</b>',
                "schema_version": 1,
                "version": "0.1.0",
                "seed": 0,
            }
        )
        groups = {
            "/network": network(**more),
            "/days": days(),
            "/plan": plan(built=built, exact=exact),
            "/trade": trade(agreed=agreed, exact=exact),
        }
        if together:
            groups["/joint"] = joint(agreed=agreed, exact=exact)
        return xr.DataTree.from_dict({"/": root, **groups})

    return make


def network(people: tuple[str, ...] = ("North", "South", "East")) -> xr.Dataset:
    bus = np.arange(N_BUS)
    return xr.Dataset(
        {
            "x": ("bus", [0.0, 1.0, 2.0, 3.0, 2.0]),
            "y": ("bus", [0.0, 0.0, 0.0, 0.5, -1.0]),
            "vn_kv": ("bus", np.full(N_BUS, 10.0)),
            "vm_min_pu": ("bus", np.full(N_BUS, 0.9)),
            "vm_max_pu": ("bus", np.full(N_BUS, 1.1)),
            "load_mw": ("bus", [0.0, 0.1, 0.2, 0.3, 0.4]),
            "bus_owner": ("bus", [-1, -1, 0, 1, 2]),
            "from_bus": ("line", [0, 1, 2, 2, 3]),
            "to_bus": ("line", [1, 2, 3, 4, 4]),
            "closed": ("line", np.array([1, 1, 1, 1, 0], dtype=np.int8)),
            "line_max_loading_percent": ("line", np.full(5, 100.0)),
            "trafo_max_loading_percent": ("trafo", [100.0]),
            "trafo_hv_bus": ("trafo", [0]),
            "trafo_lv_bus": ("trafo", [1]),
            "participant_name": ("participant", np.array(people)),
            "participant_bus": ("participant", [2, 3, 4]),
            "source_bus": ("ext_grid", [0]),
        },
        coords={"bus": bus, "line": np.arange(5), "trafo": [0], "participant": np.arange(N_PEOPLE)},
    )


def days() -> xr.Dataset:
    shape = (N_DAYS, 24)
    sun = np.clip(np.sin((HOURS - 6) / 12 * np.pi), 0, 1)
    return xr.Dataset(
        {
            "load_p_mw": ((*OVER, "load"), np.full((*shape, 4), 0.25)),
            "sgen_p_mw": ((*OVER, "sgen"), np.broadcast_to(sun[:, None], (*shape, 1)).copy()),
            "price_buy_eur_per_mwh": (OVER, np.full(shape, 200.0)),
            "price_sell_eur_per_mwh": (OVER, np.full(shape, 60.0)),
            "weight": ("day", WEIGHT),
            "source_day": ("day", np.array(["2016-02-01", "2016-07-01", "2016-01-22"])),
        },
        coords={**DAYS, "load": np.arange(4), "sgen": [0]},
        attrs={
            "step_h": 1.0,
            "n_days_total": 366,
            "extreme_days": '{"peak_net_load": "2016-01-22"}',
        },
    )


def plan(*, built: bool, exact: bool) -> xr.Dataset:
    units = np.array([2, 1, 1, 0]) * built
    vm = np.linspace(1.0, 0.93, N_BUS)
    vm_all = np.tile(vm, (N_DAYS, 24, 1))
    nothing = np.array([0.0, 0.0, 1000.0, -50.0, 0.0, 40.0]) * 1e3
    planned = np.array([100.0, 10.0, 800.0, -60.0, 2.0, 20.0]) * 1e3 if built else nothing
    return xr.Dataset(
        {
            "vm_pu": ((*OVER, "bus"), vm_all),
            "vm_nothing_pu": ((*OVER, "bus"), vm_all - 0.01),
            "line_loading_percent": ((*OVER, "line"), np.full((N_DAYS, 24, 4), 55.0)),
            "line_loading_nothing_percent": ((*OVER, "line"), np.full((N_DAYS, 24, 4), 60.0)),
            "trafo_loading_percent": ((*OVER, "trafo"), np.full((N_DAYS, 24, 1), 70.0)),
            "trafo_loading_nothing_percent": ((*OVER, "trafo"), np.full((N_DAYS, 24, 1), 80.0)),
            "units": ("candidate", units),
            "max_units": ("candidate", [3, 2, 1, 1]),
            "built_p_mw": ("candidate", units * [0.1, 0.2, 0.0, 0.5]),
            "built_e_mwh": ("candidate", units * [0.0, 0.4, 0.0, 0.0]),
            "capex_eur": ("candidate", units * [90e3, 140e3, 120e3, 850e3]),
            "annuity_eur_per_year": ("candidate", units * [7e3, 14e3, 8e3, 70e3]),
            "candidate_name": ("candidate", np.array(["Roof", "Battery", "Tie 4-5", "Mill"])),
            "technology_built": ("candidate", np.array(["pv", "storage", "line", "wind"])),
            "candidate_bus": ("candidate", [2, 3, 3, 4]),
            "candidate_owner": ("candidate", [0, 1, -1, 2]),
            "candidate_line": ("candidate", [-1, -1, 4, -1]),
            "cost_eur_per_year": (("case", "item"), np.array([nothing, planned])),
            "eens_mwh_per_year": ("case", [6.9, 5.3 if built else 6.9]),
        },
        coords={
            **DAYS,
            "bus": np.arange(N_BUS),
            "line": np.arange(4),
            "trafo": [0],
            "candidate": np.arange(4),
            "case": ["nothing", "plan"],
            "item": ["investment", "fixed_om", "purchase", "sale", "variable_om", "lost_load"],
            "weight": ("day", WEIGHT),
        },
        attrs={
            **certificate(exact=exact),
            "objective_eur_per_year": float(planned.sum()),
            "bound_eur_per_year": 0.998 * float(planned.sum()),
            "gap": 0.002,
            "iterations": 3,
            "input_hash": "ab" * 32,
        },
    )


def joint(*, agreed: bool, exact: bool) -> xr.Dataset:
    alone = np.array([100e3, 200e3, 300e3, 400e3])
    gain = 40e3 * agreed
    paid = np.array([-5e3, 8e3, -3e3, 0.0]) * agreed
    spent = {name: ("investor", np.arange(4) * 1e5) for name in ("alone", "together")}
    return xr.Dataset(
        {
            "cost_alone_eur_per_year": ("investor", alone),
            "cost_before_payment_eur_per_year": ("investor", alone - gain / 4 - paid),
            "payment_eur_per_year": ("investor", paid),
            "cost_eur_per_year": ("investor", alone - gain / 4),
            "saving_eur_per_year": ("investor", np.full(4, gain / 4)),
            **{f"investment_{name}_eur": of for name, of in spent.items()},
            "units_alone": ("candidate", [2, 0, 0, 0]),
            "units_together": ("candidate", [1, 1, 0, 0]),
            "max_units": ("candidate", [3, 2, 1, 1]),
            "candidate_name": ("candidate", np.array(["Roof", "Battery", "Tie 4-5", "Mill"])),
            "candidate_owner": ("candidate", [0, 1, -1, 2]),
            "start_reason": ("start", np.array(["nobody moves"] * 2)),
            "start_cost_eur_per_year": ("start", [1000e3, 980e3]),
            "start_end_cost_eur_per_year": ("start", [990e3, 960e3]),
            "move_start": ("move", np.array(["stand_alone", "stand_alone", "relaxed"])),
            "move_accepted": ("move", [1, 1, 1]),
        },
        coords={
            "investor": [0, 1, 2, -1],
            "candidate": np.arange(4),
            "start": ["stand_alone", "relaxed"],
        },
        attrs={
            **certificate(exact=exact),
            "claim": "the gain is larger" if agreed else "none: too small",
            "gain_eur_per_year": gain,
            "powers": "equal",
            "social_cost_alone_eur_per_year": 1000e3,
            "social_cost_eur_per_year": 1000e3 - gain,
            "objective_eur_per_year": 1000e3 - gain,
            "equilibrium": "certified: no investor gains",
            "central_gap": 1e-5,
            "gap_to_central_bound": 2e-4,
            "gap": 2e-4,
            "ac_diverged_steps": "[]",
        },
    )


def trade(*, agreed: bool, exact: bool) -> xr.Dataset:
    by_person = ("day", "participant")
    trades = np.zeros((N_DAYS, N_PEOPLE, N_PEOPLE, 24))
    saving = np.zeros((N_DAYS, N_PEOPLE))
    if agreed:
        trades[0, 0, 1, 10:14] = 0.1
        trades[1, 0, 1, 9:15] = 0.2
        saving[:] = np.array([10.0, 30.0, 0.0])[:, None]
    sold = trades.sum(axis=(2, 3)) - trades.sum(axis=(1, 3))
    alone = np.full((N_DAYS, N_PEOPLE), 500.0)
    ds = xr.Dataset(
        {
            "p_grid_mw": ((*by_person, "hour"), np.full((N_DAYS, N_PEOPLE, 24), 0.2)),
            "trade_mw": (("day", "seller", "buyer", "hour"), trades),
            "cost_alone_eur": (by_person, alone),
            "cost_eur": (by_person, alone - saving),
            "payment_eur": (by_person, -100.0 * sold),
            "saving_eur": (by_person, saving),
            "fee_eur": (by_person, 5.0 * np.abs(sold)),
            "gain_eur": ("day", saving.sum(axis=1)),
            "trade_agreed": ("day", (saving.sum(axis=1) > 0).astype(np.int64)),
        },
        coords={
            **DAYS,
            **{k: np.arange(N_PEOPLE) for k in ("participant", "seller", "buyer")},
            "weight": ("day", WEIGHT),
        },
        attrs={**certificate(exact=exact), "gap": 1e-8, "ac_diverged_steps": "[]"},
    )
    for name, value in (("cost_alone", 900.0), ("cost", 900.0), ("payment", 0.0), ("saving", 0.0)):
        ds[f"operator_{name}_eur"] = ("day", np.full(N_DAYS, value))
    return ds


def certificate(*, exact: bool) -> dict[str, Any]:
    return {
        "status": "optimal",
        "termination": "Solved",
        "solver": "clarabel 0.11.1",
        "formulation": "branch_flow",
        "version": "0.1.0",
        "seconds": 1.5,
        "seed": 0,
        "relaxation": "exact" if exact else "inexact",
        "relaxation_gap": 4e-8 if exact else 0.3,
        "ac_vm_error_pu": 1e-7 if exact else float("inf"),
        "ac_loss_error_percent": 6e-4 if exact else float("inf"),
        "ac_diverged_steps": "[]" if exact else "[4, 7]",
    }
