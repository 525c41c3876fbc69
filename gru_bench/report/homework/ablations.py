"""The ablations section: the effect of single choices of the protocol, such as pooling or learning rate.

Shapes: `R` runs (seeds) of a model, `N` examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import Scalar, flat
from gru_bench.errors import RunError
from gru_bench.evaluation.statistics import Design, accuracy_difference, holm, verdict
from gru_bench.report.document.blocks import Block, Bullets, Column, Paragraph, Table
from gru_bench.report.document.numbers import NBSP, Number, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Sentence, joined, prose
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, free_name, model_name, scored
from gru_bench.report.evidence.pairs import Pair
from gru_bench.report.evidence.settings import as_number, setting_name
from gru_bench.report.evidence.store import Store
from gru_bench.report.homework.reproduction import NAMES, Reproduction, in_words, reproductions
from gru_bench.report.sections.verdicts import verdict_sentence
from gru_bench.results.logged_metrics import score
from gru_bench.results.runs import Ablation
from gru_bench.tracking import LoggedRun

PHRASES: Mapping[str, str] = {
    "model.pooling": "the pooling “{}”",
    "training.selection": "the checkpoint with {}",
    "training.lr": "the learning rate {}",
    "embedding.name": "training on {}",
}
"""Setting -> how a sentence names its value."""
MOST_DRAWS = 1_000_000
"""Most ways to take one seed of each model that are enumerated."""


@dataclass(frozen=True)
class Sides:
    """An ablation with the results of its two sides on the same validation reviews."""

    ablation: Ablation
    usual: Group
    other: Group
    pair: Pair
    """The other side minus the usual side."""


def ablations(evidence: Evidence) -> Section | None:
    """Return the ablations, the effect of taking one seed only, and the accuracy on reviews without a known word.

    None where no study follows the homework's protocol.
    """
    studies = reproductions(evidence)
    if not studies:
        return None
    blocks: list[Block] = [Paragraph(prose("""
        Some choices of the protocol may be questioned. Each was compared with another choice on validation reviews
        taken from the training file, with seeds of their own. The test reviews are used for comparing models only.
    """))]
    for one in studies:
        sides, gaps = _compared(one, evidence.store, evidence.margin.value)
        if sides:
            blocks.append(_ablation_table(one, sides))
        answers = tuple((plain(side.ablation.question), _begun(verdict_sentence(side.pair))) for side in sides)
        if points := (*answers, *_tuning_points(one, evidence.store, sides)):
            blocks.append(Bullets(points))
        if not one.ablations:
            blocks.append(Paragraph((f"{one.titled('There are no ablations')}.",)))
        blocks += [Paragraph(gap) for gap in gaps]
        blocks += _one_seed_blocks(one)
        blocks += _wordless_blocks(one)
    return Section("ablations", "Ablations", tuple(blocks))


def _compared(one: Reproduction, store: Store, margin: float) -> tuple[list[Sides], list[Sentence]]:
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
            gaps.append((f"{question} It cannot be answered: not every side has a complete run.",))
        elif not np.array_equal(usual.example_N, other.example_N):
            gaps.append((f"{question} The two sides were scored on different reviews and are not compared.",))
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
    """Return the group of one side's runs; sentences about what is missing are added to `gaps`."""
    label = model_name(ablation.model)
    runs = one.study.side(ablation.name, side)
    whole = [run for run in runs if run.complete]
    group, said = scored(store, whole, key, label, one.study.run.study, ablation.model, one.study, "validation")
    gaps += said
    ended = {run.seed for run in whole}
    if gone := [run for run in runs if run.seed not in ended]:  # not those that were begun again
        lost = Number(f"{key}.lost", len(gone), "count", tuple(run.run_id for run in gone))
        gaps.append((f"{plain(ablation.question)} Runs that did not complete and are left out: ", lost, "."))
    return group


