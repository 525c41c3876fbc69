"""Logged studies -> one `Writeup`: every number of a write-up, computed once, with what it rests on.

Both renderings take their numbers from here and compute none. Nothing is read but what sweeps logged.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gru_bench import metrics
from gru_bench.errors import RunError
from gru_bench.report.confirmed import Group, Store, families, free_name, gather
from gru_bench.report.contents import (
    BaselineRow,
    Category,
    CategoryTable,
    Comparison,
    Curve,
    DataView,
    Dimension,
    Epoch,
    Row,
    RunCounts,
    RunLink,
    Search,
    Setting,
    Source,
    StudyView,
    Trace,
    Writeup,
)
from gru_bench.report.examples import hard_reviews, length_tables, reliability
from gru_bench.report.numbers import NBSP, Kind, Number, Sentence, plain, slug
from gru_bench.report.sentences import Pair, joined, settling_sentence, verdict_sentence
from gru_bench.report.tuning import (
    as_number,
    beside_homework,
    expected_best,
    no_expected_best,
    setting,
    setting_name,
    settling_commands,
)
from gru_bench.results import Baseline, DataSummary, StudySummary
from gru_bench.statistics import (
    ALPHA,
    MARGIN,
    Design,
    Estimate,
    Standing,
    accuracy_difference,
    accuracy_interval,
    chance_better,
    f1_interval,
    holm,
    mcnemar,
    seed_deviation,
    verdict,
)
from gru_bench.tracking import LoggedRun, LoggedStudy

Histories = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]

HEADLINE_SETTINGS = ("training.lr", "model.hidden_size", "model.layers", "model.readout")
UNCATEGORISED = "(none)"
FEW = 6
"""Pairs whose verdicts open the write-up; more are left to their own section."""


def build(
    studies: Sequence[LoggedStudy],
    store: Store,
    *,
    experiment: str = "",
    title: str = "",
    margin: float = MARGIN,
    missing: Sequence[Sentence] = (),
    tracking_uri: str = "",
) -> Writeup:
    """Compute a write-up of `studies`.

    Args:
        studies: in the order in which they are to be shown.
        store: gives their curves and predictions.
        experiment: the name under which the runs are kept.
        title: of the write-up; by default made from the names of the studies.
        margin: the largest difference of no practical weight; 0.01 is one point of accuracy.
        missing: what is known to be missing already.
        tracking_uri: where the store is, for the record.

    Raises:
        RunError: where no study has a complete confirm run.
    """
    gathered, gaps = gather(studies, store)
    gaps = [*missing, *gaps]
    if not gathered:
        raise RunError(
            "a write-up needs a study with a complete confirm run, but there is none: "
            "run one to its end (python sweeps/run.py --study smoke)"
        )
    rows = tuple(_row(group, store) for group in gathered)
    gaps += [caution for group in gathered if (caution := _caution(group))]
    run_ids = [run.run_id for group in gathered for run in group.runs]
    histories = store.histories(run_ids, ["train/loss", "val/loss", "val/accuracy", "trace/loss"])
    pairs, not_compared = _pairs(gathered, margin)
    known = {group.study for group in gathered}
    comparisons = tuple(_comparison(pair, a, b, known) for pair, a, b in pairs)
    searches = tuple(_search(group, row, histories) for group, row in zip(gathered, rows, strict=True)
                     if group.summary is not None and group.summary.best.get(group.model))  # fmt: skip
    baselines = _baselines(studies)
    summaries = [study.summary for study in studies if study.summary is not None]
    return Writeup(
        title=plain(title) or _title([group.study for group in gathered]),
        experiment=plain(experiment),
        period=_period([run for study in studies for run in (study.run, *study.trials, *study.confirms)]),
        studies=tuple(_study_view(study, store) for study in studies),
        summary=_summary(rows, comparisons),
        missing=tuple(gaps),
        rows=rows,
        baselines=baselines,
        below_baseline=_below(rows, baselines),
        margin=Number("methods.margin", margin, "percent"),
        comparisons=comparisons,
        not_compared=not_compared,
        curves=tuple(_curve(group, histories) for group in gathered),
        category_tables=_category_tables(gathered),
        length_tables=length_tables(gathered),
        reliability=tuple(reliability(group) for group in gathered),
        hard_reviews=hard_reviews(gathered, store),
        searches=searches,
        expected_best=tuple(found for group in gathered if (found := expected_best(group)) is not None),
        no_expected_best=no_expected_best(gathered),
        beside_homework=beside_homework(gathered),
        budgets=_budgets(summaries),
        data=_data(studies),
        counts=_counts(studies),
        methods=_methods(gathered, pairs, margin),
        source=Source(_address(tracking_uri), tuple(
            "".join(part if isinstance(part, str) else part.text for part in sentence) for sentence in missing)),
    )  # fmt: skip


def _row(group: Group, store: Store) -> Row:
    label_N, correct_RN = group.label_N, group.correct_RN
    accuracy = accuracy_interval(correct_RN)
    rng = np.random.default_rng(zlib.crc32("".join(group.ids).encode()))
    f1 = f1_interval(metrics.predicted(group.probability_RN), label_N, rng)
    scores_R = [metrics.scores(label_N, probability_N) for probability_N in group.probability_RN]
    counts_R4 = np.array([
        [scores[name] for name in ("true_negative", "false_positive", "false_negative", "true_positive")]
        for scores in scores_R
    ])  # fmt: skip
    seeds = len(group.runs)

    def of_seeds(name: str, key: str, kind: Kind) -> Number:
        values = [scores[key] for scores in scores_R if key in scores]
        return group.over_runs(name, values, kind)

    def logged(name: str, metric: str, kind: Kind) -> Number:
        return group.over_runs(name, [r.metrics[metric] for r in group.runs if metric in r.metrics], kind)

    cells = ("true-negative", "false-positive", "false-negative", "true-positive")
    deviation = seed_deviation(correct_RN)
    return Row(
        key=group.key,
        label=group.label,
        study=group.study,
        model=group.model,
        engine=", ".join(sorted({plain(run.engine) for run in group.runs if run.engine})) or "not logged",
        fingerprint=group.fingerprint,
        settings=_settings(group),
        seeds=group.number("seeds", seeds, "count"),
        accuracy=group.estimate("accuracy", accuracy),
        deviation=group.number(
            "deviation", deviation, "percent",
            "standard deviation over seeds in points, noise of the test set taken out", decimals=2,
        ),
        f1=group.estimate("f1", f1),
        precision=of_seeds("precision", "precision", "percent"),
        recall=of_seeds("recall", "recall", "percent"),
        roc_auc=of_seeds("roc-auc", "roc_auc", "score"),
        average_precision=of_seeds("average-precision", "average_precision", "score"),
        loss=of_seeds("loss", "loss", "score"),
        calibration=of_seeds("calibration", "calibration_error", "percent"),
        parameters=logged("parameters", "model/parameters", "count"),
        train_seconds=logged("train-seconds", "time/train_seconds", "amount"),
        tokens_per_second=logged("tokens-per-second", "time/tokens_per_second", "amount"),
        memory=group.over_runs("memory", [
            r.metrics["memory/peak_bytes"] / 1e6 for r in group.runs if "memory/peak_bytes" in r.metrics], "amount"),
        confusion=_four([
            group.number(f"confusion.{cell}", counts_R4[:, i].mean(), "count", "mean over seeds")
            for i, cell in enumerate(cells)
        ]),
        confusion_spread=_four([
            group.number(
                f"confusion.{cell}.spread", float(counts_R4[:, i].std(ddof=1)) if seeds > 1 else None, "tenth",
                "standard deviation over seeds",
            )
            for i, cell in enumerate(cells)
        ]),
        runs=tuple(
            RunLink(run.run_id, store.run_url(run), run.seed, Number(
                f"{group.key}.run-{place}.accuracy", float(right_N.mean()), "percent", (run.run_id,), label_N.size))
            for place, (run, right_N) in enumerate(zip(group.runs, correct_RN, strict=True), start=1)
        ),
    )  # fmt: skip


def _caution(group: Group) -> Sentence:
    """Return what the number of seeds does not allow; empty from five seeds on."""
    seeds = group.number("seeds", len(group.runs), "count")
    match Standing.of(len(group.runs)):
        case Standing.EXAMPLES_ONLY:
            return (f"{group.label} rests on ", seeds, " seed: its interval is over test examples only.")
        case Standing.ESTIMATE:
            return (f"{group.label} rests on ", seeds, " seeds: an estimate without interval.")
        case Standing.FLAGGED:
            return (f"{group.label} rests on ", seeds, " seeds: too few for a verdict.")
        case _:
            return ()


def _settings(group: Group) -> tuple[Setting, ...]:
    tuned: Mapping[str, Any] = group.summary.best.get(group.model, {}) if group.summary else {}
    names = list(tuned) or [name for name in HEADLINE_SETTINGS if name in group.runs[0].params]
    params = group.runs[0].params
    return tuple(
        Setting(setting_name(name), setting(group, f"setting.{slug(name)}", params.get(name, tuned.get(name))))
        for name in names
    )


def _pairs(
    groups: Sequence[Group], margin: float
) -> tuple[list[tuple[Pair, Group, Group]], tuple[Sentence, ...]]:
    """Compare each pair of models that met the same test examples, the more accurate one first."""
    apart: list[Sentence] = []
    couples: list[tuple[Group, Group, Estimate]] = []
    for one, two in combinations(groups, 2):
        if one.fingerprint != two.fingerprint:
            apart.append((f"{one.label} and {two.label} are not compared: their data or its split differ.",))
        elif not np.array_equal(one.example_N, two.example_N) or not np.array_equal(one.label_N, two.label_N):
            apart.append((f"{one.label} and {two.label} are not compared: their test examples differ.",))
        else:
            a, b = (two, one) if two.correct_RN.mean() > one.correct_RN.mean() else (one, two)
            couples.append((a, b, accuracy_difference(a.correct_RN, b.correct_RN)))
    adjusted = holm([d.p if d.standing.has_verdict else None for _, _, d in couples])
    family = sum(p is not None for p in adjusted)
    pairs = []
    for (a, b, difference), p in zip(couples, adjusted, strict=True):
        design = Design.of(a.correct_RN, b.correct_RN) if min(difference.seeds) > 1 else None
        pairs.append((Pair(
            f"pair.{a.key}.{b.key}", a.label, b.label, difference, p, family, verdict(difference, p, margin), design,
            a.ids + b.ids), a, b))  # fmt: skip
    return pairs, tuple(apart)


def _comparison(pair: Pair, a: Group, b: Group, known: Set[str]) -> Comparison:
    missing = Number(f"{pair.key}.detectable", None, "percent", pair.runs, method="takes two seeds")
    return Comparison(
        key=pair.key,
        a=pair.a,
        b=pair.b,
        difference=pair.theta,
        p=pair.p,
        detectable=pair.detectable or missing,
        chance=Number(
            f"{pair.key}.chance", chance_better(a.correct_RN, b.correct_RN), "percent", pair.runs,
            pair.difference.examples, "share of pairs of seeds, ties counting half, on this test set", decimals=0,
        ),
        finding=pair.verdict.finding.value,
        sentence=joined([verdict_sentence(pair), settling_sentence(pair), _checkpoints(pair, a, b)]),
        commands=settling_commands(pair, a, b, known),
    )  # fmt: skip


def _checkpoints(pair: Pair, a: Group, b: Group) -> Sentence:
    """Return McNemar's test where each model has one run: it speaks of these two alone."""
    if max(pair.difference.seeds) > 1:
        return ()
    right_A_N, right_B_N = a.correct_RN[0], b.correct_RN[0]
    p = mcnemar(int((right_A_N & ~right_B_N).sum()), int((right_B_N & ~right_A_N).sum()))
    number = Number(f"{pair.key}.mcnemar", p, "p", pair.runs, right_A_N.size, "exact McNemar test, two-sided")
    sign = "p " if number.text.startswith("<") else "p = "
    return (f"For these two trained models alone, {sign}", number, " by McNemar's exact test.")


