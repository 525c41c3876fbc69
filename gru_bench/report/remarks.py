"""The checks of logged studies: what may be wrong with them, for `gru-bench lint`, the console and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gru_bench.checks import conditions
from gru_bench.checks.codes import Remark
from gru_bench.data.batches import fills_window, iterations_of_epoch
from gru_bench.errors import IncompleteError
from gru_bench.report.document.numbers import NBSP, Number, file_name, plain, scale_of, slug
from gru_bench.report.document.sentences import Sentence, coded, in_text, joined
from gru_bench.report.evidence.budgets import unequal_budgets
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.groups import free_name, model_name
from gru_bench.report.evidence.progress import study_data, study_name
from gru_bench.report.evidence.settings import setting, setting_name
from gru_bench.report.evidence.store import Store
from gru_bench.report.sections.evaluation import baselines_of, below_baselines, uneven_classes
from gru_bench.report.sections.search import at_ends, fall_of, range_text, search_of
from gru_bench.report.sections.summary import few_seeds, rests_on_margin
from gru_bench.results.runs import DataSummary
from gru_bench.tracking import LoggedStudy

Found = tuple[str, Sentence]
"""A code, and what its check has found."""


def study_remarks(studies: Sequence[LoggedStudy], store: Store) -> list[Remark]:
    """Return what may be wrong with logged studies of one experiment. What has not run yet is no remark."""
    try:
        evidence = collect(studies, store)
    except IncompleteError:  # no run has ended
        return as_remarks(_of_data(studies, store))
    return as_remarks([*_said_in_sections(evidence), *_further(evidence)])


def as_remarks(found: Iterable[Found]) -> list[Remark]:
    """Return what checks have found as remarks for a terminal."""
    return [Remark(code, in_text(said).replace(NBSP, " ")) for code, said in found if said]


def further_cautions(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the cautions of a report that no section gives."""
    return tuple(coded(code, said) for code, said in _further(evidence))


def _said_in_sections(evidence: Evidence) -> Iterator[Found]:
    """Yield the remarks that sections of a report make in their own places."""
    for group in evidence.groups:
        if (summary := group.study.summary) is not None and (names := at_ends(group, summary)):
            yield "GRU001", (f"{group.label}: ", *joined([
                (f"the best value of {setting_name(name)} is ",
                 setting(group, f"search.{slug(name)}.best", group.tuned[name]),
                 f", at an end of its range, {range_text(summary.space[name])}") for name in names], "; "), ".")
    yield "GRU002", unequal_budgets(evidence.studies)
    if rests_on_margin(evidence):
        yield "GRU009", evidence.margin.caution
    if evidence.trials:  # nothing is scored on test
        return
    yield from (("GRU013", said) for one in evidence.looks for said in one.departures())
    yield from (("GRU003", few_seeds(group)) for group in evidence.groups)
    if evidence.groups[0].metric == "accuracy":
        yield from (("GRU006", said) for said in uneven_classes(evidence.groups))
    yield from (("GRU010", said) for said in below_baselines(evidence, baselines_of(evidence)))


def _further(evidence: Evidence) -> Iterator[Found]:
    """Yield the remarks that no section makes."""
    yield from _of_data(evidence.studies, evidence.store)
    for baseline in baselines_of(evidence):
        if conditions.is_at_end(baseline.of):
            yield "GRU014", (
                f"The regularization of the baseline {baseline.name} that validation chose, ", baseline.regularization,
                ", lies at the end of those that were tried. Another value may do better.")
    taken: set[str] = set()
    for study in evidence.studies:
        for model in study.summary.models if study.summary is not None else ():
            yield from _of_trials(study, model, taken)
    for group in () if evidence.trials else evidence.groups:
        if group.may_be_guessing:
            unit = f"{NBSP}{group.scale.unit}" if group.scale.unit else ""
            yield "GRU015", (
                f"{group.label} may be guessing: the 95 % interval of its test {group.scale.score}, ", group.score,
                f"{unit}, does not lie beyond that of guessing, ", group.guessing, f"{unit}.")
    for group in evidence.groups:
        training, data = group.config.training, group.data
        if data is not None and not fills_window(training, data.train):
            yield "GRU011", (
                f"{group.label}: a window of the training loss has ",
                group.number("window.iterations", training.log_every, "count"), " iterations, but an epoch has ",
                group.number("window.epoch", iterations_of_epoch(data.train, training), "count"),
                ", so that no window fills.")
        summary = group.study.summary
        if summary is None or not group.tuned or evidence.trials:
            continue
        found, scale = search_of(group, summary, evidence.histories), scale_of(summary.metric)
        fall = fall_of(found)
        if fall.value is not None and conditions.promised_more(fall.value, higher_is_better=scale.higher_is_better):
            unit = f"{NBSP}{scale.unit}" if scale.unit else ""
            yield "GRU008", (
                f"{group.label}: the search promised more than it kept. Its best trial reached ", found.best,
                f"{unit} on validation, and fresh seeds of the same settings reach ", found.confirmed,
                f"{unit} there (", fall, f"{scale.after}).")


