"""What a run is: data, word vectors, model, training and seed, as frozen values.

A `RunConfig` and the version of the code determine a run's losses. Everything here is plain data:
it imports neither torch nor mlflow, so that every command can check what was typed at once.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gru_bench.errors import UsageError, shown, unknown

ModelName = Literal["scratch", "torch", "bidirectional", "rnn"]
Pooling = Literal["last", "final", "mean", "max", "meanmax"]
Reset = Literal["after", "before"]
Backend = Literal["auto", "reference", "torch", "fused"]
Schedule = Literal["constant", "linear"]
Selection = Literal["best_validation", "lowest_train_window"]
Protocol = Literal["tuning", "homework"]
Scalar = str | int | float | bool | None

LARGEST_SEED = 2**32 - 1
"""NumPy's generators take no larger one."""
LONGEST_NAME, LONGEST_PATH = 255, 4_000
"""Bytes of a file's name and of its whole path that file systems take."""

MOST_NAME = 250
"""Characters of the name of a study, an experiment or a metric: MLflow takes no more."""


def named(text: str) -> str:
    """Return the name of a study or an experiment.

    Raises:
        ValueError: for one that is empty, long, or cannot be shown.
    """
    if not text.strip() or len(text) > MOST_NAME or any(map(_steers, text)):
        raise ValueError(f"must have 1 to {MOST_NAME} characters, none of them a control character")
    return text


def name_of(text: str) -> str:
    """Return a name made of a text from outside: U+FFFD stands for what cannot be in one."""
    return "".join("\ufffd" if _steers(character) else character for character in text)[:MOST_NAME].strip() or "\ufffd"


def _steers(character: str) -> bool:
    joins = character in "\u200c\u200d"  # letters of some scripts
    return not joins and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _file_name(text: str) -> str:
    """Return the name of a file or of a column, or a path without `~`.

    Raises:
        ValueError: for a text that no file system takes.
    """
    parts = text.encode("utf-8", "surrogatepass").split(b"/")
    if len(text) > LONGEST_PATH or max(map(len, parts)) > LONGEST_NAME or "\0" in text:
        raise ValueError(f"must be a name of at most {LONGEST_NAME} bytes, or a path of such names, without NUL")
    return text


def path_name(text: str) -> str:
    """Return the path of a file, or the name of a data set or of word vectors.

    Raises:
        ValueError: for a text that no file system takes, or a home folder (`~name`) that does not exist.
    """
    if text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError:
            raise ValueError("must be in a home folder that exists") from None
    return _file_name(text)


Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Width = Annotated[int, Field(ge=1, le=16_384)]
Many = Annotated[int, Field(ge=1, le=1_000_000)]
Magnitude = Annotated[float, Field(gt=0.0, le=1e38)]
"""Above 0, and within what a float of 32 bits holds."""
Name = Annotated[str, AfterValidator(_file_name)]
File = Annotated[str, AfterValidator(path_name)]
"""Or the name of a data set or of word vectors."""
MOST_WEIGHTS = 2**29
"""Layers times the square of their width: a GRU of so many has weights of 13 GB."""


class Section(BaseModel):
    """A frozen group of settings that knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which reviews, how they are cut and how they are split."""

    name: File = "movie-reviews"
    """A data set's name (`movie-reviews`, `recall:k=50`), or a file: CSV, TSV, JSON Lines, Parquet, or the
    homework's gzipped pickle."""
    test_name: File | None = None
    """A test file in the same format; without it a share of the data is kept for the test."""
    text_column: Name = "text"
    label_column: Name = "label"
    category_column: Name | None = None
    split_column: Name | None = None
    """A column that holds train, validation or test for each row."""
    max_length: Many | None = 400
    """Tokens kept of a review, from its start, once unknown words are dropped; none means all."""
    limit: Annotated[int, Field(ge=10, le=1_000_000_000)] | None = None
    """Reviews drawn by hash for a quick look; none means all."""
    validation_share: Share = 0.1
    test_share: Share = 0.1
    split_seed: Seed = 0


class EmbeddingConfig(Section):
    """Which word vectors, and whether they are trained along."""

    name: File = "corpus"
    """`corpus`, `random`, `glove-6b-50d`, a gensim-data name, or a .bin/.txt file (may be .gz)."""
    dimension: Width = 300
    """Width of the vectors trained on the corpus or drawn at random; the other kinds bring their own."""
    min_count: Many = 2
    """Words seen less often in the training split get no vector when trained on the corpus."""
    scale: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    """Every vector is multiplied by this factor."""
    trainable: bool = False
    seed: Seed = 0


class ModelConfig(Section):
    """A classifier: recurrence, pooling and head."""

    name: ModelName = "bidirectional"
    hidden_size: Width = 100
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    pooling: Pooling = "final"
    dropout: Share = 0.0
    """Share of the pooling (and of what passes between layers) set to zero while training."""
    reset: Reset = "after"
    """Where a GRU's reset gate acts: after the hidden product (PyTorch, cuDNN) or before it (Cho et al. 2014)."""
    relu: bool = False
    """ReLU between pooling and linear layer."""
    backend: Backend = "auto"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.layers * self.hidden_size**2 > MOST_WEIGHTS:
            raise ValueError(f"must have at most {MOST_WEIGHTS:,} as layers times the square of hidden_size, but got "
                             f"{self.layers} layers of hidden_size {self.hidden_size}")
        return self