def _summary(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> tuple[Sentence, ...]:
    """Return the first sentences a reader meets: the accuracies, then the verdicts, where there are few."""
    if len(comparisons) > FEW:
        count = Number("summary.pairs", len(comparisons), "count")
        tally = Counter(comparison.finding for comparison in comparisons)
        parts: list[Sentence] = [
            (f"{finding}, ", Number(f"summary.{slug(finding)}", times, "count"))
            for finding, times in tally.most_common()
        ]
        return (("Each of ", count, " pairs of models is compared below: ", *joined(parts, "; "), "."),)
    parts = []
    for row in rows[:FEW]:
        low, high = row.accuracy.ends
        interval: Sentence = (low, " to ", high, "; ") if row.accuracy.low is not None else ()
        unit = " seed)" if row.seeds.value == 1 else " seeds)"
        parts.append((f"{row.label} ", row.accuracy, f"{NBSP}% (", *interval, row.seeds, unit))
    shown = "Test accuracy" if all(row.accuracy.low is None for row in rows) else f"Test accuracy, 95{NBSP}% intervals"
    accuracies: Sentence = (f"{shown} and seeds in brackets: ", *joined(parts, ", "), ".")
    return (accuracies, *(comparison.sentence for comparison in comparisons))


def _baselines(studies: Sequence[LoggedStudy]) -> tuple[BaselineRow, ...]:
    """Return each baseline once for each data fingerprint."""
    found: dict[tuple[str, str], tuple[Baseline, str]] = {}
    for study in studies:
        if study.summary is not None:
            for baseline in study.summary.baselines:
                print_ = study.summary.data.fingerprint
                found.setdefault((print_, baseline.name), (baseline, study.run.run_id))
    prints = list(dict.fromkeys(print_ for print_, _ in found))
    rows = []
    taken: set[str] = set()
    for (print_, name), (baseline, run_id) in found.items():
        key = free_name(f"baseline-{slug(name)}", taken)
        label = plain(name) if len(prints) == 1 else f"{plain(name)} (data {prints.index(print_) + 1})"
        runs, examples = (run_id,), baseline.test_size
        rows.append(BaselineRow(
            key, label, print_,
            Number(f"{key}.accuracy", baseline.test_accuracy, "percent", runs, examples, "one deterministic fit"),
            Number(f"{key}.f1", baseline.test_f1, "percent", runs, examples, "one deterministic fit"),
            Number(f"{key}.seconds", baseline.seconds, "amount", runs, examples),
        ))  # fmt: skip
    return tuple(rows)


def _below(rows: Sequence[Row], baselines: Sequence[BaselineRow]) -> tuple[Sentence, ...]:
    """Say in words which GRU does not reach a baseline on the same data, or not beyond doubt."""
    found: dict[tuple[str, str], tuple[BaselineRow, list[Row]]] = {}
    for baseline in baselines:
        for row in rows:
            ours, theirs = row.accuracy.value, baseline.accuracy.value
            if row.fingerprint != baseline.fingerprint or ours is None or theirs is None:
                continue
            low, high = row.accuracy.low, row.accuracy.high
            if ours < theirs:
                where = "whole" if high is not None and high < theirs else "below"
            elif low is not None and low <= theirs:
                where = "doubt"
            else:
                continue
            found.setdefault((baseline.key, where), (baseline, []))[1].append(row)
    said: list[Sentence] = []
    for (_, where), (baseline, some) in found.items():
        one = len(some) == 1
        names = joined([(f"{row.label} (", row.accuracy, f"{NBSP}%)") for row in some], ", ")
        verb = "is" if one else "are"
        ending = {
            "whole": f" on the same split; {'its' if one else 'each'} whole interval lies below.",
            "below": " on the same split.",
            "doubt": f" on the same split, but the baseline lies within {'its interval' if one else 'each interval'}.",
        }[where]
        side = "above" if where == "doubt" else "below"
        said.append((*names, f" {verb} {side} the baseline {baseline.name} (", baseline.accuracy, f"{NBSP}%){ending}"))
    return tuple(said)


def _curve(group: Group, histories: Histories) -> Curve:
    by_run = [histories.get(run_id, {}) for run_id in group.ids]
    steps = sorted({step for run in by_run for step, _ in run.get("train/loss", ())})
    epochs = []
    for epoch in steps:
        def averaged(name: str, metric: str, kind: Kind, epoch: int = epoch) -> Number:
            values = [value for run in by_run for step, value in run.get(metric, ()) if step == epoch]
            return group.over_runs(f"epoch-{epoch}.{name}", values, kind)

        reached = sum(any(step == epoch for step, _ in run.get("train/loss", ())) for run in by_run)
        epochs.append(Epoch(
            epoch=group.number(f"epoch-{epoch}", epoch, "count"),
            seeds=group.number(f"epoch-{epoch}.seeds", reached, "count"),
            train_loss=averaged("train-loss", "train/loss", "score"),
            validation_loss=averaged("validation-loss", "val/loss", "score"),
            validation_accuracy=averaged("validation-accuracy", "val/accuracy", "percent"),
        ))  # fmt: skip
    kept = [run.metrics["train/best_epoch"] for run in group.runs if "train/best_epoch" in run.metrics]
    return Curve(
        group.key, group.label, tuple(epochs), _trace(group, by_run),
        group.number("kept-epoch", float(np.mean(kept)) if kept else None, "tenth", "mean over seeds"),
    )  # fmt: skip


def _trace(group: Group, by_run: Sequence[Mapping[str, Sequence[tuple[int, float]]]]) -> Trace | None:
    """Return the training loss by iteration, counted in epochs; None where that cannot be known."""
    batch = as_number(group.runs[0].params.get("training.batch_size"))
    if group.summary is None or not batch:
        return None
    examples = group.summary.data.train
    drop_last = group.runs[0].params.get("training.drop_last") == "True"
    iterations = int(examples // batch if drop_last else -(-examples // batch))
    values: dict[int, list[float]] = {}
    for run in by_run:
        for step, value in run.get("trace/loss", ()):
            values.setdefault(step, []).append(value)
    full = [step for step in sorted(values) if len(values[step]) == len(by_run)]
    if len(full) < 3 or not iterations:
        return None
    return Trace(
        tuple(step / iterations for step in full), tuple(float(np.mean(values[step])) for step in full),
        tuple(min(values[step]) for step in full), tuple(max(values[step]) for step in full),
    )  # fmt: skip


def _category_tables(groups: Sequence[Group]) -> tuple[CategoryTable, ...]:
    """Return one table for each test set that has at least two categories."""
    tables: list[CategoryTable] = []
    for members in families(groups):
        first = members[0]
        names, place_N = np.unique(first.category_N, return_inverse=True)
        if names.size < 2:
            continue
        key = f"categories-{len(tables) + 1}"
        taken: set[str] = set()
        categories = []
        for place, name in enumerate(names):
            inside_N = place_N == place
            part = free_name(slug(str(name), "none"), taken)
            size = int(inside_N.sum())
            categories.append(Category(
                plain(str(name)) or UNCATEGORISED,
                Number(f"{key}.{part}.examples", size, "count"),
                tuple(group.accuracy_on(f"category.{part}", inside_N) for group in members),
            ))  # fmt: skip
        tables.append(CategoryTable(key, tuple(group.label for group in members), tuple(categories)))
    return tuple(tables)


def _search(group: Group, row: Row, histories: Histories) -> Search:
    summary = group.summary
    assert summary is not None
    best = summary.best[group.model]
    importance = summary.importance.get(group.model, {})
    trials = [trial for trial in summary.trials if trial.model == group.model]
    space = []
    for name, range_ in summary.space.items():
        if name not in best:
            continue
        part = f"search.{slug(name)}"
        space.append(Dimension(
            setting_name(name), _range_text(range_), setting(group, f"{part}.best", best[name]),
            group.number(f"{part}.importance", importance.get(name), "percent", plain(summary.importance_method),
                         decimals=0),
            _edge(range_, best[name]),
        ))  # fmt: skip
    at_kept = [value for run in group.runs if (value := _kept_accuracy(run, histories)) is not None]
    best_value = summary.best_value.get(group.model)
    best_number = Number(f"{group.key}.search.best", best_value, "percent", method="best trial, on validation")
    confirmed = group.over_runs("search.confirmed", at_kept, "percent")
    gap: Sentence = ()
    if best_value is not None and confirmed.value is not None:
        fall = group.number("search.fall", confirmed.value - best_value, "points", "confirmed less best trial")
        gap = (f"{group.label}: the best trial reached ", best_number, f"{NBSP}% on validation; fresh seeds of the "
               "same configuration reach ", confirmed, f"{NBSP}% there (", fall, " points) and ", row.accuracy,
               f"{NBSP}% on test.")  # fmt: skip
    edges = [d.name for d in space if d.edge]
    edge: Sentence = ()
    if edges:
        edge = (f"{group.label}: the best {' and '.join(edges)} {'lies' if len(edges) == 1 else 'lie'} at the end "
                "of the range searched; a wider range may hold a better one.",)  # fmt: skip
    return Search(
        key=group.key,
        label=group.label,
        sampler=plain(summary.sampler),
        pruner=plain(summary.pruner),
        objective=plain(summary.objective),
        trials=Number(f"{group.key}.search.trials", len(trials), "count"),
        epochs=Number(f"{group.key}.search.epochs", summary.epochs, "count"),
        space=tuple(space),
        importance_method=plain(summary.importance_method) if importance else "",
        best=best_number,
        confirmed=confirmed,
        test=row.accuracy,
        gap=gap,
        edges=edge,
    )


def _kept_accuracy(run: LoggedRun, histories: Histories) -> float | None:
    """Return the validation accuracy of the weights a run kept."""
    if "kept/accuracy" in run.metrics:
        return run.metrics["kept/accuracy"]
    by_epoch = dict(histories.get(run.run_id, {}).get("val/accuracy", ()))
    return by_epoch.get(int(run.metrics.get("train/best_epoch", 0)))


def _range_text(range_: Mapping[str, Any]) -> str:
    if "choices" in range_:
        return ", ".join(plain(str(choice)) for choice in range_["choices"])
    low, high = (Number("range", float(range_[end]), "setting").text for end in ("low", "high"))
    return f"{low} to {high}{', log scale' if range_.get('log') else ''}"


def _edge(range_: Mapping[str, Any], value: object) -> str:
    """Return `low` or `high` where a value lies in the outer twentieth of its range."""
    number = as_number(value)
    if number is None or "low" not in range_ or range_["low"] == range_["high"]:
        return ""
    low, high = float(range_["low"]), float(range_["high"])
    if range_.get("log"):
        low, high, number = float(np.log(low)), float(np.log(high)), float(np.log(number))
    share = (number - low) / (high - low)
    return "low" if share < 0.05 else "high" if share > 0.95 else ""


def _budgets(summaries: Sequence[StudySummary]) -> Sentence:
    """Warn where studies that stand side by side were searched with unequal effort."""
    searched = [s for s in summaries if s.best]
    budgets = {(s.trials_asked / max(1, len(s.models)), s.epochs, len(s.space)) for s in searched}
    fixed = len(summaries) - len(searched)
    if len(budgets) <= 1 and not (fixed and searched):
        return ()
    parts: list[Sentence] = []
    for summary in summaries:
        key = f"budget-{slug(summary.name)}"
        parts.append((
            f"{plain(summary.name)} had ", Number(f"{key}.trials", summary.trials_asked, "count"), " trials of up to ",
            Number(f"{key}.epochs", summary.epochs, "count"), " epochs over ",
            Number(f"{key}.settings", len(summary.space) if summary.best else 0, "count"), " settings",
        ))  # fmt: skip
    return ("The searches were not given the same budget, and a difference may come from that: ",
            *joined(parts, "; "), ".")  # fmt: skip


def _data(studies: Sequence[LoggedStudy]) -> tuple[DataView, ...]:
    found: dict[str, tuple[DataSummary, list[str]]] = {}
    for study in studies:
        if study.summary is not None:
            data = study.summary.data
            found.setdefault(data.fingerprint, (data, []))[1].append(plain(study.summary.name))
    views = []
    for place, (data, names) in enumerate(found.values(), start=1):
        key = f"data-{place}"

        def count(name: str, value: int, key: str = key) -> Number:
            return Number(f"{key}.{name}", value, "count")

        def share(name: str, value: float, key: str = key) -> Number:
            return Number(f"{key}.{name}", value, "percent")

        length: Number | str = "all" if data.max_length is None else count("max-length", data.max_length)
        facts: list[tuple[str, Number | str]] = [
            ("reviews to train on", count("train", data.train)),
            ("reviews for validation", count("validation", data.validation)),
            ("reviews for the test", count("test", data.test)),
            ("positive, %", share("positive", data.positive_share)),
            ("exact repeats removed", count("repeats", data.repeats_removed)),
            ("training rows removed: in the test file too", count("test-repeats", data.test_repeats_removed)),
            ("distinct words", count("vocabulary", data.vocabulary)),
            ("word vectors", plain(data.embedding)),
            ("width of a vector", count("dimension", data.embedding_dimension)),
            ("words with a vector", count("covered", data.covered_words)),
            ("tokens without a vector, dropped, %", share("dropped", data.dropped_share)),
            ("tokens kept of a review, from its start", length),
            ("reviews cut to that length, %", share("cut", data.cut_share)),
            ("fingerprint", plain(data.fingerprint)),
        ]  # fmt: skip
        taken: set[str] = set()
        categories = tuple(
            (plain(name) or UNCATEGORISED, count(f"category.{free_name(slug(name, 'none'), taken)}", size))
            for name, size in data.categories.items()
        )
        views.append(DataView(key, data, plain(data.name), tuple(names), tuple(facts), categories))
    return tuple(views)


def _counts(studies: Sequence[LoggedStudy]) -> tuple[RunCounts, ...]:
    taken: set[str] = set()
    counts = []
    for study in studies:
        name = plain(study.run.study or study.run.name)
        key = free_name(f"runs-{slug(name, 'study')}", taken)
        for stage, runs in (("search", study.trials), ("confirm", study.confirms)):
            if runs:
                counts.append(_count(f"{key}-{stage}", name, stage, runs))
    return tuple(counts)


def _count(key: str, study: str, stage: str, runs: Sequence[LoggedRun]) -> RunCounts:
    by_state: dict[str, list[LoggedRun]] = {}
    for run in runs:
        by_state.setdefault(_state(run), []).append(run)

    def number(state: str) -> Number:
        some = by_state.get(state, [])
        return Number(f"{key}.{state}", len(some), "count", tuple(run.run_id for run in some))

    reasons = tuple(
        (plain(run.name) or run.run_id, f"{_state(run)}: {plain(run.reason)[:200] or 'no reason logged'}")
        for state in ("failed", "other")
        for run in by_state.get(state, [])
    )
    return RunCounts(
        key, study, stage, number("complete"), number("pruned"), number("failed"), number("other"), reasons
    )


def _state(run: LoggedRun) -> str:
    """Return complete, pruned, failed, or other (killed, interrupted, still running)."""
    if run.complete:
        return "complete"
    state = run.tags.get("gru_bench.state", "")
    if state == "pruned" or run.reason.startswith("pruned"):
        return "pruned"
    return "failed" if state == "failed" or run.status == "FAILED" else "other"


def _study_view(study: LoggedStudy, store: Store) -> StudyView:
    summary = study.summary
    return StudyView(
        name=plain(study.run.study or study.run.name),
        purpose=plain(summary.purpose) if summary else "",
        run_id=study.run.run_id,
        url=store.run_url(study.run),
        notes=tuple(plain(note) for note in summary.notes) if summary else (),
    )


def _methods(
    groups: Sequence[Group], pairs: Sequence[tuple[Pair, Group, Group]], margin: float
) -> tuple[Sentence, ...]:
    """Return how the numbers were got, and what they do not cover."""
    said: list[Sentence] = [
        ("Intervals of accuracy have 95 % confidence and cover fresh seeds and fresh reviews like the test reviews "
         "together: a sum of the variance over examples and of the part of the variance over seeds that is no "
         "noise of the test set, with Satterthwaite's degrees of freedom.",),
        ("The deviation over seeds is given with the noise of the test set taken out.",),
        ("F1 is that of the positive class; its interval is a two-level bootstrap over seeds and examples, which "
         "is conservative. Its draws come from a fixed seed.",),
        ("Losses, times and speeds are means over the confirm runs. Times are of training alone, on the machine "
         "that ran it, and compare models only with the engine named beside them.",),
        ("The test set was opened once, for the confirm runs; the search saw training and validation reviews only. "
         "Seeds of the confirm runs were never used in the search.",),
        ("Nothing here covers another training set, or the luck of tuning.",),
    ]  # fmt: skip
    if pairs:
        family = pairs[0][0].family
        size = Number("methods.margin", margin, "percent")
        holm_words: Sentence = ()
        if family > 1:
            level = Number("methods.level", ALPHA, "p")
            holm_words = (" Holm's procedure over all ", Number("methods.family", family, "count"),
                          " pairs decides, at ", level, "; intervals are shown unadjusted.")  # fmt: skip
        said.append(("Verdicts use a margin of ", size, " points, fixed beforehand.", *holm_words))
    models = {group.model: group for group in groups}
    if "scratch" in models and "torch" in models:
        reset = models["scratch"].runs[0].params.get("model.reset", "after")
        said.append(
            ("The scratch GRU resets before the hidden product and so is not the function that the torch GRU "
             "computes.",) if reset == "before" else
            ("The scratch GRU and the torch GRU compute the same function, up to the ReLU before the linear layer "
             "where one has it; otherwise they differ in the draw of their initial weights and in speed.",)
        )  # fmt: skip
    return tuple(said)


def _address(uri: str) -> str:
    """Return a tracking URI as it may be shown to others: no password, and no path of this machine where avoidable."""
    kind, mark, path = uri.partition("sqlite:///")
    if mark and not kind:
        place = Path(path).resolve()
        return f"{mark}{place.relative_to(Path.cwd())}" if place.is_relative_to(Path.cwd()) else f"{mark}{place}"
    return re.sub("://[^/]*@", "://", uri)


def _title(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    listed = ", ".join(distinct[:3]) + (f" and {len(distinct) - 3} more" if len(distinct) > 3 else "")
    return f"Recurrent text classifiers: {listed}"


def _period(runs: Sequence[LoggedRun]) -> str:
    days = sorted({datetime.fromtimestamp(run.started, UTC).date().isoformat() for run in runs})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _four(values: list[Number]) -> tuple[Number, Number, Number, Number]:
    a, b, c, d = values
    return a, b, c, d
