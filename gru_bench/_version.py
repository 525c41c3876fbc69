"""The version of gru-bench."""

__version__ = "0.1.0"
