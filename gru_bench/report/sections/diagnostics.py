"""The diagnostics section: gradients, gates, words and recall, from what a study logged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gru_bench.report.document.blocks import Block, Heading, sentences
from gru_bench.report.document.numbers import Kind, Number, Numbers, plain, slug
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends, Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import model_name
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.figures.accuracy import MEAN
from gru_bench.report.figures.diagnostics import (
    gate_figure,
    gradient_figure,
    recall_figure,
    with_direction,
    word_figure,
)
from gru_bench.results.diagnostics import (
    DIAGNOSTICS,
    EVERY_STEP,
    RECALL,
    Attribution,
    Diagnostics,
    GateMap,
    GradientFlow,
    RecallCurve,
)

Found = TypeVar("Found", Diagnostics, RecallCurve)


@dataclass(frozen=True)
class _Names:
    """The names of the parts of one study's diagnostics."""

    numbers: Numbers
    """Makes the numbers that the study's own run holds."""
    study: str
    """Its name where several studies have diagnostics; else empty."""

    def of(self, kind: str) -> str:
        """Return the name of a figure."""
        return f"{kind}-{self.numbers.key}" if self.study else kind

    def of_flow(self, flow: GradientFlow, name: str, value: float | None, kind: Kind, method: str = "") -> Number:
        """Return a number of a gradient."""
        part = f"flow-{slug(flow.model)}-{flow.direction}-{flow.state}.{name}"
        return self.numbers.on(_ids([flow.run_id]), flow.reviews, split="").add(part, value, kind, method)

    def decay(self, flow: GradientFlow) -> Number:
        """Return the factor per step of a gradient."""
        first, last = flow.fitted
        method = f"least squares on the logarithm of the norms {first} to {last} steps back"
        return self.of_flow(flow, "decay", flow.decay, "score", method if flow.decay is not None else "not fitted")


def diagnostics(evidence: Evidence) -> Section | None:
    """Return the diagnostics section; None where no study logged diagnostics."""
    logged = [
        (study, texts) for study in evidence.studies
        if any(texts := [evidence.store.text(study.run.run_id, file) for file in (DIAGNOSTICS, RECALL)])
    ]
    blocks: list[Block] = []
    for study, texts in logged:
        name = study_name(study)
        names = _Names(evidence.numbers.named("diagnostics", name, same=study.run.run_id).on([study.run.run_id]),
                       name if len(logged) > 1 else "")
        found, lost = _read(Diagnostics, texts[0], DIAGNOSTICS, name)
        curve, also_lost = _read(RecallCurve, texts[1], RECALL, name)
        if names.study:
            blocks.append(Heading(name, names.numbers.key))
        blocks += sentences([*lost, *also_lost])
        if found is not None:
            blocks += [*_gradients(names, found.flows), *_gates(names, found), *_words(names, found.attributions)]
        if curve is not None:
            blocks += _recall(names, curve)
    return Section("diagnostics", "Inside the models", tuple(blocks)) if blocks else None


