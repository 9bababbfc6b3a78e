"""The examples run and show what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import pp_p2p as p2p

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_trading_areas_keeps_the_orderings_of_its_source(capsys: Any) -> None:
    """Trading helps everyone, response lowers costs, a limit raises them and favours neighbours."""
    example = runpy.run_path(str(EXAMPLES / "trading_areas.py"))
    net, rows = example["feeder"]()
    cases = p2p.trading_cases(
        net,
        example["day"](net, rows),
        line_limits_mva={example["LINE_2_3"]: 0.1},
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=2.0),
    )
    assert (cases["cost_eur"] <= cases["cost_alone_eur"] + 1e-6).all()
    assert set(cases["relaxation"].to_numpy().tolist()) == {"exact"}
    for name in ("social_cost_eur", "social_cost_alone_eur"):
        cost = cases[name]
        assert float(cost.sel(case="base")) < float(cost.sel(case="no response"))
        assert float(cost.sel(case="base")) < float(cost.sel(case="limited lines"))
    between = cases["peer_purchase_mwh"].sum("participant")
    with_grid = (cases["grid_purchase_mwh"] + cases["grid_sale_mwh"]).sum("participant")
    assert float(between.sel(case="limited lines")) > float(between.sel(case="base"))
    assert float(with_grid.sel(case="limited lines")) < float(with_grid.sel(case="base"))
    example["main"]()
    assert "limited lines, no response" in capsys.readouterr().out
