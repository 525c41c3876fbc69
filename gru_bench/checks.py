"""Every check of a study: for each code one function, with its title and its remedy. docs/checks.md explains each.

A check looks at a study before its runs, or at what studies have logged so far. To add one, write its function
here and its section in docs/checks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.document.numbers import Number, Numbers, file_name, plain, slug
from gru_bench.document.sentences import Sentence, Warning, joined, say
from gru_bench.errors import IncompleteError
from gru_bench.evidence.collect import Evidence, collect
from gru_bench.evidence.groups import ModelRuns, model_name
from gru_bench.evidence.progress import study_data, study_name
from gru_bench.evidence.settings import end_of_range, range_text, setting, setting_name
from gru_bench.evidence.store import Store
from gru_bench.evidence.trials import Search
from gru_bench.evidence.verdicts import verdict_sentence
from gru_bench.results.logged_metrics import BEST_EPOCH
from gru_bench.results.runs import DataSummary, StudySummary
from gru_bench.stats.classes import RARE, are_uneven
from gru_bench.stats.estimate import EvidenceLevel
from gru_bench.stats.verdict import Finding
from gru_bench.tracking import LoggedStudy
from gru_bench.wording import first_few

if TYPE_CHECKING:
    from gru_bench.sweep.spec import StudySpec

NEARLY_SEEN = 0.005
"""Fraction of the test or validation texts from which on those with a near-duplicate in training are warned of."""
OVERLAP = 0.01
"""Fraction of the test texts from which on training rows with the same texts are more than a coincidence."""
LEAST_COVERED = 0.6
"""Fraction of the words, counted as often as they occur, that should have a vector."""


@dataclass(frozen=True)
class Subject:
    """What checks look at: a study before its runs, or studies as they are logged."""

    spec: StudySpec | None = None
    """The study before its runs."""
    data: Sequence[LoggedData] = ()
    """What the studies read."""
    evidence: Evidence | None = None
    """What studies have logged; None where no run has ended."""

    @cached_property
    def numbers(self) -> Numbers:
        """Return what makes the numbers of warnings."""
        return Numbers() if self.evidence is None else self.evidence.numbers

    @property
    def groups(self) -> Sequence[ModelRuns]:
        """Return the models whose confirmation runs have ended."""
        return () if self.evidence is None else self.evidence.groups

    @cached_property
    def summaries(self) -> Sequence[tuple[LoggedStudy, StudySummary]]:
        """Return the studies that have ended, with their summaries."""
        studies = () if self.evidence is None else self.evidence.studies
        return [(study, study.summary) for study in studies if study.summary is not None]


@dataclass(frozen=True)
class LoggedData:
    """A data set with its word vectors."""

    summary: DataSummary
    numbers: Numbers = field(default_factory=lambda: Numbers("checked").on(()))
    """Makes the numbers that the studies' own runs give."""

    @property
    def names(self) -> dict[str, str]:
        """Return the names of the data and of the word vectors."""
        return {"data": plain(self.summary.name), "vectors": file_name(self.summary.embedding)}

    @property
    def covered(self) -> Number:
        """Return the fraction of the words that have a vector."""
        return self.numbers.add("covered", 1 - self.summary.dropped_share, "percent",
                                "fraction of the words with a vector, each counted as often as it occurs")


Found = Iterator[Sentence | None]
"""For each thing that a check has looked at: a warning, or None where it is in order."""
Find = Callable[[Subject], Found]
"""The function of a check."""


class State(Enum):
    """What became of a check."""

    PASSED = "passed"
    WARNED = "warned"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Check:
    """One check."""

    code: str
    remedy: str
    find: Find
    """Its docstring is the title of the check."""

    @property
    def title(self) -> str:
        """Return what it finds, in a few words."""
        return (self.find.__doc__ or "").rstrip(".")

    def outcome(self, subject: Subject) -> Outcome:
        """Return what it finds, each sentence once."""
        found = list(self.find(subject))
        warnings = {one.text: one for said in found if said is not None for one in [Warning(self.code, said)]}
        state = State.WARNED if warnings else State.PASSED if found else State.NOT_APPLICABLE
        return Outcome(self, state, tuple(warnings.values()))


@dataclass(frozen=True)
class Outcome:
    """What a check has found."""

    check: Check
    state: State
    warnings: tuple[Warning, ...]

    def show(self, console: Any) -> None:
        """Print a line for each warning."""
        for one in self.warnings:
            console.print(f"{one.code} {one.text} {self.check.remedy}", markup=False, soft_wrap=True)


CHECKS: dict[str, Check] = {}
"""Code -> its check. A code keeps its meaning for ever."""


