"""Models in MLflow: the logged model of each run with weights, and the one that a study takes in the registry.

The latter is registered as a pyfunc whose code is a file of ours and whose data is a saved model, so that nothing is
pickled. Its name is that of the study, and the alias `best` points to its newest version.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.errors import RunError, UsageError, first_line
from gru_bench.models.saved import CARD
from gru_bench.tracking.reader import LoggedRun, Reader

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "best"
CONTENT = "gru_bench.content"
"""Tag of a version with the digest of its saved model."""
WEIGHTS = "gru_bench.weights"
"""Tag of a logged model that says where its weights are."""
MOST_DESCRIPTION = 5_000
"""Most characters that MLflow keeps of the description of a version."""
_NOT_IN_NAMES = re.compile(r"[/:.%\"']")
"""Characters that MLflow refuses in the name of a logged model."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str
    new: bool
    """Whether it was registered now. Otherwise it was there with the same content."""

    @property
    def uri(self) -> str:
        """Return the address of the model in MLflow."""
        return f"models:/{self.name}@{ALIAS}"


def log_model(client: MlflowClient, run_id: str, model: str) -> None:
    """Log the model of a run as a logged model of MLflow, once. Its weights stay among the artifacts of the run.

    Args:
        client: Client of the store.
        run_id: Id of the run, which has the artifacts `model/...`.
        model: Name of the model.
    """
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    if client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'", max_results=1):
        return  # the operation was applied before the process died
    name = _NOT_IN_NAMES.sub("-", model)
    made = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type="gru-bench",
                                      tags={WEIGHTS: f"runs:/{run_id}/model"})
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])


def register(
    store: Reader, study: LoggedRun, folder: Path, code: Path, *, content: str, classes: Sequence[str], example: str
) -> Registered:
    """Register a saved model under the name of its study. A model with the same content gets no second version.

    Args:
        store: Store of the study.
        study: The study's parent run.
        folder: The saved model.
        code: File that MLflow runs to load the model.
        content: Digest of the saved model.
        classes: Names of its classes.
        example: Example of an input.

    Raises:
        RunError: The registry does not answer or refuses the model.
    """
    client, name = store.client, registered_name(study.study)
    quoted = name.replace("'", "''")
    known = next((found for found in client.search_registered_models(f"name = '{quoted}'") if found.name == name), None)
    if known is not None and ALIAS in known.aliases:
        best = client.get_model_version(name, known.aliases[ALIAS])
        if best.tags.get(CONTENT) == content:
            return Registered(name, str(best.version), new=False)
    with tempfile.TemporaryDirectory(prefix="gru-bench-register-") as temporary:
        written = Path(temporary) / "model"
        _write_pyfunc(written, folder, code, classes, example)
        made = client.create_logged_model(study.experiment_id, name=_NOT_IN_NAMES.sub("-", name),
                                          source_run_id=study.mlflow_id, model_type="gru-bench",
                                          tags={CONTENT: content})
        client.log_model_artifacts(made.model_id, str(written))
        client.finalize_logged_model(made.model_id, "READY")
    if known is None:
        client.create_registered_model(name, description=f"The model that the study {study.study} takes, by gru-bench.")
    # MLflow's client of a database looks an address models:/ID up in another store, and a server takes nothing else.
    source = f"models:/{made.model_id}" if store.uri.startswith(("http://", "https://")) else made.artifact_location
    version = client.create_model_version(
        name, source, study.mlflow_id, tags={CONTENT: content}, model_id=made.model_id,
        description=described((folder / CARD).read_text(encoding="utf-8")))
    client.set_registered_model_alias(name, ALIAS, version.version)
    return Registered(name, str(version.version), new=True)


def described(card: str) -> str:
    """Return the text of a model card as the description of a version: without its front matter, and only its first
    paragraphs if there are more than MLflow keeps."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL).strip()
    return text if len(text) <= MOST_DESCRIPTION else text[:MOST_DESCRIPTION].rpartition("\n\n")[0]


def registered_name(study: str) -> str:
    """Return the name under which the model of a study is registered: MLflow allows neither / nor : in it.

    Raises:
        UsageError: The name of the study has no other character.
    """
    name = re.sub(r"[/:]+", "-", study).strip("- ")
    if not name:
        raise UsageError(f"a model is registered under the name of its study, but {study!r} is not a valid model name: "
                         "save it to a folder instead")
    return name


def _write_pyfunc(written: Path, folder: Path, code: Path, classes: Sequence[str], example: str) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints, and pandas of how MLflow calls it
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        inputs, outputs = (Schema([ColSpec(kind, name) for name, kind in columns.items()]) for columns in (
            {"text": "string"},
            {"label": "string", **{f"probability_{name}": "double" for name in classes}, "known_words": "double"}))
        try:
            mlflow.pyfunc.save_model(
                str(written), python_model=str(code), artifacts={"model": str(folder)},
                signature=ModelSignature(inputs, outputs), input_example=pd.DataFrame({"text": [example]}),
                # gru-bench is not named: an environment that MLflow makes could not install it, as the code says then.
                pip_requirements=[f"mlflow=={mlflow.__version__}"])
        except mlflow.MlflowException as error:
            raise RunError(f"MLflow rejected the model ({first_line(error)}): save it to a folder instead") from error