class TrainingConfig(Section):
    """How a model is fitted and which epoch is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 3
    batch_size: Many = 64
    lr: Magnitude = 1e-3
    micro_batches: Many = 1
    """Smallest number of micro-batches that a batch is cut into (gradient accumulation). Their gradients are added
    before the one step. More of them take less memory; dropout aside, a step is the same up to rounding."""
    schedule: Schedule = "constant"
    """How the step size goes on: constant, or falling linearly to 0 at the end of the last epoch."""
    beta1: Share = 0.9
    beta2: Share = 0.999
    clip_norm: Magnitude | None = 1.0
    """Largest norm of the gradient of all weights together; none means no clipping."""
    patience: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Epochs without a better validation accuracy after which training stops; none means never."""
    selection: Selection = "best_validation"
    """Which weights are kept: the epoch of highest validation accuracy (among equals: lowest loss), or the
    window of `log_every` iterations with the lowest mean training loss, as in the homework."""
    log_every: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    """Iterations averaged into one point of the training loss by window."""
    bucket: bool = True
    """Batches hold reviews of similar length; otherwise they are drawn at random."""
    drop_last: bool = False
    """Leave out the last batch of an epoch where it is not full."""
    bf16: bool = False
    """Multiply in bfloat16 on an NVIDIA card, or outside the recurrence on a CPU that can; weights stay in float32."""
    device: Name = "auto"
    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """CPU threads; none means all cores of this machine."""


class RunConfig(Section):
    """One run: the same config on the same machine gives the same losses, bit for bit."""

    data: DataConfig = DataConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    seed: Seed = 0


SECTIONS = tuple(name for name in RunConfig.model_fields if name != "seed")

S = TypeVar("S", bound=BaseModel)


