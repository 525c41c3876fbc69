"""Builds a `Report` from the evidence of studies: every number is computed once, with its source.

Renderers take their numbers from the report and compute none. Only what sweeps logged is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gru_bench.checks import Subject, data_of, outcomes
from gru_bench.document.blocks import Block, parts_in
from gru_bench.document.figure import Figure
from gru_bench.document.numbers import plain
from gru_bench.document.report import Report, Section, Source, SourceStudy
from gru_bench.document.sentences import Sentence, in_text
from gru_bench.errors import UsageError, without_passwords
from gru_bench.evidence.collect import Evidence, collect
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.store import known_run
from gru_bench.report.choice import Choice, odd_runs
from gru_bench.report.findings import findings_of
from gru_bench.report.sections.checklist import checklist
from gru_bench.report.sections.comparisons import comparisons
from gru_bench.report.sections.confidence import confidence
from gru_bench.report.sections.diagnostics import diagnostics
from gru_bench.report.sections.disagreements import disagreements
from gru_bench.report.sections.errors import errors
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.learning import curves, learning
from gru_bench.report.sections.methods import methods
from gru_bench.report.sections.own import own
from gru_bench.report.sections.runs import runs
from gru_bench.report.sections.search import search
from gru_bench.report.sections.summary import (
    check_results,
    few_texts,
    groups_off,
    in_sentences,
    questions,
    refusals,
    summary,
)
from gru_bench.results.runs import OnTest
from gru_bench.tracking import LoggedStudy, Reader

CONTENTS: tuple[Callable[[Evidence], Section | None], ...] = (
    evaluation, comparisons, learning, errors, disagreements, confidence, search, diagnostics, runs, own,
    methods, checklist)
"""The sections in their order. A section that has nothing to show is None."""


PLOTS: Mapping[str, Callable[[Evidence], Any]] = {
    "accuracy": evaluation, "curves": curves, "confusion": errors, "search": search, "differences": summary}
"""What a single figure of a report shows -> what makes it; its name begins like that."""


def plotted(evidence: Evidence, kind: str, model: str) -> Figure:
    """Return one figure of a report on some evidence; where there is one for each model, that of `model`.

    Args:
        evidence: The evidence.
        kind: A key of `PLOTS`.
        model: Label of a model.

    Raises:
        UsageError: The report has no such figure.
    """
    made = PLOTS[kind](evidence)
    blocks = made.blocks if isinstance(made, Section) else made or ()
    found = {one.name: one for one in parts_in(blocks) if isinstance(one, Figure) and one.name.startswith(kind)}
    if not found:
        raise UsageError(f"the report must have a figure of the {kind} to draw it, but it has none: see its page")
    own = next((group.key for group in evidence.groups if group.label == model), "")
    return found.get(f"{kind}-{own}") or next(iter(found.values()))


def build(
    evidence: Evidence, *, experiment: str = "", title: str = "", warnings: Sequence[Sentence] = (),
    tracking_uri: str = "",
) -> Report:
    """Return the report of some studies.

    Args:
        evidence: The evidence of the studies.
        experiment: Name of the MLflow experiment.
        title: Title of the report; by default it is made from the names of the studies.
        warnings: Warnings that are known already.
        tracking_uri: Address of the store, for the record.
    """
    studies, test_set = evidence.studies, evidence.test_set
    return composed(
        evidence, plain(title) or _title(list(map(study_name, studies))),
        _subtitle(studies, plain(experiment)), warnings,
        Source(
            experiment=plain(experiment), tracking_uri=_address(tracking_uri), margin=evidence.margin.value,
            warnings_before=tuple(map(in_text, warnings)),
            on_test={test_set.digest: OnTest(test_set.models, test_set.studies, test_set.asked)},
            studies=tuple(SourceStudy(study_name(study), study.run.run_id) for study in studies)))


def composed(
    evidence: Evidence, title: str, subtitle: str, warnings: Sequence[Sentence], source: Source
) -> Report:
    """Return the report of some evidence.

    Args:
        evidence: The evidence, of studies or of files of predictions.
        title: Title of the report.
        subtitle: What stands below it.
        warnings: Warnings that are known already.
        source: What the report is made from.
    """
    studies, store = evidence.studies, evidence.store
    others = (*warnings, *groups_off(evidence), *refusals(evidence), *evidence.gaps, *few_texts(evidence))
    checked = outcomes(Subject(data=data_of(studies, store, evidence.numbers), evidence=evidence))
    first: tuple[Block, ...] = (*summary(evidence), *check_results(
        others, checked, [group.label for group in evidence.groups]), *questions(evidence))
    sections = tuple(made for section in CONTENTS if (made := section(evidence)) is not None)
    runs_of_files = [run for group in evidence.groups if not group.is_logged for run in group.runs]
    return Report(
        title=title,
        subtitle=subtitle,
        in_short=in_sentences(evidence),
        warnings=(*others, *(one.coded for found in checked for one in found.warnings)),
        sections=(Section("summary", "Summary", first), *sections),
        runs=tuple(known_run(run, store)
                   for run in (*(run for study in studies for run in study.runs), *runs_of_files)),
        source=source,
        findings=findings_of(evidence),
    )


def chosen_report(choice: Choice, store: Reader, evidence: Evidence | None = None) -> Report:
    """Compute the report of chosen studies, with what their choice left out among its warnings.

    Args:
        choice: The studies.
        store: The store they were chosen from.
        evidence: Their evidence; None: it is collected here.
    """
    evidence = evidence or collect(choice.studies, store)
    return build(evidence, experiment=choice.experiment, warnings=(*choice.missing, *odd_runs(store.odd)),
                 tracking_uri=store.uri)


def _title(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    listed = ", ".join(distinct[:3]) + (f" and {len(distinct) - 3} more" if len(distinct) > 3 else "")
    return f"Recurrent text classifiers: {listed}"


def _subtitle(studies: Sequence[LoggedStudy], experiment: str) -> str:
    """Return the experiment, and the days on which its runs began."""
    days = sorted({datetime.fromtimestamp(run.started, UTC).date().isoformat()
                   for study in studies for run in study.runs})
    period = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Experiment {experiment}. Runs of {period}." if experiment else f"Runs of {period}."


def _address(uri: str) -> str:
    """Return a tracking URI without passwords and, where possible, without paths of this machine."""
    kind, mark, path = uri.partition("sqlite:///")
    if mark and not kind:
        place = Path(path).resolve()
        return f"{mark}{(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place).as_posix()}"
    return re.sub("://[^/]*@", "://", without_passwords(uri))
