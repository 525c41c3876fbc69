"""The ablations section: the effect of single choices of the protocol, such as pooling or learning rate.

Shapes: `R` runs (seeds) of a model, `N` examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import Scalar, flat
from gru_bench.errors import RunError
from gru_bench.report.document.blocks import Block, Bullets, Column, Paragraph, Table
from gru_bench.report.document.numbers import Numbers, plain
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Aside, Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns, group_of, model_name
from gru_bench.report.evidence.pairs import Pair, tested
from gru_bench.report.evidence.settings import as_number, setting_name
from gru_bench.report.evidence.store import Store
from gru_bench.report.homework.reproduction import NAMES, Reproduction, in_words, reproductions
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


def ablations(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the homework's protocol, or there is nothing to say."""
    studies = reproductions(evidence)
    if not studies:
        return None
    blocks: list[Block] = []
    for one in studies:
        pairs, gaps = _compared(one, evidence)
        if pairs:
            blocks.append(_ablation_table(one, pairs))
        judges = {pair.numbers.key: pair.b for pair in pairs}
        points = [
            (f"How the {' and the '.join(map(setting_name, ablation.other))} was tuned.",
             _tuning(one, evidence, key, ablation, judges.get(key)))
            for key, ablation in one.ablations.items() if ablation.tuned
        ]
        if points:
            blocks.append(Bullets(tuple(points)))
        if not one.ablations:
            blocks.append(Paragraph((f"{one.titled('There are no ablations')}.",)))
        blocks += map(Paragraph, gaps)
    return Section("ablations", "Ablations", tuple(blocks)) if blocks else None


def _compared(one: Reproduction, evidence: Evidence) -> tuple[list[Pair], list[Sentence]]:
    """Return the other side against the usual one of each ablation that can be compared, and sentences on the rest."""
    couples: list[tuple[Numbers, ModelRuns, ModelRuns]] = []
    gaps: list[Sentence] = []
    for key, ablation in one.ablations.items():
        if ablation.other == ablation.usual:
            continue  # tuning found nothing better: there is only one side
        question = plain(ablation.question)
        sides: list[ModelRuns] = []
        for side, settings in (("usual", ablation.usual), ("other", ablation.other)):
            runs = one.study.side(ablation.name, side)
            whole = [run for run in runs if run.complete]
            numbers = evidence.numbers.of(f"{key}.{side}")
            group, said = group_of(evidence.store, whole, numbers, _phrase(settings), ablation.model, one.study,
                                   split="validation")
            gaps += said
            sides += [group] if group else []
            ended = {run.seed for run in whole}
            if gone := [run for run in runs if run.seed not in ended]:  # not those that were begun again
                lost = numbers.on([run.run_id for run in gone]).add("lost", len(gone))
                gaps.append(say("{question} Incomplete runs that are left out: {lost}.", question=question,
                                lost=lost))
        match sides:
            case [usual, other] if np.array_equal(usual.example_N, other.example_N):
                couples.append((evidence.numbers.of(key), other, usual))
            case [_, _]:
                gaps.append((f"{question} The two sides were scored on different reviews and are not compared.",))
            case _:
                gaps.append((f"{question} It cannot be answered, because not every side has a complete run.",))
    return tested(couples, evidence.margin.value, family=0), gaps


def _phrase(settings: Mapping[str, Scalar]) -> str:
    """Return settings as words for a sentence."""
    return " with ".join(
        PHRASES.get(name, f"the {NAMES.get(name, setting_name(name))} {{}}").format(in_words(name, value))
        for name, value in settings.items()
    )


