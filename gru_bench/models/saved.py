"""A saved model: a folder that holds all that is needed to predict, without the data and without a pickle.

    model.json              what it is: settings, classes, seeds, scores, and the SHA-256 of the other files
    words.json              the words of the vector table, by row
    vectors.safetensors     word vectors that all seeds share; absent where each seed has trained its own
    seed-N.safetensors      the weights of one seed
    README.md               the model card, for people; it may be edited

Everything is checked before it is used: a folder that was changed, cut short or made by something else is refused.

Shapes: `V` rows of the vector table, `E` vector width.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from gru_bench import __version__
from gru_bench.config import RunConfig, stored_config
from gru_bench.errors import DataError, UsageError, shown
from gru_bench.models.trained import TABLE, TrainedModel
from gru_bench.platforms import replace
from gru_bench.results.runs import parsed

KIND = "gru-bench model"
FORMAT = 1
"""Version of the folder's files. Raise it when they, or the tokenizer, change."""
ABOUT, WORDS, VECTORS, CARD = "model.json", "words.json", "vectors.safetensors", "README.md"
_OURS = re.compile(r"model\.json|words\.json|vectors\.safetensors|README\.md|seed-\d+\.safetensors")
"""Files of a saved model. A folder that holds others is not replaced."""
_VECTORS_NAME = "table"
_DIGEST = "digest"
"""Key of model.json with the SHA-256 of the rest of it."""
_MOST_JSON_BYTES = 256 << 20


class _About(BaseModel):
    """The content of model.json, beside its own digest."""

    model_config = ConfigDict(strict=True)
    kind: str
    format: int
    gru_bench: str
    study: str
    model: str
    classes: list[str]
    seeds: list[int]
    run_ids: list[str]
    best: int
    config: dict[str, Any]
    scores: dict[str, Any]
    files: dict[str, str]
    """File -> its SHA-256."""