def check(code: str, remedy: str) -> Callable[[Find], Find]:
    """Make a check of the function that follows, whose docstring is its title."""
    def made(find: Find) -> Find:
        CHECKS[code] = Check(code, remedy, find)
        return find

    return made


def outcomes(subject: Subject, ignored: Collection[str] = ()) -> list[Outcome]:
    """Return what each check finds, by code, without those that are ignored."""
    return [one.outcome(subject) for one in CHECKS.values() if one.code not in ignored]


def of_logged(studies: Sequence[LoggedStudy], store: Store) -> Subject:
    """Return logged studies of one experiment. What has not run yet is not checked."""
    try:
        evidence = collect(studies, store)
    except IncompleteError:  # no run has ended
        evidence = None
    numbers = Numbers() if evidence is None else evidence.numbers
    return Subject(data=data_of(studies, store, numbers), evidence=evidence)


def data_of(studies: Sequence[LoggedStudy], store: Store, numbers: Numbers) -> list[LoggedData]:
    """Return each data set once with each kind of word vectors that the studies read it with."""
    found: dict[tuple[str, str], tuple[DataSummary, list[str]]] = {}
    for study in studies:
        if (data := study_data(study, store)) is not None:
            found.setdefault((data.fingerprint, data.embedding), (data, []))[1].append(study.run.run_id)
    return [LoggedData(data, numbers.of(f"checked-{place}").on(ids))
            for place, (data, ids) in enumerate(found.values(), start=1)]


@check("GRU001", "Search a wider range.")
def best_value_at_an_end(subject: Subject) -> Found:
    """Best value at an end of its range."""
    for one in () if subject.evidence is None else subject.evidence.searches:
        group = one.group
        ends: list[Sentence] = [
            (f"the best value of {setting_name(name)}, ", setting(group.of_study, f"search.{slug(name)}.best", best),
             f", is at an end of its range ({range_text(range_)})")
            for name, range_ in one.summary.space.items()
            if (end := end_of_range(name, range_, best := group.tuned.get(name)))
            and not _is_as_good_elsewhere(one, name, range_, end)]
        yield say("{model}: {ends}.", model=group.label, ends=joined(ends, "; ")) if ends else None


def _is_as_good_elsewhere(one: Search, name: str, range_: Mapping[str, Any], end: str) -> bool:
    """Return whether a trial with another value of a setting comes as close to the best one as luck explains."""
    sign = 1 if one.scale.higher_is_better else -1
    elsewhere = [sign * trial.value for trial in one.trials if trial.state == "complete" and trial.value is not None
                 and end_of_range(name, range_, trial.settings.get(name)) != end]
    if not elsewhere or one.expected is None or one.expected.value is None or one.best.value is None:
        return False
    return sign * one.best.value - max(elsewhere) <= one.expected.value


@check("GRU002", "Give all models the same trials, epochs and search space.")
def unequal_budgets(subject: Subject) -> Found:
    """Searches with unequal budgets."""
    alike: dict[str, list[tuple[set[tuple[int, int, int]], Sentence]]] = {}
    for study, summary in subject.summaries:
        ended = [trial.model for trial in summary.trials if trial.state in ("complete", "pruned")]
        trials = {model: ended.count(model) for model in summary.models} if summary.best else {}
        alike.setdefault(study.run.fingerprint, []).append(_budget(
            summary.name, trials, summary.epochs, len(summary.space), subject.numbers, study.run.run_id))
    for some in alike.values():
        searched = [budgets for budgets, _ in some if budgets]
        if len(set().union(*searched)) > 1 or 0 < len(searched) < len(some):
            yield say("The searches have unequal budgets, which may explain differences: {each}.",
                      each=joined([said for _, said in some], "; "))
        elif searched:
            yield None


def _budget(
    study: str, trials: Mapping[str, int], epochs: int, settings: int, numbers: Numbers, run_id: str
) -> tuple[set[tuple[int, int, int]], Sentence]:
    """Return trials, epochs and settings of the searches of a study, and the same in words."""
    numbers = numbers.named("budget", study, same=run_id).on([run_id])
    if not trials:
        return set(), (f"{plain(study)} has no search",)
    each: Sentence = (*joined([(numbers.add(f"trials-{slug(model)}", count), f" ({model_name(model)})")
                               for model, count in trials.items()], " and "), " finished trials")
    if len(counts := set(trials.values())) == 1:
        (count,) = counts
        each = (numbers.add("trials", count),
                f" finished trial{'s' * (count != 1)}{' for each model' * (len(trials) > 1)}")
    said = say("{study} has {each} of up to {epochs} {epochs:epoch|epochs} over {settings} {settings:setting|settings}",
               study=plain(study), each=each, epochs=numbers.add("epochs", epochs),
               settings=numbers.add("settings", settings))
    return {(count, epochs, settings) for count in counts}, said