def _ids(run_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of runs of the study, without those of models that no run of it holds."""
    return tuple(filter(None, run_ids))


def _read(kind: type[Found], text: str | None, file: str, study: str) -> tuple[Found | None, list[Sentence]]:
    if text is None:
        return None, []
    try:
        return kind.from_json(text), []
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, [(f"{file} of the study {study} cannot be read and is left out.",)]


# ---------------------------------------------------------------- gradients


def _gradients(names: _Names, flows: Sequence[GradientFlow]) -> list[Block]:
    """Return how much of the gradient reaches earlier states, before training and after."""
    if not flows:
        return []
    name = names.of("gradients")
    return [
        Heading("Gradients through time", f"{name}-heading"),
        gradient_figure(flows, name),
        *sentences(_flow_sentences(names, flows)),
    ]


def _flow_sentences(names: _Names, flows: Sequence[GradientFlow]) -> list[Sentence]:
    said: list[Sentence] = []
    fitted = [flow for flow in flows if flow.decay is not None]
    for state, start in (("initial", "Before training"), ("trained", "In the trained models")):
        rates: list[Sentence] = [(f"{with_direction(flow, flows)} ", names.decay(flow))
                                 for flow in fitted if flow.state == state]
        if rates:
            said.append(say("{start} each step back multiplies the norm of the gradient by: {rates}.", start=start,
                            rates=joined(rates, "; ")))
    said += _lessons(names, fitted)
    ranges = sorted({flow.fitted for flow in fitted})
    for place, (first, last) in enumerate(ranges, start=1):
        numbers = names.numbers.on(_ids(flow.run_id for flow in fitted if flow.fitted == (first, last)))
        said.append(say(
            "{these} factors are fitted to the norms {first} to {last} steps back, without the steps nearer to the "
            "end.", these="Some of these" if len(ranges) > 1 else "These",
            first=numbers.add(f"fitted-{place}.first", first),
            last=numbers.add(f"fitted-{place}.last", last)))
    if any(len(flow.norm) == 1 for flow in flows):
        said.append(("With the pooling “last” the backward half is read after its first step: it has read one word, "
                     "and no gradient reaches its other states.",))
    every = sorted({flow.pooling for flow in flows if flow.pooling in EVERY_STEP})
    if every:
        said.append((f"The pooling {' and '.join(every)} uses every state, so each state gets a gradient directly: "
                     "the curve need not fall, and no factor is fitted.",))
    said += dict.fromkeys(
        (f"{with_direction(flow, flows)} is not a run of the study: it was trained for this comparison alone "
         f"({flow.trained_how}).",)
        for flow in flows if flow.trained_how
    )
    return said


def _lessons(names: _Names, flows: Sequence[GradientFlow]) -> list[Sentence]:
    """Return for each model how much of the gradient is left at the far end, before and after training."""
    said: list[Sentence] = []
    left = {(flow.model, flow.state): flow for flow in flows if flow.direction == "forward" and flow.norm[0] > 0}

    def is_lost(flow: GradientFlow) -> bool:
        return flow.norm[-1] < 0.001 * flow.norm[0]

    def share(flow: GradientFlow) -> Sentence:
        value = flow.norm[-1] / flow.norm[0]
        if is_lost(flow):
            return ("less than a thousandth",)
        return say("{left} %", left=names.of_flow(flow, "left", value, "percent", "of the norm at the end"))

    for (model, state), before in left.items():
        after = left.get((model, "trained"))
        if state == "trained" or after is None:
            continue
        if is_lost(before) and is_lost(after):
            said.append(say(
                "{model}: of the gradient, less than a thousandth is left {steps} steps back, before training and in "
                "the trained model.", model=model_name(model),
                steps=names.of_flow(after, "steps", after.steps_back[-1], "count")))
            continue
        said.append(say(
            "{model}: of the gradient, {before} is left {steps} steps back before training, and {after} in the trained "
            "model.", model=model_name(model), before=share(before), after=share(after),
            steps=names.of_flow(after, "steps", after.steps_back[-1], "count")))
    return said


# ---------------------------------------------------------------- gates and words


def _gates(names: _Names, found: Diagnostics) -> list[Block]:
    if not found.gates:
        return []
    by_model: dict[str, list[GateMap]] = {}
    for one in found.gates:
        by_model.setdefault(one.model, []).append(one)
    said = [_gate_sentence(names, one, with_direction(one, found.gates)) for one in found.gates]
    if found.review:
        said.insert(0, (f"The words are those of a {plain(found.review)} text, in its order; words without a vector "
                        "are left out.",))
    return [
        Heading("Gates over a sentence", f"{names.numbers.key}-gates"),
        *(gate_figure(maps, names.of(f"gates-{slug(model)}")) for model, maps in by_model.items()),
        *sentences(said),
    ]


def _gate_sentence(names: _Names, found: GateMap, model: str) -> Sentence:
    """Return the mean of the gates, and the word at which most of the state is replaced."""
    update_T, reset_T = ([sum(units) / len(units) for units in gate] for gate in (found.update, found.reset))
    least = min(range(len(update_T)), key=update_T.__getitem__)

    def number(name: str, value: float, kind: Kind = "count", method: str = "") -> Number:
        part = f"gates-{slug(found.model)}-{found.direction}.{name}"
        return names.numbers.on(_ids([found.run_id])).add(part, value, kind, method)

    mean = "mean over units and words of the sentence"
    return say(
        "{model}: on average over this sentence the update gate is at {update} and the reset gate at {reset}; the "
        "update gate is lowest, and so replaces most of the state, at “{word}”, word {place} of {words}: {lowest}.",
        model=model, update=number("update", sum(update_T) / len(update_T), "score", mean),
        reset=number("reset", sum(reset_T) / len(reset_T), "score", mean), word=plain(found.tokens[least]),
        place=number("place", least + 1), words=number("words", len(found.tokens)),
        lowest=number("lowest", update_T[least], "score", "mean over units at this word"))


def _words(names: _Names, attributions: Sequence[Attribution]) -> list[Block]:
    if not attributions:
        return []
    words = attributions[0].tokens
    alike = [found for found in attributions if found.tokens == words]
    name = names.of("words")
    figure = word_figure(alike, names.numbers, name)
    weights = {drawn: found.column("weight") for drawn, found in figure.values.groups("model").items()}
    return [
        Heading("Words that move the decision", f"{name}-heading"),
        figure,
        *sentences([_word_sentence(names, found, weights[model_name(found.model)])
                    for found in alike]),
    ]


def _word_sentence(names: _Names, found: Attribution, weights: Sequence[Number]) -> Sentence:
    """Return the prediction of the model, and the word that speaks most for each side."""
    places = range(len(found.tokens))
    most, least = max(places, key=found.weight.__getitem__), min(places, key=found.weight.__getitem__)
    parts: list[Sentence] = [
        (f"“{plain(found.tokens[place])}” speaks most for {plain(label)} (", weights[place], ")")
        for place, label, sign in ((most, found.label, 1), (least, found.other, -1)) if sign * found.weight[place] > 0]
    return say(
        "{model} gives the class {label} a probability of {probability} %; by occlusion {words}.",
        model=model_name(found.model), label=plain(found.label),
        probability=names.numbers.on(_ids([found.run_id])).add(
            f"words-{slug(found.model)}.probability", found.probability, "percent"),
        words=joined(parts, ", ") or "no word moves it")


# ---------------------------------------------------------------- recall task


def _recall(names: _Names, curve: RecallCurve) -> list[Block]:
    """Return the accuracy of the models by the steps over which they must remember a token."""
    if not curve.points:
        return []
    name = names.of("recall")
    figure = recall_figure(curve, names.numbers, name)
    means = {(row["model"], row["steps"]): row["accuracy"] for row in figure.values.records() if row["what"] == MEAN}
    steps = {k: names.numbers.add(f"recall-steps-{k}", k) for k in sorted(figure.values.groups("steps"))}

    def apart(k: int) -> float:
        at_k = [point.mean for point in curve.points if point.k == k]
        return max(at_k) - min(at_k)

    furthest = max(steps, key=apart)
    there = [say("{model} {accuracy} % ({ends})", model=model, accuracy=accuracy, ends=(Ends(accuracy),))
             for (model, k), accuracy in means.items() if k == furthest]
    common = ", ".join(f"{plain(name)} {plain(value)}" for name, value in curve.settings.items())
    return [
        Heading("Recall task", f"{name}-heading"),
        figure,
        *sentences([
            say("The models recall the token most differently after {steps} steps: {there}.", steps=steps[furthest],
                there=joined(there, ", ")),
            say("Settings: {common}; seeds for each number of steps: {seeds}.", common=common,
                seeds=names.numbers.add("recall-seeds", len(curve.points[0].seeds))),
        ]),
    ]
