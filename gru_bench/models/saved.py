"""A trained model as files: weights, words, vectors, classes and settings, without the data and without a pickle.

    model.json              what it is: settings, classes, seeds, tokenizer, temperature, scores, and the SHA-256 of
                            the other files
    seed-N.safetensors      the weights of one seed, with its word vectors if it has its own
    code.py                 of a class of the user's own: the file of the class
    vectors.safetensors     word vectors that all seeds share, because training leaves them unchanged
    README.md               the model card, for people; it may be edited

The file that holds word vectors has the word of each row in its metadata. All numbers are float32. A model is a folder
with these files, or a run in the tracking store: the run has them as artifacts in `model/`, but shared vectors are
stored once for a study, as the artifact `vectors/SHA-256.safetensors` of its parent run. A run without a parent has its
own.

Everything is checked before it is used: a model that was changed, cut short or made by something else is refused.

Shapes: `V` rows of the vector table, `E` vector width.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gru_bench import __version__, platforms
from gru_bench.config import RunConfig, validated
from gru_bench.data.tokenizer import SETTINGS
from gru_bench.errors import DataError, UsageError, argument, shown
from gru_bench.models.trained import TABLE, TrainedModel, Weights
from gru_bench.results.own import digest_of
from gru_bench.results.runs import RunResult, parsed

if TYPE_CHECKING:
    from gru_bench.data.vectors import Vectors

KIND = "gru-bench model"
FORMAT = 4
"""Version of the files. Raise it when they change."""
ABOUT, VECTORS, CARD, CODE = "model.json", "vectors.safetensors", "README.md", "code.py"
LINEAR = "linear.npz"
"""File of a linear model (`gru_bench.models.linear`)."""
PARTS = "trained", "linear"
"""Folders with the two parts of an average (`gru_bench.models.average`)."""
SUFFIX = ".safetensors"
SHARED = "vectors/"
"""Folder among the artifacts of a run with the vectors that its children share."""
_OURS = re.compile(r"model\.json|code\.py|vectors\.safetensors|README\.md|seed-\d+\.safetensors|linear\.npz")
"""Files of a saved model. A folder that holds others is not replaced."""
_WORDS = "words"
"""Key of the metadata that hold the words, as JSON."""
_DIGEST = "digest"
"""Key of model.json with the SHA-256 of the rest of it."""
_MOST_JSON_BYTES = 256 << 20
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AboutModel(BaseModel):
    """What `model.json` says of every model, linear or not, beside its own digest."""

    model_config = ConfigDict(strict=True)
    kind: str
    format: int
    gru_bench: str = __version__
    tokenizer: dict[str, Any] = SETTINGS
    study: str
    """Name of the study. Empty for a run, whose study may be imported under another name."""
    model: str
    classes: list[str]
    text_labels: bool = False
    """Whether the classes look like numbers or truth values, but are texts in the data."""
    run_ids: list[str]
    scores: dict[str, Any]
    files: dict[str, str]
    """File -> its SHA-256."""


class About(AboutModel):
    """The content of `model.json` of a model that was trained."""

    kind: str = KIND
    format: int = FORMAT
    seeds: list[int]
    temperature: Temperature | None
    config: dict[str, Any]


def weights_file(seed: int) -> str:
    """Return the name of the file with the weights of a seed."""
    return f"seed-{seed}{SUFFIX}"


# ---------------------------------------------------------------- writing


def contents(model: TrainedModel, scores: Mapping[str, Any] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of a model, `model.json` last.

    Args:
        model: The model.
        scores: Values about the model that belong with it, as JSON can hold them.
    """
    digests = {}
    code = [] if model.code is None else [(CODE, model.code.encode())]
    for name, content in (*code, *_arrays(model)):
        digests[name] = hashlib.sha256(content).hexdigest()
        yield name, content
    about = About(
        study=model.study, model=model.name, classes=list(model.classes), seeds=list(model.seeds),
        run_ids=list(model.run_ids), temperature=model.temperature, config=json.loads(model.config.model_dump_json()),
        scores=dict(scores or {}), files=digests, text_labels=model.text_labels)
    yield ABOUT, with_digest(json.loads(about.model_dump_json()))


def with_digest(values: Mapping[str, Any]) -> bytes:
    """Return the content of a `model.json` with these values, and their digest."""
    return json.dumps({**values, _DIGEST: _digest_of(values)}, indent=1).encode()


