"""Experiments: each file runs by itself with `python -m` and writes its results as data."""
