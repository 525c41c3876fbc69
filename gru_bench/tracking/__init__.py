"""Tracking of runs with MLflow: write runs, and read them back. Only this package imports mlflow.

A record goes to an outbox on disk first. A thread then uploads it to MLflow.
"""

from gru_bench.tracking.client import NOTE, PARENT_TAG
from gru_bench.tracking.outbox import refused, waiting
from gru_bench.tracking.reader import FILE, LoggedRun, LoggedStudy, Reader, StudyPlan, open_reader
from gru_bench.tracking.record import DIED, INTERRUPTED, new_id
from gru_bench.tracking.store import Store, attach
from gru_bench.tracking.writer import RunWriter

__all__ = ["DIED", "FILE", "INTERRUPTED", "NOTE", "PARENT_TAG", "LoggedRun", "LoggedStudy", "Reader", "RunWriter",
           "Store", "StudyPlan", "attach", "new_id", "open_reader", "refused", "waiting"]