@check("GRU003", "Use at least 5 seeds per model, and 10 for a published claim.")
def few_seeds(subject: Subject) -> Found:
    """Too few seeds for some verdicts."""
    # The report says of each single run of a file that it is compared as this very run.
    confirmed = [(group.label, group.seeds) for group in subject.groups if group.is_logged or len(group.runs) > 1]
    if (spec := subject.spec) is not None and spec.confirm:
        confirmed.append((f"Each model of {spec.name}", Numbers().on(()).add("seeds", spec.confirm)))
    for who, seeds in confirmed:
        few = {
            EvidenceLevel.RUNS: "its interval covers test texts only",
            EvidenceLevel.FEW: "too few for equivalence and claims",
        }.get(EvidenceLevel.of(int(seeds.value or 0)))
        yield say("{who} has only {seeds} {seeds:seed|seeds}: {few}.", who=who, seeds=seeds, few=few) if few else None


@check("GRU004", "Check where the test texts come from.")
def same_texts(subject: Subject) -> Found:
    """Test texts in training."""
    for one in subject.data:
        rows, texts = one.summary.test_repeats_removed, one.summary.test
        yield None if rows < max(1, OVERLAP * texts) else say(
            "{data}: {rows} training rows had the same text as a test row ({texts} test texts) and were "
            "removed.", **one.names,
            rows=one.numbers.add("overlap", rows), texts=one.numbers.add("test", texts))


@check("GRU005", "Use other vectors (embedding.name=corpus), or random vectors for unknown words "
                 "(embedding.unknown=draw).")
def words_without_vector(subject: Subject) -> Found:
    """Fewer than 60 % of the words have a vector."""
    for one in subject.data:
        yield None if 1 - one.summary.dropped_share >= LEAST_COVERED else say(
            "The word vectors {vectors} cover {covered} % of the word occurrences in {data}. The others are left "
            "out.", **one.names, covered=one.covered)


@check("GRU006", "Use macro F1 in a new study (training.metric=macro_f1), or also report scores by class.")
def uneven_classes(subject: Subject) -> Found:
    """Imbalanced classes with accuracy as the metric."""
    if subject.spec is not None and subject.spec.metric == "accuracy":
        for one in subject.data:
            yield None if not are_uneven(one.summary.class_counts) else _uneven(
                one.summary.class_counts, one.summary.classes, "texts",
                replace(one.numbers, examples=sum(one.summary.class_counts)))
    groups = [group for group in subject.groups if group.metric == "accuracy" and group.has_classes]
    for first in groups[:1]:
        yield None if not first.are_uneven else _uneven(
            np.bincount(first.label_N, minlength=len(first.classes)).tolist(), first.classes, "test texts",
            subject.numbers.of("uneven-1").on(
                [run_id for group in groups for run_id in group.ids], first.example_N.size))


def _uneven(counts: Sequence[int], classes: Sequence[str], texts: str, numbers: Numbers) -> Sentence:
    largest = max(counts)
    share = numbers.add("", largest / sum(counts), "percent", "of this class")
    return say(
        "The classes are imbalanced: the largest one, {largest}, has {share} % of the {texts}, so always "
        "predicting it has this accuracy.", largest=classes[counts.index(largest)], share=share,
        texts=texts)


@check("GRU007", "Narrow the ranges to where trials succeed, such as lower learning rates.")
def lost_trials(subject: Subject) -> Found:
    """Most trials failed."""
    for study, summary in subject.summaries:
        for model in summary.models:
            states = [trial.state for trial in summary.trials if trial.model == model]
            run_id = study.run.run_id
            numbers = subject.numbers.named("lost", study_name(study), model, same=run_id).on([run_id])
            trials, failed = len(states), states.count("failed")
            if trials:
                yield None if 2 * failed <= trials else say(
                    "Most trials of {model} ({study}) failed: {failed} of {trials}.", model=model_name(model),
                    study=study_name(study), failed=numbers.add("failed", failed),
                    trials=numbers.add("trials", trials))


@check("GRU008", "Use the scores of the confirmation runs.")
def lucky_best_trial(subject: Subject) -> Found:
    """A best trial better than its confirmation runs by more than chance."""
    for one in () if subject.evidence is None else subject.evidence.searches:
        if one.expected is not None and one.fall.value is not None:
            yield say(
                "{model}: the validation score of the confirmation runs differs from that of the best trial by "
                "{fall}{after}. Luck in choosing the best of {trials} trials explains up to {expected}{after}.",
                model=one.group.label, trials=one.group.of_study.add("search.scored", one.scored), fall=one.fall,
                after=one.scale.after, expected=one.expected) if one.is_surprising else None


