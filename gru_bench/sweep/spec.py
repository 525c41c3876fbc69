"""The specification of a study, read from its TOML file: models, search space, budget and fixed settings."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, Field

from gru_bench.config import (
    PRESETS,
    SECTIONS,
    SOURCE,
    MetricName,
    ModelName,
    Protocol,
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
from gru_bench.results.logged_metrics import compared
from gru_bench.results.pruners import PrunerName
from gru_bench.sweep.defaults import NO_BASE, RECIPE, Parts, by_size, inherit

LARGEST_SEED = 9_999
MOST_CONFIRM_SEEDS = 5_000
LEAST_APART = 1e-9
"""Smallest step of a range, relative to its ends. Points are compared by 12 digits, so steps must not be smaller."""
MODELS: tuple[str, ...] = tuple(PRESETS)
NOT_SEARCHED = ("seed", "data.", "embedding.name", "embedding.seed", "training.device", "training.threads",
                "training.selection", "training.metric", "model.name", "model.bidirectional", "model.backend")
"""Settings that cannot be searched, because they belong to the question or to the machine."""

Point = tuple[tuple[str, str], ...]


def point(settings: Mapping[str, Scalar]) -> Point:
    """Return a key that is the same for equal settings; numbers are compared by 12 digits."""
    return tuple(sorted((key, f"{value:.12g}" if isinstance(value, float) else str(value))
                        for key, value in settings.items()))


T = TypeVar("T")


def _each_once(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError("must contain each entry once")
    return values


Once = AfterValidator(_each_once)


class Range(Section):
    """Range of a searched setting: from low to high (whole numbers if both are), or a list of choices."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: list[Scalar] | None = None

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
        if self.choices is None:
            return self.high
        return max((choice for choice in self.choices if isinstance(choice, int | float)), default=self.choices[0])