def _arrays(model: TrainedModel) -> Iterator[tuple[str, bytes]]:
    words = {_WORDS: json.dumps(list(model.words_V))}
    if model.table_VE is not None:
        yield VECTORS, _packed({TABLE: model.table_VE}, words)
    for seed, weights in zip(model.seeds, model.weights_S, strict=True):
        yield weights_file(seed), _packed(weights, words if TABLE in weights else None)


def _packed(arrays: Weights, metadata: dict[str, str] | None) -> bytes:
    """Return arrays as a safetensors file. The same arrays always give the same bytes."""
    from safetensors.numpy import save as to_bytes

    return to_bytes({name: np.asarray(values, np.float32) for name, values in arrays.items()}, metadata)


def with_model(result: RunResult, vectors: Vectors) -> RunResult:
    """Return the result of a run with the files of its model in the place of its weights, to be logged."""
    files = {}
    for name, content in contents(TrainedModel.of(result, vectors)):
        files[artifact(name, hashlib.sha256(content).hexdigest())] = content
    return replace(result, weights={}, model_files=files)


def artifact(name: str, digest: str) -> str:
    """Return where a run has a file of its model among its artifacts, or those of its parent run."""
    return f"{SHARED}{digest}{SUFFIX}" if name == VECTORS else f"model/{name}"


def save(model: TrainedModel, folder: Path, card: str, scores: Mapping[str, Any], *, force: bool = False) -> int:
    """Write a model to a folder, as `write` does.

    Args:
        model: The model.
        folder: The folder.
        card: Text of the model card.
        scores: Values about the model that belong with it, as JSON can hold them.
        force: Whether a saved model in the folder is replaced.
    """
    return write(contents(replace(model, config=without_folders(model.config)), scores), folder, card, force=force)


