"""Training: settings in, result of the run out."""