class StudySpec(Section):
    """A study: one or several models, a search (optional), and a confirmation stage."""

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(checked_study)]
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
    protocol: Protocol = "tuning"
    """Contents of the study's report: the usual sections, or the homework's sections as well."""
    again: str = ""
    """Id of the own run of the study whose question it asks again; empty for a question of its own."""
    base: RunConfig = RunConfig()
    """The settings of all runs that are not searched."""
    own: Mapping[str, Mapping[str, Scalar]] = {}
    """Model -> settings for this model only, such as its backend."""
    sized: frozenset[str] = frozenset()
    """Names of the settings that follow the number of training texts, because nobody gave them."""
    margin: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Largest difference without practical importance, in the unit of `metric`: percentage points of accuracy or F1,
    nats of log loss, or ROC AUC. Reports use it. The last two have no default."""
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
        """Return the margin in percentage points, or in hundredths of a nat or of an area."""
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
    settings, models = changes.pop("settings", {}), changes.pop("models", None)
    refuse_settings_of_runs(settings)
    file = _parts(_read(path), path.name)
    name = file.keys.pop("base", None)
    parent = _base(name, path.name)
    inherited = 0 if name is None or parent is None else parent.keys.get("trials", 0)
    if changes.get("trials", file.keys.get("trials", inherited)) == 0:
        if file.keys.get("space") and "trials" not in {*file.keys, *changes}:
            raise UsageError(f"{path.name}: [space] is given, but trials is 0: add trials = 12")
        file.drop_search()
    for table in ("space", "first"):
        if isinstance(entries := file.keys.get(table), dict):  # a setting that is typed is not searched
            file.keys[table] = {key: entry for key, entry in entries.items() if key not in settings}
    in_file = frozenset(file.keys)
    sized = inherit(file, parent, settings, whole=name is not None)
    values = file.keys
    sources: dict[str, str] = {}
    if isinstance(values.get("models"), list):
        values["models"] = _named(values["models"], sources)
    all_models = changes.pop("all_models", None)
    if all_models is not None:
        values["models"] = _named(all_models, sources)
    if models is not None:
        models = _named(models, sources)
        values["models"] = [*values.get("models", []), *(
            model for model in models if is_own(model) and model not in values.get("models", []))]
    own = {model: left for model, settings_of in file.own.items()
           if (left := {key: value for key, value in settings_of.items() if key not in settings})}
    own |= {model: {**own.get(model, {}), SOURCE: source} for model, source in sources.items()}
    base = with_settings(validated(RunConfig, file.sections, path.name), settings)
    values.setdefault("name", path.stem)
    values |= changes
    # Random trials are a fair sample of the space only if no trial is pruned by a comparison with others.
    if values.get("sampler") == "random" and "pruner" not in {*in_file, *changes}:
        values["pruner"] = "none"
    if compared(base.training.metric, "test").unit != "share" and "margin" not in values:
        raise UsageError(f"{path.name}: a study of {base.training.metric} needs an equivalence margin, the largest "
                         "difference that does not matter in practice: add a line such as margin = 0.01")
    spec = validated(StudySpec, {**values, "base": base, "own": own, "sized": sized}, path.name, given=changes)
    if models is not None:
        missing = [model for model in models if model not in spec.models]
        if missing:
            raise unknown("model", missing[0], spec.models, f"These are the models of {path.name}.")
    _check(spec, path.name)
    return spec if models is None else spec.of(models)


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


def _parts(values: dict[str, Any], where: str) -> Parts:
    for key in values:
        if key not in KEYS:
            raise unknown_setting(key, KEYS, where)
    if isinstance(values.get("model"), str):
        raise UsageError(f"{where}: model must be a table of settings, but got {shown(values['model'])}: list the "
                         f"models of a study as models = [{json.dumps(values['model'])}]")
    sections = {key: _with_none(values.pop(key)) for key in list(values) if key in SECTIONS}
    if "metric" in values:
        if "metric" in sections.get("training", {}):
            raise UsageError(f"{where}: metric and training.metric set the same thing: remove one")
        sections.setdefault("training", {})["metric"] = values.pop("metric")
    if "space" in values:
        values["space"] = _space(_with_none(values["space"], lists=True), where)
    if "first" in values:
        values["first"] = flattened(_with_none(values["first"]))
    return Parts(values, sections, _own(sections, where))


def _base(name: Any, where: str) -> Parts | None:
    """Return the study that a file inherits from; None if it names none on purpose.

    Args:
        name: What the file gives as its base; None if it gives nothing.
        where: Name of the file.
    """
    if name == NO_BASE:
        return None
    if name is not None and name not in known_studies():
        error = unknown("base", str(name), [*known_studies(), NO_BASE], "A base must be a built-in study.")
        raise UsageError(f"{where}: {error}")
    return _parts(_read(resource("studies") / f"{name or RECIPE}.toml"), where)


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


def _space(nested: Any, where: str) -> dict[str, Range]:
    """Flatten `{"training": {"lr": {...}}}`, as TOML reads `training.lr = {...}`."""
    form = "lines like training.lr = { low = 1e-4, high = 1e-2, log = true } or model.layers = { choices = [1, 2] }"
    if not isinstance(nested, Mapping):
        raise UsageError(f"{where}: a search space must be a table that contains {form}, but got {shown(nested)}")
    ranges: dict[str, Any] = {}
    for section, entries in nested.items():
        own = not isinstance(entries, Mapping) or entries.keys() <= Range.model_fields.keys()
        if section not in SECTIONS and own:
            ranges[section] = entries
        elif isinstance(entries, Mapping):
            ranges |= {f"{section}.{key}": entry for key, entry in entries.items()}
        else:
            raise UsageError(f"{where}: a search space must contain {form}, but {section} is {shown(entries)}")
    known = flat(RunConfig())
    for setting, entry in ranges.items():
        if setting.rpartition(".")[2] == "seed":
            raise UsageError(f"{where}: [space] must not contain a seed, but has {shown(setting, '')}: remove it")
        if setting not in known:
            raise unknown_setting(setting, known, where)
        if isinstance(entry, list):
            raise UsageError(f"{where}: space.{setting} must be {{ choices = {shown(entry)} }}, but got "
                             f"{shown(entry)}")
        if not isinstance(entry, Mapping):
            raise UsageError(f"{where}: space.{setting} must be a range such as {{ low = 1, high = 3 }} or {{ choices "
                             f"= [1, 3] }}, but got {shown(entry)}: to use a fixed value, set it outside [space]")
    return {setting: validated(Range, entry, where, under=f"space.{setting}") for setting, entry in ranges.items()}


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


def _own(sections: dict[str, Any], where: str) -> dict[str, dict[str, Scalar]]:
    """Remove the tables named after a model, such as `[model.torch]`, from the sections; return model -> settings."""
    own: dict[str, dict[str, Scalar]] = {}
    for section in ("model", "training"):
        values = sections.get(section)
        if not isinstance(values, dict):
            continue
        for model in [key for key in values if (key in MODELS or is_own(key)) and isinstance(values[key], dict)]:
            for key, value in values.pop(model).items():
                if not isinstance(value, Scalar):
                    raise UsageError(f"{where}: {section}.{model}.{key} must be text, a number, true or false, but got "
                                     f"{shown(value)}")
                own.setdefault(model, {})[f"{section}.{key}"] = value
    return own


def _check(spec: StudySpec, where: str) -> None:
    if spec.trials and not spec.space:
        raise UsageError(f"{where}: trials is {spec.trials}, but [space] is empty: search a setting, or use "
                         "trials=0")
    if not spec.trials and not spec.confirm:
        raise UsageError(f"{where}: trials and confirm are both 0, so there is nothing to run")
    for model in spec.models if spec.trials else ():
        if (selection := spec.config(model, {}, 0).training.selection) != "best_validation":
            raise UsageError(f"{where}: a search needs training.selection 'best_validation', but got {selection!r}")
    if spec.margin_in_hundredths > 50:
        raise UsageError(f"{where}: margin must be at most 0.5 nats of log loss, or 0.5 of ROC AUC, but got "
                         f"{spec.margin:g}: choose a smaller one")
    _check_own(spec, where)
    for setting, span in spec.space.items():
        if setting.startswith(NOT_SEARCHED):
            raise UsageError(f"{where}: {setting} cannot be searched, because it defines the question or the machine: "
                             "set it outside [space]")
        _check_range(spec, setting, span, where)
    _check_first(spec, where)
    largest = {setting: span.largest() for setting, span in spec.space.items()}
    for model in spec.models:
        spec.config(model, largest, 0)


def _check_first(spec: StudySpec, where: str) -> None:
    if not spec.first:
        return
    if wrong := sorted(spec.first.keys() ^ spec.space.keys()):
        raise UsageError(f"{where}: [first] must have the same settings as [space], but {wrong[0]} is in "
                         f"{'[space]' if wrong[0] in spec.space else '[first]'} only: "
                         f"{'add' if wrong[0] in spec.space else 'remove'} it")
    for setting, value in spec.first.items():
        if not spec.space[setting].holds(value):
            raise UsageError(f"{where}: first.{setting} must lie in its search space, "
                             f"{spec.space[setting].described()}, but got {shown(value)}")


def _check_own(spec: StudySpec, where: str) -> None:
    for model, settings in spec.own.items():
        if model not in spec.models:
            raise UsageError(f"{where}: settings must be for a model of the study ({', '.join(spec.models)}), but "
                             f"{', '.join(settings)} is set for {model!r}: add it to models, or remove its settings")
        if settings.get("training.metric", spec.metric) != spec.metric:
            raise UsageError(f"{where}: all models of a study must have the same metric, {spec.metric}, but {model!r} "
                             f"has {settings['training.metric']}: set metric at the top of the file")
        searched = sorted(set(settings) & set(spec.space))
        if searched:
            raise UsageError(f"{where}: {searched[0]} is both in [space] and set for {model!r}: remove one of them")
        spec.config(model, {}, 0)


def _check_range(spec: StudySpec, setting: str, span: Range, where: str) -> None:
    name = f"{where}: space.{setting}"

    def refuse(rule: str) -> NoReturn:
        raise UsageError(f"{name} must {rule}, but got {span.described()}") from None

    if span.choices is not None:
        if not span.choices or span.described().keys() != {"choices"}:
            refuse("contain either choices or low and high")
        for model in spec.models:
            _check_choices(spec, model, setting, span.choices, name)
        return
    low, high, step = span.low, span.high, span.step
    if low is None or high is None or not low < high:
        refuse("have low below high")
    if span.log and (low <= 0 or step is not None):
        raise UsageError(f"{name} on a log scale must have low above 0 and no step, but got {span.described()}")
    for model in spec.models:
        for end in (low, high):
            spec.config(model, {setting: end}, 0)
    whole = isinstance(low, int) and isinstance(high, int)
    if step is not None and not 0 < step <= high - low:
        refuse(f"have a step above 0 and at most high - low = {high - low:g}")
    if whole and step is not None and step % 1:
        refuse("have a whole number as step, because low and high are whole")
    if whole:
        return
    if (high - low if step is None else step) < LEAST_APART * max(abs(low), abs(high)):
        refuse("have values that differ in their first 9 digits")
    between = low + (step or (high - low) / math.e)
    try:
        spec.config(spec.models[0], {setting: between}, 0)
    except UsageError:
        refuse(f"have whole numbers for low and high, because {setting} is one")


def _check_choices(spec: StudySpec, model: str, setting: str, values: Sequence[Scalar], name: str) -> None:
    """Check that no two values mean the same to a run, such as 1 and 1.0."""
    seen: dict[Point, Scalar] = {}
    for value in values:
        same = point({setting: flat(spec.config(model, {setting: value}, 0))[setting]})
        if same in seen:
            raise UsageError(f"{name} must contain each value once, but {shown(seen[same])} and {shown(value)} are the "
                             "same")
        seen[same] = value


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
