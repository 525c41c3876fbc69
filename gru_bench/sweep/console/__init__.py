"""Console output of a sweep (opening, progress, description) and its interruption by signals."""
