"""The section on correct and wrong predictions, by class, category and length.

Shapes: `R` runs (seeds) of a model, `N` test examples, `B` ranges of length, `C` classes, `G` categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gru_bench.document.blocks import Block, Cell, Column, Details, Heading, Table
from gru_bench.document.figure import Value, Values
from gru_bench.document.numbers import MISSING, Kind, Number, Numbers, plain
from gru_bench.document.report import Section
from gru_bench.document.sentences import Aside
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import (
    LISTED_CLASSES,
    UNCATEGORIZED,
    ModelRuns,
)
from gru_bench.report.figures.breakdowns import category_figure, confusion_figure, confusion_map, length_figure
from gru_bench.stats import metrics
from gru_bench.stats.classes import RARE
from gru_bench.stats.estimate import estimate
from gru_bench.stats.values import f1_values

CELLS = ("true-negative", "false-positive", "false-negative", "true-positive")
MAPPED = 30
"""Largest number of classes whose confusion matrix is drawn."""
CONFUSED = 20
"""Most pairs of confused classes in a table."""
OPENED_MODELS = 3
"""Most models with more than two classes whose errors a page does not fold."""
BY_CLASS = (
    f"test scores by class, as means over seeds; recall and F1 have 95 % intervals from {RARE} test texts on (others "
    "are marked “few”). ROC AUC and average precision are one-vs-rest; they need the probabilities of all classes.")
LARGEST = f" The {LISTED_CLASSES} largest classes are listed."
LENGTHS = (25, 50, 100, 200, 400, 800)
"""Ends of the ranges of length, in tokens; one more range holds what is longer."""
OPENED = 6
"""Most categories whose table a page does not fold."""


def errors(evidence: Evidence) -> Section | None:
    """Return the section; None where nothing tells the wrong predictions apart."""
    groups = [group for group in evidence.classifiers if group.has_classes]
    blocks = (
        *_confusion([group for group in groups if group.is_binary]),
        *_confusions([group for group in groups if not group.is_binary]),
        *(_by_class(group) for group in groups
          if group.is_binary and group.are_uneven),
        *_by_category(evidence), *_by_length(evidence),
    )
    return Section("errors", "Errors", blocks) if blocks else None


def _confusion(groups: Sequence[ModelRuns]) -> list[Block]:
    if not groups:
        return []
    return [confusion_figure(Values(
        ("model", "label", "predicted", "mean count", "standard deviation"),
        tuple((group.label, *(group.classes[place] for place in divmod(cell, 2)), *numbers)
              for group in groups for cell, numbers in enumerate(_counts(group)))))]


def _with_spread(mean: Number, spread: Number) -> Cell:
    """Return a mean count with its standard deviation over seeds."""
    return mean if spread.value is None else (mean, " ", Aside(("± ", spread)))


def _counts(group: ModelRuns) -> list[tuple[Number, Number]]:
    """Return the mean and the standard deviation over seeds of each cell of the confusion matrix."""
    numbers = group.on_examples.of("confusion")
    counts_R4 = group.counts_RCC.reshape(-1, len(CELLS)).astype(float)
    return [
        (numbers.add(name, float(count_R.mean()), "count", "mean over seeds" if count_R.size > 1 else "one run"),
         numbers.add(f"{name}.spread", float(count_R.std(ddof=1)) if count_R.size > 1 else None, "tenth",
                     "standard deviation over seeds"))
        for name, count_R in zip(CELLS, counts_R4.T, strict=True)
    ]


def _confusions(groups: Sequence[ModelRuns]) -> list[Block]:
    """Return the confusion matrix of each model with more than two classes, as far as it can be read, and the scores
    of its classes."""
    blocks: list[Block] = []
    for place, group in enumerate(groups):
        table, own = _most_confused(group), list[Block]()
        if len(group.classes) <= MAPPED:
            own.append(confusion_map(
                f"confusion-{group.key}", group.label, group.classes, group.counts_RCC.mean(axis=0),
                group.counts_RCC.std(axis=0, ddof=1) if len(group.counts_RCC) > 1 else None))
            own += [Details(table.title, (table,))] if table.rows else []
        elif table.rows:
            own.append(table)
        own.append(_by_class(group))
        title = f"Confusions of {group.label}"
        if place >= OPENED_MODELS:
            own = [Details(title, tuple(own))]
        elif len(groups) > 1:
            blocks.append(Heading(title, f"confusions-{group.key}"))
        blocks += own
    return blocks


def _most_confused(group: ModelRuns) -> Table:
    mean_CC, count_RCC = group.counts_RCC.mean(axis=0), group.counts_RCC
    wrong_CC = np.where(np.eye(len(mean_CC), dtype=bool), 0, mean_CC)
    order = np.argsort(-wrong_CC, axis=None, kind="stable")[:CONFUSED]
    rows: list[tuple[Cell, ...]] = []
    for rank, flat in enumerate(order.tolist(), start=1):
        label, other = divmod(flat, len(mean_CC))
        if not wrong_CC[label, other]:
            break
        count_R, size = count_RCC[:, label, other], int((group.label_N == label).sum())
        numbers = group.on_examples.of(f"confused.{rank}")
        rows.append((
            f"{group.classes[label]} → {group.classes[other]}",
            _with_spread(
                numbers.add("", float(count_R.mean()), "tenth", "mean over seeds"),
                numbers.add("spread", float(count_R.std(ddof=1)) if count_R.size > 1 else None, "tenth",
                            "standard deviation over seeds")),
            numbers.on(group.ids, size).add("share", float(count_R.mean()) / size, "percent",
                                            "mean count over the texts of the label")))
    return Table(
        f"confused-{group.key}", f"Most frequent confusions of {group.label}",
        (f"Most frequent confusions of {group.label}: mean count of test texts ± standard deviation over seeds.",),
        (Column("Label → predicted class", align="left", width=9), Column("Texts"),
         Column("Of the label", unit="%")), tuple(rows))


def _by_class(group: ModelRuns) -> Details:
    size_C = np.bincount(group.label_N, minlength=len(group.classes))
    listed_C = np.sort(np.argsort(-size_C, kind="stable")[:LISTED_CLASSES])
    columns = (
        Column("Class", align="left", width=4.0), Column("Texts"), Column("Precision", unit="%"),
        Column("Recall", unit="%"), Column("F1", unit="%"), Column("ROC AUC"), Column("Average precision", short="AP"))
    scores_CR = list(zip(*map(metrics.class_scores, group.counts_RCC), strict=True))
    caption = f"{group.label}: {BY_CLASS}{LARGEST if len(size_C) > LISTED_CLASSES else ''}"
    table = Table(
        f"classes-{group.key}", f"Scores by class of {group.label}", (caption,), columns,
        tuple((group.classes[place], *_class_scores(group, place, scores_CR[place]))
              for place in listed_C.tolist()))
    return Details(table.title, (table,), opened=len(listed_C) <= MAPPED)


def _class_scores(group: ModelRuns, place: int, scores_R: Sequence[metrics.ClassScores]) -> list[Cell]:
    """Return the number of test texts of a class, and its scores, without a value where they are undefined."""
    true_N, named_RN = group.label_N == place, group.predicted_RN == place
    size, (group_K, _) = int(true_N.sum()), group.groups_of(true_N)
    few = size < RARE or (group_K is not None and len(np.unique(group_K)) < 2)
    numbers = group.on_examples.of("class").named(group.classes[place])
    of_class = numbers.on(group.ids, size)
    method = f"mean over seeds; no interval for fewer than {RARE} test texts" if few else "mean over seeds"

    def mean(
        name: str, values: Sequence[float | None], of: bool = True, kind: Kind = "percent", numbers: Numbers = numbers
    ) -> Number:
        known = [value for value in values if value is not None]
        return numbers.add(name, float(np.mean(known)) if of and known else None, kind, method)

    if few:
        recall = mean("recall", [one.recall for one in scores_R], size > 0, numbers=of_class)
        f1 = mean("f1", [one.f1 for one in scores_R], size > 0)
    else:
        recall = group.accuracy_on(numbers.of("recall"), true_N)
        # The other examples, which no seed takes for this class, do not enter F1.
        own_N = true_N | named_RN.any(axis=0)
        group_N, stratum_N = group.groups_of(own_N)
        f1 = numbers.estimate("f1", estimate(
            f1_values(true_N[own_N], named_RN[:, own_N], group_N), None, group_N, stratum_N))
    areas: list[Cell] = [MISSING, MISSING]
    if group.whole and group.has_probabilities:
        areas = [
            mean(name, [score(true_N.astype(np.int8), one_N) for one_N in group.probability_RNC[:, :, place]],
                 kind="score")
            for name, score in (("roc-area", metrics.roc_auc), ("pr-area", metrics.average_precision))]
    return [
        (of_class.add("examples", size, "count", "of this class"), " (few)" if few else ""),
        mean("precision", [one.precision for one in scores_R], bool(named_RN.any())), recall, f1, *areas]


def _by_category(evidence: Evidence) -> list[Block]:
    """Return accuracy by category; nothing for fewer than two categories."""
    groups, key = evidence.classifiers, "categories-1"
    if not groups or np.unique(groups[0].category_N).size < 2:
        return []
    first = groups[0]
    rows: list[tuple[Value, ...]] = []
    for name in np.unique(first.category_N):
        inside_N = first.category_N == name
        size = int(inside_N.sum())
        texts = evidence.numbers.of(key).named(str(name)).on(first.ids, size).add(
            "examples", size, "count", "in this category")
        rows += [(plain(str(name)) or UNCATEGORIZED, texts, group.label,
                  group.accuracy_on(group.numbers.of("category").named(str(name)), inside_N)) for group in groups]
    values = Values(("category", "texts", "model", "accuracy"), tuple(rows), intervals=("accuracy",))
    table = _table(key, "category", "category", Column("Category", align="left", width=3.8), groups, values)
    return [Heading("Accuracy by category", key), category_figure(key, values),
            Details("Values by category", (table,), opened=len(table.rows) <= OPENED)]


def _by_length(evidence: Evidence) -> list[Block]:
    """Return accuracy by length; nothing for texts of fewer than two ranges."""
    groups, key = evidence.classifiers, "lengths-1"
    if not groups or np.unique(np.searchsorted(LENGTHS, groups[0].tokens_N)).size < 2:
        return []
    first, numbers = groups[0], evidence.numbers.of(key)
    place_N = np.searchsorted(LENGTHS, first.tokens_N)
    # The ends of the ranges touch; outermost they are those of the texts there are.
    edges = (-1, *LENGTHS, np.inf)
    shortest, longest = int(first.tokens_N.min()), int(first.tokens_N.max())
    rows: list[tuple[Value, ...]] = []
    for place in np.unique(place_N):
        inside_N = place_N == place
        part, size = f"bin-{place + 1}", int(inside_N.sum())
        low, high, texts = (
            numbers.on(first.ids, size).add(f"{part}.{name}", value, "count", method) for name, value, method in (
                ("shortest", max(shortest, edges[place] + 1), "fewest tokens of this range"),
                ("longest", min(longest, edges[place + 1]), "most tokens of this range"),
                ("examples", size, "of these lengths")))
        rows += [(low, high, texts, group.label, group.accuracy_on(group.numbers.of(f"length.{part}"), inside_N))
                 for group in groups]
    values = Values(("tokens from", "tokens to", "texts", "model", "accuracy"), tuple(rows), intervals=("accuracy",))
    table = _table(key, "length", f"the number of tokens that {first.label} reads",
                   Column("Tokens", align="left", width=2.6), groups, values)
    return [Heading("Accuracy by length", key), length_figure(key, values), table]


def _table(key: str, what: str, by: str, first: Column, members: Sequence[ModelRuns], values: Values) -> Table:
    """Return the accuracy of each model on each part of the texts.

    The title says `what` they are divided by, the caption says it by `by`. The columns of the values are the name or
    the ends of a part, its number of texts, the model, and its accuracy.
    """
    rows: list[tuple[Cell, ...]] = [
        (part[0] if len(part) == 1 else (part[0], " to ", part[1]), texts, *found.column("accuracy"))
        for (*part, texts), found in values.groups(*values.columns[:-2]).items()]
    return Table(
        key, f"Accuracy by {what}",
        (f"Test accuracy, %, by {by}, with 95 % intervals.",),
        (first, Column("Texts"), *(Column(group.label, named=True) for group in members)), tuple(rows))
