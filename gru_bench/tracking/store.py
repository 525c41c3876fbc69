"""The tracking store for writing and reading: what was written is in MLflow when a call returns.

An experiment is a data set. A study is a parent run whose children are its trials and confirmation runs.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from gru_bench.config import MetricName, RunConfig, flat
from gru_bench.errors import first_line
from gru_bench.platforms import user
from gru_bench.tracking.client import ROWS_TAG, replace_artifacts
from gru_bench.tracking.patience import PatientReader
from gru_bench.tracking.pending import Begin, PendingRun, now
from gru_bench.tracking.provenance import provenance
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG, Reader
from gru_bench.tracking.view import save_view
from gru_bench.tracking.writer import RunWriter

ATTACHED = "report"
"""Folder among a run's artifacts with a report, which was computed from the runs."""


class Store(PatientReader):
    """A tracking store for writing and reading. A new database file is created at the first write."""

    def start(
        self, experiment: str, name: str, *, role: str, study: str = "", model: str = "", command: str = "",
        config: RunConfig | None = None, fingerprint: str = "", rows: Mapping[str, int] | None = None,
        parent: str | None = None, tags: Mapping[str, str] | None = None, run_id: str | None = None,
    ) -> RunWriter:
        """Begin a run, log its config and provenance, and return its writer.

        Args:
            experiment: Name of the experiment.
            name: Name of the run in MLflow.
            role: Role of the run: study, trial, confirm, baseline or single.
            study: Name of its study.
            model: Name of its model.
            command: The command as the user typed it.
            config: Config of the run; its settings are logged as params.
            fingerprint: Fingerprint of the data, which MLflow shows as a data set with the experiment's name.
            rows: Split -> number of texts, which MLflow shows with the data set; None: not known.
            parent: Id of the parent run.
            tags: Further tags.
            run_id: Id of the run of a study, which another process may have begun. None: a new id.

        Raises:
            RunError: The store fails, or has not responded for too long.
        """
        all_tags = {
            "mlflow.runName": name,
            "mlflow.user": user(),
            "mlflow.source.name": command or "gru-bench",
            "mlflow.source.type": "LOCAL",
            FORMAT_TAG: FORMAT,
            "gru_bench.role": role,
            "gru_bench.study": study,
            "gru_bench.model": model,
            "gru_bench.state": "running",
            "gru_bench.complete": "false",
            "gru_bench.data_fingerprint": fingerprint,
            **({ROWS_TAG: json.dumps({"num_rows": sum(rows.values()), **rows})} if rows is not None else {}),
            **provenance(),
            **(tags or {}),
        }
        if config is not None:
            all_tags["gru_bench.seed"] = str(config.seed)
        begin = Begin(experiment, parent, all_tags, fingerprint=fingerprint)
        writer = RunWriter(self, PendingRun(self, run_id or uuid.uuid4().hex, begin))
        writer.params(flat(config) if config is not None else {})
        return writer

    def writer(self, run_id: str) -> RunWriter:
        """Return a writer for a run that the store has."""
        return RunWriter(self, PendingRun(self, run_id))

    def save_view(self, run_id: str, metric: MetricName) -> None:
        """Save a view of all runs in the experiment of the run of a study; `metric` is the score of the study."""
        self.patiently(lambda: save_view(
            self.client, self.uri, self.client.get_run(self.mlflow_id(run_id)).info.experiment_id, metric, now()))


def attach(store: Reader, run_id: str, folder: Path) -> str:
    """Attach the files of a folder to a run, in place of what was attached before.

    They become artifacts below `ATTACHED`, which no reader uses.

    Returns:
        Why they could not be attached; empty if they are.
    """
    try:
        mlflow_id = store.mlflow_id(run_id)
        if (artifacts := store.source.artifacts(mlflow_id)) is not None:  # it takes MLflow two seconds to load
            shutil.rmtree(artifacts / ATTACHED, ignore_errors=True)
            shutil.copytree(folder, artifacts / ATTACHED, dirs_exist_ok=True)
        else:
            replace_artifacts(store.uri, store.client.get_run(mlflow_id).info.artifact_uri, folder, ATTACHED)
    except Exception as error:  # of MLflow, of its database, of the file system, of a cloud
        return first_line(error)
    return ""
