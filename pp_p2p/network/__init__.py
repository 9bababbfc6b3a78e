"""Network physics: a pandapower net as per-unit arrays, and formulations of its load flow."""
