"""The only package that imports mlflow: write runs as they happen, read them back for a report.

What is written goes to a queue on disk first, and MLflow is fed from there.
"""

from gru_bench.tracking.queue import DIED, waiting
from gru_bench.tracking.reader import LoggedRun, LoggedStudy, Reader
from gru_bench.tracking.writer import RunWriter, Store

__all__ = ["DIED", "LoggedRun", "LoggedStudy", "Reader", "RunWriter", "Store", "waiting"]
