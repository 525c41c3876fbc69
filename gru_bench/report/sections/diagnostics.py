"""The diagnostics section: gradients, gates and words, from what the first confirmation runs logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gru_bench.document.blocks import Block, Cell, Column, Heading, Table, sentences
from gru_bench.document.numbers import MISSING, Kind, Number, Numbers, plain
from gru_bench.document.report import Section
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import model_name
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.store import Store
from gru_bench.report.figures.diagnostics import gate_figure, gradient_figure, with_direction, word_figure
from gru_bench.results.diagnostics import DIAGNOSTICS, Attribution, Diagnostics, GateMap, GradientFlow
from gru_bench.tracking import LoggedStudy

GRADIENTS = (
    "Factor: the ratio by which the gradient norm changes with each step back, fitted without the steps nearest to the "
    "end. Left: the norm at the far end relative to that at the end. Poolings that use every state have no factor. "
    "With the pooling “last”, the backward half of a model has read only one word, and no gradient reaches its other "
    "states.")
GATES = ("Mean gates over the words of a {} text, and the word with the lowest update gate, at which most of the state "
         "is replaced. Words without a vector are left out.")
WORDS = "The class that each model predicts, and the words with the most evidence for and against it (occlusion)."


@dataclass(frozen=True)
class _Names:
    """The names of the parts of one study's diagnostics."""

    numbers: Numbers
    study: str
    """Its name where several studies have diagnostics; else empty."""
    runs: Mapping[str, str]
    """Model -> id of the run that holds its diagnostics."""

    def of(self, kind: str) -> str:
        """Return the name of a figure."""
        return f"{kind}-{self.numbers.key}" if self.study else kind

    def on(self, model: str, examples: int | None = None) -> Numbers:
        """Return what makes the numbers of a model, which its run holds."""
        return self.numbers.on([self.runs[model]], examples, split="")

    def of_flow(self, flow: GradientFlow, name: str, value: float | None, kind: Kind, method: str = "") -> Number:
        """Return a number of a gradient."""
        part = self.on(flow.model, flow.reviews).named("flow", flow.model, flow.direction, flow.state)
        return part.add(name, value, kind, method)


def diagnostics(evidence: Evidence) -> Section | None:
    """Return the diagnostics section; None where no run holds diagnostics."""
    logged = [(study, texts) for study in evidence.studies if (texts := _texts(study, evidence.store))]
    blocks: list[Block] = []
    for study, texts in logged:
        name = study_name(study)
        names = _Names(evidence.numbers.named("diagnostics", name, same=study.run.run_id),
                       name if len(logged) > 1 else "", {model: run_id for model, (run_id, _) in texts.items()})
        if names.study:
            blocks.append(Heading(name, names.numbers.key))
        found = Diagnostics((), (), ())
        for model, (_, text) in texts.items():
            try:
                found += Diagnostics.from_json(text)
            except ValueError:
                blocks += sentences([(f"The diagnostics of {model_name(model)} in the study {name} cannot be read and "
                                      "are left out.",)])
        blocks += [*_gradients(names, found.flows), *_gates(names, found), *_words(names, found.attributions)]
    return Section("diagnostics", "Inside the models", tuple(blocks)) if blocks else None


def _texts(study: LoggedStudy, store: Store) -> dict[str, tuple[str, str]]:
    """Return model -> id of its first confirmation run and the diagnostics that this run holds, if it holds any."""
    confirmed = sorted((run for run in study.confirms if run.complete), key=lambda run: run.seed or 0)
    found = {}
    for model in (study.summary or study.plan()).models:
        first = next((run for run in confirmed if run.model == model), None)
        if first is not None and (text := store.text(first.run_id, DIAGNOSTICS)):
            found[model] = first.run_id, text
    return found


# ---------------------------------------------------------------- gradients


def _gradients(names: _Names, flows: Sequence[GradientFlow]) -> list[Block]:
    """Return how much of the gradient reaches earlier states, before training and after."""
    if not flows:
        return []
    name = names.of("gradients")
    by_model: dict[str, dict[str, GradientFlow]] = {}
    for flow in flows:
        by_model.setdefault(with_direction(flow, flows), {})[flow.state] = flow

    def row(states: Mapping[str, GradientFlow]) -> tuple[Cell, ...]:
        shown = [states.get(state) for state in ("initial", "trained")]
        (some, *_) = filter(None, shown[::-1])
        return (names.of_flow(some, "steps", some.steps_back[-1], "count"), *(_decay(names, flow) for flow in shown),
                *(_left(names, flow) for flow in shown))

    return [
        Heading("Gradients through time", f"{name}-heading"),
        gradient_figure(flows, name),
        Table(f"{name}-left", f"Gradients: {name}", (GRADIENTS,), (
            Column("Model", align="left", width=4.6), Column("Steps back"), Column("Factor before"),
            Column("Factor trained"), Column("Left before", "%"), Column("Left trained", "%")),
            tuple((label, *row(states)) for label, states in by_model.items())),
    ]