def _ablation_table(one: Reproduction, pairs: Sequence[Pair]) -> Table:
    seeds = sorted({seeds for pair in pairs for seeds in pair.difference.seeds})
    numbers = one.numbers.on([run_id for pair in pairs for run_id in pair.ids])
    least = numbers.add("ablation.seeds-least", seeds[0], "count", "seeds of a side")
    most = numbers.add("ablation.seeds-most", seeds[-1], "count", "seeds of a side")
    each: Sentence = (least,) if least.value == most.value else (least, " to ", most)
    count = numbers.add("ablation.examples", pairs[0].difference.examples, "count", "validation reviews")
    title = one.titled("Ablations of the protocol")
    return Table(
        f"{one.numbers.key}-ablations", title,
        (f"{title}: accuracy in % on ", count, " validation reviews, with ", *each, " seeds for each side, trained on "
         f"the {plain(one.ablations[pairs[0].numbers.key].backend)} backend, and the difference in points. p is "
         "adjusted (Holm), intervals are not. Validation accuracy favors checkpoints that were chosen by it."),
        (Column("Choice", align="left", width=4.4), Column("Protocol"), Column("Instead"), Column("Difference"),
         Column("Verdict", align="left", width=2.6), Column("p"), Column("MDD")),
        tuple(((plain(one.ablations[pair.numbers.key].question), Aside(
            (f"{model_name(pair.a.model)}: {pair.a.label} instead of {pair.b.label}",), below=True)), pair.b.accuracy,
               pair.a.accuracy, pair.number("difference"), pair.verdict_cell, pair.p, pair.number("detectable"))
              for pair in pairs))


def _tuning(one: Reproduction, evidence: Evidence, key: str, ablation: Ablation, judges: ModelRuns | None) -> Sentence:
    """Return the score of each candidate, the choice, and the overlap of its texts with those that judge it."""
    numbers = evidence.numbers.of(key)
    tried: dict[tuple[Scalar, ...], LoggedRun] = {}
    lost: list[str] = []
    for run in one.study.side(ablation.name, "tuning"):
        try:
            settings = flat(run.config())
        except RunError:
            lost.append(f"the run {run.run_id}, whose settings cannot be read")
            continue
        values = tuple(settings[name] for name in ablation.other)
        if run.complete or values not in tried:
            tried[values] = run
    candidates = [(" with ".join(map(in_words, ablation.other, values)), tried[values])
                  for values in sorted(tried, key=lambda values: [as_number(value) or 0.0 for value in values])]
    lost += [words for words, run in candidates if not run.complete]
    whole = [(words, run) for words, run in candidates if run.complete]
    chosen_N = _reviews(evidence.store, [run.run_id for _, run in whole])
    size = None if chosen_N is None else chosen_N.size
    reached = [
        say("{value}: {accuracy} %", value=words, accuracy=numbers.on([run.run_id], size, "validation").add(
            f"tuning.{place}", run.metrics.get(score("accuracy", "val").key), "percent", "one seed"))
        for place, (words, run) in enumerate(whole, start=1)]
    gone = f" No result from {', '.join(lost)}." if lost else ""
    end: Sentence = (" No value was better than the protocol’s own, so there is nothing to compare.",)
    if ablation.other != ablation.usual:
        end = (f" The best, {_phrase(ablation.other)}, is compared with the protocol above.",
               *_judged_by_its_own(numbers.of("tuning.shared"), [run.run_id for _, run in whole], chosen_N, judges))
    return say("Validation accuracy of each value, with one run and one seed: {reached}.{gone}{end}",
               reached=joined(reached, "; "), gone=gone, end=end)


def _reviews(store: Store, choosing: Sequence[str]) -> NDArray[np.str_] | None:
    """Return the validation texts that the runs that chose share; None where their predictions cannot be read."""
    try:
        return store.predictions(choosing[0], "validation").example_id_N if choosing else None
    except RunError:
        return None


def _judged_by_its_own(
    numbers: Numbers, choosing: Sequence[str], chosen_N: NDArray[np.str_] | None, judges: ModelRuns | None
) -> Sentence:
    """Return the fraction of the judging texts by which the choice had been made.

    The judges are the usual side of the ablation; None if its sides cannot be compared.
    """
    if judges is None or not choosing:
        return ()
    if chosen_N is None:
        return (" The reviews it was chosen on are not known: their predictions cannot be read.",)
    share = float(np.isin(judges.example_N, chosen_N).mean())
    return say(
        " Of the reviews that judge it here, {share} % were also used to choose it{favors}.",
        share=numbers.on((*choosing, *judges.ids), judges.example_N.size, judges.split).add(
            "", share, "percent", "fraction of the judging reviews"),
        favors=", which favors it" if share else "")
