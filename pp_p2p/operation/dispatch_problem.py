"""`DispatchProblem`: a dispatch that is built once and solved for one day after another."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import DAY, HOUR, TIME
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import (
    FlowSolution,
    converter_slack,
    label_devices,
    label_flows,
    read_flows,
)
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone
from pp_p2p.operation.dispatch_data import OBJECTIVES, DispatchData, Objective
from pp_p2p.operation.dispatch_model import CompiledDispatch, build
from pp_p2p.operation.dispatch_objective import SCALE
from pp_p2p.operation.powerflow import Certificate, certify, label_proof
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label, net_hash
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport
from pp_p2p.solve.run import start_from

NAMED_CHANGES = 3
"""At most this many changes are named as the reason of a rebuild."""


class DispatchProblem:
    """Optimal dispatch of one net, to be solved for many profiles.

    The model is built and compiled once. Other loads, available power, prices, storage levels and
    device limits then only replace vectors; what enters the matrix (the grid, costs of elements,
    efficiencies, the number of steps, which elements move) makes a new model, and the result's
    attribute ``rebuilt`` says why.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. It is read again at every solve: what was changed in it since counts.
    profiles, objective, formulation, repair, vm_ref_pu, tightening, solver, seed
        As of `pp_p2p.dispatch`.

    Raises
    ------
    InvalidInput, UnsupportedFeature, SolverUnavailable, SolverCannot
        At once.

    Examples
    --------
    >>> problem = p2p.DispatchProblem(net, monday, objective="cost")
    >>> results = [problem.solve(day) for day in week]
    """

    def __init__(
        self,
        net: Any,
        profiles: xr.Dataset | None = None,
        *,
        objective: Objective = "loss",
        formulation: str = "branch_flow",
        repair: Literal["", "ac"] = "",
        vm_ref_pu: float = 1.0,
        tightening: Tightening = PLAIN,
        solver: SolverConfig = DEFAULT_CONFIG,
        seed: int = 0,
    ) -> None:
        _check_options(objective, repair)
        self._physics = get_formulation(formulation)
        require_cone(tightening, self._physics)
        self._tightening = tightening
        self._net, self._profiles, self._seed = net, profiles, seed
        self._objective, self._vm_ref_pu = objective, vm_ref_pu
        self._repair, self._config = repair, solver
        self._options = {
            "objective": objective,
            "formulation": formulation,
            "repair": repair,
            "vm_ref_pu": vm_ref_pu,
            "tightening": dataclasses.asdict(tightening),
            "solver": dataclasses.asdict(solver),
        }
        self._net_hash = net_hash(net)
        self._input_hash = self._hash(profiles)
        self._data = DispatchData.from_net(
            net, profiles, objective, vm_ref_pu, tightening=tightening
        )
        self._compiled = self._compile()
        self._solved = False

    def solve(
        self,
        profiles: xr.Dataset | None = None,
        *,
        price_buy_eur_per_mwh: npt.ArrayLike | None = None,
        price_sell_eur_per_mwh: npt.ArrayLike | None = None,
    ) -> xr.Dataset:
        """Return what ``pp_p2p.dispatch(net, profiles, ...)`` returns, to the solver's tolerance.

        Parameters
        ----------
        profiles : Dataset, optional
            Those the problem was made with, where there are none.
        price_buy_eur_per_mwh, price_sell_eur_per_mwh : float or (step,) of float, EUR/MWh, optional
            Replace those of `profiles`.

        Returns
        -------
        Dataset
            As of `pp_p2p.dispatch`. The attribute ``rebuilt`` says what could not be a change of
            vectors; it is empty where nothing was built since the last solve.

        Raises
        ------
        InvalidInput, UnsupportedFeature, NoSolution
            As `pp_p2p.dispatch` raises them; the problem can be solved again afterwards.
        """
        profiles = self._profiles if profiles is None else profiles
        prices = {
            "price_buy_eur_per_mwh": price_buy_eur_per_mwh,
            "price_sell_eur_per_mwh": price_sell_eur_per_mwh,
        }
        rebuilt = self._take(_with_prices(profiles, prices))
        model, report = self._compiled.model, self._compiled.solve(self._data)
        exact, repaired = self._physics.name == "ac", False
        if exact:
            rebuilt = rebuilt or ("formulation 'ac' is built every time" if self._solved else "")
            model, report = self._exact(model)
        ds, proof = self._read(self._physics, model)
        if self._repair and self._physics.name == "branch_flow" and not proof.exact:
            exact = repaired = True
            model, report = self._exact(model)
            ds, proof = self._read(get_formulation("ac"), model)
        self._solved = True
        attrs = provenance(
            "dispatch",
            report,
            proof,
            formulation=get_formulation("ac") if exact else self._physics,
            seed=self._seed,
            options=self._options,
            digest=self._input_hash,
        )
        unit, added = SCALE[self._objective], added_value(model)
        attrs |= {
            "objective": (report.objective - added) * unit,
            "bound": (report.bound - added) * unit,
            "objective_added": added * unit,
            "tightening": self._options["tightening"],
            "objective_of": self._objective,
            "repaired": repaired,
            "rebuilt": rebuilt,
        }
        return label(ds, attrs)

    def _take(self, profiles: xr.Dataset | None) -> str:
        """Make net and `profiles` the data to solve with; return why the model is a new one."""
        of_net = net_hash(self._net)
        unchanged, self._net_hash = of_net == self._net_hash, of_net
        digest = self._hash(profiles)
        if digest == self._input_hash:
            return ""
        last = (self._data.grid, unchanged)
        self._input_hash = ""  # until it is read: it may hold a mistake
        self._data = DispatchData.from_net(
            self._net,
            profiles,
            self._objective,
            self._vm_ref_pu,
            tightening=self._tightening,
            last=last,
        )
        self._input_hash = digest
        old, new = self._compiled.data.structure(), self._data.structure()
        changed = [name for name in new if new[name] != old.get(name)]
        if not changed:
            return ""
        self._compiled = self._compile()
        more = len(changed) - NAMED_CHANGES
        return f"changed: {', '.join(changed[:NAMED_CHANGES])}" + (
            f" and {more} more" if more > 0 else ""
        )

    def _compile(self) -> CompiledDispatch:
        """Compile what can be: the exact formulation starts from the cone's solution."""
        exact = self._physics.name == "ac"
        physics = get_formulation("branch_flow") if exact else self._physics
        config = dataclasses.replace(self._config, name="auto") if exact else self._config
        return CompiledDispatch(self._data, physics, config)

    def _exact(self, start: Any) -> tuple[Any, SolveReport]:
        model = build(self._data, get_formulation("ac"))
        start_from(model, start)
        grid, line = self._data.grid, self._data.line
        return model, solve_or_explain(model, grid, line, self._config, "dispatch")

    def _read(self, physics: Formulation, m: Any) -> tuple[xr.Dataset, Certificate]:
        data = self._data
        flows = read_flows(m.network, m.injection, has_losses=physics.has_losses)
        ds = label_flows(data.grid, flows, data.line)
        ds = ds.merge(label_devices(m, data.portfolio, data.grid, data.line))
        slack = converter_slack(m, data.portfolio) if physics.has_losses else 0.0
        proof = certify(
            self._net,
            data.grid,
            flows,
            has_losses=physics.has_losses,
            converter_slack=slack,
            loss_price=_loss_price(data, flows),
        )
        return ds.merge(label_proof(proof, data.grid, data.portfolio, data.line)), proof

    def _hash(self, profiles: xr.Dataset | None) -> str:
        read = xr.Dataset() if profiles is None else profiles
        return input_hash(self._net, read, self._options, of_net=self._net_hash)