def weights_file(seed: int) -> str:
    """Return the name of the file with the weights of a seed."""
    return f"seed-{seed}.safetensors"


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
    from safetensors.numpy import save as to_bytes

    check_free(folder, force=force)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    begun.mkdir()
    try:
        (begun / WORDS).write_text(json.dumps(list(model.words_V)), encoding="utf-8")
        if model.table_VE is not None:
            (begun / VECTORS).write_bytes(to_bytes({_VECTORS_NAME: model.table_VE}))
        for seed, weights in zip(model.seeds, model.weights_S, strict=True):
            (begun / weights_file(seed)).write_bytes(to_bytes(dict(weights)))
        about = _About(
            kind=KIND, format=FORMAT, gru_bench=__version__, study=model.study, model=model.name,
            classes=list(model.classes), seeds=list(model.seeds), run_ids=list(model.run_ids),
            best=model.best, config=json.loads(without_folders(model.config).model_dump_json()), scores=dict(scores),
            files={path.name: _digest(path) for path in sorted(begun.iterdir())})
        content = json.loads(about.model_dump_json())
        (begun / ABOUT).write_text(json.dumps(content | {_DIGEST: _digest_of(content)}, indent=1), encoding="utf-8")
        (begun / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in begun.iterdir())
        _put(begun, folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return size


def _put(begun: Path, folder: Path) -> None:
    """Move a whole model to its folder. What was there is removed afterwards, or put back if the move fails."""
    if not folder.exists():
        replace(begun, folder)
        return
    before = begun.with_suffix(".old")
    replace(folder, before)
    try:
        replace(begun, folder)
    except BaseException:
        replace(before, folder)
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
        raise UsageError(f"a model is saved to a folder of its own, but got {str(folder)!r}: name a new one")
    if (above := next((one for one in folder.absolute().parents if one.exists()), None)) and not above.is_dir():
        raise UsageError(f"a model is saved to a folder, but {str(above)!r} on the way to {str(folder)!r} is a file: "
                         "name another")
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise UsageError(f"a model is saved to a folder, but {str(folder)!r} is something else: name another")
    if not any(folder.iterdir()):
        return
    others = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
    if others or not (folder / ABOUT).is_file():
        held = f"other files ({shown(others[0], '')})" if others else "other files"
        raise UsageError(f"a model is saved to a new folder, but {str(folder)!r} holds {held}: name another")
    if not force:
        raise UsageError(f"a saved model is replaced only with --force, but {str(folder)!r} holds one: name another "
                         "folder, or add --force")


def load(folder: Path) -> tuple[TrainedModel, Mapping[str, Any]]:
    """Return the model of a folder, and its scores.

    Raises:
        UsageError: for a path that is no folder.
        DataError: for a folder that was changed, is incomplete, holds something else, or has another format.
        FormatError: for a model that was trained with a setting that was removed since.
    """
    if not folder.is_dir():
        raise UsageError(f"a saved model must be a folder, but there is none at {str(folder)!r}: "
                         "gru-bench save-model --study NAME DIR writes one")
    try:
        return _loaded(folder)
    except OSError as error:
        raise _refused(folder, f"it cannot be read ({error.strerror or error})") from error


def _loaded(folder: Path) -> tuple[TrainedModel, Mapping[str, Any]]:
    about = _about(folder)
    config = stored_config(json.dumps(about.config), f"the saved model {str(folder)!r}")
    for name, digest in about.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise _refused(folder, f"its file {shown(name)} is missing")
        if _digest(path) != digest:
            raise _refused(folder, f"its file {shown(name)} was changed or cut short")
    needed = [WORDS, *map(weights_file, about.seeds), *([] if config.embedding.trainable else [VECTORS])]
    if missing := [name for name in needed if name not in about.files]:
        raise _refused(folder, f"it lists no {missing[0]}")
    try:
        words = parsed(list[str], (folder / WORDS).read_bytes())
    except ValueError as error:
        raise _refused(folder, f"its {WORDS} cannot be read ({error})") from error
    trained = config.embedding.trainable
    return TrainedModel(
        study=about.study, name=about.model, config=config, seeds=tuple(about.seeds), classes=tuple(about.classes),
        words_V=words, table_VE=None if trained else _read(folder, VECTORS, _VECTORS_NAME)[_VECTORS_NAME],
        weights_S=tuple(_read(folder, weights_file(seed), TABLE if trained else None) for seed in about.seeds),
        run_ids=tuple(about.run_ids), best=about.best), about.scores


def content(folder: Path) -> str:
    """Return the digest of the content of a saved model, which identifies it.

    Raises:
        DataError: as `load`.
    """
    return _digest_of(json.loads(_about(folder).model_dump_json()))


def _about(folder: Path) -> _About:
    path = folder / ABOUT
    if not path.is_file():
        raise _refused(folder, f"it has no {ABOUT}, so that it is no saved model of gru-bench, or not a whole one")
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ValueError("it is too large")
        content = parsed(dict[str, Any], path.read_bytes())
        if content.get("kind") != KIND:
            raise ValueError(f"it does not describe a {KIND}")
    except ValueError as error:
        raise _refused(folder, f"its {ABOUT} cannot be read ({str(error)[:200]})") from error
    if (found := content.get("format")) != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        raise DataError(f"the saved model {str(folder)!r} must have the format {FORMAT}, but has {shown(found)}: "
                        + ("pip install --upgrade gru-bench" if newer else
                           "save it again with this gru-bench, or load it with the one that wrote it "
                           f"({shown(content.get('gru_bench', 'unknown'), '')})"))
    try:
        if content.pop(_DIGEST, None) != _digest_of(content):
            raise _refused(folder, f"its {ABOUT} was changed")
        about = _About.model_validate(content)
        stored_config(json.dumps(about.config), f"the saved model {str(folder)!r}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"][:4]))
        raise _refused(folder, f"its {ABOUT} is damaged ({where}: {first['msg']})") from error
    except ValueError as error:
        raise _refused(folder, f"its {ABOUT} is damaged ({error})") from error
    if not 0 <= about.best < len(about.seeds) or len(about.classes) < 2:
        raise _refused(folder, f"its {ABOUT} names no seeds or no classes")
    return about


def _read(folder: Path, name: str, table: str | None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file. A `table` must be among them: it holds word vectors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, NDArray[Any]] = dict(load_file(folder / name))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:  # the last for float8
        raise _refused(folder, f"its file {name} cannot be read ({error})") from error
    for key, value in found.items():
        if value.dtype.kind != "f":
            raise _refused(folder, f"its file {name} has {shown(key)} in {value.dtype}, which is no type of weights")
        if not np.isfinite(value).all():
            raise _refused(folder, f"its file {name} has values in {shown(key)} that are not finite numbers")
    if table is not None and (table not in found or found[table].ndim != 2):
        raise _refused(folder, f"its file {name} holds no vectors")
    return found


def _refused(folder: Path, why: str) -> DataError:
    return DataError(f"the saved model {str(folder)!r} must be as it was written, but {why}: copy it again, or write "
                     "it again by gru-bench save-model")


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

