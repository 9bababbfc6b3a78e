"""proto"""
from __future__ import annotations

import dataclasses
import time

import numpy as np
import scipy.sparse as sp

from pp_p2p.market.chain_hull import ChainHull, groups_of
from pp_p2p.market.joint_trading import JointTrading
from pp_p2p.market.looped_market import LoopedMarket, _step_of, part_of
from pp_p2p.network.spanning import graph_facts
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.conic import ConicSolver, conic_form, row_duals
from pp_p2p.solve.vectors import ABSENT, Positions


def safe(form, answer, lower, upper):
    reach = np.maximum(np.abs(lower), np.abs(upper))
    curved = (form.P + sp.triu(form.P, 1).T) @ answer.x
    residual = np.abs(curved + form.q + form.A.T @ answer.z)
    return float(-0.5 * (answer.x @ curved) - form.b @ answer.z - residual @ reach)


def bound(joint: JointTrading, market: LoopedMarket):
    t0 = time.perf_counter()
    m = joint.build()
    p = compile_model(m)
    t1 = time.perf_counter()
    form = conic_form(p)
    answer = ConicSolver(form).solve()
    root = safe(form, answer, p.lower, p.upper) + p.offset
    t2 = time.perf_counter()
    print("root", root, "build", t1 - t0, "solve", t2 - t1)
    period = joint.period
    own = [m.switches, m.radiality]
    of_period = {id(v) for c in (m.switches, m.radiality) for v in c.component_data_objects(__import__("pyomo.environ").environ.Var)}
    of_period |= {id(v) for v in m.operated.values()}
    block = np.array([_step_of(v) if id(v) in of_period else period[_step_of(v)] for v in p.columns])
    y = row_duals(p, form, answer.z)
    place = {v.name: k for k, v in enumerate(p.columns)}
    at = np.array([place[v.name] for v in market.problem.columns])
    binary = np.full((joint.graph.n_edges, joint.line.n_steps), ABSENT)
    pos = Positions(p)
    for (e, k), v in m.switches.closed.items():
        binary[e, period == k] = pos.columns_of([v])[0]
    t3 = time.perf_counter()
    hull = ChainHull(market, p, at, binary, block)
    for g in groups_of(joint.graph, graph_facts(joint.graph)):
        for t in range(joint.line.n_steps):
            hull.add(g, t)
    whole, block = hull.problem()
    t4 = time.perf_counter()
    print("hull", t4 - t3, len(whole.cost), whole.matrix.shape, len(whole.cone_sizes))
    # blocks
    coo = sp.coo_matrix(whole.matrix)
    first = np.full(whole.matrix.shape[0], 10**9); last = np.full(whole.matrix.shape[0], -1)
    np.minimum.at(first, coo.row, block[coo.col]); np.maximum.at(last, coo.row, block[coo.col])
    tie = np.flatnonzero(first < last)
    assert tie.max(initial=-1) < len(y)
    yy = y[tie]; side = np.where(yy > 0, whole.row_lower[tie], whole.row_upper[tie]); use = np.where(np.isfinite(side), yy, 0)
    cost = whole.cost - sp.csr_matrix(whole.matrix)[tie].T @ use
    total = p.offset + float(use @ np.where(np.isfinite(side), side, 0))
    cc = sp.coo_matrix(whole.cone_matrix); cr = np.repeat(np.arange(len(whole.cone_sizes)), whole.cone_sizes)
    cb = np.full(len(whole.cone_sizes), -1); cb[cr[cc.row]] = block[cc.col]
    priced = dataclasses.replace(whole, cost=cost)
    vals = []
    for k in range(block.max() + 1):
        part = part_of(priced, np.flatnonzero(block == k), np.flatnonzero((first == k) & (last == k)), cb == k)
        f = conic_form(part)
        a = ConicSolver(f).solve()
        v = safe(f, a, part.lower, part.upper)
        if k < 3: print(k, a.status, a.iterations, a.seconds, v, part.matrix.shape)
        vals.append(v)
    t5 = time.perf_counter()
    print("bound", total + sum(vals), "solve", t5 - t4, "parts", len(vals))
    return vals