def _decay(names: _Names, flow: GradientFlow | None) -> Cell:
    """Return the factor by which each step back multiplies the norm of a gradient."""
    if flow is None or flow.decay is None:
        return MISSING
    first, last = flow.fitted
    method = f"least squares on the logarithm of the norms {first} to {last} steps back"
    return names.of_flow(flow, "decay", flow.decay, "score", method)


def _left(names: _Names, flow: GradientFlow | None) -> Cell:
    """Return how much of a gradient is left at the far end."""
    if flow is None or len(flow.norm) < 2 or not flow.norm[0]:
        return MISSING
    value = flow.norm[-1] / flow.norm[0]
    return "< 0.1" if value < 0.001 else names.of_flow(flow, "left", value, "percent", "of the norm at the end")


# ---------------------------------------------------------------- gates and words


def _gates(names: _Names, found: Diagnostics) -> list[Block]:
    if not found.gates:
        return []
    by_model: dict[str, list[GateMap]] = {}
    for one in found.gates:
        by_model.setdefault(one.model, []).append(one)
    key = f"{names.numbers.key}-gates"
    return [
        Heading("Gates over a sentence", key),
        *(gate_figure(maps, names.of(names.numbers.named("gates", model).key.rpartition(".")[2]))
          for model, maps in by_model.items()),
        Table(key, f"Gates: {key}", (GATES.format(plain(found.review) or "made-up"),), (
            Column("Model", align="left", width=4.6), Column("Update gate"), Column("Reset gate"),
            Column("Lowest update"), Column("at", align="left", width=3.2), Column("Word")),
            tuple((with_direction(one, found.gates), *_gate_row(names, one)) for one in found.gates)),
    ]


def _gate_row(names: _Names, found: GateMap) -> tuple[Cell, ...]:
    """Return the means of the gates, and the word at which most of the state is replaced."""
    update_T, reset_T = ([sum(units) / len(units) for units in gate] for gate in (found.update, found.reset))
    least = min(range(len(update_T)), key=update_T.__getitem__)
    of_map = names.on(found.model).named("gates", found.model, found.direction)
    mean = "mean over units and words of the sentence"
    return (of_map.add("update", sum(update_T) / len(update_T), "score", mean),
            of_map.add("reset", sum(reset_T) / len(reset_T), "score", mean),
            of_map.add("lowest", update_T[least], "score", "mean over units at this word"),
            plain(found.tokens[least]),
            (of_map.add("place", least + 1), " of ", of_map.add("words", len(found.tokens))))


def _words(names: _Names, attributions: Sequence[Attribution]) -> list[Block]:
    if not attributions:
        return []
    words = attributions[0].tokens
    alike = [found for found in attributions if found.tokens == words]
    name = names.of("words")
    figure = word_figure(alike, names.numbers, names.runs, name)
    weights = {drawn: found.column("weight") for drawn, found in figure.values.groups("model").items()}
    return [
        Heading("Influential words", f"{name}-heading"),
        figure,
        Table(f"{name}-extreme", f"Words: {name}", (WORDS,), (
            Column("Model", align="left", width=4.6), Column("Class", align="left", width=2.4),
            Column("Probability", "%"), Column("For it", align="left", width=3.2),
            Column("Against it", align="left", width=3.2)),
            tuple((model_name(found.model), *_word_row(names, found, weights[model_name(found.model)]))
                  for found in alike)),
    ]


def _word_row(names: _Names, found: Attribution, weights: Sequence[Number]) -> tuple[Cell, ...]:
    """Return the prediction of a model, and the words that speak most for and against it."""
    places = range(len(found.tokens))
    most, least = max(places, key=found.weight.__getitem__), min(places, key=found.weight.__getitem__)
    return (plain(found.label), names.on(found.model).named("words", found.model).add(
        "probability", found.probability, "percent"), *(
            (f"{plain(found.tokens[place])} (", weights[place], ")") if sign * found.weight[place] > 0 else MISSING
            for place, sign in ((most, 1), (least, -1))))
