"""Solver choice by problem class, reports, compiled problems."""
