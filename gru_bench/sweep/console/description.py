"""What a study says of itself in MLflow, as Markdown: its decision, its scores and its command.

Texts never stand in it, and neither do error messages, which may quote some.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gru_bench import cli
from gru_bench.config import MetricName, Scalar
from gru_bench.evidence.progress import as_typed
from gru_bench.results.baselines import baseline_label, baseline_names
from gru_bench.results.logged_metrics import Metric
from gru_bench.stats.scores import compared
from gru_bench.sweep.console.progress import described

if TYPE_CHECKING:
    from gru_bench.sweep.plan import Role
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.summary import Conclusion, Confirmed

MOST_COMMAND = 2_000
"""Most characters of a command that are shown: MLflow cuts a description at 8,000."""
SPACE = "&emsp;"
_ROLES: Mapping[Role, str] = {
    "trial": "A trial of the search, scored on validation data",
    "confirm": "The best settings, trained again on a fresh seed and scored on test data",
}


def study_description(
    spec: StudySpec, *, command: str, best: Mapping[str, float], concluded: Conclusion
) -> str:
    """Return the description of a study: its decision, its scores and its command, as far as known.

    Args:
        spec: The study.
        command: The command that started it.
        best: Model -> validation score of its best trial, as far as known.
        concluded: What it concludes.
    """
    # MLflow shows only the first lines until a reader asks for more.
    parts = [f"**Decision:** {_escaped(concluded.decision)}"] if concluded.decision else []
    if best or concluded.scores:
        headings, *rows = results(spec.metric, spec.models, best, concluded)
        line = f"|---|{'---:|' * (len(headings) - 1)}"
        parts.append("\n".join([_row(headings), line, *map(_row, rows)]))
    # An indented block shows every character as it is.
    return "\n\n".join([*parts, "**Command:**", f"    {' '.join(as_typed(command).split())[:MOST_COMMAND]}"])


def results(
    metric: MetricName, models: Iterable[str], best: Mapping[str, float], concluded: Conclusion
) -> list[list[str]]:
    """Return the table of a study's scores: its headings, then a row for each model and each baseline. Columns that no
    model fills are left out.

    Args:
        metric: Score that the study is about.
        models: Its models.
        best: Model -> validation score of its best trial, as far as known.
        concluded: What the study concludes.
    """
    test, val = compared(metric, "test"), compared(metric, "val")
    headings = ["model", test.label, "95 % interval", "seeds, lowest to highest", f"best trial: {val.label}"]
    of_models = [[model, *_confirmed(concluded.scores.get(model), test), _written(val, best.get(model))]
                 for model in dict.fromkeys((*models, *concluded.scores)) if model not in baseline_names()]
    of_baselines = []
    for run in concluded.baselines:
        found = concluded.scores.get(run.model)
        scored = (_written(test, run.metrics.get(test.key)), "", "") if found is None else _confirmed(found, test)
        of_baselines.append([f"{baseline_label(run.model, run.params)} (baseline)", *scored,
                             _written(val, run.metrics.get(val.key))])
    kept = [any(column) for column in zip(*of_models, strict=True)]
    return [[cell for cell, keep in zip(row, kept, strict=True) if keep]
            for row in (headings, *of_models, *of_baselines)]


def run_description(role: Role, settings: Mapping[str, Scalar], repeats: int | None = None) -> str:
    """Return the description of a run of a study: what it is, the settings that it does not share, and the number of
    the interrupted trial that it repeats."""
    shown = described(settings).replace("`", "")
    again = "" if repeats is None else f". It repeats trial {repeats}, which was interrupted"
    return f"{_ROLES[role]}{f': `{shown}`' if shown else ''}{again}"


def next_commands(study: str, uri: str, *, report: bool, predict: bool, serve: bool) -> Iterator[str]:
    """Yield the commands that are useful after a sweep.

    Args:
        study: Name of the study.
        uri: Tracking URI, where it must be typed; otherwise empty.
        report: Whether to yield the one that writes a report.
        predict: Whether to yield the one that predicts.
        serve: Whether to yield the one that shows MLflow's pages.
    """
    option = ["--tracking-uri", uri] if uri else []
    if report:
        yield cli.line(["gru-bench", "report", "--study", study, *option])
    if predict:
        yield cli.line(["gru-bench", "predict", "--study", study, *option, "A text of yours."])
    if serve:
        yield cli.line(["mlflow", "ui", *(["--backend-store-uri", uri] if uri else [])])


def _confirmed(one: Confirmed | None, test: Metric) -> Sequence[str]:
    """Return the score of a model over its confirmation seeds, its interval, and the range of the seeds."""
    if one is None:
        return "", "", ""
    lowest, highest = test.written(min(one.by_seed)).removesuffix(" %"), test.written(max(one.by_seed))
    spread = f": {lowest} to {highest}" if len(one.by_seed) > 1 else ""
    seeds = "" if math.isinf(min(one.estimate.seeds)) else f"{len(one.by_seed)}{spread}"
    return test.written(one.estimate.estimate), one.interval(test), seeds


def _written(metric: Metric, value: float | None) -> str:
    return "" if value is None else metric.written(value)


def _row(cells: Sequence[str]) -> str:
    """Return a row of a table. MLflow's pages set no space between columns, so that each cell ends in some."""
    return f"| {' | '.join(f'{cell}{SPACE}' if cell else '' for cell in cells)} |"


def _escaped(text: str) -> str:
    from gru_bench.report.render.markdown import escaped

    return str(escaped(" ".join(text.split())))
