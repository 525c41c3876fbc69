"""Each number of a report says what it was computed from: so many examples of a split, and these runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pytest

from gru_bench.document.numbers import Number
from gru_bench.tracking import LoggedRun, LoggedStudy
from tests.support.diagnostics import some_diagnostics, studies_with
from tests.support.fake_store import Studies, of_classes
from tests.support.renderings import Built
from tests.support.reports import build

SOURCES = [(f"^{pattern}(\\.low|\\.high)?$".replace("MODEL", "(?P<model>(?!of-)[a-z]+-[a-z]+)").replace(
    "PAIR", "pair\\.(?P<a>[a-z]+-[a-z]+)\\.(?P<b>[a-z]+-[a-z]+)"), examples, runs) for pattern, examples, runs in (
    # scores of confirmation runs on the test texts
    (r"MODEL\.(texts|accuracy|f1|macro-f1|guessing|deviation|lowest-seed|highest-seed)", "test", "confirm"),
    (r"MODEL\.(precision|recall|roc-auc|average-precision|loss|calibration)", "test", "confirm"),
    (r"MODEL\.candidate\.accuracy", "test", "confirm"),
    (r"MODEL\.candidate\.(loss|calibration)", "test", "confirm"),
    (r"MODEL\.candidate\.(validation|temperature-\d)", "validation", "confirm"),
    (r"MODEL\.candidate\.(train-seconds|predict-seconds|parameters)", "", "confirm"),
    (r"MODEL\.candidate\.minus\.[a-z.-]+\.(difference|difference-90|p|p-equivalent)", "test", "some"),
    (r"MODEL\.confusion\.(true|false)-(positive|negative)(\.spread)?", "test", "confirm"),
    (r"MODEL\.(rare-classes|classes)", "test", "confirm"),
    (r"MODEL\.confused\.\d+(\.spread)?", "test", "confirm"),
    (r"MODEL\.confused\.\d+\.share", "some", "confirm"),
    (r"MODEL\.run-(?P<place>\d)\.accuracy", "test", "one"),
    (r"MODEL\.class\.[a-z0-9-]+\.(precision|roc-area|pr-area)", "test", "confirm"),
    (r"MODEL\.class\.[a-z0-9-]+\.f1", "some", "confirm"),
    (r"(?P<own>MODEL\.class\.[a-z0-9-]+)\.(examples|recall)", "{own}.examples", "confirm"),
    (r"categories-1\.(?P<own>[a-z-]+)\.examples", "categories-1.{own}.examples", "some"),
    (r"MODEL\.category\.(?P<own>[a-z-]+)", "categories-1.{own}.examples", "confirm"),
    (r"lengths-1\.(?P<own>bin-\d)\.(shortest|longest|examples)", "lengths-1.{own}.examples", "some"),
    (r"MODEL\.length\.(?P<own>bin-\d)", "lengths-1.{own}.examples", "confirm"),
    (r"never-right-1\.(count|all)", "test", "all confirm"),
    (r"never-right-1\.\d+\.tokens", "", "some"),
    (r"(uneven|few-reviews)-1(\.weight)?", "test", "all confirm"),
    # pairs
    (r"PAIR\.(difference|difference-90|p|p-equivalent|detectable)", "test", "confirm"),
    (r"PAIR\.(needed-examples|only-first|only-second)", "test", "confirm"),
    (r"PAIR\.only-(first|second)\.\d+\.tokens", "", "some"),
    (r"PAIR\.(examples|groups)", "test", "confirm"),
    (r"PAIR\.(margin|family|equivalence-examples)", "", "none"),
    # what the runs logged, without any text
    (r"MODEL\.(seeds|median-train-seconds|tokens-per-second|peak-memory|parameters|best-epoch)", "", "confirm"),
    (r"MODEL\.setting\.[a-z0-9-]+", "", "confirm"),
    (r"MODEL\.lost-seeds", "", "lost"),
    (r"checklist\.(hours|runs|incomplete)", "", "all GRUs"),
    (r"runs-[a-z]+-(search|confirm)\.(complete|pruned|failed|other)", "", "as many"),
    # searches
    (r"MODEL\.search\.best", "validation", "trials"),
    (r"MODEL\.search\.[a-z-]+\.importance", "validation", "trials"),
    (r"MODEL\.search\.(confirmed|expected)", "validation", "confirm"),
    (r"MODEL\.checklist\.validation", "validation", "confirm"),
    (r"MODEL\.search\.fall", "validation", "trials and confirm"),
    (r"MODEL\.search\.(complete|best-tenth|trials|epochs)", "", "study of"),
    (r"MODEL\.checklist\.trials", "", "study of"),
    (r"MODEL\.search\.[a-z-]+\.best", "", "study of"),
    # what the studies logged of the data
    (r"(checklist\.)?data-1\.[a-z-]+", "", "studies"),
    (r"data-1\.category\.[a-z-]+", "", "studies"),
    (r"data-1\.class\.[a-z0-9-]+(\.share)?", "", "studies"),
    (r"test-set-1\.studies", "", "all confirm"),
    # what is given
    (r"methods\.(margin|level|family|family-linear|fewest-seeds|unseen)|rare", "", "none"),
    # diagnostics
    (r"diagnostics-homework\.flow-(?P<of>[a-z]+)-[a-z-]+\.[a-z]+", "as logged", "first"),
    (r"diagnostics-homework\.(gates|words)-(?P<of>[a-z]+)[a-z0-9.-]+", "", "first"),
)]
"""Pattern of keys, how many examples of which split, and which runs; kept by hand. Each key matches one."""


def expected_runs(
    kind: str, number: Number, part: dict[str, str], studies: Sequence[LoggedStudy]
) -> Iterable[LoggedRun | str]:
    """Return the runs that a kind of numbers is computed from."""
    named = [(study, model) for key in ("model", "a", "b") if key in part for study in studies
             for model in sorted({run.model for run in study.confirms}) if part[key] == f"{study.name}-{model}"]
    fitted_once = [run for key in ("model", "a", "b") for run in studies[0].baselines
                   if part.get(key) == f"baseline-{run.model}"]
    every = [] if fitted_once else [(study, "") for study in studies]
    confirm = [*(run for study, model in named or every for run in study.confirms
                 if run.complete and model in ("", run.model)), *fitted_once]
    trials = [run for study, model in named for run in study.trials if run.model == model]
    match kind:
        case "none":
            return []
        case "confirm" | "all confirm":
            return confirm
        case "one":
            return [sorted(confirm, key=lambda run: run.seed or 0)[int(part["place"]) - 1]]
        case "trials":
            return trials
        case "trials and confirm":
            return [*trials, *confirm]
        case "study of":
            return [study.run for study, _ in named]
        case "studies":
            return [study.run for study in studies]
        case "lost":
            return [run for study, _ in named for run in study.confirms if not run.complete]
        case "all GRUs":
            return [run for study in studies for run in study.runs if run.role not in ("study", "baseline")]
        case "as many":
            assert len(number.runs) == number.value
        case "first":
            return [min((run for run in confirm if run.model == part["of"]), key=lambda run: run.seed or 0)]
        case "some":
            assert number.runs
    return number.runs


def problems(made: Built) -> list[str]:
    """Return the numbers of a report whose examples or runs are not those of the list."""
    store, studies, report = made
    first = next(run for run in studies[0].confirms if run.complete)
    test, data = len(store.predictions(first.run_id, "test").label_N), studies[0].summary
    sizes = {"": None, "test": test, "validation": (data.data.validation or None) if data else None}
    found = []
    for key, number in report.numbers.items():
        matches = [(match.groupdict(), examples, runs) for pattern, examples, runs in SOURCES
                   if (match := re.match(pattern, key))]
        assert len(matches) == 1, f"{key} must match one entry, but matches {len(matches)}"
        part, examples, runs = matches[0]
        size = sizes.get(examples)
        if examples == "some":
            size = number.examples if number.examples and number.examples <= test else -1
        elif examples == "as logged":
            size = number.examples or -1
        elif "{" in examples:
            size = int(report.numbers[examples.format(**part)].value or 0)
        split = "" if number.examples is None or examples == "as logged" else (
            "validation" if examples.startswith("validation") else "test")
        ids = {run if isinstance(run, str) else run.run_id for run in expected_runs(runs, number, part, studies)}
        if (number.examples, number.split, set(number.runs)) != (size, split, ids):
            found.append(f"{key}: {number.examples} {number.split}, {len(set(number.runs))} runs; "
                         f"not {size} {split}, {len(ids)} runs")
    return found


def test_each_number_of_three_searches_says_what_it_was_computed_from(built: Built) -> None:
    assert problems(built) == []


def test_each_number_of_the_homework_says_what_it_was_computed_from(made: Built) -> None:
    assert problems(made) == []


@pytest.mark.parametrize("studies", [
    pytest.param(lambda: of_classes(14, size=300, models={"scratch": 0.0, "torch": 0.05}), id="classes"),
    pytest.param(lambda: studies_with(diagnostics=some_diagnostics()), id="diagnostics")])
def test_each_number_of_classes_and_diagnostics_says_what_it_was_computed_from(studies: Callable[[], Studies]) -> None:
    store, found = studies()
    assert problems(Built(store, found, build(found, store, experiment="movie-reviews"))) == []
