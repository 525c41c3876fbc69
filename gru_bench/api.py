"""The Python API: from a data frame to a verdict, with the same stores as the commands.

    import gru_bench as gb

    study = gb.run_study(frame, text="review", label="sentiment", model="bidirectional", trials=6)
    study.verdict()
    study.model.predict(["A wonderful film."])
    study.write_report("out")
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gru_bench import cli
from gru_bench.config import Scalar, preset_of
from gru_bench.data.frames import is_frame, keep, of_arrays, written
from gru_bench.errors import GruBenchError, UsageError, shown, unknown, without_passwords
from gru_bench.study import Study

if TYPE_CHECKING:
    from gru_bench.data.columns import Columns
    from gru_bench.inference.fitted import FittedModel
    from gru_bench.inference.shown import Verdict
    from gru_bench.sweep.spec import StudySpec

Data = Any
"""A data frame of pandas, polars or pyarrow, a dictionary of columns, or the name or path of a data set."""
USUAL_STUDY = "bidirectional"
"""The study whose settings and search space suit all models."""
_ROLES = ("category", "split", "group", "id")
"""Roles of columns, beside those of the texts and labels."""
_ARGUMENT_OF = {"model.name": "model", "data.name": "data", "data.text_column": "text", "data.label_column": "label",
                "training.epochs": "epochs", **{f"data.{role}_column": "columns" for role in _ROLES}}
"""Setting -> the argument that sets it."""


# ---------------------------------------------------------------- run, open, load


def run_study(
    data: Data, *, text: str | None = None, label: str | None = None, model: str | Sequence[str] | None = None,
    trials: int | None = None, confirm: int | None = None, epochs: int | None = None, name: str | None = None,
    settings: Mapping[str, Scalar] | None = None, columns: Mapping[str, str] | None = None,
    folder: str | Path = ".", tracking_uri: str | None = None, workers: int | None = None, progress: bool = True,
) -> Study:
    """Run a study on some data, or what is left of it, and return it.

    The same call goes on where an earlier one has ended, by Ctrl-C or in another process, and returns at once when all
    is done. Scripts need no `__main__` guard.

    Args:
        data: A data frame (pandas, polars, pyarrow, a dictionary of columns), or the name or path of a data set as the
            command takes it. The columns of a frame that are read are kept in a file of the cache, which errors name.
        text: Column of the texts. By default `text`, or the one of a usual name.
        label: Column of the classes. By default `label`, or the one of a usual name.
        model: Model or models to tune: scratch, torch, bidirectional, or a class of your own as `homework.py:MyGRU`.
            By default bidirectional. A study keeps the models with which it began.
        trials: Trials of the search for each model, in total over all calls. By default 18.
        confirm: Fresh seeds on which each best model is trained again. By default 5.
        epochs: Passes over the training texts.
        name: Name to store the study under, and a frame's data in MLflow. By default the names of the models.
        settings: Any other settings by their dotted names, such as `{"training.clip_norm": 5, "data.limit": 2000}`.
            `seed` is that of the search, from which all others follow.
        columns: Role of a column -> its name. `category`: the report shows accuracy by category. `split` says train,
            validation or test. `group`, such as the product: texts of one group are never split up, and intervals
            allow for it; by default the one column of a usual name, and `none` turns groups off. `id` names each row,
            for joining predictions to the frame; by default the index of a pandas frame that names each row once,
            otherwise rows are counted from 1.
        folder: Folder of the stores mlflow.db and optuna.journal.
        tracking_uri: Another MLflow store.
        workers: Processes that train at the same time. By default as many as suit this machine.
        progress: Whether to print what happens.

    Raises:
        GruBenchError: What the data, a setting or a store lacks, in one sentence with the remedy.
        KeyboardInterrupt: The study was interrupted. The same call continues it.
    """
    call = _call(locals())
    if multiprocessing.current_process().daemon:
        raise UsageError("run_study starts worker processes, so it cannot be called in a worker process: call it in "
                         "the main process")
    from gru_bench.data.columns import Columns
    from gru_bench.data.groups import NONE
    from gru_bench.sweep.console.interrupt import Interrupt
    from gru_bench.sweep.plan import how_far
    from gru_bench.sweep.start import Start, completed

    _require(str | Sequence | None, "a text or a list of texts", model=model)
    _require(Mapping | None, "a dictionary", settings=settings, columns=columns)
    _require(int | None, "a whole number", workers=workers)
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, but got {workers}: leave it out for the default")
    settings, columns = dict(settings or {}), _columns(columns, _ROLES)
    for setting in settings:
        if setting in _ARGUMENT_OF:
            raise UsageError(f"settings must not contain {setting}: use the argument {_ARGUMENT_OF[setting]}")
    changes = {"name": name, "trials": trials, "confirm": confirm, "seed": settings.pop("seed", None)}
    given = {"data.text_column": text, "data.label_column": label, "training.epochs": epochs}
    settings |= {setting: value for setting, value in given.items() if value is not None}
    settings |= {f"data.{role}_column": column for role, column in columns.items()}
    spec = _spec(model, changes, settings)
    group = columns.get("group", "")
    kept, note = _kept(data, Columns(text or "text", label or "label", columns.get("category"), columns.get("split"),
                                     columns.get("id"), None if group == NONE else group), spec.name)
    spec = _spec(model, changes, {**settings, **kept})
    uri, journal = _stores(folder, tracking_uri)
    console = cli.out(quiet=not progress)
    if note is not None:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    start = Start(command=call, storage=journal, tracking_uri=uri, workers=workers)
    with Interrupt(ends_process=False) as interrupt, completed(spec, start, console, interrupt) as end:
        if end.left:
            console.print(f"the study {spec.name} is {how_far(end.state, 'the same call')}", markup=False)
    return open_study(spec.name, folder=folder, tracking_uri=tracking_uri)


def open_study(
    name: str, *, folder: str | Path = ".", tracking_uri: str | None = None, run_code: bool = False
) -> Study:
    """Return a study that was run before, by a call or by the command.

    Args:
        name: Name of the study.
        folder: Folder of the store mlflow.db.
        tracking_uri: Another MLflow store.
        run_code: Whether a model that is a class of somebody's own may run its Python code here, from now on. One that
            this machine has trained may.

    Raises:
        UsageError: for an unknown study. The error lists the known ones.
    """
    from gru_bench.tracking import open_reader

    _require(str, "a text", name=name)
    store = open_reader(_stores(folder, tracking_uri)[0])
    store.study(name)
    return Study(name, store, run_code=run_code)


def load_model(folder: str | Path, *, run_code: bool = False) -> FittedModel:
    """Return the model of a folder that `Study.save_model` or `gru-bench save-model` has written.

    Args:
        folder: The folder.
        run_code: Whether a model that is a class of somebody's own may run its Python code here, from now on. One that
            this machine has trained may.

    Raises:
        GruBenchError: for a folder that holds no saved model, or one that was changed.
    """
    from gru_bench.inference.fitted import FittedModel
    from gru_bench.models.saved import load

    _require(str | Path, "a text or a path", folder=folder)
    return FittedModel(load(Path(folder).expanduser())[0], run_code=run_code)


def compare(
    predictions: Any, *, truth: Any = None, margin: float | None = None, metric: str | None = None,
    columns: Mapping[str, str] | None = None, common: bool = False,
    refusals: str | None = None,
) -> Verdict:
    """Compare any classifiers by their predictions, as the command `gru-bench compare` does.

    Args:
        predictions: A data frame or a study by a name for each; or a frame, a study or a file, or a list of these.
            Or, with an array as `truth`, the predicted classes of each model by its name: an array of N classes,
            or a list of such arrays, one for each seed. A name in a dictionary is that of its model, and stands before
            the names of several.
        truth: The true classes of N examples, in the order of the predicted ones. For frames and files without true
            labels: a frame or a file of ids and true labels.
        margin: The equivalence margin, the largest difference without practical weight, fixed before the runs: in
            percentage points, or nats of log loss. By default 1 point, or 0.01.
        metric: What is compared, one of `config.MetricName`. By default accuracy.
        columns: Role of a column (id, label, prediction, group) -> its name, where it is not found by its name.
            The group `none` turns groups off.
        common: Whether only the examples that all models have are compared.
        refusals: `wrong` counts predictions that are no class, such as the refusals of a language model, as wrong. By
            default they are refused.

    Returns:
        The verdict of a report: scores, and a verdict on each pair.

    Raises:
        GruBenchError: What the predictions lack, in one sentence with the remedy.
    """
    from gru_bench.inference.shown import Verdict
    from gru_bench.predictions.columns import ROLES
    from gru_bench.predictions.compare import compared

    _require(int | float | None, "a number", margin=margin)
    _require(Mapping | None, "a dictionary", columns=columns)
    columns = _columns(columns, ROLES)
    if isinstance(predictions, Mapping | Sequence) and not predictions:
        raise UsageError(f"predictions must be those of at least one model, but got {predictions!r}: give files or "
                         "data frames")
    if truth is not None and not isinstance(truth, str | Path) and not is_frame(truth):
        predictions, truth = of_arrays(predictions, truth), None
    if isinstance(predictions, Mapping) and all(isinstance(one, Study) or is_frame(one)
                                                for one in predictions.values()):
        given = list(predictions.items())
    else:
        given = [("", one) for one in (predictions if isinstance(predictions, list | tuple) else [predictions])]
    with TemporaryDirectory() as folder:
        try:
            files = [_file(one, str(name), Path(folder, str(place))) for place, (name, one) in enumerate(given)]
            true_file = None if truth is None else _file(truth, "", Path(folder, "truth"))
            return Verdict(compared(files, truth=true_file, metric=metric, margin=margin, columns=columns,
                                    common=common, refusals=refusals))
        except GruBenchError as error:  # a frame has a name, and no path
            error.args = (re.sub(rf"{re.escape(folder)}[/\\]\w+[/\\]", "", str(error)),)
            raise


# ---------------------------------------------------------------- arguments


def _require(kinds: Any, words: str, **given: object) -> None:
    """Check that arguments of a call are of some types, which are named in words."""
    for name, value in given.items():
        if not isinstance(value, kinds):
            raise UsageError(f"{name} must be {words}, but got {shown(value)} of type {type(value).__name__}")


def _columns(columns: Mapping[str, str] | None, roles: Sequence[str]) -> dict[str, str]:
    """Return role -> name of the columns of a call."""
    for role, name in (columns or {}).items():
        if role not in roles:
            raise unknown("role of a column", str(role), roles)
        if not isinstance(name, str):
            raise UsageError(f"columns must be a dictionary of names, but {role} is {shown(name)} of type "
                             f"{type(name).__name__}")
    return dict(columns or {})


def _file(table: Any, model: str, folder: Path) -> str:
    """Return the path of a file of predictions. Those of a frame or a study are written to a new folder first.

    Raises:
        UsageError: It is none of these, or has several columns of one name.
        DataError: A column holds something else than values.
    """
    if isinstance(table, str | Path):
        return str(table)
    table = table.predictions() if isinstance(table, Study) else table
    has_files = isinstance(table, Mapping) and any(isinstance(one, str | Path) for one in table.values())
    if has_files or not is_frame(table):
        raise UsageError("predictions must be data frames (pandas, polars, pyarrow, a dictionary of columns), a list "
                         "of files, such as ['a.csv', 'b.csv'], or with truth a dictionary of arrays, but got "
                         f"{shown(table)} of type {type(table).__name__}")
    return str(written(table, model, folder))


def _kept(data: Data, columns: Columns, name: str) -> tuple[dict[str, Scalar], str | None]:
    """Return the settings of the data. A frame is written to the cache first, and a sentence says which of its columns
    are read by a usual name."""
    if is_frame(data):
        path, found = keep(data, columns, name)
        settings: dict[str, Scalar] = {"data.name": str(path), "data.text_column": found.text,
                                       "data.label_column": found.label, "data.id_column": found.id}
        return settings, replace(columns, group=found.group).note(found)
    if not isinstance(data, str | Path):
        raise UsageError("data must be a data frame (pandas, polars, pyarrow, a dictionary of columns), or the name or "
                         f"path of a data set, but got {shown(data)} of type {type(data).__name__}: make a frame of "
                         "it, such as {'text': [...], 'label': [...]}")
    return {"data.name": str(data)}, None


def _spec(
    model: str | Sequence[str] | None, changes: Mapping[str, Any], settings: Mapping[str, Scalar]
) -> StudySpec:
    """Return the study that is asked for."""
    from gru_bench.sweep.spec import MODELS, load_study

    models = [USUAL_STUDY] if model is None else [model] if isinstance(model, str) else list(model)
    if not models:
        raise UsageError("model must not be empty: leave it out to use the bidirectional GRU")
    if models == [USUAL_STUDY]:
        return load_study(USUAL_STUDY, settings=settings, **changes)
    for one in models:
        if one not in MODELS and ".py" not in str(one):
            raise unknown("model", str(one), MODELS, "Or give a class of your own as FILE.py:CLASS.")
    names = [Path(one).name for one in models]
    labels = " or the ".join(preset_of(one).label for one in names)
    purpose = (f"How well does the {labels} classify texts, once tuned?" if len(models) == 1 else
               f"Which classifies texts better, once tuned: the {labels}?")
    name = changes["name"] or "-".join(names).replace(".py:", "-")
    return load_study(USUAL_STUDY, all_models=models, purpose=purpose, settings=settings, **{**changes, "name": name})


def _stores(folder: str | Path, tracking_uri: str | None) -> tuple[str | None, str | None]:
    """Return the tracking URI and the storage. In the working directory, the usual ones have no name."""
    _require(str | Path, "a text or a path", folder=folder)
    _require(str | None, "a text", tracking_uri=tracking_uri)
    if Path(folder) == Path():
        return tracking_uri, None
    from gru_bench.sweep.sharing import JOURNAL
    from gru_bench.tracking.client import DEFAULT_DATABASE

    try:
        place = Path(folder).expanduser().resolve()
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write the folder {str(folder)!r} ({getattr(error, 'strerror', None) or error}): "
                         "choose another") from error
    return (tracking_uri or f"sqlite:///{(place / DEFAULT_DATABASE).as_posix()}", str(place / JOURNAL))


def _call(values: Mapping[str, Any]) -> str:
    """Return a call of `run_study` for the record, without arguments that have their defaults, and without passwords.
    """
    defaults: Mapping[str, Any] = run_study.__kwdefaults__ or {}
    data = values["data"]
    words = ["frame" if is_frame(data) else repr(str(data)), *(
        f"{key}={without_passwords(repr(str(value) if isinstance(value, Path) else value))}"
        for key, value in values.items() if key != "data" and value is not defaults[key])]
    return f"gru_bench.run_study({', '.join(words)})"
