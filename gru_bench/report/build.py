"""Builds a `Report` from logged studies: every number is computed once, with its source.

The renderers take their numbers from here and compute none. Only what sweeps logged is read.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np

from gru_bench.errors import IncompleteError, UsageError, unknown
from gru_bench.evaluation.statistics import (
    ALPHA,
    Design,
    Estimate,
    EvidenceLevel,
    Finding,
    accuracy_difference,
    chance_better,
    effect_size,
    holm,
    mcnemar,
    seed_deviation,
    verdict,
)
from gru_bench.report.document.numbers import NBSP, Number, Sentence, in_text, plain, slug
from gru_bench.report.document.report import (
    Comparison,
    Report,
    Row,
    Source,
)
from gru_bench.report.document.section import Section
from gru_bench.report.evidence.groups import Evidence, Group, families, gather
from gru_bench.report.evidence.progress import unfinished, what_is_missing
from gru_bench.report.evidence.store import Store
from gru_bench.report.homework.protocol import reproductions
from gru_bench.report.homework.sections import closing, conclusions, findings, opening
from gru_bench.report.homework.settings import homework_settings
from gru_bench.report.sections.data import data_views, known_runs, run_counts, study_view
from gru_bench.report.sections.diagnostics import diagnostics_section
from gru_bench.report.sections.errors import category_tables, hard_reviews, length_tables, reliability
from gru_bench.report.sections.evaluation import (
    DEVIATION,
    baseline_rows,
    below_baseline,
    caution,
    evidence_level,
    few_reviews,
    row_of,
)
from gru_bench.report.sections.learning import learning_curve
from gru_bench.report.sections.margin import Margin, margin_of
from gru_bench.report.sections.next_steps import fresh_for_all, held_back, next_step_commands, remove_limit_commands
from gru_bench.report.sections.search import (
    expected_best,
    no_expected_best,
    searches_of,
    unequal_budgets,
)
from gru_bench.report.sections.verdicts import Pair, joined, next_step_sentence, verdict_sentence
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL
from gru_bench.tracking import LoggedRun, LoggedStudy

UNEQUAL = 5
"""Ratio of two models' deviations over seeds from which on intervals of few seeds are too narrow."""
FEW = 6
"""Most pairs whose verdicts stand in the summary; the verdicts of more pairs stand in their own section only."""


