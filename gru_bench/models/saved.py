"""A trained model as files: weights, words, vectors, classes and settings, without the data and without a pickle.

    model.json              what it is: settings, classes, seeds, tokenizer, temperatures, scores, and the SHA-256 of
                            the other files
    model.safetensors       its tensors (below)
    code.py                 of a class of the user's own: the file of the class
    README.md               the model card, for people; it may be edited

Whatever a study takes has these files: networks on some seeds, a linear model, or their average. The tensors:

    seeds.0.gru.weight_ih   weights of the network of the first seed, float32, with its word vectors if it has its own
    vectors.table           word vectors that all seeds share, because training leaves them unchanged, float32
    vectors.words           the word of each row of vectors, JSON in UTF-8
    linear.weight           the arrays of a linear model (`gru_bench.stats.linear`)

A model is a folder with these files, or a run in the tracking store: the run has them as artifacts in `model/`, but
shared vectors are stored once for a study, as the artifact `vectors/SHA-256.safetensors` of its parent run. A run
without a parent has its own. A study that stores no texts leaves its linear models out, because n-grams are fragments
of texts.

Everything is checked before it is used: a model that was changed, cut short or made by something else is refused.

Shapes: `V` rows of the vector table, `E` vector width.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gru_bench import platforms
from gru_bench._version import __version__
from gru_bench.config import RunConfig, Scalar, validated
from gru_bench.data.tokenizer import SETTINGS
from gru_bench.errors import DataError, UsageError, argument, shown
from gru_bench.models.trained import TABLE, TrainedLinear, TrainedModel, Weights
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.own import digest_of
from gru_bench.results.runs import RunResult, parsed
from gru_bench.stats.linear import LinearModel

if TYPE_CHECKING:
    from gru_bench.data.vectors import Vectors

KIND = "gru-bench model"
FORMAT = 5
"""Version of the files. Raise it when they change."""
ABOUT, WEIGHTS, CARD, CODE = "model.json", "model.safetensors", "README.md", "code.py"
VECTORS = "vectors.safetensors"
"""Of a run: the file of the vectors that its study shares."""
SHARED = "vectors/"
"""Folder among the artifacts of a run with the vectors that its children share."""
_OURS = {ABOUT, WEIGHTS, VECTORS, CARD, CODE}
"""Files of a saved model. A folder that holds others is not replaced."""
_SEED, _LINEAR = "seeds.{}.", "linear."
"""What the names of the tensors of a seed and of a linear model begin with."""
_TABLE, _WORDS = "vectors.table", "vectors.words"
_DIGEST = "digest"
"""Key of model.json with the SHA-256 of the rest of it."""
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SharedVectors: TypeAlias = tuple[list[str], NDArray[Any] | None]
"""The words of vectors, and the vectors; None where each seed has its own."""


class AboutLinear(BaseModel):
    """What `model.json` says of a linear model."""

    model_config = ConfigDict(strict=True)
    name: str
    settings: dict[str, Scalar]
    temperature: Temperature | None


class About(BaseModel):
    """What `model.json` says, beside its own digest."""

    model_config = ConfigDict(strict=True)
    kind: str = KIND
    format: int = FORMAT
    gru_bench: str = __version__
    tokenizer: dict[str, Any] = SETTINGS
    study: str
    """Name of the study. Empty for the model of a run."""
    model: str
    classes: list[str]
    text_labels: bool = False
    """Whether the classes are texts in a file whose values have types."""
    seeds: list[int]
    temperature: Temperature | None
    config: dict[str, Any]
    linear: AboutLinear | None
    run_ids: list[str]
    scores: dict[str, Any]
    files: dict[str, str]
    """File -> its SHA-256."""


# ---------------------------------------------------------------- writing


def contents(
    model: TrainedModel, scores: Mapping[str, Any] | None = None, *, shared: bool = False
) -> dict[str, bytes]:
    """Return name -> content of each file of a model.

    Args:
        model: The model.
        scores: Values about the model that belong with it, as JSON can hold them.
        shared: Whether vectors that all seeds share have a file of their own, `VECTORS`.
    """
    tensors = _tensors(model)
    files = {} if model.code is None else {CODE: model.code.encode()}
    if shared and model.table_VE is not None:
        files[VECTORS] = _packed({name: tensors.pop(name) for name in (_TABLE, _WORDS)})
    files[WEIGHTS] = _packed(tensors)
    linear = model.linear
    columns = None if model.seeds else {"data": {"text_column", "id_column"}}
    about = About(
        study=model.study, model=model.name, classes=list(model.classes), seeds=list(model.seeds),
        run_ids=list(model.run_ids), temperature=model.temperature, text_labels=model.text_labels,
        config=json.loads(model.config.model_dump_json(include=columns)), scores=dict(scores or {}),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        linear=None if linear is None else AboutLinear(
            name=linear.name, settings=dict(linear.settings), temperature=linear.temperature))
    values = json.loads(about.model_dump_json())
    return {**files, ABOUT: json.dumps({**values, _DIGEST: _digest_of(values)}, indent=1).encode()}


def _tensors(model: TrainedModel) -> dict[str, NDArray[Any]]:
    found = {_SEED.format(place) + name: np.asarray(values, np.float32)
             for place, weights in enumerate(model.weights_S) for name, values in weights.items()}
    if model.table_VE is not None:
        found[_TABLE] = np.asarray(model.table_VE, np.float32)
    if model.seeds:
        found[_WORDS] = np.frombuffer(json.dumps(list(model.words_V)).encode(), np.uint8)
    if model.linear is not None:
        found |= {_LINEAR + name: values for name, values in model.linear.weights.arrays().items()}
    return found


def _packed(tensors: Weights) -> bytes:
    """Return arrays as a safetensors file. The same arrays always give the same bytes."""
    from safetensors.numpy import save as to_bytes

    return to_bytes(dict(tensors))


def with_model(result: RunResult, vectors: Vectors) -> RunResult:
    """Return the result of a run with the files of its model in the place of its weights, to be logged."""
    return replace(result, weights={}, model_files=_artifacts(TrainedModel.of(result, vectors)))


def files_of_baseline(result: BaselineResult) -> dict[str, bytes]:
    """Return path -> content of the artifacts with the model of a baseline; none where it is not to be kept."""
    if not result.weights:
        return {}
    linear = TrainedLinear(result.model, LinearModel.of_arrays(result.weights), result.settings)
    return _artifacts(TrainedModel("", result.model, RunConfig(), (), result.classes, linear=linear))


def _artifacts(model: TrainedModel) -> dict[str, bytes]:
    return {artifact(name, hashlib.sha256(content).hexdigest()): content
            for name, content in contents(model, shared=True).items()}


def artifact(name: str, digest: str) -> str:
    """Return where a run has a file of its model among its artifacts, or those of its parent run."""
    return f"{SHARED}{digest}.safetensors" if name == VECTORS else f"model/{name}"


def save(model: TrainedModel, folder: Path, card: str, scores: Mapping[str, Any], *, force: bool = False) -> int:
    """Write a model to a folder, all of it or nothing, and return its number of bytes.

    Args:
        model: The model.
        folder: The folder. It must not exist, unless it is empty or `force` replaces a saved model in it.
        card: Text of the model card.
        scores: Values about the model that belong with it, as JSON can hold them.
        force: Whether a saved model in the folder is replaced.

    Raises:
        UsageError: for a folder that exists and may not be replaced.
    """
    check_free(folder, force=force)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    begun.mkdir()
    try:
        for name, content in contents(replace(model, config=without_folders(model.config)), scores).items():
            (begun / name).write_bytes(content)
        (begun / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in begun.iterdir())
        _put(begun, folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return size


def _put(begun: Path, folder: Path) -> None:
    """Move a complete model to its folder. What was there is removed afterwards, or put back if the move fails."""
    if not folder.exists():
        platforms.replace(begun, folder)
        return
    before = begun.with_suffix(".old")
    platforms.replace(folder, before)
    try:
        platforms.replace(begun, folder)
    except BaseException:
        platforms.replace(before, folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def without_folders(config: RunConfig) -> RunConfig:
    """Return a config whose files have names without folders, because a saved model is passed on."""
    data, embedding = config.data, config.embedding
    return config.model_copy(update={
        "data": data.model_copy(update={
            "name": Path(data.name).name, "test_name": data.test_name and Path(data.test_name).name}),
        "embedding": embedding.model_copy(update={"name": Path(embedding.name).name})})


def check_free(folder: Path, *, force: bool = False) -> None:
    """Check that a model may be written to a folder.

    Raises:
        UsageError: where it exists and may not be replaced.
    """
    if folder.name in ("", ".."):
        raise UsageError(f"a model needs a folder of its own, but got {str(folder)!r}: choose a new one")
    if (above := next((one for one in folder.absolute().parents if one.exists()), None)) and not above.is_dir():
        raise UsageError(f"cannot create the folder {str(folder)!r}, because {str(above)!r} is a file: choose another")
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise UsageError(f"{str(folder)!r} is not a folder: choose another")
    if not any(folder.iterdir()):
        return
    others = sorted({path.name for path in folder.iterdir()} - _OURS)
    if others or not (folder / ABOUT).is_file():
        what = f"other files ({shown(others[0], '')})" if others else "other files"
        raise UsageError(f"{str(folder)!r} already contains {what}: choose another folder")
    if not force:
        raise UsageError(f"{str(folder)!r} already contains a saved model: choose another folder, or overwrite it with "
                         f"{argument('force')}")


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Origin:
    """Where the files of a model are read from."""

    name: str
    """What messages call it, such as `the model of the run 3f2a`."""
    read: Callable[[str, str], bytes]
    """Returns the content of a file, by its name and the SHA-256 that it should have. An OSError means that it cannot
    be read."""
    remedy: str
    """What to do about a model that was changed."""

    def refused(self, why: str) -> DataError:
        """Return the error for a model that is not as it was written."""
        return DataError(f"{self.name} is damaged: {why}: {self.remedy}")


def load(folder: Path) -> tuple[TrainedModel, Mapping[str, Any]]:
    """Return the model of a folder, and its scores.

    Raises:
        UsageError: for a path that is no folder.
        DataError: for a folder that was changed, is incomplete, holds something else, or has another format.
    """
    return read(of_folder(folder))


def content(folder: Path) -> str:
    """Return the digest of the content of a saved model, which identifies it."""
    return str(json.loads((folder / ABOUT).read_bytes())[_DIGEST])


def of_folder(folder: Path) -> Origin:
    """Return a folder as the origin of a model.

    Raises:
        UsageError: for a path that is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"No such folder: {str(folder)!r}. gru-bench save-model --study NAME DIR writes a saved model")

    def read_file(name: str, _: str) -> bytes:
        path = folder / name
        if path.exists() and not path.is_file():
            raise OSError("is no file")  # a pipe or a device has no end
        return path.read_bytes()

    return Origin(f"the saved model {str(folder)!r}", read_file,
                  "copy it again, or write it again with gru-bench save-model")


