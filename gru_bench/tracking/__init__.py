"""Tracking of runs with MLflow: write runs, and read them back. Only this package imports mlflow."""

from gru_bench.tracking.client import AGAIN, NOTE, PARENT_TAG
from gru_bench.tracking.reader import FILE, LoggedRun, LoggedStudy, Reader, StudyPlan, open_reader
from gru_bench.tracking.store import Store, attach
from gru_bench.tracking.writer import INTERRUPTED, RunWriter

__all__ = ["AGAIN", "FILE", "INTERRUPTED", "NOTE", "PARENT_TAG", "LoggedRun", "LoggedStudy", "Reader", "RunWriter",
           "Store", "StudyPlan", "attach", "open_reader"]