def write(files: Iterable[tuple[str, bytes]], folder: Path, card: str, *, force: bool = False) -> int:
    """Write the files of a model to a folder, all of it or nothing, and return its number of bytes.

    Args:
        files: The name and the content of each file.
        folder: The folder. It must not exist, unless it is empty or `force` replaces a saved model in it.
        card: Text of the model card.
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
        for name, content in files:
            (begun / name).parent.mkdir(exist_ok=True)
            (begun / name).write_bytes(content)
        (begun / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in begun.rglob("*") if path.is_file())
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
    held = [path for path in folder.iterdir() if path.name not in PARTS or not path.is_dir()]
    held += [path for part in PARTS if (folder / part).is_dir() for path in (folder / part).iterdir()]
    others = sorted(path.name for path in held if not _OURS.fullmatch(path.name))
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


def is_kind(folder: Path, kind: str) -> bool:
    """Return whether a folder has a saved model of a kind. What cannot be read is of none."""
    try:
        return bool(json.loads(of_folder(folder).read(ABOUT, "")).get("kind") == kind)
    except (OSError, ValueError, AttributeError):
        return False


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
        if name == ABOUT and path.exists() and path.stat().st_size > _MOST_JSON_BYTES:
            raise OSError(f"it has more than {_MOST_JSON_BYTES:,} bytes")
        return path.read_bytes()

    return Origin(f"the saved model {str(folder)!r}", read_file,
                  "copy it again, or write it again with gru-bench save-model")


def read(
    origin: Origin, shared: dict[str, tuple[list[str], NDArray[Any]]] | None = None
) -> tuple[TrainedModel, Mapping[str, Any]]:
    """Return a model, and its scores.

    Args:
        origin: Where its files are.
        shared: SHA-256 of `vectors.safetensors` -> its words and vectors, which are not read again. What is read is
            added.

    Raises:
        DataError: for a model that was changed, is incomplete, or has another format.
    """
    about = _about(origin)
    shared = {} if shared is None else shared
    code = None if CODE not in about.files else content_of(origin, about.files, CODE).decode(errors="replace")
    config = validated(RunConfig, about.config)
    if config.model.source != (None if code is None else digest_of(code)):
        raise origin.refused(f"its {CODE} is not the file that its settings name")
    table_VE: NDArray[Any] | None = None
    words: list[list[str]] = []
    if (digest := about.files.get(VECTORS)) is not None:
        if digest not in shared:
            arrays, own = _file(origin, about, VECTORS)
            shared[digest] = own, arrays[TABLE]
        words, table_VE = [shared[digest][0]], shared[digest][1]
    weights_S = []
    for name in map(weights_file, about.seeds):
        arrays, own = _file(origin, about, name)
        weights_S.append(arrays)
        if table_VE is None:
            words.append(own)
    if any(one != words[0] for one in words):
        raise origin.refused("its files have vectors of different words")
    return TrainedModel(
        study=about.study, name=about.model, config=config, code=code, seeds=tuple(about.seeds),
        classes=tuple(about.classes), words_V=words[0], table_VE=table_VE, weights_S=tuple(weights_S),
        run_ids=tuple(about.run_ids), temperature=about.temperature, text_labels=about.text_labels), about.scores


def _about(origin: Origin) -> About:
    with _refusing(origin):
        about = about_of(origin.read(ABOUT, ""), origin.name)
    if wrong := next((name for name in about.files if not _OURS.fullmatch(name)), None):
        raise origin.refused(f"its {ABOUT} lists {shown(wrong)}, which is not a file of a model")
    return about


@contextmanager
def _refusing(origin: Origin) -> Iterator[None]:
    """Refuse a model whose `model.json` cannot be read inside the context."""
    try:
        yield
    except FileNotFoundError as error:
        raise origin.refused(f"it has no {ABOUT}, so it is not a complete saved model of gru-bench"
                             ) from error
    except (OSError, ValueError) as error:
        raise origin.refused(f"its {ABOUT} {error}") from error


def values_of(origin: Origin, kind: str, form: int) -> dict[str, Any]:
    """Return the values in the `model.json` of a model, without their digest.

    Args:
        origin: Where its files are.
        kind: What it must describe.
        form: The format that it must have.

    Raises:
        DataError: for a file that was changed, is damaged, or has another format.
    """
    with _refusing(origin):
        return _values(origin.read(ABOUT, ""), origin.name, kind, form)


def _values(content: bytes, name: str, kind: str, form: int) -> dict[str, Any]:
    try:
        values = parsed(dict[str, Any], content)
    except ValueError as error:
        raise ValueError(f"cannot be read ({str(error)[:200]})") from error
    if values.get("kind") != kind:
        raise ValueError(f"does not describe a {kind}")
    _require(name, values, "format", form)
    if values.pop(_DIGEST, None) != _digest_of(values):
        raise ValueError("was changed")
    _require(name, values, "tokenizer", SETTINGS)
    return values


def about_of(content: bytes, name: str) -> About:
    """Return the content of a `model.json`, after checking it.

    Args:
        content: The file.
        name: What messages call the model, such as `the model of the run 3f2a`.

    Raises:
        ValueError: for a file that was changed or is damaged. The message goes on from the name of the file.
        DataError: for a model of another format.
    """
    values = _values(content, name, KIND, FORMAT)
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
    if not about.seeds or len(about.classes) < 2:
        raise ValueError("names no seeds or no classes")
    from gru_bench.stats.calibration import HIGHEST, LOWEST  # it loads SciPy

    if about.temperature is not None and not LOWEST <= about.temperature <= HIGHEST:
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


def _file(origin: Origin, about: About, name: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the arrays of a file and, where it holds word vectors, their words."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    content = content_of(origin, about.files, name)
    try:
        arrays: dict[str, NDArray[Any]] = dict(from_bytes(content))
        header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
        words = parsed(list[str], header.get("__metadata__", {}).get(_WORDS, "[]"))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:  # the last for float8
        raise origin.refused(f"its file {name} cannot be read ({error})") from error
    for key, value in arrays.items():
        if value.dtype != np.float32:
            raise origin.refused(f"its file {name} has {shown(key)} in {value.dtype} instead of float32")
        if not np.isfinite(value).all():
            raise origin.refused(f"its file {name} has values in {shown(key)} that are not finite numbers")
    if (name == VECTORS or VECTORS not in about.files) and (
            TABLE not in arrays or arrays[TABLE].ndim != 2 or not arrays[TABLE].size):
        raise origin.refused(f"its file {name} has no vectors")
    return arrays, words


def content_of(origin: Origin, files: Mapping[str, str], name: str) -> bytes:
    """Return the content of a file of a model, whose SHA-256 is that in `files`.

    Raises:
        DataError: for a file that is missing or was changed.
    """
    if name not in files:
        raise origin.refused(f"it lists no {name}")
    try:
        content = origin.read(name, files[name])
    except FileNotFoundError as error:
        raise origin.refused(f"its file {shown(name)} is missing") from error
    except OSError as error:
        raise origin.refused(f"its file {shown(name)} cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != files[name]:
        raise origin.refused(f"its file {shown(name)} was changed or truncated")
    return content


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
