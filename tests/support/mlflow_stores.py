"""A store as MLflow has it: what another program may read and change there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.tracking import Reader
from gru_bench.tracking.client import open_client
from gru_bench.tracking.file import FileSource
from tests.support.values import present

if TYPE_CHECKING:
    from mlflow import MlflowClient


def client_of(store: Reader) -> MlflowClient:
    """MLflow's own client of a store."""
    return open_client(store.uri, store.database)


def artifacts_of(store: Reader, mlflow_id: str) -> Path:
    """The folder of the artifacts of a run, in a store that is a file."""
    return present(FileSource(present(store.database), lambda: client_of(store)).artifacts(mlflow_id))
