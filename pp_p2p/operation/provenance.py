"""Attributes that every optimised result carries: what was solved, how well, and the proof."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from pp_p2p.errors import InexactRelaxation
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.relaxation import NO_LOAD_FLOW
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.solve.report import SolveReport
from pp_p2p.version import __version__


def provenance(
    problem: str,
    report: SolveReport,
    proof: Certificate,
    *,
    formulation: Formulation,
    seed: int,
    options: Mapping[str, object],
    digest: str,
) -> dict[str, object]:
    """Return the attributes of a result; warn where the replay does not confirm it.

    Parameters
    ----------
    problem : str
        Name of the function that made the result.
    report : SolveReport
    proof : Certificate
    formulation : Formulation
    seed : int
    options : mapping
        Arguments of the function.
    digest : str
        Hash of all inputs (`pp_p2p.results.input_hash`).
    """
    if formulation.has_losses and not proof.exact:
        warnings.warn(
            f"{problem}: the relaxation is inexact (gap {proof.relaxation_gap:.2g} p.u., voltage "
            f"error {proof.ac_vm_error_pu:.2g} p.u., loss error "
            f"{proof.ac_loss_error_percent:.2g} %): {'; '.join(proof.reasons)}. See "
            "pp_p2p.Tightening, and repair='ac' of pp_p2p.dispatch",
            InexactRelaxation,
            stacklevel=3,
        )
    elif proof.ac_diverged:
        warnings.warn(
            f"{problem}: {NO_LOAD_FLOW} (steps {', '.join(map(str, proof.ac_diverged))})",
            InexactRelaxation,
            stacklevel=3,
        )
    return {
        "problem": problem,
        "status": report.status.value,
        "termination": report.termination,
        "gap": report.gap,
        "iterations": report.iterations,
        "solver": f"{report.solver} {report.version}",
        "seconds": report.seconds,
        "formulation": formulation.name,
        "relaxation": "exact" if proof.exact else "inexact",
        "relaxation_gap": proof.relaxation_gap,
        "relaxation_reasons": list(proof.reasons),
        "ac_vm_error_pu": proof.ac_vm_error_pu,
        "ac_loss_error_percent": proof.ac_loss_error_percent,
        "ac_diverged_steps": list(proof.ac_diverged),
        "version": __version__,
        "input_hash": digest,
        "seed": seed,
        "options": dict(options),
    }