def validated(
    kind: type[S], values: Mapping[str, Any], where: str = "", *, under: str = "",
    typed: Mapping[str, str] | None = None,
) -> S:
    """Build `kind` from `values`.

    Args:
        kind: a group of settings.
        values: by name.
        where: the file that they are from, for errors.
        under: the dotted name of the group itself, for errors.
        typed: setting -> the option that it was typed as, for errors.

    Raises:
        UsageError: naming each setting that is unknown or out of range, its rule and its value.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise UsageError("\n".join(dict.fromkeys(
            _sentence(kind, one, _kinds(one["loc"], found), where, under, typed or {}) for one in found))) from None


def with_settings(
    config: RunConfig, settings: Mapping[str, Any], typed: Mapping[str, str] | None = None
) -> RunConfig:
    """Return `config` with dotted settings replaced, such as `{"training.lr": 1e-3}`.

    Args:
        config: the others.
        settings: by dotted name.
        typed: setting -> the option that it was typed as, for errors.

    Raises:
        UsageError: for an unknown setting, with the known ones, or for a value out of range.
    """
    values = config.model_dump()
    known = flat(config)
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if key not in known:
            raise unknown_setting(key, known)
        (values[section] if section else values)[name] = value
    return validated(RunConfig, values, typed=typed)


def may_be(name: str, value: Scalar) -> bool:
    """Return whether a dotted setting may have a value, whatever the other settings are."""
    try:
        with_settings(RunConfig(), {name: value})
    except UsageError:
        return False
    return True


def parsed_settings(assignments: list[str]) -> dict[str, Scalar]:
    """Parse `["training.lr=1e-3", "model.pooling=max"]`; `none`, `true` and numbers are recognised.

    Raises:
        UsageError: for an entry without `=`.
    """
    settings: dict[str, Scalar] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set must look like section.key=value, but got {assignment!r}: "
                             "try --set training.lr=0.001")
        settings[key.strip()] = _scalar(text.strip())
    return settings


def flat(config: BaseModel) -> dict[str, Scalar]:
    """Return the settings as one dictionary with dotted names: `{"model.hidden_size": 100, ...}`."""
    values: dict[str, Scalar] = {}
    for key, value in config.model_dump().items():
        if isinstance(value, dict):
            values.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            values[key] = value
    return values


def _scalar(text: str) -> Scalar:
    if text.lower() in ("none", "null"):
        return None
    try:
        value = json.loads(text.lower())
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


SYNONYMS: Mapping[str, tuple[str, ...]] = {
    word: tuple(settings.split()) for words, settings in {
        "learning_rate learningrate rate step_size eta alpha": "training.lr",
        "batch batchsize bs minibatch": "training.batch_size",
        "epoch num_epochs n_epochs max_epochs": "training.epochs",
        "optimizer optimizer optim adam momentum weight_decay": "training.lr training.beta1 training.beta2",
        "beta betas": "training.beta1 training.beta2",
        "clip clipping grad_clip gradient_clip gradient_clipping max_norm max_grad_norm": "training.clip_norm",
        "scheduler lr_schedule lr_scheduler": "training.schedule",
        "early_stopping early_stop": "training.patience",
        "accumulation gradient_accumulation accumulate parts": "training.micro_batches",
        "precision amp mixed_precision": "training.bf16",
        "gpu cuda": "training.device",
        "num_threads n_threads num_workers cores": "training.threads",
        "shuffle bucketing": "training.bucket",
        "hidden hidden_dim hidden_units hiddensize units width": "model.hidden_size",
        "num_layers n_layers nlayers depth": "model.layers",
        "dropout_rate drop dropout_p": "model.dropout",
        "readout pool": "model.pooling",
        "engine kernel": "model.backend",
        "cell architecture arch": "model.name",
        "embedding_dim embed_dim embedding_size vector_size dim": "embedding.dimension",
        "freeze frozen finetune fine_tune": "embedding.trainable",
        "vectors embeddings word_vectors": "embedding.name",
        "max_len maxlen seq_len sequence_length length max_tokens truncate": "data.max_length",
        "subset sample samples n_samples": "data.limit",
        "val_share validation valid_size val_size validation_split val_split": "data.validation_share",
        "test_size test_split": "data.test_share",
        "dataset file path": "data.name",
        "random_state random_seed": "seed",
        "n_trials num_trials budget": "trials",
        "confirm_seeds n_seeds num_seeds seeds": "confirm",
        "search_space parameters params search": "space",
        "description question title": "purpose",
    }.items() for word in words.split()}
"""What others call a setting, or a key of a study file -> what it is called here."""

_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be greater than {gt}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text that can be written as UTF-8",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "value_error": "{error}",
}
_KINDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false"}
"""What pydantic calls a kind of value that a setting may have beside others -> what we do."""


def _kinds(place: tuple[int | str, ...], errors: Iterable[Any]) -> str:
    """Return in words the kinds of value that a setting may have, where it may have several."""
    if not place or place[-1] not in _KINDS:
        return ""
    return ", ".join(dict.fromkeys(_KINDS[str(error["loc"][-1])] for error in errors
                                   if error["loc"][:-1] == place[:-1] and error["loc"][-1] in _KINDS))


def _sentence(
    kind: type[BaseModel], error: Any, kinds: str, where: str, under: str, typed: Mapping[str, str]
) -> str:
    """Turn one of pydantic's findings into: setting, rule, value, remedy."""
    place = [str(part) for part in (error["loc"][:-1] if kinds else error["loc"])]
    path = [*([under] if under else []), *place]
    if error["type"] == "extra_forbidden":
        owner = kind
        for part in place[:-1]:
            owner = _model_in(owner.model_fields[part].annotation) or owner if part in owner.model_fields else owner
        known = [".".join([*path[:-1], key]) for key in owner.model_fields]
        return str(unknown_setting(".".join(path), known, where))
    name = typed.get(".".join(path)) or (f"{where}: " if where else "") + ".".join(shown(part, '') for part in path)
    if error["type"] == "missing":
        return f"{name} is required, but is not given"
    limits = {key: f"{value:g}" if isinstance(value, float) else f"{value:,}" if key in ("le", "max_length") else value
              for key, value in error.get("ctx", {}).items()}
    rule = _RULES[error["type"]].format_map(limits) if error["type"] in _RULES else error["msg"]
    if kinds and error["type"] != "finite_number":
        rule = f"must be {kinds}"
    if isinstance(error["input"], Mapping | Section) and error["type"] == "value_error":
        return f"{name} {rule}"  # a rule of several settings names their values
    return f"{name} {rule}, but got {shown(error['input'])}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the group of settings that a type such as `Mapping[str, Other] | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)


def unknown_setting(name: str, known: Collection[str], where: str = "") -> UsageError:
    """Return the error for a setting that is not among the `known` ones, with what may have been meant first.

    Args:
        name: its dotted name.
        known: the dotted names that there are.
        where: the file that it is from.
    """
    near = _meant(name, known)
    section = near[0].rpartition(".")[0] if near else ""
    error = str(unknown("setting", name, known, near=near))
    if section in SECTIONS:
        fields = RunConfig.model_fields[section].annotation
        assert isinstance(fields, type)
        assert issubclass(fields, Section)
        error = (f"unknown setting {shown(name)}. Did you mean {' or '.join(map(repr, near))}? {section} has "
                 f"{', '.join(sorted(fields.model_fields))}")
    return UsageError(f"{where}: {error}" if where else error)


def _meant(name: str, known: Collection[str]) -> list[str]:
    """Return the settings that a wrong name may mean: by another word, in another section, or by a slip."""
    section, _, last = name[:LONGEST_NAME].rpartition(".")
    last = last.lower().replace("-", "_")
    everything = [*known, *(key for key in flat(RunConfig()) if key not in known)]
    if words := [key for key in SYNONYMS.get(last, ()) if key in everything]:
        return words
    lasts: dict[str, str] = {}
    for key in sorted(everything, key=lambda key: (key.rpartition(".")[0] == section, key in known)):
        lasts[key.rpartition(".")[2]] = key  # of one name, the one in the same section
    return [lasts[near] for near in get_close_matches(last, lasts, n=1)]