def build(
    studies: Sequence[LoggedStudy],
    store: Store,
    *,
    experiment: str = "",
    title: str = "",
    margin: float | None = None,
    mcnemar_runs: tuple[str, str] | None = None,
    cautions: Sequence[Sentence] = (),
    tracking_uri: str = "",
    known_studies: Collection[str] = (),
) -> Report:
    """Compute a report of `studies`.

    Args:
        studies: The studies, in the order in which they are shown.
        store: Source of their curves and predictions.
        experiment: Name of the MLflow experiment.
        title: Title of the report; by default it is made from the names of the studies.
        margin: Largest difference of no practical weight; 0.01 is one point of accuracy. The default is the margin
            that the studies logged at their start, where they agree.
        mcnemar_runs: Ids of two confirm runs to compare by McNemar's test.
        cautions: Cautions that are known already.
        tracking_uri: Address of the store, for the record.
        known_studies: Names of other studies, which a new study must not have.

    Raises:
        IncompleteError: If no study has a complete confirm run.
        UsageError: If a run named for McNemar's test is not a confirm run of this report, or the two runs were scored
            on different test reviews.
    """
    gathered, gaps = gather(studies, store)
    gaps = [*cautions, *gaps, *what_is_missing(studies, store)]
    if not gathered:
        raise IncompleteError(
            "a report needs a study with a complete confirm run, but there is none: "
            "run one to its end (gru-bench sweep --study smoke)"
        )
    rows = tuple(row_of(group, store) for group in gathered)
    gaps += [said for group in gathered if (said := caution(group))]
    gaps += few_reviews(gathered)
    run_ids = [run.run_id for group in gathered for run in group.runs]
    histories = store.histories(run_ids, [LOSS_TRAIN.key, LOSS_VAL.key, ACCURACY_VAL.key, LOSS_TRAIN_WINDOW.key])
    evidence = Evidence(studies, gathered, store, histories)
    chosen = margin_of(studies, margin)
    pairs, not_compared = _pairs(gathered, chosen.value)
    if chosen.caution and (pairs or any(study.ablations for study in studies)):
        gaps.append(chosen.caution)
    # An unfinished study is to be continued first: advice to draw new seeds comes after that.
    under_way = {study.run.run_id for study in studies if unfinished(study)}
    done = [compared for compared in pairs if not {group.parent.run_id for group in compared[1:]} & under_way]
    fresh = fresh_for_all([pair for pair, _, _ in done])
    names = {*known_studies, *(group.study for group in gathered)}
    comparisons = tuple(_comparison(*compared, fresh, compared in done) for compared in pairs)
    too_few = any(pair.verdict.finding is Finding.TOO_FEW_SEEDS for pair, _, _ in done)
    searches = searches_of(evidence, rows)
    baselines = baseline_rows(studies, store)
    data = data_views(studies, store)
    reproduced = reproductions(evidence)
    tested = () if mcnemar_runs is None else _mcnemar_of_runs(gathered, *mcnemar_runs)
    sections = (
        *opening(reproduced),
        Section("evaluation", "Evaluation", tables=("evaluation", "scores", "cost")),
        (Section("comparisons", "Comparisons", tables=("comparisons",)) if comparisons or not_compared or tested
         else None),
        Section("learning", "Learning"),
        Section("errors", "Errors", tables=("confusion", "categories", "lengths", "reliability")),
        *findings(reproduced, evidence, chosen.value),
        diagnostics_section(evidence),
        *closing(reproduced, comparisons),
        Section("search", "Search", tables=("search", "expected-best", "homework-settings")) if searches else None,
        Section("data", "Data", tables=("data",)) if data else None,
        Section("methods", "Statistical methods"),
        Section("runs", "Runs", tables=("runs", "epochs"), appendix=True),
    )
    return Report(
        title=plain(title) or _title([group.study for group in gathered]),
        experiment=plain(experiment),
        period=_period([run for study in studies
                        for run in (study.run, *study.trials, *study.confirms, *study.ablations)]),
        studies=tuple(study_view(study, store) for study in studies),
        summary=(*_summary(rows, comparisons, fresh if too_few else None), *conclusions(reproduced, comparisons)),
        cautions=tuple(gaps),
        rows=rows,
        baselines=baselines,
        below_baseline=below_baseline(rows, baselines),
        margin=chosen.number,
        comparisons=comparisons,
        remove_limit_commands=remove_limit_commands(done, names),
        next_step_commands=next_step_commands(done, names),
        not_compared=not_compared,
        mcnemar=tested,
        curves=tuple(learning_curve(group, evidence.histories) for group in evidence.groups),
        category_tables=category_tables(gathered),
        length_tables=length_tables(gathered),
        reliability=tuple(reliability(group) for group in gathered),
        hard_reviews=hard_reviews(gathered, store),
        searches=searches,
        expected_best=tuple(found for group in gathered if (found := expected_best(group)) is not None),
        no_expected_best=no_expected_best(gathered),
        homework_settings=homework_settings(gathered) if reproduced else None,
        budgets=unequal_budgets(studies),
        data=data,
        counts=run_counts(studies),
        runs=known_runs(studies, store),
        methods=_methods(gathered, pairs, chosen),
        sections=tuple(section for section in sections if section is not None),
        source=Source(_address(tracking_uri), tuple(map(in_text, cautions)), tuple(sorted(known_studies)),
                      mcnemar_runs),
    )


