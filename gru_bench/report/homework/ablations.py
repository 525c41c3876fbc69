"""What single choices of the homework's protocol cost or gain: pooling, selection, learning rate, vectors, seeds.

Shapes: `R` runs (seeds) of a model, `N` examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gru_bench.errors import RunError
from gru_bench.evaluation.statistics import Design, accuracy_difference, accuracy_interval, holm, verdict
from gru_bench.report.document.blocks import Block, Bullets, Column, Paragraph, Table, prose
from gru_bench.report.document.numbers import NBSP, Number, Sentence, plain, slug
from gru_bench.report.evidence.groups import Group, free_name, scored
from gru_bench.report.evidence.store import Store
from gru_bench.report.homework.protocol import NAMES, Reproduction, in_words, model_name
from gru_bench.report.sections.search import as_number, setting_name
from gru_bench.report.sections.verdicts import Pair, joined, verdict_sentence
from gru_bench.results.logged_metrics import score
from gru_bench.results.runs import Ablation
from gru_bench.tracking import LoggedRun

PHRASES: Mapping[str, str] = {
    "model.pooling": "the pooling “{}”",
    "training.selection": "keeping {}",
    "training.lr": "the learning rate {}",
    "embedding.name": "training on {}",
}
"""Settings of an ablation as what a sentence can speak of."""
MOST_DRAWS = 1_000_000
"""Ways to take one seed a model that are gone through at most."""


@dataclass(frozen=True)
class Sides:
    """An ablation with what its two sides reach on the same validation reviews."""

    ablation: Ablation
    usual: Group
    other: Group
    pair: Pair
    """Other less usual."""


def ablation_blocks(studies: Sequence[Reproduction], store: Store, margin: float) -> tuple[Block, ...]:
    """Return what the ablations of each study say, and what its seeds and its reviews without a known word say."""
    blocks: list[Block] = [Paragraph(prose("""
        Some choices of the protocol are open to doubt. Each was set against another on reviews cut from the training
        file for validation, with seeds of their own; the test reviews are kept for the comparison of the models.
    """))]
    for one in studies:
        sides, gaps = compared(one, store, margin)
        if sides:
            blocks.append(_ablation_table(one, sides))
        answers = tuple((plain(side.ablation.question), _begun(verdict_sentence(side.pair))) for side in sides)
        if points := (*answers, *_tuning_points(one, store, sides)):
            blocks.append(Bullets(points))
        if not one.ablations:
            blocks.append(Paragraph((f"{one.titled('No choice was set against another')}.",)))
        blocks += [Paragraph(gap) for gap in gaps]
        blocks += _one_seed_blocks(one)
        blocks += _wordless_blocks(one)
    return tuple(blocks)


def compared(one: Reproduction, store: Store, margin: float) -> tuple[list[Sides], list[Sentence]]:
    """Return the ablations whose sides can be compared, and sentences about the others."""
    read: list[tuple[Ablation, str, Group, Group]] = []
    gaps: list[Sentence] = []
    taken: set[str] = set()
    for ablation in one.ablations:
        key = free_name(f"{one.key}.ablation.{slug(ablation.name)}", taken)
        if ablation.other == ablation.usual:
            continue  # tuning found nothing better: there is only one side
        usual, other = (_side(one, store, ablation, side, f"{key}.{side}", gaps) for side in ("usual", "other"))
        question = plain(ablation.question)
        if usual is None or other is None:
            gaps.append((f"{question} Not every side has a complete run to answer it.",))
        elif not np.array_equal(usual.example_N, other.example_N):
            gaps.append((f"{question} Its two sides were scored on different reviews, and are not compared.",))
        else:
            read.append((ablation, key, usual, other))
    differences = [accuracy_difference(other.correct_RN, usual.correct_RN) for _, _, usual, other in read]
    adjusted = holm([found.p if found.evidence_level.has_verdict else None for found in differences])
    family = sum(p is not None for p in adjusted)
    return [
        Sides(ablation, usual, other, Pair(
            key, _phrase(ablation.other), _phrase(ablation.usual), found, p, family, verdict(found, p, margin),
            Design.of(other.correct_RN, usual.correct_RN) if min(found.seeds) > 1 else None, other.ids + usual.ids))
        for (ablation, key, usual, other), found, p in zip(read, differences, adjusted, strict=True)
    ], gaps


def _side(
    one: Reproduction, store: Store, ablation: Ablation, side: str, key: str, gaps: list[Sentence]
) -> Group | None:
    """Return what the runs of one side predict; what is missing goes to `gaps`."""
    label = model_name(ablation.model)
    runs = one.study.side(ablation.name, side)
    whole = [run for run in runs if run.complete]
    group, said = scored(store, whole, key, label, one.study.run.study, ablation.model, one.study, "validation")
    gaps += said
    ended = {run.seed for run in whole}
    if gone := [run for run in runs if run.seed not in ended]:  # not those that were begun again
        lost = Number(f"{key}.lost", len(gone), "count", tuple(run.run_id for run in gone))
        gaps.append((f"{plain(ablation.question)} Runs that did not end well and are left out: ", lost, "."))
    return group


def _phrase(settings: Mapping[str, object]) -> str:
    """Return settings as what a sentence can speak of."""
    return " with ".join(
        PHRASES.get(name, f"the {NAMES.get(name, setting_name(name))} {{}}").format(in_words(name, value))
        for name, value in settings.items()
    )


def _ablation_table(one: Reproduction, sides: Sequence[Sides]) -> Table:
    seeds = sorted({seeds for side in sides for seeds in side.pair.difference.seeds})
    least = one.number("ablation.seeds-least", seeds[0], "count", "seeds of a side")
    most = one.number("ablation.seeds-most", seeds[-1], "count", "seeds of a side")
    count = one.number("ablation.examples", sides[0].usual.example_N.size, "count", "validation reviews")
    each: Sentence = (least,) if seeds[0] == seeds[-1] else (least, " to ", most)
    title = one.titled("Choices of the protocol")
    ran = f", trained on the {plain(sides[0].ablation.backend)} backend" if sides[0].ablation.backend else ""
    selects = any(side.ablation.other.get("training.selection") == "best_validation" for side in sides)
    favoured: Sentence = (" Where the weights are kept by validation, the reviews that judge are those that chose, "
                          "which favours that side.",) if selects else ()
    return Table(
        f"{one.key}-ablations", title,
        (f"{title}: accuracy in % on ", count, " validation reviews, with ", *each, f" seeds a side{ran}, and the "
         "difference in points. Intervals are unadjusted and shown where the seeds carry one; p is adjusted by "
         "Holm’s procedure.", *favoured),
        (Column("Choice", 4.4), Column("Protocol"), Column("Instead"), Column("Difference"), Column("p"),
         Column("Finding", 2.6)),
        tuple((f"{side.usual.label}: {side.pair.a} instead of {side.pair.b}", _accuracy(side.usual),
               _accuracy(side.other), side.pair.theta, side.pair.p, _finding(side.pair))
              for side in sides),
    )


def _finding(pair: Pair) -> str:
    """Return what an ablation shows of its other side."""
    found = pair.verdict.finding.value
    return found if pair.verdict.favours >= 0 else found.replace("better", "worse", 1)


def _tuning_points(one: Reproduction, store: Store, sides: Sequence[Sides]) -> tuple[tuple[str, Sentence], ...]:
    """Return what the tuning runs of each ablation that was tuned have found."""
    judges = {side.ablation.name: side.usual for side in sides}
    return tuple(
        (f"How the {' and the '.join(map(setting_name, ablation.other))} was tuned.",
         _tuning(one, store, ablation, judges.get(ablation.name)))
        for ablation in one.ablations if ablation.tuned)


def _tuning(one: Reproduction, store: Store, ablation: Ablation, judges: Group | None) -> Sentence:
    """Say what each candidate reached, what came of it, and how far the judging reviews are those it was chosen by."""
    key = f"{one.key}.ablation.{slug(ablation.name)}.tuning"
    by_tried: dict[tuple[str, ...], list[LoggedRun]] = {}
    for run in one.study.side(ablation.name, "tuning"):
        by_tried.setdefault(tuple(run.params.get(name, "") for name in ablation.other), []).append(run)
    reached: list[Sentence] = []
    lost: list[str] = []
    choosing: list[str] = []
    for values in sorted(by_tried, key=lambda values: [as_number(value) or 0.0 for value in values]):
        words = " with ".join(map(in_words, ablation.other, values))
        whole = [run for run in by_tried[values] if run.complete]
        if not whole:
            lost.append(words)
            continue
        choosing.append(whole[-1].run_id)
        reached.append((
            f"{words}: ", Number(
                f"{key}.{len(choosing)}", whole[-1].metrics.get(score("accuracy", "val").key), "percent",
                (whole[-1].run_id,), method="one seed"), f"{NBSP}%"))
    gone: Sentence = (f" No result from {', '.join(lost)}.",) if lost else ()
    end: Sentence = (" Nothing did better than the protocol’s own, so there is nothing to compare it with.",)
    if ablation.other != ablation.usual:
        end = (f" The best, {_phrase(ablation.other)}, is what the protocol is compared with above.",
               *_judged_by_its_own(key, store, choosing, judges))
    return ("Tried once each, with one seed, and the validation accuracy they reached: ", *joined(reached, "; "), ".",
            *gone, *end)


def _judged_by_its_own(key: str, store: Store, choosing: Sequence[str], judges: Group | None) -> Sentence:
    """Say how many of the reviews that judge a choice are among those that it was chosen by.

    Args:
        key: under which the number is kept.
        store: where the predictions are.
        choosing: ids of the tuning runs, which share their validation reviews.
        judges: the usual side of the ablation; None where its sides cannot be compared.
    """
    if judges is None or not choosing:
        return ()
    try:
        choosing_N = store.predictions(choosing[0], "validation").example_id_N
    except RunError:
        return (" Which reviews it was chosen by is not known: their predictions cannot be read.",)
    share = float(np.isin(judges.example_N, choosing_N).mean())
    if share == 1:
        return (" It was chosen by the reviews that judge it here, which favours it.",)
    if share == 0:
        return (" None of the reviews that judge it here is among those it was chosen by.",)
    return (" It was chosen on another cut of the training file: ",
            Number(f"{key}.shared", share, "percent", (*choosing, *judges.ids), judges.example_N.size,
                   "share of the judging reviews"),
            f"{NBSP}% of the reviews that judge it here are among those it was chosen by, which favours it.")


def _begun(sentence: Sentence) -> Sentence:
    """Return a sentence with a capital letter at its start."""
    first = sentence[0]
    return (first[:1].upper() + first[1:], *sentence[1:]) if isinstance(first, str) else sentence


def _accuracy(group: Group) -> Number:
    return group.estimate("accuracy", accuracy_interval(group.correct_RN))


# ---------------------------------------------------------------- one seed, or several


def _one_seed_blocks(one: Reproduction) -> list[Block]:
    """Return how often one run of each model would have named another winner."""
    groups = list(one.groups.values())
    right = [group.correct_RN.sum(axis=1) for group in groups]
    draws = int(np.prod([scores.size for scores in right]))
    if len(groups) < 2 or min(scores.size for scores in right) < 2 or draws > MOST_DRAWS:
        return []
    first = chance_first(right)
    winner = int(np.argmax([group.correct_RN.mean() for group in groups]))
    ids = tuple(run for group in groups for run in group.ids)
    means = "share of all ways to take one seed a model, ties shared"
    other = Number(f"{one.key}.one-seed.other", 1 - first[winner], "percent", ids, groups[0].example_N.size, means,
                   decimals=0)
    title = one.titled("One seed of each model")
    return [
        Table(
            f"{one.key}-one-seed", title,
            (f"{title}: test accuracy, mean over seeds with the lowest and the highest seed in brackets, and how often "
             "the model comes out first where one seed of each is taken.",),
            (Column("Model", 4.0), Column("Seeds"), Column("Accuracy, %"), Column("First, %")),
            tuple((group.label, group.number("one-seed.seeds", len(group.runs), "count"),
                   group.over_runs("one-seed.accuracy", group.correct_RN.mean(axis=1).tolist(), "percent"),
                   group.number("one-seed.first", share, "percent", means, decimals=0))
                  for group, share in zip(groups, first, strict=True)),
        ),
        Bullets((("One seed, or several?", (
            "There are ", one.number("one-seed.draws", draws, "count", "ways to take one seed a model"),
            " ways to take one run of each model, as the homework’s report did. In ", other, f"{NBSP}% of them another "
            f"model than {groups[winner].label}, which has the highest mean, comes out first on these test reviews.",
        )),)),
    ]


def chance_first(right: Sequence[NDArray[np.int64]]) -> list[float]:
    """Return for each model the share of all ways to take one seed a model in which it is first; ties are shared.

    Args:
        right: for each model, the right answers of each of its seeds.
    """
    share = np.zeros(len(right))
    for draw in product(*right):
        best = np.array(draw) == max(draw)
        share += best / best.sum()
    return [float(part) for part in share / share.sum()]


# ---------------------------------------------------------------- reviews without a known word


def _wordless_blocks(one: Reproduction) -> list[Block]:
    """Return how test reviews without a known word fare."""
    empty_N = next(iter(one.groups.values())).tokens_N == 0
    if not empty_N.any():
        if not one.data.wordless:
            return []
        said: Sentence = ("No test review is without a known word, so no score hangs on how such a review is read.",)
    else:
        count = one.number("wordless.tested", int(empty_N.sum()), "count", "test reviews without a known word")
        parts: list[Sentence] = [
            (f"{group.label} ", group.accuracy_on("wordless", group.tokens_N == 0), f"{NBSP}%")
            for group in one.groups.values()
        ]
        said = ("Test reviews without a known word: ", count, ". Read as one step of zeros, they are answered rightly "
                "by ", *joined(parts, ", "), " on average over seeds. Left out, they would be missing from every "
                "count.")
    return [Bullets((("Reviews with no known word.", said),))]
