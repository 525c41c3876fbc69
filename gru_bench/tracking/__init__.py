"""Tracking of runs with MLflow: write runs as they happen, and read them back. Only this package imports mlflow.

Writes go to a queue on disk first. A thread then syncs them to MLflow.
"""

from gru_bench.tracking.queue import DIED, waiting
from gru_bench.tracking.reader import FILE, LoggedRun, LoggedStudy, Parent, Reader, StudyPlan
from gru_bench.tracking.writer import NOTE, RunWriter, Store

__all__ = ["DIED", "FILE", "NOTE", "LoggedRun", "LoggedStudy", "Parent", "Reader", "RunWriter", "Store", "StudyPlan",
           "waiting"]
