"""What a joint plan may use: the year, its accounts, and what each of them owns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import xarray as xr

from planning.candidates import Candidates
from planning.fault_graph import Isolators
from planning.investment import InvestmentLimits
from planning.year_model import ExpansionData
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.names import OPERATOR
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import Portfolio

OF_NETWORK: Final = ("line", "replacement", "switch", "sop")
"""Technologies that nobody but the operator builds."""


@dataclass(frozen=True, kw_only=True)
class JointData:
    """Data of a joint plan, per unit where it is electrical.

    `participants` (participant,) are rows of ``net.participant``; limits (participant,) are p.u.,
    ``inf`` where there is none. `investors` are the accounts that may build, each within its own
    limits, if any, of `own_limits`.
    """

    year: ExpansionData
    participants: Array
    investors: tuple[int, ...]
    max_import: Array
    max_export: Array
    max_trade: Array
    power: Array
    fee_eur_per_mwh: float
    own_limits: Mapping[int, InvestmentLimits] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_net(
        cls,
        net: Any,
        days: xr.Dataset,
        *,
        investors: Sequence[int] | None,
        fee_eur_per_mwh: float,
        interest_rate: float,
        isolators: Isolators = "every_branch",
        own_limits: Mapping[int, InvestmentLimits] | None = None,
        **limits: Any,
    ) -> Self:
        """Read net, candidates and typical days.

        Parameters
        ----------
        limits
            Fields of `planning.year_model.ExpansionData`: limits and prices.

        Raises
        ------
        InvalidInput
            No participant, no candidate, an investor that has none or is unknown, or a part of
            the network that a participant would build.
        UnsupportedFeature
            A participant's storage on the link of a soft open point, or a candidate of any size.
        """
        year = ExpansionData.from_net(
            net,
            days,
            interest_rate=interest_rate,
            isolators=isolators,
            budget_eur=np.inf,
            **limits,
        )
        rows = frame(net, "participant")
        rows = rows[rows.in_service.to_numpy(bool)].sort_index()
        known = rows.index.to_numpy(np.int64)
        own_limits = {} if own_limits is None else own_limits
        raise_if_any(_findings(year, known, investors, own_limits))
        _refuse_links(year.portfolio)
        _refuse_sizes(year.candidates)
        chosen = {int(o) for o in year.candidates.owner} if investors is None else set(investors)
        kept = np.isin(year.candidates.owner, list(chosen))
        candidates = dataclasses.replace(
            year.candidates, max_units=year.candidates.max_units * kept
        )

        def limit(name: str) -> Array:
            mw = rows[name].astype(float).fillna(np.inf).to_numpy(float)
            return np.asarray(mw / year.grid.s_base_mva)

        order = [*known.tolist(), OPERATOR]
        return cls(
            year=dataclasses.replace(year, candidates=candidates),
            participants=known,
            investors=tuple(sorted(chosen, key=order.index)),
            max_import=limit("max_import_mw"),
            max_export=limit("max_export_mw"),
            max_trade=limit("max_trade_mw"),
            power=rows.bargaining_power.to_numpy(float),
            fee_eur_per_mwh=fee_eur_per_mwh,
            own_limits=own_limits,
        )

    @property
    def accounts(self) -> Array:
        """Labels of all accounts: participants, then the operator."""
        return np.append(self.participants, OPERATOR)

    @property
    def step_mwh(self) -> Array:
        """Energy of 1 p.u. over a step in a year (step,), MWh/a."""
        line = self.year.line
        return line.step_weight * line.step_h * self.year.grid.s_base_mva

    def position(self, account: int) -> int:
        """Return the position of an account's label in `accounts`."""
        return int(np.flatnonzero(self.accounts == account)[0])

    def candidates_of(self, account: int) -> Array:
        """Return the positions of the candidates that `account` owns."""
        return np.flatnonzero(self.year.candidates.owner == account)

    def limited(self, units: Array) -> Array:
        """Return `units` (candidate,), of each investor its last ones less, as its limits ask."""
        kept, c = units.copy(), self.year.candidates
        for account, limits in self.own_limits.items():
            mine = self.candidates_of(account)
            for k in mine[::-1].tolist():
                while kept[k] > 0 and not limits.allow(c, np.where(c.owner == account, kept, 0)):
                    kept[k] -= 1
        return kept

    def portfolio_of(self, account: int) -> Portfolio:
        """Return what exists and `account` owns; soft open points are the operator's."""
        p = self.year.portfolio
        flexible = owned(p.flexible, p.flexible.owner == account)
        place = np.cumsum(p.loads.owner == account) - 1
        return dataclasses.replace(
            p,
            loads=owned(p.loads, p.loads.owner == account),
            flexible=dataclasses.replace(flexible, load=place[flexible.load]),
            generators=owned(p.generators, p.generators.owner == account),
            storages=owned(p.storages, p.storages.owner == account),
        )

    @cached_property
    def most(self) -> float:
        """Bound of every exchange and trade, p.u.: all that may move at once."""
        p, c = self.year.portfolio, self.year.candidates
        fixed = np.abs(p.loads.p).sum(axis=1) + np.abs(p.generators.available).sum(axis=1)
        moved = (p.flexible.max_up + p.flexible.max_curtail + p.flexible.level).sum(axis=1)
        units_g, units_s = c.max_units[c.generator_of], c.max_units[c.storage_of]
        built = c.generators.available @ units_g
        stored = p.storages.p_charge.sum() + p.storages.p_discharge.sum()
        stored += ((c.storages.p_charge + c.storages.p_discharge) * units_s).sum()
        # losses are the operator's, and no more than what moves
        return float(2.0 * ((fixed + moved + built).max() + stored) + 1e-3)


