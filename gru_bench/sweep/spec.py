"""The specification of a study, read from its TOML file: models, search space, budget and fixed settings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gru_bench.config import (
    PRESETS,
    SECTIONS,
    SOURCE,
    MetricName,
    ModelName,
    Once,
    RunConfig,
    Scalar,
    Section,
    checked_study,
    flat,
    flattened,
    is_own,
    unknown_setting,
    validated,
    with_settings,
)
from gru_bench.data.code import own_model
from gru_bench.errors import DataError, UsageError, shown, unknown
from gru_bench.resources import resource
from gru_bench.results.pruners import PrunerName
from gru_bench.stats.scores import compared, score_of
from gru_bench.sweep.defaults import NO_BASE, RECIPE, Parts, by_size, inherit

LARGEST_SEED = 9_999
MOST_CONFIRM_SEEDS = 5_000
MOST_STEPS = 10**9
"""Largest number of steps in a range."""
MODELS: tuple[str, ...] = tuple(PRESETS)
NOT_SEARCHED = ("seed", "data.", "embedding.name", "embedding.seed", "training.device", "training.threads",
                "training.selection", "training.metric", "model.name", "model.bidirectional", "model.backend")
"""Settings that cannot be searched, because they belong to the question or to the machine."""

Number = Annotated[int | float, Field(ge=-1e38, le=1e38)]


class Range(Section):
    """Range of a searched setting: from low to high (whole numbers if both are), or a list of choices."""

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: Annotated[list[Scalar], Field(min_length=1), Once] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        low, high, step = self.low, self.high, self.step
        rule = ""
        if self.choices is not None:
            rule = "" if self.described().keys() == {"choices"} else "contain either choices or low and high"
        elif low is None or high is None or not low < high:
            rule = "have low below high"
        elif self.log and (low <= 0 or step is not None):
            rule = "have low above 0 and no step, because its scale is log"
        elif step is not None and not (high - low) / MOST_STEPS <= step <= high - low:
            rule = f"have 1 to {MOST_STEPS:,} steps from low to high"
        elif step is not None and isinstance(low, int) and isinstance(high, int) and step % 1:
            rule = "have a whole number as step, because low and high are whole"
        if rule:
            raise ValueError(f"must {rule}, but got {shown(self.described())}")
        return self

    @property
    def ends(self) -> list[Scalar]:
        """The choices, or low and high."""
        return [self.low, self.high] if self.choices is None else self.choices

    def described(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)

    def holds(self, value: Scalar) -> bool:
        """Return whether a value is in the range; of a range with a step, whether it is one of its values."""
        if self.choices is not None:
            return any(type(choice) is type(value) and choice == value for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float) or self.low is None or self.high is None:
            return False
        if isinstance(self.low, int) and isinstance(self.high, int):
            return isinstance(value, int) and value in range(self.low, self.high + 1, int(self.step or 1))
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-6

    def largest(self) -> Scalar:
        """Return the largest number of the range; the first choice if no choice is a number."""
        return max((end for end in self.ends if isinstance(end, int | float)), default=self.ends[0])


class StudySpec(Section):
    """A study: one or several models, a search (optional), and a confirmation stage."""

    name: Annotated[str, AfterValidator(checked_study)]
    """The name that the study is stored under. Without it: the name of its file."""
    purpose: str = ""
    """The question in words, for the report."""
    models: Annotated[list[ModelName], Field(min_length=1), Once]
    """The models of the study. All of its starts work on all of them."""
    space: Mapping[str, Range] = {}
    """The settings that are searched, and their ranges."""
    first: Mapping[str, Scalar] = {}
    """Settings of the first trial of each search, one for each searched setting. Empty: the sampler proposes it too."""
    trials: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Trials of the search of each model, in total over all starts. 0: no search."""
    confirm: Annotated[int, Field(ge=0, le=MOST_CONFIRM_SEEDS)] = 5
    """Number of confirmation seeds of each model."""
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    """Seed of the search. All other seeds follow from it."""
    sampler: Literal["tpe", "random"] = "tpe"
    """What proposes the settings of the next trial."""
    pruner: PrunerName = "halving"
    """What ends the trials that fall behind, at checks within an epoch."""
    again: str = ""
    """Id of the own run of the study whose question it asks again; empty for a question of its own."""
    base: RunConfig = RunConfig()
    """The settings of all runs that are not searched."""
    own: Mapping[str, Mapping[str, Any]] = {}
    """Model -> settings for this model only, such as its backend."""
    sized: frozenset[str] = frozenset()
    """Names of the settings that follow the number of training texts, because nobody gave them."""
    margin: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Largest difference without practical importance, in the unit of `metric`: percentage points of accuracy or macro
    F1, or nats of log loss, which have no default. Reports use it."""
    diagnostics: bool = False
    """Whether to diagnose the first confirmation run of each model: gradients through time, gates, words that decide.
    """

    def config(self, model: str, settings: Mapping[str, Scalar], seed: int) -> RunConfig:
        """Return the config of one run of the study."""
        return with_settings(self.base, {**self.own.get(model, {}), **settings, "model.name": model, "seed": seed})

    def fitted(self, examples: int) -> StudySpec:
        """Return the study with the settings that suit so many training texts, where nobody gave them."""
        trainings = [self.config(model, {}, 0).training for model in self.models]
        settings = by_size(examples, max(trainings, key=lambda training: training.batch_size))
        return self.model_copy(update={
            "base": with_settings(self.base, {key: settings[key] for key in self.sized})})

    def of(self, models: Collection[str]) -> StudySpec:
        """Return the study with these of its models alone."""
        return self.model_copy(update={
            "models": [model for model in self.models if model in models],
            "own": {model: settings for model, settings in self.own.items() if model in models}})

    @property
    def metric(self) -> MetricName:
        """Return the score that the study is about."""
        return self.base.training.metric

    @property
    def margin_in_hundredths(self) -> float:
        """Return the margin in percentage points, or in hundredths of a nat."""
        return self.margin if compared(self.metric, "test").unit == "share" else 100 * self.margin

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """Seeds of the confirmation stage. They are above 9,999, so no search trains with them."""
        first = (self.seed + 1) * (LARGEST_SEED + 1)
        return tuple(range(first, first + self.confirm))


KEYS = (*(key for key in StudySpec.model_fields if key not in ("again", "own", "sized")), "metric", *SECTIONS)
"""Top-level keys of a study file. `own` and `sized` follow from its sections, `metric` is `training.metric`, and
`again` belongs to `--again`. `base` names a study in a file; the `base` of a `StudySpec` holds the settings."""


def known_studies() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(path.stem for path in resource("studies").glob("*.toml"))


def load_study(source: str, /, **changes: Any) -> StudySpec:
    """Return a study, read by its name or from a TOML file.

    Args:
        source: One of `known_studies`, or the path of a file.
        changes: Values that replace those of the file, such as `trials`, `confirm`, `seed` and `name`; None
            changes nothing. `models` chooses among the models of the file, and may add classes of the user's own;
            `all_models` replaces them. `settings` maps dotted settings of every run to values.

    Raises:
        UsageError: The study is unknown, or a setting is unknown or out of range.
        DataError: The file is not TOML.
    """
    path = _study_file(source)
    changes = {key: value for key, value in changes.items() if value is not None}
    settings, chosen, models = changes.pop("settings", {}), changes.pop("models", None), changes.pop("all_models", None)
    # What is typed is checked first: errors that name the file are about the file.
    refuse_settings_of_runs(settings)
    with_settings(RunConfig(), settings)
    validated(StudySpec, {"name": "-", "models": [*PRESETS], **changes}, strict=True)
    sources: dict[str, str] = {}
    chosen, models = chosen and _named(chosen, sources), models and _named(models, sources)
    content = _read(path)
    with _naming(path):
        file = _parts(content)
        name = file.keys.pop("base", None)
        parent = _base(name)
        inherited = 0 if name is None or parent is None else parent.keys.get("trials", 0)
        if changes.get("trials", file.keys.get("trials", inherited)) == 0:
            if file.keys.get("space") and "trials" not in {*file.keys, *changes}:
                raise UsageError("[space] is given, but trials is 0: add trials = 12")
            file.drop_search()
        for table in {"space", "first"} & file.keys.keys():  # a setting that is typed is not searched
            file.keys[table] = {key: entry for key, entry in file.keys[table].items() if key not in settings}
        in_file = frozenset(file.keys)
        sized = inherit(file, parent, settings, whole=name is not None)
        values = {"name": path.stem, **file.keys, **changes}
        if models is None and isinstance(listed := values.get("models", []), list):
            listed = _named(listed, sources)
            models = [*listed, *(model for model in chosen or () if is_own(model) and model not in listed)]
        if models:
            values["models"] = models
        own = {model: left for model, settings_of in file.own.items()
               if (left := {key: value for key, value in settings_of.items() if key not in settings})}
        own |= {model: {**own.get(model, {}), SOURCE: source} for model, source in sources.items()}
        base = with_settings(with_settings(RunConfig(), file.settings, strict=True), settings)
        # Random trials are a fair sample of the space only if no trial is pruned by a comparison with others.
        if values.get("sampler") == "random" and "pruner" not in {*in_file, *changes}:
            values["pruner"] = "none"
        if score_of(base.training.metric).unit != "share" and "margin" not in values:
            raise UsageError(f"a study of {base.training.metric} needs an equivalence margin, the largest difference "
                             "that does not matter in practice: add a line such as margin = 0.01")
        spec = validated(StudySpec, {**values, "base": base, "own": own, "sized": sized}, strict=True)
        _check(spec)
    for model in chosen or ():
        if model not in spec.models:
            raise unknown("model", model, spec.models, f"These are the models of {path.name}.")
    return spec if chosen is None else spec.of(chosen)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name a study file in the errors about it."""
    try:
        yield
    except UsageError as error:
        raise UsageError("\n".join(f"{path.name}: {line}" for line in str(error).splitlines())) from None


