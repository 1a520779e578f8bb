"""Pages and tables about a run."""