def owned(rows: Any, keep: Array) -> Any:
    """Return a dataclass of device arrays with the devices `keep` (device,) alone."""
    parts = {}
    for field in dataclasses.fields(rows):
        values = getattr(rows, field.name)
        parts[field.name] = values[:, keep] if values.ndim == 2 else values[keep]
    return dataclasses.replace(rows, **parts)


def _refuse_links(portfolio: Portfolio) -> None:
    s = portfolio.storages
    linked = (s.sop != NONE) & (s.owner != OPERATOR)
    if linked.any():
        raise UnsupportedFeature(
            "plan_together",
            Finding(
                table="storage",
                column="sop",
                rows=tuple(s.index[linked].tolist()),
                rule="stands on the operator's soft open point but belongs to a participant",
                mend="make it the operator's, or put it at a bus",
            ),
        )


def _refuse_sizes(c: Candidates) -> None:
    if c.continuous.any():
        raise UnsupportedFeature(
            "plan_together",
            Finding(
                table="candidate",
                column="sizing",
                rows=tuple(c.index[c.continuous].tolist()),
                rule="may have any size, but investors bargain over whole units",
                mend="set sizing to 'units', or use plan_network",
            ),
        )


def _findings(
    year: ExpansionData,
    participants: Array,
    investors: Sequence[int] | None,
    limited: Iterable[int],
) -> list[Finding]:
    owners = year.candidates.owner
    found = []
    if not len(participants):
        found.append(
            Finding(
                table="participant",
                rule="has no row in service",
                mend="create one with pp_p2p.create_participant and assign devices to it",
            )
        )
    if not len(owners):
        found.append(
            Finding(
                table="candidate",
                rule="has no row in service that may be built",
                mend="create one with pp_p2p.create_candidate",
            )
        )
    idle = ~np.isin(owners, [*participants.tolist(), OPERATOR])
    if idle.any():
        found.append(
            Finding(
                table="candidate",
                column="participant",
                rows=tuple(year.candidates.index[idle].tolist()),
                rule="belongs to a participant that is not in service",
                mend="put the participant in service, or take the candidate out",
            )
        )
    foreign = np.isin(year.candidates.technology, OF_NETWORK) & (owners != OPERATOR)
    if foreign.any():
        found.append(
            Finding(
                table="candidate",
                column="participant",
                rows=tuple(year.candidates.index[foreign].tolist()),
                rule="would build a part of the network, which is the operator's",
                mend="leave participant out",
            )
        )
    wanted = [] if investors is None else list(investors)
    accounts = [*participants.tolist(), OPERATOR]
    for table, named in (("investors", wanted), ("budget_eur, max_sites", limited)):
        unknown = [k for k in named if k not in accounts]
        if not unknown:
            continue
        found.append(
            Finding(
                table=table,
                rows=tuple(unknown),
                rule="is not a participant in service",
                mend="use rows of net.participant, and -1 for the operator",
            )
        )
    poor = [k for k in wanted if k in accounts and k not in owners]
    if poor or (investors is not None and not wanted):
        found.append(
            Finding(
                table="investors",
                rows=tuple(poor),
                rule="has no candidates" if poor else "is empty",
                mend="create candidates with participant=..., or leave it out: it trades all "
                "the same",
            )
        )
    return found