def _phrase(settings: Mapping[str, Scalar]) -> str:
    """Return settings as words for a sentence."""
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
    title = one.titled("Ablations of the protocol")
    ran = f", trained on the {plain(sides[0].ablation.backend)} backend" if sides[0].ablation.backend else ""
    selects = any(side.ablation.other.get("training.selection") == "best_validation" for side in sides)
    favored = (" Where the checkpoint is chosen on validation, the same reviews choose and judge, which favors that "
               "side.") if selects else ""
    return Table(
        f"{one.key}-ablations", title,
        (f"{title}: accuracy in % on ", count, " validation reviews, with ", *each, f" seeds for each side{ran}, and "
         f"the difference in points. Intervals are unadjusted and shown where there are enough seeds.{favored}"),
        (Column("Choice", align="left", width=4.4), Column("Protocol"), Column("Instead"), Column("Difference"),
         Column("p", note="{} is adjusted by Holm’s procedure."), Column("Finding", align="left", width=2.6)),
        tuple((f"{side.usual.label}: {side.pair.a} instead of {side.pair.b}", side.usual.accuracy, side.other.accuracy,
               side.pair.theta, side.pair.p, _finding(side.pair)) for side in sides),
    )


def _finding(pair: Pair) -> str:
    """Return the finding on the other side of an ablation."""
    found = pair.verdict.finding.value
    return found if pair.verdict.favours >= 0 else found.replace("better", "worse", 1)


def _tuning_points(one: Reproduction, store: Store, sides: Sequence[Sides]) -> tuple[tuple[str, Sentence], ...]:
    """Return the results of the tuning runs of each tuned ablation."""
    judges = {side.ablation.name: side.usual for side in sides}
    return tuple(
        (f"How the {' and the '.join(map(setting_name, ablation.other))} was tuned.",
         _tuning(one, store, ablation, judges.get(ablation.name)))
        for ablation in one.ablations if ablation.tuned)


def _tuning(one: Reproduction, store: Store, ablation: Ablation, judges: Group | None) -> Sentence:
    """Return the score of each candidate, the choice, and the overlap of its reviews with those that judge it."""
    key = f"{one.key}.ablation.{slug(ablation.name)}.tuning"
    by_tried: dict[tuple[Scalar, ...], list[LoggedRun]] = {}
    lost: list[str] = []
    for run in one.study.side(ablation.name, "tuning"):
        try:
            settings = flat(run.config())
        except RunError:
            lost.append(f"the run {run.run_id}, whose settings cannot be read")
            continue
        by_tried.setdefault(tuple(settings[name] for name in ablation.other), []).append(run)
    reached: list[Sentence] = []
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
    gone = f" No result from {', '.join(lost)}." if lost else ""
    end: Sentence = (" No value was better than the protocol’s own, so there is nothing to compare.",)
    if ablation.other != ablation.usual:
        end = (f" The best, {_phrase(ablation.other)}, is compared with the protocol above.",
               *_judged_by_its_own(key, store, choosing, judges))
    return ("Validation accuracy of each value, with one run and one seed: ", *joined(reached, "; "), f".{gone}", *end)


def _judged_by_its_own(key: str, store: Store, choosing: Sequence[str], judges: Group | None) -> Sentence:
    """Return the share of the judging reviews by which the choice had been made.

    Args:
        key: Key of the number.
        store: Source of the predictions.
        choosing: Ids of the tuning runs, which share their validation reviews.
        judges: Usual side of the ablation; None if its sides cannot be compared.
    """
    if judges is None or not choosing:
        return ()
    try:
        choosing_N = store.predictions(choosing[0], "validation").example_id_N
    except RunError:
        return (" The reviews it was chosen on are not known: their predictions cannot be read.",)
    share = float(np.isin(judges.example_N, choosing_N).mean())
    if share == 1:
        return (" It was chosen on the same reviews that judge it here, which favors it.",)
    if share == 0:
        return (" It was chosen on other reviews than those that judge it here.",)
    return (" It was chosen on another split of the training file: ",
            Number(f"{key}.shared", share, "percent", (*choosing, *judges.ids), judges.example_N.size,
                   "share of the judging reviews"),
            f"{NBSP}% of the reviews that judge it here were also used to choose it, which favors it.")


