"""What a study says of itself in MLflow, as Markdown: its question, how far it is, its results, and what to type next.

Texts never stand in it, and neither do error messages, which may quote some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gru_bench import cli
from gru_bench.config import MetricName, Scalar
from gru_bench.report.evidence.progress import typed
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import Metric, compared
from gru_bench.sweep.console.progress import described
from gru_bench.tracking.view import MISSING

if TYPE_CHECKING:
    from gru_bench.results.baselines import BaselineResult
    from gru_bench.sweep.plan import Role
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.summary import Confirmed

STATUS = {
    "running": "running. If its process has died, the same command continues it.",
    "complete": "complete.",
    "left": "complete, but {left}. The same command continues it.",
    "incomplete": "not complete: {done}. The same command continues it.",
    "interrupted": "interrupted after {done}. The same command continues it.",
    "failed": "failed after {done}. The same command continues it once the cause is fixed.",
}
"""State of a study -> what its description says of it, with the runs that are done where it has stopped early."""
MOST_COMMAND = 2_000
"""Most characters of a command that are shown: MLflow cuts a description at 8,000."""
MOST_PAIRS = 10
"""Most pairs of models whose verdicts are shown, for the same reason."""
SPACE = "&emsp;"
_ROLES: Mapping[Role, str] = {
    "trial": "A trial of the search, scored on validation data",
    "confirm": "The best settings, trained again on a fresh seed and scored on test data",
    "ablation": "A run of an ablation, scored on validation data",
}


def study_description(
    spec: StudySpec, state: str, *, command: str, uri: str, best: Mapping[str, float], found: Mapping[str, Confirmed],
    view: str | None, trials: int = 0, confirmed: int = 0, baselines: Iterable[BaselineResult] = (),
    said: Sequence[str] = (), left: Sequence[str] = (),
) -> str:
    """Return the description of a study.

    Args:
        spec: The study.
        state: How far it is, a key of `STATUS`.
        command: The command that started it.
        uri: Tracking URI, where it must be typed; otherwise empty.
        best: Model -> validation score of its best trial, as far as known.
        found: Model -> its confirmed score, as far as known; also that of the mixture.
        view: Page with the saved view of its experiment; empty where there is none, None while that is not known.
        trials: Number of trials that are done, of all models, where the study has stopped early.
        confirmed: Number of its confirmation runs that are complete, of all models.
        baselines: The baselines on the same data, as far as known.
        said: The decision and the sentence on each pair of models, once all runs of the study have ended.
        left: What a complete study has not done, such as runs that failed.
    """
    decision, *verdicts = [_escaped(one) for one in said] or [""]
    # MLflow shows only the first lines until a reader asks for more.
    parts = [f"**Decision:** {decision}"] if decision else []
    parts += [f"**Question:** {_escaped(spec.purpose)}"] if spec.purpose.strip() else []
    status = STATUS["left" if state == "complete" and left else state]
    parts.append("**Status:** " + status.format(done=_done(spec, trials, confirmed), left=_escaped("; ".join(left))))
    if view:
        parts[-1] += f" See all runs [in one table]({view}) or [as charts]({view}&compareRunsMode=CHART)."
    elif view is not None:
        parts[-1] += f" {MISSING}"
    if best or found:
        headings, *rows = results(spec.metric, spec.models, best, found, baselines)
        line = f"|---|{'---:|' * (len(headings) - 1)}"
        parts.append("\n".join([_row(headings), line, *map(_row, rows)]))
    if verdicts:
        more = [f"{len(verdicts) - MOST_PAIRS} more pairs are in the report."] * (len(verdicts) > MOST_PAIRS)
        parts.append("\n".join(f"- {line}" for line in (*verdicts[:MOST_PAIRS], *more)))
    parts += ["**Started by:**", _code([_typed(command)])]
    if best or found:
        parts += ["**Next:**", _code(next_commands(spec.name, uri, report=True, predict=bool(found), serve=False))]
    return "\n\n".join(parts)


def results(
    metric: MetricName, models: Iterable[str], best: Mapping[str, float], found: Mapping[str, Confirmed],
    baselines: Iterable[BaselineResult],
) -> list[list[str]]:
    """Return the table of a study's scores: its headings, then a row for each model and each baseline. Columns that no
    model fills are left out.

    Args:
        metric: Score that the study is about.
        models: Its models.
        best: Model -> validation score of its best trial, as far as known.
        found: Model -> its confirmed score, as far as known; also that of the mixture.
        baselines: The baselines on the same data, as far as known.
    """
    test, val = compared(metric, "test"), compared(metric, "val")
    headings = ["model", test.label, "95 % interval", "seeds, lowest to highest", f"best trial: {val.label}"]
    of_models = [[model, *_confirmed(found.get(model), test), _written(val, best.get(model))]
                 for model in dict.fromkeys((*models, *found))]
    of_baselines = [
        [f"{baseline_label(one.model, one.settings)} (baseline)", _written(test, one.metrics.get(test.key)), "", "",
         _written(val, one.metrics.get(val.key))] for one in baselines]
    kept = [any(column) for column in zip(*of_models, strict=True)]
    return [[cell for cell, keep in zip(row, kept, strict=True) if keep]
            for row in (headings, *of_models, *of_baselines)]


def run_description(role: Role, settings: Mapping[str, Scalar], repeats: int | None = None) -> str:
    """Return the description of a run of a study: what it is, the settings that it does not share, and the number of
    the interrupted trial that it repeats."""
    shown = described(settings).replace("`", "")
    again = "" if repeats is None else f". It repeats trial {repeats}, which was interrupted"
    return f"{_ROLES[role]}{f': `{shown}`' if shown else ''}{again}"


def next_commands(
    study: str, uri: str, *, report: bool, predict: bool, serve: bool, model: str | None = None
) -> Iterator[str]:
    """Yield the commands that are useful after a sweep.

    Args:
        study: Name of the study.
        uri: Tracking URI, where it must be typed; otherwise empty.
        report: Whether to yield the one that writes a report.
        predict: Whether to yield the one that predicts.
        serve: Whether to yield the one that shows MLflow's pages.
        model: The model that predicts; None: the one that is best on validation texts.
    """
    option = ["--tracking-uri", uri] if uri else []
    if report:
        yield cli.line(["gru-bench", "report", "--study", study, *option])
    if predict:
        chosen = ["--model", model] if model else []
        yield cli.line(["gru-bench", "predict", "--study", study, *chosen, *option, "A text of yours."])
    if serve:
        yield cli.line(["mlflow", "ui", *(["--backend-store-uri", uri] if uri else [])])


def _done(spec: StudySpec, trials: int, confirmed: int) -> str:
    """Return how many runs of a study are done, of how many: `1 of 6 trials, 0 of 4 confirmation runs`."""
    models, most = len(spec.models), "up to " if spec.interim else ""  # interim analyses may stop it early
    parts = [(trials, "", models * spec.trials, "trials"),
             (confirmed, most, models * spec.confirm, "confirmation runs")]
    return ", ".join(f"{done} of {up_to}{max(done, asked)} {what}" for done, up_to, asked, what in parts
                     if done or asked)


def _confirmed(one: Confirmed | None, test: Metric) -> Sequence[str]:
    """Return the score of a model over its confirmation seeds, its interval, and the range of the seeds."""
    if one is None:
        return "", "", ""
    lowest, highest = test.written(min(one.by_seed)).removesuffix(" %"), test.written(max(one.by_seed))
    spread = f": {lowest} to {highest}" if len(one.by_seed) > 1 else ""
    return test.written(one.estimate.estimate), one.interval(test), f"{len(one.by_seed)}{spread}"


def _written(metric: Metric, value: float | None) -> str:
    return "" if value is None else metric.written(value)


def _row(cells: Sequence[str]) -> str:
    """Return a row of a table. MLflow's pages set no space between columns, so that each cell ends in some."""
    return f"| {' | '.join(f'{cell}{SPACE}' if cell else '' for cell in cells)} |"


def _typed(command: str) -> str:
    """Return a recorded command as it can be typed, where that is known."""
    words = typed(command)
    return f"{words[0]} {cli.line(words[1:])}" if words else command


def _code(lines: Iterable[str]) -> str:
    """Return lines as an indented block, which shows every character as it is."""
    return "\n".join(f"    {' '.join(line.split())[:MOST_COMMAND]}" for line in lines)


def _escaped(text: str) -> str:
    from gru_bench.report.render.markdown import escaped

    return str(escaped(" ".join(text.split())))