def refuse_settings_of_runs(settings: Mapping[str, Any]) -> None:
    """Refuse settings that a study gives to each run.

    Raises:
        UsageError: One is among them.
    """
    for key, given in (("seed", "seed"), ("model.name", "model")):
        if key in settings:
            raise UsageError(f"{key} cannot be a setting of a study, which sets it for each run, but got "
                             f"{shown(settings[key])}: use {given}")


def _named(models: Sequence[Any], sources: dict[str, str]) -> list[Any]:
    """Return the names of models as they were typed, and add the SHA-256 of the file of each of the user's own to
    `sources`."""
    named: list[Any] = []
    for typed in models:
        found = own_model(typed) if isinstance(typed, str) else None
        if found is None:
            named.append(typed)
            continue
        model, source = found
        if sources.setdefault(model, source) != source:
            raise UsageError(f"classes of your own must have different file and class names, but two are {model}: "
                             "rename one")
        named.append(model)
    return named


def _parts(values: dict[str, Any]) -> Parts:
    for key, value in values.items():
        if key not in KEYS:
            raise unknown_setting(key, KEYS)
        if key in ("space", "first", *SECTIONS) and not isinstance(value, dict):
            remedy = ": list models as models = [...]" if key == "model" else ""
            raise UsageError(f"{key} must be a table, but got {shown(value)}{remedy}")
    settings: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        for key, value in _with_none(values.pop(section, {})).items():
            if isinstance(value, dict) and section in ("model", "training") and (key in MODELS or is_own(key)):
                own.setdefault(key, {}).update({f"{section}.{name}": entry for name, entry in value.items()})
            else:
                settings[f"{section}.{key}"] = value
    if "metric" in values:
        if "training.metric" in settings:
            raise UsageError("metric and training.metric set the same thing: remove one")
        settings["training.metric"] = values.pop("metric")
    if "space" in values:
        values["space"] = _space(_with_none(values["space"], lists=True))
    if "first" in values:
        values["first"] = flattened(_with_none(values["first"]))
    return Parts(values, settings, own)


