"""gru-bench: sweeps and write-ups for recurrent text classifiers."""

__version__ = "0.1.0"