def _loss_price(data: DispatchData, flows: FlowSolution) -> Array:
    """Return what the objective charges for one more MWh of losses (step,)."""
    if data.objective != "cost":
        return np.ones(data.line.n_steps)
    linear, square = data.source_cost.T
    own = (linear + 2 * square * flows.p_source).min(axis=1) / data.grid.s_base_mva
    charged = own + loss_price(flows, data.price_buy, data.price_sell)
    return np.asarray(charged + data.tightening.loss_weight)


def _with_prices(
    profiles: xr.Dataset | None, prices: dict[str, npt.ArrayLike | None]
) -> xr.Dataset | None:
    given = {name: value for name, value in prices.items() if value is not None}
    if not given:
        return profiles
    profiles = xr.Dataset(coords={TIME: [0.0]}) if profiles is None else profiles
    dims = (DAY, HOUR) if {DAY, HOUR} <= set(profiles.dims) else (TIME,)
    shape = tuple(profiles.sizes[dim] for dim in dims)
    try:
        return profiles.assign(
            {
                name: (dims, np.broadcast_to(np.asarray(v, float), shape))
                for name, v in given.items()
            }
        )
    except ValueError as error:
        raise InvalidInput(
            Finding(
                table="prices",
                column=" and ".join(given),
                rule=f"do not fit {' x '.join(map(str, shape))} steps ({error})",
                mend=f"give one number, or one for each of {', '.join(dims)}",
            )
        ) from error


def _check_options(objective: str, repair: str) -> None:
    for name, value, allowed in (
        ("objective", objective, OBJECTIVES),
        ("repair", repair, ("", "ac")),
    ):
        if value not in allowed:
            raise InvalidInput(
                Finding(
                    table="dispatch",
                    column=name,
                    rule=f"is {value!r}",
                    mend=f"choose one of {', '.join(repr(a) for a in allowed)}",
                )
            )