def _base(name: Any) -> Parts | None:
    """Return the study that a file inherits from, by what the file gives as its base; None if it names none on purpose.
    """
    if name == NO_BASE:
        return None
    if name is not None and name not in known_studies():
        raise unknown("base", str(name), [*known_studies(), NO_BASE], "A base must be a built-in study.")
    return _parts(_read(resource("studies") / f"{name or RECIPE}.toml"))


def is_file_name(name: str) -> bool:
    """Return whether what was typed for a study is a path, not the name of a study."""
    return name.endswith(".toml") or "/" in name or "\\" in name


def _study_file(name: str) -> Path:
    if is_file_name(name):
        try:
            there = Path(name).is_file()
        except OSError:  # the name is too long
            there = False
        if not there:
            raise UsageError(f"No such file: {shown(name)}. Built-in studies are {', '.join(known_studies())}")
        return Path(name)
    if name not in known_studies():
        raise unknown("study", name, known_studies(), "Or give the path of a .toml file.")
    return resource("studies") / f"{name}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors may begin it with a BOM
    except (ValueError, RecursionError) as error:  # also of text that is not UTF-8
        raise DataError(f"{path} is not valid TOML: {error}") from None


def _space(nested: Mapping[str, Any]) -> dict[str, Range]:
    """Flatten `{"training": {"lr": {...}}}`, as TOML reads `training.lr = {...}`."""
    ranges: dict[str, Any] = {}
    for section, entries in nested.items():
        if isinstance(entries, dict) and not entries.keys() <= Range.model_fields.keys():
            ranges |= {f"{section}.{key}": entry for key, entry in entries.items()}
        else:
            ranges[section] = entries
    known = flat(RunConfig())
    for setting, entry in ranges.items():
        if setting.rpartition(".")[2] == "seed":
            raise UsageError(f"[space] must not contain a seed, but has {shown(setting, '')}: remove it")
        if setting not in known:
            raise unknown_setting(setting, known)
        if not isinstance(entry, dict):
            raise UsageError(f"space.{setting} must be a range such as {{ low = 1, high = 3 }} or {{ choices = [1, 3] "
                             f"}}, but got {shown(entry)}: set a fixed value outside [space]")
    return {setting: validated(Range, entry, strict=True, under=f"space.{setting}")
            for setting, entry in ranges.items()}


