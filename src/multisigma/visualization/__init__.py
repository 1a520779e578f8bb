"""Pictures and curves: colours, overlays, noise and weights over training."""
