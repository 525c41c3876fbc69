"""The only package that imports mlflow: write runs as they happen, read them back for a write-up."""

from gru_bench.tracking.reading import LoggedRun, LoggedStudy, Reader
from gru_bench.tracking.writing import RunWriter, Store

__all__ = ["LoggedRun", "LoggedStudy", "Reader", "RunWriter", "Store"]
