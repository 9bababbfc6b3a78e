"""The sections of a study file about several years, several cases, and how they are run."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from flows.study_fields import (
    Limits,
    Positive,
    RatesByTechnology,
    Section,
    StageYears,
)

Runner = Literal["serial", "threads", "processes", "dask", "ray"]


class Horizon(Section):
    """``[horizon]``: plan several years in stages instead of one year."""

    stage_years: StageYears = Field(description="length of each stage, one after the other")
    first_year: Annotated[int, Field(ge=1)] = Field(
        default=1, description="calendar year in which the first stage begins"
    )
    demand_growth_percent_per_year: float = Field(
        default=0.0, gt=-100.0, description="growth of every load over the year before"
    )
    price_growth_percent_per_year: float = Field(
        default=0.0, gt=-100.0, description="real growth of the prices over the year before"
    )
    learning_percent_per_year: RatesByTechnology = Field(
        default_factory=dict,
        description="by how much a unit of a technology gets cheaper than the year before",
    )
    eens_limit_mwh_per_year: Limits = Field(
        default=(),
        description="energy not supplied, of each stage; none: that of [planning]",
    )
    stage_budget_eur: Limits = Field(
        default=(), description="most to invest in each stage; none: unlimited"
    )
    operation_of: Literal["first", "last"] = Field(
        default="last", description="whose demand and prices stand for a stage: its first year's"
        " or its last year's",
    )  # fmt: skip
    salvage: Literal["annuity", "linear", "none", "perpetuity"] = Field(
        default="annuity",
        description="what units are worth after the horizon: see planning.Discounting",
    )
    foresight: Literal["perfect", "rolling"] = Field(
        default="perfect", description="decide all stages at once, or each knowing only itself"
    )
    replacement: Literal["automatic", "optional"] = Field(
        default="automatic", description="whether a unit is bought again when its life ends"
    )


class Scenario(Section):
    """``[[scenario]]``: a case of its own; `[scenario.network]` below it replaces keys for it."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+%-]*$")] = Field(
        description="name of the case: letters, digits, space, . _ + % -"
    )
    leave_out: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description='keys that the case does without: "planning.budget_eur", "candidate.NAME"',
    )


class Matrix(Section):
    """``[matrix]``: `"section.key" = [values]`; every combination of values becomes a case."""

    model_config = ConfigDict(extra="allow")


class Running(Section):
    """``[run]``: how the cases are run; it changes no number."""

    runner: Runner = Field(
        default="serial",
        description="who runs the cases: this process, threads, processes, Dask or Ray",
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        default=0, description="cases at the same time; 0: one for each core"
    )
    step_timeout_s: Positive | None = Field(
        default=None, description="a step that takes longer is ended; none: never"
    )
    retries: Annotated[int, Field(ge=0)] = Field(
        default=0, description="how often a step is tried again after its process has died"
    )
    address: str = Field(default="", description="Dask or Ray: address of the cluster; none: local")


OVERRIDDEN_BY_NAME: Final = ("sop", "candidate", "participant")
"""Listed sections whose elements a scenario names: ``[scenario.candidate."PV at 11"]``."""

NOT_OVERRIDDEN: Final = ("scenario", "matrix", "run")
"""Sections of the file as a whole."""