@check("GRU009", "Set the same margin in all study files before the first run.")
def late_margin(subject: Subject) -> Found:
    """Equivalence margin chosen afterwards."""
    evidence = subject.evidence
    if evidence is not None and evidence.studies and evidence.compared:
        margin = evidence.margin
        yield None if margin.beforehand else say(
            "The equivalence margin was not fixed before the runs: it is {margin}", margin=margin.said)


@check("GRU010", "Use another model, or tune this one on validation texts.")
def worse_than_linear(subject: Subject) -> Found:
    """A model worse than a linear one."""
    if subject.evidence is not None:
        yield from (verdict_sentence(one) if one.verdict.finding is Finding.BETTER and one.favours < 0 else None
                    for one in subject.evidence.against)


@check("GRU015", "Train on more texts, or for more epochs; until then its scores are meaningless.")
def guessing_models(subject: Subject) -> Found:
    """A model that may be guessing."""
    for group in subject.groups:
        yield None if not group.may_be_guessing else say(
            "{model} may be guessing: the 95 % interval of its test {name}, {score}{unit}, is not entirely better than "
            "guessing, {guessing}{unit}." if group.score.low is not None else
            "{model} may be guessing: with {seeds} seeds, its test {name}, {score}{unit}, is not shown to be better "
            "than guessing, {guessing}{unit}.", seeds=group.seeds, model=group.label, name=group.scale.score,
            score=group.score, guessing=group.guessing, unit=group.scale.suffix)


@check("GRU017", "Use test texts of other groups, or omit the test data, so that whole groups are held out for "
                 "testing.")
def seen_groups(subject: Subject) -> Found:
    """Test texts of groups that were trained on."""
    for one in subject.data:
        if one.summary.groups:
            yield None if not one.summary.seen_groups else say(
                "{data}: {texts} of {all} test texts belong to {groups} {groups:group|groups} that also have "
                "training or validation texts. Scores on them say little about new groups.", **one.names,
                texts=one.numbers.add("seen-group-reviews", one.summary.seen_group_reviews),
                all=one.numbers.add("test", one.summary.test),
                groups=one.numbers.add("seen-groups", one.summary.seen_groups))


@check("GRU018", "Remove them from training (data.near_duplicates=remove).")
def near_duplicates(subject: Subject) -> Found:
    """Near-duplicates in training."""
    for one in subject.data:
        if (near := one.summary.near) is not None:
            sizes = ((near.test, one.summary.test), (near.validation, one.summary.validation))
            few = all(count < max(1, NEARLY_SEEN * size) for count, size in sizes)
            yield None if near.removed or few else say(
                "{data}: {test} of {tests} test texts and {validation} of {validations} validation texts have a "
                "near-duplicate in training, which models may have memorized.", **one.names,
                test=one.numbers.add("near-test", near.test),
                tests=one.numbers.add("test", one.summary.test),
                validation=one.numbers.add("near-validation", near.validation),
                validations=one.numbers.add("validation", one.summary.validation))


@check("GRU021", "Read the learning curves, and train for fewer epochs, or with a lower or a falling learning rate.")
def first_epoch_is_best(subject: Subject) -> Found:
    """The first epoch is the best one of each seed."""
    for group in subject.groups:
        epochs = group.config.training.epochs if group.is_logged else 1
        best = [run.metrics[BEST_EPOCH.key] for run in group.runs if BEST_EPOCH.key in run.metrics]
        if epochs > 1 and best:
            yield None if max(best) > 1 else say(
                "{model}: the first of {epochs} epochs is the best one on validation for all of its {seeds} "
                "{seeds:seed|seeds}.", model=group.label, epochs=group.of_runs.add("epochs", epochs, "setting"),
                seeds=group.seeds)


@check("GRU022", "Collect more test texts of these classes, or merge them with others.")
def rare_classes(subject: Subject) -> Found:
    """Classes with few test texts."""
    for first in [group for group in subject.groups if group.has_classes][:1]:
        rare = first.rare_classes
        yield None if not rare else say(
            "{rare} of {classes} classes {rare:has|have} fewer than {least} test texts: {names}. Scores of these "
            "classes, and their part in macro F1, are uncertain.",
            rare=first.on_examples.add("rare-classes", len(rare), "count", "of few test texts"),
            classes=first.on_examples.add("classes", len(first.classes)), names=first_few(rare),
            least=Numbers().on(()).add("rare", RARE))