def _pairs(
    groups: Sequence[Group], margin: float
) -> tuple[list[tuple[Pair, Group, Group]], tuple[Sentence, ...]]:
    """Compare each pair of models that met the same test examples, the more accurate one first."""
    apart: list[Sentence] = []
    couples: list[tuple[Group, Group, Estimate]] = []
    for one, two in combinations(groups, 2):
        if one.fingerprint != two.fingerprint:
            apart.append((f"{one.label} and {two.label} are not compared: their data or their splits differ.",))
        elif not np.array_equal(one.example_N, two.example_N) or not np.array_equal(one.label_N, two.label_N):
            apart.append((f"{one.label} and {two.label} are not compared: their test examples differ.",))
        else:
            a, b = (two, one) if two.correct_RN.mean() > one.correct_RN.mean() else (one, two)
            couples.append((a, b, accuracy_difference(a.correct_RN, b.correct_RN)))
    adjusted = holm([d.p if d.evidence_level.has_verdict else None for _, _, d in couples])
    family = sum(p is not None for p in adjusted)
    pairs = []
    for (a, b, difference), p in zip(couples, adjusted, strict=True):
        design = Design.of(a.correct_RN, b.correct_RN) if min(difference.seeds) > 1 else None
        pairs.append((Pair(
            f"pair.{a.key}.{b.key}", a.label, b.label, difference, p, family, verdict(difference, p, margin), design,
            a.ids + b.ids), a, b))
    return pairs, tuple(apart)


def _comparison(pair: Pair, a: Group, b: Group, fresh: int | None, done: bool) -> Comparison:
    missing = Number(f"{pair.key}.detectable", None, "percent", pair.runs, method="takes two seeds")
    return Comparison(
        key=pair.key,
        a=pair.a,
        b=pair.b,
        difference=pair.theta,
        p=pair.p,
        detectable=pair.detectable or missing,
        effect=Number(
            f"{pair.key}.effect", effect_size(a.correct_RN, b.correct_RN), "tenth", pair.runs,
            pair.difference.examples, "difference over the larger of the two deviations over seeds",
        ),
        chance=Number(
            f"{pair.key}.chance", chance_better(a.correct_RN, b.correct_RN), "percent", pair.runs,
            pair.difference.examples, "share of pairs of seeds, ties counting half, on this test set", decimals=0,
        ),
        finding=pair.verdict.finding.value,
        narrow=pair.narrow if pair.verdict.finding in (Finding.EQUIVALENT, Finding.NEGLIGIBLE) else None,
        sentence=joined([verdict_sentence(pair), weak_spot(pair, a, b),
                         next_step_sentence(pair, fresh, held_back(a)) if done else (), _mcnemar_of_pair(pair, a, b)]),
    )


def weak_spot(pair: Pair, a: Group, b: Group) -> Sentence:
    """Return why the intervals of a pair are known to be too narrow; empty where they are not."""
    deviations = seed_deviation(a.correct_RN), seed_deviation(b.correct_RN)
    if None in deviations or not pair.difference.evidence_level.has_interval:
        return ()
    (small, _), (large, noisy) = sorted([(deviations[0] or 0.0, a), (deviations[1] or 0.0, b)], key=lambda one: one[0])
    shown = noisy.number("deviation", large, "percent", DEVIATION, decimals=2)
    if len(noisy.runs) < max(pair.difference.seeds) and large > small:
        return (f"{noisy.label} varies more from seed to seed (", shown, " points) and has fewer seeds. Such intervals "
                "are known to be somewhat too narrow.")
    if not pair.difference.evidence_level.has_verdict and large >= UNEQUAL * small and large > 0:
        return (f"{noisy.label} varies at least five times as much from seed to seed (", shown, " points) as the "
                "other. With so few seeds such intervals are known to be somewhat too narrow.")
    return ()


