"""gru-bench: sweeps and reports for recurrent text classifiers."""

__version__ = "0.1.0"