def _with_none(values: Any, *, lists: bool = False) -> Any:
    """Return the values with the text `none` replaced by None, which TOML cannot express.

    Args:
        values: Any values.
        lists: Whether it is replaced in lists too; a list of classes may name one `none`.
    """
    if isinstance(values, dict):
        return {key: _with_none(value, lists=lists) for key, value in values.items()}
    if lists and isinstance(values, list):
        return [_with_none(value, lists=True) for value in values]
    return None if values == "none" else values


def _check(spec: StudySpec) -> None:
    if spec.trials and not spec.space:
        raise UsageError(f"trials is {spec.trials}, but [space] is empty: search a setting, or use trials=0")
    if not spec.trials and not spec.confirm:
        raise UsageError("trials and confirm are both 0, so there is nothing to run")
    if spec.margin_in_hundredths > 50:
        raise UsageError(f"margin must be at most 0.5 nats of log loss, but got {spec.margin:g}: choose a smaller one")
    for setting in spec.space:
        if setting.startswith(NOT_SEARCHED):
            raise UsageError(f"{setting} cannot be searched, because it defines the question or the machine: set it "
                             "outside [space]")
    for model, settings in spec.own.items():
        if model not in spec.models:
            raise UsageError(f"{', '.join(settings)} is set for {model!r}, which is not a model of the study "
                             f"({', '.join(spec.models)}): add it to models, or remove its settings")
        for key in sorted({"training.metric", *spec.space} & settings.keys()):
            raise UsageError(f"{key} must be the same for all models or searched for all of them, but is set for "
                             f"{model!r}: remove it there")
    for setting in sorted(spec.first.keys() ^ spec.space.keys()) if spec.first else ():
        raise UsageError(f"[first] must have the same settings as [space], but {setting} is in one of them only: "
                         f"{'add' if setting in spec.space else 'remove'} it")
    for setting, value in spec.first.items():
        if not spec.space[setting].holds(value):
            raise UsageError(f"first.{setting} must lie in its search space, {spec.space[setting].described()}, but "
                             f"got {shown(value)}")
    ends = [{setting: end} for setting, span in spec.space.items() for end in span.ends]
    largest = {setting: span.largest() for setting, span in spec.space.items()}
    for model in spec.models:
        for settings in ({}, *ends, largest):
            run = with_settings(spec.base, {**spec.own.get(model, {}), **settings}, strict=True)
        if spec.trials and run.training.selection != "best_validation":
            raise UsageError(f"a search needs training.selection 'best_validation', but got {run.training.selection!r}")


def parsed_duration(text: str | None) -> float | None:
    """Return the seconds of a duration such as `90`, `90s`, `10m` or `1.5h`; None for None.

    Raises:
        UsageError: The text is not a duration.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found or float(found[1]) == 0:
        raise UsageError(f"timeout must be a time such as 90s, 10m or 1.5h, but got {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
