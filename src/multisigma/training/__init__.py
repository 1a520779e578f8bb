"""Training and evaluation of the scene network."""
