"""What a study says of itself in MLflow, as Markdown: its question, how far it is, its results, and what to type next.

Reviews never stand in it, and neither do error messages, which may quote some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gru_bench import cli
from gru_bench.config import Scalar
from gru_bench.report.evidence.progress import typed
from gru_bench.results.logged_metrics import compared
from gru_bench.sweep.console.progress import described
from gru_bench.tracking.view import MISSING

if TYPE_CHECKING:
    from gru_bench.sweep.planner import Role
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.summary import Confirmed

STATUS = {
    "running": "running. If no process works on it any more, the same command continues it.",
    "complete": "complete.",
    "incomplete": "not complete. The same command continues it.",
    "interrupted": "interrupted. The same command continues it.",
    "failed": "failed. The same command continues it once the cause is mended.",
}
"""State of a study -> what its description says of it."""
MOST_COMMAND = 2_000
"""Most characters of a command that are shown: MLflow cuts a description at 8,000."""
_ROLES: Mapping[Role, str] = {
    "trial": "A trial of the search, scored on validation reviews",
    "confirm": "The best settings, trained again on a fresh seed and scored on test reviews",
    "ablation": "A run of an ablation, scored on validation reviews",
}


def study_description(
    spec: StudySpec, state: str, *, command: str, uri: str, best: Mapping[str, float], found: Mapping[str, Confirmed],
    view: str | None,
) -> str:
    """Return the description of a study.

    Args:
        spec: The study.
        state: How far it is, a key of `STATUS`.
        command: The command that started it.
        uri: Tracking URI, where it must be typed; otherwise empty.
        best: Model -> validation score of its best trial, as far as known.
        found: Model -> its confirmed score, as far as known.
        view: Page with the saved view of its experiment; empty where there is none, None while that is not known.
    """
    # MLflow shows only the first lines until a reader asks for more.
    parts = [f"**Question:** {_escaped(spec.purpose)}"] if spec.purpose.strip() else []
    parts.append(f"**Status:** {STATUS[state]}")
    if view:
        parts[-1] += f" See all runs [in one table]({view}) or [as charts]({view}&compareRunsMode=CHART)."
    elif view is not None:
        parts[-1] += f" {MISSING}"
    if best or found:
        parts.append("\n".join(_table(spec, best, found)))
    parts += ["**Started by:**", _code([_typed(command)])]
    if best or found:
        parts += ["**Next:**", _code(next_commands(spec.name, uri, report=True, predict=bool(found), serve=False))]
    return "\n\n".join(parts)


def run_description(role: Role, settings: Mapping[str, Scalar]) -> str:
    """Return the description of a run of a study: what it is, and the settings that it does not share."""
    shown = described(settings).replace("`", "")
    return f"{_ROLES[role]}{f': `{shown}`' if shown else ''}"


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


def _table(spec: StudySpec, best: Mapping[str, float], found: Mapping[str, Confirmed]) -> Iterator[str]:
    """Yield the lines of the table of the models' scores."""
    val, test = compared(spec.metric, "val"), compared(spec.metric, "test")
    yield f"| model | best trial: {val.label} | {test.label} | 95 % interval | seeds |"
    yield "|---|---:|---:|---|---:|"
    for model in spec.models:
        cells = [val.written(best[model]) if model in best else "", "", "", ""]
        if (one := found.get(model)) is not None:
            cells[1:] = test.written(one.estimate.estimate), one.interval(test), str(len(one.by_seed))
        yield f"| {' | '.join([model, *cells])} |"


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
