"""The model card of a saved model: what it was trained on, what it scores, what it cannot do, and how to load it.

Its text is the template `model_card.md.j2`. The front matter has the keys that model hubs read (Mitchell et al. 2019,
"Model Cards for Model Reporting"). No text of the data is in a card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gru_bench.config import flat
from gru_bench.errors import shown, visible
from gru_bench.inference.winner import AverageWinner, LinearWinner, Winner, better_baseline
from gru_bench.models.average import TrainedAverage
from gru_bench.models.linear import TrainedLinear
from gru_bench.models.saved import without_folders
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.numbers import NBSP, Number
from gru_bench.report.evidence.groups import LISTED_CLASSES
from gru_bench.report.evidence.progress import as_typed, baseline_runs
from gru_bench.report.render.markdown import escaped
from gru_bench.resources import resource
from gru_bench.results.baselines import MAJORITY, baseline_label
from gru_bench.results.logged_metrics import SPLIT_NAMES, compared, score
from gru_bench.stats import metrics

EXAMPLE = "A text of yours."
"""A made-up text, which stands for an input wherever one must be shown."""


def scores_of(winner: Winner | LinearWinner | AverageWinner) -> Mapping[str, Any]:
    """Return the scores of a model as JSON can hold them: the score of the study with its interval, the means over the
    seeds, and a sentence where a baseline is better. A linear model has one fit, and no interval. The average has the
    means on test texts alone."""
    if isinstance(winner, LinearWinner):
        metric, measured = compared(winner.study.plan().metric, "test"), winner.run.metrics
        value = measured.get(metric.key)
        return {
            "metric": winner.study.plan().metric, "value": value, "low": None, "high": None,
            "text": "unknown" if value is None else metric.written(value), "method": "one deterministic fit",
            "seeds": [], "test_texts": None if winner.data is None else winner.data.test, "better_baseline": "",
            "means": {key: measured[key] for key in _shown_scores() if key in measured}}
    group, number = winner.group, winner.group.score
    measured_R = [run.metrics for run in group.runs]
    if isinstance(winner, AverageWinner):
        measured_R = [{score(key, "test").key: value for key, value in metrics.scores(group.label_N, each).items()}
                      for each in group.probability_RNC]
    means = {key: sum(values) / len(values) for key in _shown_scores()
             if (values := [measured[key] for measured in measured_R if key in measured])}
    return {
        "metric": winner.study.plan().metric, "value": number.value, "low": number.low, "high": number.high,
        "text": _text(number), "method": number.method, "seeds": [run.seed for run in group.runs],
        "test_texts": len(group.example_N), "means": means, "better_baseline": better_baseline(winner)}


def _shown_scores() -> list[str]:
    """Return the keys of the metrics that a card shows."""
    return [score(name, split).key for split in SPLIT_NAMES.values()
            for name in ("accuracy", "macro_f1", "loss", "calibration_error")]


def model_card(
    winner: Winner | LinearWinner | AverageWinner, model: TrainedModel | TrainedLinear | TrainedAverage,
    scores: Mapping[str, Any],
) -> str:
    """Return the text of a model card."""
    import yaml

    data = winner.data if isinstance(winner, LinearWinner) else winner.group.data
    metric = compared(winner.study.plan().metric, "test")
    name = winner.study.run.params.get("data", "") if data is None else data.name
    kind = metric.key.removeprefix("score/test_")
    front = {
        "library_name": "gru-bench", "pipeline_tag": "text-classification",
        "tags": ["text-classification", *_kinds(model), model.name],
        "datasets": [name], "metrics": [kind],
        "model-index": [{"name": model.study, "results": [{
            "task": {"type": "text-classification"}, "dataset": {"name": name, "type": name, "split": "test"},
            "metrics": [{"type": kind, "value": scores["value"], "name": metric.label}]}]}]}
    common = {
        "front": yaml.safe_dump(front, sort_keys=False), "model": model, "scores": scores, "name": name, "data": data,
        "fingerprint": winner.study.run.fingerprint, "label": metric.label, "others": _others(winner),
        "example": EXAMPLE,
        "listed": LISTED_CLASSES, "number": "{:,}".format,
        "command": _code(as_typed(_without_paths(winner.study.run.command)))}
    if isinstance(model, TrainedLinear):
        return _rendered("linear_card.md.j2", common | {
            "label_of_model": baseline_label(model.name, model.settings)})
    if isinstance(model, TrainedAverage):
        return _rendered("average_card.md.j2", common | {
            "trained": model.trained, "linear": model.linear,
            "label_of_linear": baseline_label(model.linear.name, model.linear.settings)})
    longest = model.config.data.max_length
    settings = {key: value for key, value in flat(without_folders(model.config)).items()
                if key.startswith(("model.", "training.", "embedding.")) or key == "data.max_length"}
    return _rendered("model_card.md.j2", common | {
        "settings": settings, "longest": longest,
        "loss": scores["means"].get(score("loss", "test").key)})


def _others(winner: Winner | LinearWinner | AverageWinner) -> list[tuple[str, str]]:
    """Return what else was scored on the test texts, with its score: all seeds together, and the linear models."""
    metric = compared(winner.study.plan().metric, "test")
    linear = [(baseline_label(run.model, run.params), metric.written(run.metrics[metric.key]))
              for run in baseline_runs(winner.study)
              if run.model not in (MAJORITY, winner.name) and metric.key in run.metrics]
    if isinstance(winner, LinearWinner) or not winner.group.has_together:
        return linear
    (together,) = winner.group.together.scores(winner.group.metric)
    return [("all seeds together", metric.written(together)), *linear]


def _kinds(model: TrainedModel | TrainedLinear | TrainedAverage) -> tuple[str, ...]:
    """Return what kinds of model it is of."""
    return ("linear",) if isinstance(model, TrainedLinear) else ("gru", "linear") if isinstance(
        model, TrainedAverage) else ("gru",)


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False)  # Markdown: each name is escaped by `shown`
    environment.filters["shown"] = lambda value: str(escaped(shown(str(value), "", 300)))
    return environment.get_template(template).render(values)


def _code(text: str) -> str:
    """Return a text as a code span, whose marks are longer than any within it."""
    line = visible(text).replace("\n", "\\n")
    mark = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{mark} {line} {mark}" if len(mark) > 1 else f"`{line}`"


def _without_paths(command: str) -> str:
    """Return a command whose files have names without folders, because a card is passed on."""
    quoted = r"""(?<=['"])(?![\s,:)}\]])[^'"]*[/\\](?=[^'"/\\])"""  # whose folders may have spaces
    return re.sub(quoted + r"""|[^\s'"=(,]*[/\\](?=[^\s'"/\\])""", "", command)


def _text(number: Number) -> str:
    interval = f" [{number.ends[0].text}, {number.ends[1].text}]" if number.low is not None else ""
    return f"{number.text}{interval}{' %' if number.kind == 'percent' else ''}".replace(NBSP, " ")
