"""The declarations of soft open points and their terminals."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

from pp_p2p.elements.checks import between, gt, one_of
from pp_p2p.elements.columns import IN_SERVICE, NAME, quantity, reference
from pp_p2p.elements.schema import Column, Table

ControlModeAc = Literal["q_mvar", "vm_pu"]
ControlModeDc = Literal["p_mw", "vm_pu"]
CONTROL_MODES_AC: Final[tuple[str, ...]] = get_args(ControlModeAc)
CONTROL_MODES_DC: Final[tuple[str, ...]] = get_args(ControlModeDc)

SOP: Final = Table(
    name="sop",
    doc="A soft open point: converters that share one direct-current link.",
    columns=(
        NAME,
        IN_SERVICE,
    ),
)

SOP_TERMINAL: Final = Table(
    name="sop_terminal",
    doc="One converter of a soft open point.",
    unique=("sop", "bus"),
    columns=(
        reference("sop", "the soft open point it belongs to", least=2),
        reference("bus", "bus it is connected to"),
        Column(
            name="sn_mva",
            dtype="float64",
            unit="MVA",
            required=True,
            check=gt(0),
            doc="rated apparent power",
        ),
        Column(
            name="loss_factor",
            dtype="float64",
            unit="1",
            default=0.0,
            check=between(0, 1),
            doc="loss per apparent power",
        ),
        quantity("loss_standby_mw", "MW", 0.0, 0, "loss whatever it carries"),
        quantity(
            "loss_quadratic_per_mva", "1/MVA", 0.0, 0, "loss per square of the apparent power"
        ),
        Column(
            name="control_mode_ac",
            dtype="object",
            default="q_mvar",
            check=one_of(*CONTROL_MODES_AC),
            doc="what it holds in a power flow: its reactive power, or the voltage of its bus",
        ),
        Column(
            name="control_mode_dc",
            dtype="object",
            default="p_mw",
            check=one_of(*CONTROL_MODES_DC),
            doc="what it holds in a power flow: its active power, or (one terminal of a device) the"
            " voltage of the direct-current link, and so what the others leave; without any,"
            " the last terminal in service",
        ),
        Column(
            name="p_mw",
            dtype="float64",
            unit="MW",
            default=0.0,
            doc="set-point of active power fed into the bus",
        ),
        Column(
            name="q_mvar",
            dtype="float64",
            unit="Mvar",
            default=0.0,
            doc="set-point of reactive power fed into the bus",
        ),
        quantity(
            "vm_pu",
            "1",
            1.0,
            0,
            "set-point of the bus voltage, where the terminal holds it",
            positive=True,
        ),
        Column(
            name="min_q_mvar",
            dtype="float64",
            unit="Mvar",
            default=math.nan,
            doc="least reactive power fed in; NaN leaves the rating as the only limit",
        ),
        Column(
            name="max_q_mvar",
            dtype="float64",
            unit="Mvar",
            default=math.nan,
            doc="most reactive power fed in; NaN leaves the rating as the only limit",
        ),
        Column(
            name="grid_forming",
            dtype="bool",
            default=False,
            doc="True lets it hold voltage and frequency of an island that nothing else feeds, also"
            " after a fault: the device then feeds what lost its source from another terminal",
        ),
        IN_SERVICE,
    ),
)