def _of_trials(study: LoggedStudy, model: str, taken: set[str]) -> Iterator[Found]:
    assert study.summary is not None
    states = [trial.state for trial in study.summary.trials if trial.model == model]
    if not conditions.lost_trials(states, study.summary.pruner):
        return
    key = free_name(f"lost-{slug(study_name(study), 'study')}-{slug(model, 'model')}", taken)

    def number(name: str, value: int) -> Number:
        return Number(f"{key}.{name}", value, "count", (study.run.run_id,))

    yield "GRU007", (
        f"Most trials of {model_name(model)} ({study_name(study)}) did not reach their end: of ",
        number("trials", len(states)), ", ", number("failed", states.count("failed")), " failed and ",
        number("pruned", states.count("pruned")), " were pruned.")


def _of_data(studies: Sequence[LoggedStudy], store: Store) -> Iterator[Found]:
    """Yield the remarks on each data set, with each kind of word vectors that its studies read it with."""
    found: dict[tuple[str, str], tuple[DataSummary, list[str]]] = {}
    for study in studies:
        if (data := study_data(study, store)) is not None:
            found.setdefault((data.fingerprint, data.embedding), (data, []))[1].append(study.run.run_id)
    for place, (data, ids) in enumerate(found.values(), start=1):
        yield from data_remarks(data, f"checked-{place}", tuple(ids))


def data_remarks(data: DataSummary, key: str = "checked", runs: tuple[str, ...] = ()) -> Iterator[Found]:
    """Yield what may be wrong with data and their word vectors.

    Args:
        data: Summary of the data.
        key: First part of the keys of its numbers.
        runs: The runs that have logged it.
    """
    name, vectors = plain(data.name), file_name(data.embedding)
    covered = Number(f"{key}.covered", 1 - data.dropped_share, "percent", runs,
                     method="share of the words with a vector, each counted as often as it occurs")
    if conditions.overlaps(data):
        yield "GRU004", (
            f"{name}: ", Number(f"{key}.overlap", data.test_repeats_removed, "count", runs), " training rows had the "
            "text of a test review, for ", Number(f"{key}.test", data.test, "count", runs), " test reviews. These rows "
            "were removed, but near copies of test reviews are not recognized.")
    if not conditions.is_covered(data):
        yield "GRU005", (f"The word vectors {vectors} cover ", covered, f"{NBSP}% of the words of {name}, each counted "
                         "as often as it occurs. The others are left out.")
    if conditions.are_foreign(data):
        yield "GRU012", (f"The word vectors {vectors} may be of another language or spelling than {name}: only ",
                         covered, f"{NBSP}% of the words have one.")
    if conditions.has_odd_scale(data):
        norm = Number(f"{key}.norm", data.vector_norm, "score", runs, method="mean over the words of the data")
        yield "GRU012", (f"The word vectors {vectors} have an unusual scale: their mean norm is ", norm,
                         f", and that of usual ones is {conditions.LEAST_NORM:g} to {conditions.MOST_NORM:g}.")
    if conditions.are_parallel(data):
        cosine = Number(f"{key}.cosine", data.vector_cosine, "score", runs, method="mean over all pairs of words")
        yield "GRU016", (f"The word vectors {vectors} are nearly parallel: the mean cosine of two words is ", cosine,
                         ", and that of usual ones is about 0.1. A model can hardly tell such words apart.")