def _mcnemar_of_pair(pair: Pair, a: Group, b: Group) -> Sentence:
    """Return McNemar's test of a pair with one run each: it describes these two trained models alone."""
    if max(pair.difference.seeds) > 1:
        return ()
    right_A_N, right_B_N = a.correct_RN[0], b.correct_RN[0]
    p = mcnemar(int((right_A_N & ~right_B_N).sum()), int((right_B_N & ~right_A_N).sum()))
    number = Number(f"{pair.key}.mcnemar", p, "p", pair.runs, right_A_N.size, "exact McNemar test, two-sided")
    sign = "p " if number.text.startswith("<") else "p = "
    names = " and ".join(plain(group.runs[0].name) or group.ids[0] for group in (a, b))
    return (f"For these two trained models alone ({names}), {sign}", number, " by McNemar's exact test.")


def _mcnemar_of_runs(groups: Sequence[Group], one: str, two: str) -> Sentence:
    """Return McNemar's test of two named runs: it describes these trained models, not how they were trained."""
    found: dict[str, tuple[Group, int]] = {
        name: (group, place) for group in groups for place, run in enumerate(group.runs) for name in run.ids}
    for name in (one, two):
        if name not in found:
            raise unknown("run", name, [run.run_id for group in groups for run in group.runs],
                          "These are the confirm runs of this report.")
    (a, r), (b, s) = found[one], found[two]
    if a.runs[r] is b.runs[s]:
        raise UsageError(f"--mcnemar must name two different runs, but got {one} twice: name another confirm run")
    if a.fingerprint != b.fingerprint or not np.array_equal(a.example_N, b.example_N):
        raise UsageError(f"--mcnemar must name two runs scored on the same test reviews, but {one} and {two} were "
                         "scored on different ones: name runs of studies on the same data")
    right_A_N, right_B_N = a.correct_RN[r], b.correct_RN[s]
    only = int((right_A_N & ~right_B_N).sum()), int((right_B_N & ~right_A_N).sum())
    runs, size = (a.runs[r].run_id, b.runs[s].run_id), right_A_N.size
    alone = [Number(f"mcnemar.only-{side}", count, "count", runs, size, "reviews only this run classifies correctly")
             for side, count in zip(("first", "second"), only, strict=True)]
    p = Number("mcnemar.p", mcnemar(*only), "p", runs, size, "exact McNemar test, two-sided")
    names = [f"{group.label}, {plain(group.runs[place].name) or name} ({plain(name)})"
             for (group, place), name in zip(((a, r), (b, s)), runs, strict=True)]
    return (
        "McNemar’s exact test of two trained models on the same test reviews. Reviews classified correctly only by "
        f"{names[0]}: ", alone[0], f"; only by {names[1]}: ", alone[1],
        "; p ", "" if p.text.startswith("<") else "= ", p,
        ". This describes these two trained models, not the procedures that trained them: other seeds may give another "
        "result. It is not part of the verdicts.",
    )


def _summary(
    rows: Sequence[Row], comparisons: Sequence[Comparison], fresh: int | None
) -> tuple[Sentence, ...]:
    """Return the first sentences of the summary: the accuracies, then the verdicts, where there are few."""
    if len(comparisons) > FEW:
        count = Number("summary.pairs", len(comparisons), "count")
        tally = Counter(comparison.finding for comparison in comparisons)
        parts: list[Sentence] = [
            (f"{finding}, ", Number(f"summary.{slug(finding)}", times, "count"))
            for finding, times in tally.most_common()
        ]
        return ((count, " pairs of models are compared below: ", *joined(parts, "; "), "."),)
    parts = []
    for row in rows[:FEW]:
        low, high = row.accuracy.ends
        interval: Sentence = (low, " to ", high, "; ") if row.accuracy.low is not None else ()
        unit = " seed)" if row.seeds.value == 1 else " seeds)"
        parts.append((f"{row.label} ", row.accuracy, f"{NBSP}% (", *interval, row.seeds, unit))
    shown = "Test accuracy" if all(row.accuracy.low is None for row in rows) else f"Test accuracy, 95{NBSP}% intervals"
    accuracies: Sentence = (f"{shown} and seeds in brackets: ", *joined(parts, ", "), ".")
    few: tuple[Sentence, ...] = ()
    if fresh is not None:
        few = (("Where there are too few seeds for a verdict, train each model again on ",
                Number("summary.fresh", fresh, "count"),
                " fresh seeds. Do not count the old runs with them."),)
    carried = evidence_level(rows) if len(rows) <= FEW else ()
    return (accuracies, *([carried] if carried else []), *(comparison.sentence for comparison in comparisons), *few)


