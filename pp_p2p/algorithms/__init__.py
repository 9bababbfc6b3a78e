"""Iterative schemes that know no grid: consensus, exchange, pair trades, coupling, batched QP."""