def _begun(sentence: Sentence) -> Sentence:
    """Return a sentence with a capital letter at its start."""
    first = sentence[0]
    return (first[:1].upper() + first[1:], *sentence[1:]) if isinstance(first, str) else sentence


# ---------------------------------------------------------------- one seed, or several


def _one_seed_blocks(one: Reproduction) -> list[Block]:
    """Return how often one run of each model would have given another winner."""
    groups = list(one.groups.values())
    right = [group.correct_RN.sum(axis=1) for group in groups]
    draws = int(np.prod([scores.size for scores in right]))
    if len(groups) < 2 or min(scores.size for scores in right) < 2 or draws > MOST_DRAWS:
        return []
    first = chance_first(right)
    winner = int(np.argmax([group.correct_RN.mean() for group in groups]))
    ids = tuple(run for group in groups for run in group.ids)
    means = "share of all ways to take one seed of each model, ties shared"
    other = Number(f"{one.key}.one-seed.other", 1 - first[winner], "percent", ids, groups[0].example_N.size, means,
                   decimals=0)
    title = one.titled("One seed of each model")
    return [
        Table(
            f"{one.key}-one-seed", title,
            (f"{title}, on the test reviews.",),
            (Column("Model", align="left", width=4.0), Column("Seeds"),
             Column("Accuracy", "%", note="{} is the mean over seeds, with the lowest and the highest in brackets."),
             Column("First", "%", note="{} is how often the model is first if one seed of each is taken.")),
            tuple((group.label, group.number("one-seed.seeds", len(group.runs), "count"),
                   group.over_runs("one-seed.accuracy", group.correct_RN.mean(axis=1).tolist(), "percent"),
                   group.number("one-seed.first", share, "percent", means, decimals=0))
                  for group, share in zip(groups, first, strict=True)),
        ),
        Bullets((("One seed, or several?", (
            "There are ", one.number("one-seed.draws", draws, "count", "ways to take one seed of each model"),
            " ways to take one run of each model, as the homework’s report did. In ", other, f"{NBSP}% of them a model "
            f"other than {groups[winner].label}, which has the highest mean, is first on these test reviews.",
        )),)),
    ]


def chance_first(right: Sequence[NDArray[np.int64]]) -> list[float]:
    """Return for each model how often it is first over all ways to take one seed of each; ties are shared.

    Args:
        right: For each model, the number of correct answers of each of its seeds.
    """
    share = np.zeros(len(right))
    for draw in product(*right):
        best = np.array(draw) == max(draw)
        share += best / best.sum()
    return [float(part) for part in share / share.sum()]


# ---------------------------------------------------------------- reviews without a known word


def _wordless_blocks(one: Reproduction) -> list[Block]:
    """Return the accuracy on test reviews without a known word."""
    empty_N = next(iter(one.groups.values())).tokens_N == 0
    if not empty_N.any():
        if not one.data.wordless:
            return []
        said: Sentence = ("Every test review has a known word, so how a review without one is read affects no score.",)
    else:
        count = one.number("wordless.tested", int(empty_N.sum()), "count", "test reviews without a known word")
        parts: list[Sentence] = [
            (f"{group.label} ", group.accuracy_on("wordless", group.tokens_N == 0), f"{NBSP}%")
            for group in one.groups.values()
        ]
        said = ("Test reviews without a known word: ", count, ". Each is read as one step of zeros. Mean accuracy on "
                "them: ", *joined(parts, ", "), ". If they were left out, they would be missing from every count.")
    return [Bullets((("Reviews with no known word.", said),))]