def _methods(
    groups: Sequence[Group], pairs: Sequence[tuple[Pair, Group, Group]], margin: Margin
) -> tuple[Sentence, ...]:
    """Return how the numbers were computed, and what they do not cover."""
    sure = any(EvidenceLevel.of(len(group.runs)).has_interval for group in groups)
    said: list[Sentence] = [
        *([(
            "Intervals of accuracy have 95 % confidence. They cover fresh seeds and fresh reviews like the test "
            "reviews together: their variance is that over examples plus the part of the variance over seeds that is "
            "not noise of the test set, with Satterthwaite's degrees of freedom. Where few reviews are misclassified, "
            "or classified differently by two models, they lean on Wilson's interval, which has a width even where "
            "there are none.",
        )] if sure else []),
        ("Accuracies of single seeds differ by the luck of the seed and by noise, because each is measured on the same "
         "limited test set. The seed deviation is the part that this noise does not explain. The lowest and the "
         "highest seed are shown beside it.",),
        ("F1 is computed for the positive class"
         + ("; its interval is a two-level bootstrap over seeds and examples, which is conservative. Its draws come "
            "from a fixed seed." if sure else "."),),
        ("Losses, times and speeds are means over the confirm runs. Times cover training alone, on the machine "
         "that ran it. Compare times of models only together with their backends.",),
        *_looks(groups),
        ("The intervals do not cover another training set or the luck of tuning. Test reviews are treated as "
         "independent: where several are about one product or by one author, intervals are too narrow.",),
    ]
    if any(group.summary.trials if group.summary else group.parent.params.get("trials", "0") != "0"
           for group in groups):
        said.append(("Search trials used training and validation reviews only, and no seed of a confirm run.",))
    if pairs:
        family = pairs[0][0].family
        holm_words: Sentence = ()
        if family > 1:
            level = Number("methods.level", ALPHA, "p", method="chance of a false finding among all pairs, at most")
            holm_words = (" Holm's procedure over all ", Number("methods.family", family, "count"),
                          " pairs decides at the level ", level, "; intervals are shown unadjusted.")
        said.append(("Verdicts use a margin of ", margin.number, *margin.said, *holm_words))
    models = {group.model: group for group in groups}
    if "scratch" in models and "torch" in models:
        reset = models["scratch"].runs[0].params.get("model.reset", "after")
        said.append(
            ("The scratch GRU applies the reset gate before the hidden product, so it does not compute the same "
             "function as the torch GRU.",) if reset == "before" else
            ("The scratch GRU and the torch GRU compute the same function, apart from the ReLU before the linear "
             "layer where one has it. Otherwise they differ in the draw of their initial weights and in speed.",)
        )
    return tuple(said)


def _looks(groups: Sequence[Group]) -> list[Sentence]:
    """Return how many studies were scored on the same test reviews, as far as this report shows."""
    said: list[Sentence] = []
    for place, members in enumerate(families(groups), start=1):
        studies = list(dict.fromkeys(group.parent.run_id for group in members))
        if len(studies) > 1:
            names = ", ".join(dict.fromkeys(group.study for group in members))
            count = Number(f"methods.looks-{place}", len(studies), "count", tuple(studies), members[0].example_N.size,
                           "studies whose confirm runs were scored on the same test reviews")
            said.append(("The confirm runs of ", count, f" studies ({names}) were scored on the same test reviews. If "
                         "a study was planned after a look at another’s result, these reviews influenced it, and its "
                         "intervals do not show that.",))
    return said or [("As far as this report shows, only the confirm runs of one study were scored on the test "
                     "reviews.",)]


def _address(uri: str) -> str:
    """Return a tracking URI without passwords and, where possible, without paths of this machine."""
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


