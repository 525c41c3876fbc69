"""The evaluation table: the results of each model, and the baselines.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gru_bench.evaluation import metrics
from gru_bench.evaluation.statistics import EvidenceLevel, accuracy_interval, f1_interval, seed_deviation
from gru_bench.report.document.numbers import KINDS, NBSP, Kind, Number, Sentence, listed, plain, slug
from gru_bench.report.document.report import BaselineRow, Row, RunLink, Setting
from gru_bench.report.evidence.groups import Group, families, fingerprint, free_name
from gru_bench.report.evidence.progress import study_baselines
from gru_bench.report.evidence.store import Store
from gru_bench.report.sections.search import setting, setting_name
from gru_bench.report.sections.verdicts import joined
from gru_bench.results.logged_metrics import PARAMETERS, PEAK_MEMORY, TOKENS_PER_SECOND, TRAIN_SECONDS, Metric
from gru_bench.results.runs import Baseline
from gru_bench.tracking import LoggedStudy

DEVIATION = "part of the standard deviation over seeds that the noise of the test set does not explain, in points"
FEW_REVIEWS = 200
"""Number of test reviews below which a caution is shown."""
HEADLINE_SETTINGS = ("training.lr", "model.hidden_size", "model.layers", "model.pooling")


def row_of(group: Group, store: Store) -> Row:
    """Return the row of a model, with its single runs."""
    label_N, correct_RN = group.label_N, group.correct_RN
    accuracy = accuracy_interval(correct_RN)
    # From what the runs predicted, not from their ids: a study has the same numbers wherever it is carried.
    rng = np.random.default_rng(zlib.crc32(group.probability_RN.tobytes()))
    f1 = f1_interval(metrics.predicted(group.probability_RN), label_N, rng)
    scores_R = [metrics.scores(label_N, probability_N) for probability_N in group.probability_RN]
    counts_R4 = np.array([
        [scores[name] for name in ("true_negative", "false_positive", "false_negative", "true_positive")]
        for scores in scores_R
    ])
    seeds = len(group.runs)

    def of_seeds(name: str, key: str, kind: Kind) -> Number:
        values = [scores[key] for scores in scores_R if key in scores]
        return group.over_runs(name, values, kind)

    def logged(name: str, metric: Metric, per: float = 1.0) -> Number:
        values = [run.metrics[metric.key] / per for run in group.runs if metric.key in run.metrics]
        return group.over_runs(name, values, KINDS[metric.unit])

    cells = ("true-negative", "false-positive", "false-negative", "true-positive")
    deviation = seed_deviation(correct_RN)
    still = ""
    if deviation is not None and deviation < 5e-5:
        still = "; 0.00 means that seeds differ no more than this noise explains, not that they agree"
    return Row(
        key=group.key,
        label=group.label,
        study=group.study,
        model=group.model,
        backend=", ".join(sorted({plain(run.backend) for run in group.runs if run.backend})) or "not logged",
        fingerprint=group.fingerprint,
        settings=_settings(group),
        seeds=group.number("seeds", seeds, "count"),
        accuracy=group.estimate("accuracy", accuracy),
        deviation=group.number(
            "deviation", deviation, "percent",
            DEVIATION + still, decimals=2,
        ),
        extremes=tuple(
            group.number(f"{name}-seed", float(accuracy), "percent", f"{name} of {seeds} seeds")
            for name, accuracy in (("lowest", correct_RN.mean(1).min()), ("highest", correct_RN.mean(1).max()))
        ) if seeds > 1 else (),
        f1=group.estimate("f1", f1),
        precision=of_seeds("precision", "precision", "percent"),
        recall=of_seeds("recall", "recall", "percent"),
        roc_auc=of_seeds("roc-auc", "roc_auc", "score"),
        average_precision=of_seeds("average-precision", "average_precision", "score"),
        loss=of_seeds("loss", "loss", "score"),
        calibration=of_seeds("calibration", "calibration_error", "percent"),
        parameters=logged("parameters", PARAMETERS),
        train_seconds=logged("train-seconds", TRAIN_SECONDS),
        tokens_per_second=logged("tokens-per-second", TOKENS_PER_SECOND),
        peak_memory=logged("peak-memory", PEAK_MEMORY, per=1e6),
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
                f"{group.key}.run-{place}.accuracy", float(right_N.mean()), "percent", (run.run_id,), label_N.size,
                "one run"))
            for place, (run, right_N) in enumerate(zip(group.runs, correct_RN, strict=True), start=1)
        ),
    )


def caution(group: Group) -> Sentence:
    """Return a caution about too few seeds; empty from five seeds on."""
    seeds = group.number("seeds", len(group.runs), "count")
    match EvidenceLevel.of(len(group.runs)):
        case EvidenceLevel.EXAMPLES_ONLY:
            return (f"{group.label} has only ", seeds, " seed: its interval covers test examples only.")
        case EvidenceLevel.ESTIMATE:
            return (f"{group.label} has only ", seeds, " seeds: an estimate without an interval.")
        case EvidenceLevel.FLAGGED:
            return (f"{group.label} has only ", seeds, " seeds: too few for a verdict.")
        case _:
            return ()


def few_reviews(groups: Sequence[Group]) -> tuple[Sentence, ...]:
    """Return a caution for each test set with few reviews."""
    said = []
    for place, members in enumerate(families(groups), start=1):
        size, runs = members[0].example_N.size, tuple(run_id for group in members for run_id in group.ids)
        if size >= FEW_REVIEWS:
            continue
        whose = "" if len(members) == len(groups) else f" of {', '.join(group.label for group in members)}"
        said.append((
            f"There are few test reviews{whose}: ",
            Number(f"few-reviews-{place}", size, "count", runs, size), ", each worth ",
            Number(f"few-reviews-{place}.weight", 1 / size, "percent", runs, size, "one review"),
            " points of accuracy. Intervals are wide, and only large differences can be told from chance.",
        ))
    return tuple(said)


def evidence_level(rows: Sequence[Row]) -> Sentence:
    """Return whether the seeds of each model are enough for a verdict or a claim; empty where none has five."""
    names: dict[EvidenceLevel, list[str]] = {}
    for row in rows:
        names.setdefault(EvidenceLevel.of(int(row.seeds.value or 0)), []).append(row.label)
    verdict, claim = (names.get(one, []) for one in (EvidenceLevel.VERDICT, EvidenceLevel.CLAIM))
    parts = []
    if verdict:
        parts.append(
            f"{listed(verdict)}: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10).")
    if claim:
        parts.append(f"{listed(claim)}: enough seeds to publish a claim (at least 10).")
    return (" ".join(parts),) if parts else ()


def _settings(group: Group) -> tuple[Setting, ...]:
    tuned: Mapping[str, Any] = group.summary.best.get(group.model, {}) if group.summary else {}
    names = list(tuned) or [name for name in HEADLINE_SETTINGS if name in group.runs[0].params]
    params = group.runs[0].params
    return tuple(
        Setting(setting_name(name), setting(group, f"setting.{slug(name)}", params.get(name, tuned.get(name))))
        for name in names
    )


def baseline_rows(studies: Sequence[LoggedStudy], store: Store) -> tuple[BaselineRow, ...]:
    """Return each baseline once for each data fingerprint."""
    found: dict[tuple[str, str], tuple[Baseline, str]] = {}
    for study in studies:
        for baseline in study_baselines(study, store):
            found.setdefault((fingerprint(study.run), baseline.name), (baseline, study.run.run_id))
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
            Number(f"{key}.seconds", baseline.seconds, "amount", runs, examples, "one fit, timed"),
        ))
    return tuple(rows)


def below_baseline(rows: Sequence[Row], baselines: Sequence[BaselineRow]) -> tuple[Sentence, ...]:
    """Return which models do not beat a baseline on the same data, or not beyond doubt."""
    found: dict[tuple[str, str], tuple[BaselineRow, list[Row]]] = {}
    for baseline in baselines:
        for row in rows:
            ours, theirs = row.accuracy.value, baseline.accuracy.value
            if row.fingerprint != baseline.fingerprint or ours is None or theirs is None:
                continue
            low, high = row.accuracy.low, row.accuracy.high
            if row.accuracy.text == baseline.accuracy.text:
                where = "level"
            elif ours < theirs:
                where = "below" if high is None else "whole" if high < theirs else "inside"
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
        inside = f" on the same split, but the baseline lies within {'its interval' if one else 'each interval'}."
        ending = {
            "whole": f" on the same split; {'its' if one else 'each'} whole interval lies below.",
            "below": " on the same split.",
            "level": " on the same split.",
            "inside": inside,
            "doubt": inside,
        }[where]
        side = {"doubt": "above", "level": "level with"}.get(where, "below")
        said.append((*names, f" {verb} {side} the baseline {baseline.name} (", baseline.accuracy, f"{NBSP}%){ending}"))
    return tuple(said)


def _four(values: list[Number]) -> tuple[Number, Number, Number, Number]:
    a, b, c, d = values
    return a, b, c, d