def read(
    origin: Origin, shared: dict[str, SharedVectors] | None = None
) -> tuple[TrainedModel, Mapping[str, Any]]:
    """Return a model, and its scores.

    Args:
        origin: Where its files are.
        shared: SHA-256 of `VECTORS` -> what it holds, which is not read again. What is read is added.

    Raises:
        DataError: for a model that was changed, is incomplete, or has another format.
    """
    about = _about(origin)
    shared = {} if shared is None else shared
    code = None if CODE not in about.files else _content(origin, about, CODE).decode(errors="replace")
    config = validated(RunConfig, about.config)
    if config.model.source != (None if code is None else digest_of(code)):
        raise origin.refused(f"its {CODE} is not the file that its settings name")
    tensors = _file(origin, about, WEIGHTS)
    weights_S = tuple(_named(tensors, _SEED.format(place)) for place in range(len(about.seeds)))
    if (digest := about.files.get(VECTORS)) is None:
        vectors = _vectors(origin, WEIGHTS, tensors) if about.seeds else ([], None)
    elif digest in shared:
        vectors = shared[digest]
    else:
        vectors = shared[digest] = _vectors(origin, VECTORS, _file(origin, about, VECTORS))
    if any(not _is_table(weights.get(TABLE) if vectors[1] is None else vectors[1]) for weights in weights_S):
        raise origin.refused(f"its file {WEIGHTS if digest is None else VECTORS} has no vectors")
    return TrainedModel(
        study=about.study, name=about.model, config=config, code=code, seeds=tuple(about.seeds),
        classes=tuple(about.classes), words_V=vectors[0], table_VE=vectors[1], weights_S=weights_S,
        run_ids=tuple(about.run_ids), temperature=about.temperature, text_labels=about.text_labels,
        linear=_linear(origin, about, _named(tensors, _LINEAR))), about.scores


