"""Questions answered by measurement; each file runs by itself and writes its results as data."""
