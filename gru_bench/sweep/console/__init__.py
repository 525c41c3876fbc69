"""Console output of a sweep (progress, ETA, console log) and its interruption by signals."""