def _named(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _vectors(origin: Origin, name: str, tensors: Weights) -> SharedVectors:
    try:
        return parsed(list[str], tensors[_WORDS].tobytes()), tensors.get(_TABLE)
    except (KeyError, ValueError) as error:
        raise origin.refused(f"its file {name} has no words that can be read") from error


def _is_table(values: NDArray[Any] | None) -> bool:
    return values is not None and values.ndim == 2 and values.size > 0


def _linear(origin: Origin, about: About, arrays: Weights) -> TrainedLinear | None:
    if about.linear is None:
        return None
    try:
        weights = LinearModel.of_arrays(arrays)
        if weights.classes != len(about.classes):
            raise ValueError("it has other classes")
    except ValueError as error:
        raise origin.refused(f"the linear model of its file {WEIGHTS} cannot be read ({error})") from error
    return TrainedLinear(about.linear.name, weights, about.linear.settings, about.linear.temperature)


def _about(origin: Origin) -> About:
    try:
        about = about_of(origin.read(ABOUT, ""), origin.name)
    except FileNotFoundError as error:
        raise origin.refused(f"it has no {ABOUT}, so it is not a complete saved model of gru-bench"
                             ) from error
    except (OSError, ValueError) as error:
        raise origin.refused(f"its {ABOUT} {error}") from error
    if wrong := next((name for name in about.files if name not in _OURS), None):
        raise origin.refused(f"its {ABOUT} lists {shown(wrong)}, which is not a file of a model")
    return about


def about_of(content: bytes, name: str) -> About:
    """Return the content of a `model.json`, after checking it.

    Args:
        content: The file.
        name: What messages call the model, such as `the model of the run 3f2a`.

    Raises:
        ValueError: for a file that was changed or is damaged. The message goes on from the name of the file.
        DataError: for a model of another format.
    """
    try:
        values = parsed(dict[str, Any], content)
    except ValueError as error:
        raise ValueError(f"cannot be read ({str(error)[:200]})") from error
    if values.get("kind") != KIND:
        raise ValueError(f"does not describe a {KIND}")
    _require(name, values, "format", FORMAT)
    if values.pop(_DIGEST, None) != _digest_of(values):
        raise ValueError("was changed")
    _require(name, values, "tokenizer", SETTINGS)
    try:
        about = About.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"][:4]))
        raise ValueError(f"is damaged ({where}: {first['msg']})") from error
    try:
        validated(RunConfig, about.config)
    except UsageError as error:
        raise ValueError(f"is damaged ({error})") from error
    if not (about.seeds or about.linear) or len(about.classes) < 2:
        raise ValueError("names no classes, or neither seeds nor a linear model")
    from gru_bench.stats.calibration import HIGHEST, LOWEST  # it loads SciPy

    for one in (about.temperature, None if about.linear is None else about.linear.temperature):
        if one is not None and not LOWEST <= one <= HIGHEST:
            raise ValueError(f"must have a temperature between {LOWEST:g} and {HIGHEST:g}")
    if len(set(about.classes)) < len(about.classes):
        raise ValueError("names a class twice")
    return about


def _require(name: str, values: Mapping[str, Any], key: str, ours: object) -> None:
    """Raise a DataError where a value of `model.json` is not that of this version of gru-bench."""
    if (found := values.get(key)) == ours and type(found) is type(ours):
        return
    writer = shown(values.get("gru_bench", "unknown"), "")
    raise DataError(f"{name} must have the {key} {shown(ours)}, but has {shown(found)}: train and save it again, or "
                    f"load it with the version of gru-bench that wrote it ({writer})")


def _file(origin: Origin, about: About, name: str) -> Weights:
    """Return the tensors of a file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        tensors: Weights = from_bytes(_content(origin, about, name))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:  # the last for float8
        raise origin.refused(f"its file {name} cannot be read ({error})") from error
    for key, value in tensors.items():
        if key == _WORDS or key.startswith(_LINEAR):
            continue  # they are checked where they are used
        if value.dtype != np.float32:
            raise origin.refused(f"its file {name} has {shown(key)} in {value.dtype} instead of float32")
        if not np.isfinite(value).all():
            raise origin.refused(f"its file {name} has values in {shown(key)} that are not finite numbers")
    return tensors


def _content(origin: Origin, about: About, name: str) -> bytes:
    if name not in about.files:
        raise origin.refused(f"it lists no {name}")
    try:
        content = origin.read(name, about.files[name])
    except FileNotFoundError as error:
        raise origin.refused(f"its file {shown(name)} is missing") from error
    except OSError as error:
        raise origin.refused(f"its file {shown(name)} cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != about.files[name]:
        raise origin.refused(f"its file {shown(name)} was changed or truncated")
    return content


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
