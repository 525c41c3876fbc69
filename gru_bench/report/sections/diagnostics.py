"""The diagnostics section: gradients, gates, words and recall, from what a study logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gru_bench.report.document.blocks import Block, Column, Details, Heading, Table, sentences
from gru_bench.report.document.numbers import NBSP, Kind, Number, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Ends, Sentence, joined
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import free_name, model_name
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.figures.diagnostics import (
    MEAN,
    METHODS,
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
    STATES,
    Attribution,
    Diagnostics,
    GateMap,
    GradientFlow,
    Neighbours,
    RecallCurve,
)

SHOWN_NEIGHBOURS = 6
LEAST_SHARE = 0.001
"""Share of a gradient below which no digits are shown."""
FAR_MORE = 10.0
"""Ratio of the shares after and before training from which on the change is explained."""

Found = TypeVar("Found", Diagnostics, RecallCurve)


@dataclass(frozen=True)
class _Names:
    """The names of the parts of one study's diagnostics."""

    key: str
    """First part of the keys of its numbers."""
    study: str
    """Its name where several studies have diagnostics; else empty."""

    def of(self, kind: str) -> str:
        """Return the name of a figure or the key of a table."""
        return f"{kind}-{self.key}" if self.study else kind

    def title(self, text: str) -> str:
        """Return the title of a table."""
        return f"{text}, {self.study}" if self.study else text


def diagnostics(evidence: Evidence) -> Section | None:
    """Return the diagnostics section; None where no study logged diagnostics."""
    logged = [
        (study_name(study), texts) for study in evidence.studies
        if any(texts := [evidence.store.text(study.run.run_id, file) for file in (DIAGNOSTICS, RECALL)])
    ]
    blocks: list[Block] = []
    taken: set[str] = set()
    for study, texts in logged:
        names = _Names(free_name(f"diagnostics-{slug(study, 'study')}", taken), study if len(logged) > 1 else "")
        found, lost = _read(Diagnostics, texts[0], DIAGNOSTICS, study)
        curve, also_lost = _read(RecallCurve, texts[1], RECALL, study)
        if names.study:
            blocks.append(Heading(study, names.key))
        blocks += sentences([*lost, *also_lost])
        if found is not None:
            blocks += [*_gradients(names, found.flows), *_gates(names, found), *_words(names, found.attributions),
                       *_neighbours(names, found.neighbours)]
        if curve is not None:
            blocks += _recall(names, curve)
    return Section("diagnostics", "Diagnostics", tuple(blocks)) if blocks else None


def _read(kind: type[Found], text: str | None, file: str, study: str) -> tuple[Found | None, list[Sentence]]:
    """Return what was logged, or a sentence where it cannot be read."""
    if text is None:
        return None, []
    try:
        return kind.from_json(text), []
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, [(f"The study {study} holds a {file} that cannot be read; it is left out.",)]


# ---------------------------------------------------------------- gradients


def _gradients(names: _Names, flows: Sequence[GradientFlow]) -> list[Block]:
    """Return how much of the gradient reaches earlier states, before training and after."""
    if not flows:
        return []
    name, mean = names.of("gradients"), "geometric mean over reviews"
    table = Table(
        name, names.title("Gradients by steps back"),
        ("Norm of the gradient of the loss with respect to the state (of the last layer): geometric mean over "
         "reviews.",),
        (Column("Model", align="left", width=4.4), Column("Weights", align="left"), Column("Reviews"),
         Column("Norm at the end", short="At the end"), Column("Steps back"), Column("Norm there", short="There"),
         Column("Factor per step", short="Factor", note="{}: fitted by a straight line through the logarithm of the "
                                                        "norm.")),
        tuple((with_direction(flow), STATES[flow.state], _flow_number(names.key, flow, "reviews", flow.reviews),
               _flow_number(names.key, flow, "start", flow.norm[0], mean),
               _flow_number(names.key, flow, "steps", flow.steps_back[-1]),
               _flow_number(names.key, flow, "end", flow.norm[-1], mean), _decay(names.key, flow)) for flow in flows))
    return [
        Heading("Gradients through time", f"{name}-heading"),
        gradient_figure(flows, name),
        *sentences(_flow_sentences(names.key, flows)),
        Details("Norms and factors", (table,)),
    ]


def _flow_number(key: str, flow: GradientFlow, name: str, value: float | None, method: str = "") -> Number:
    runs = (flow.run_id,) if flow.run_id else ()
    part = f"{key}.flow-{slug(flow.model)}-{flow.direction}-{flow.state}.{name}"
    kinds: Mapping[str, Kind] = {"decay": "score", "steps": "count", "reviews": "count", "left": "percent"}
    return Number(part, value, kinds.get(name, "setting"), runs, flow.reviews, method)


def _decay(key: str, flow: GradientFlow) -> Number:
    first, last = flow.fitted
    method = f"least squares on the logarithm of the norms {first} to {last} steps back"
    return _flow_number(key, flow, "decay", flow.decay, method if flow.decay is not None else "not fitted")


def _flow_sentences(key: str, flows: Sequence[GradientFlow]) -> list[Sentence]:
    said: list[Sentence] = []
    for state, start in (("initial", "Before training"), ("trained", "In the trained models")):
        rates: list[Sentence] = [(f"{with_direction(flow)} ", _decay(key, flow))
                                 for flow in flows if flow.state == state and flow.decay is not None]
        if rates:
            said.append((f"{start} each step back multiplies the norm of the gradient by: ", *joined(rates, "; "), "."))
    said += _lessons(key, flows)
    fitted = {flow.fitted for flow in flows if flow.decay is not None}
    for place, (first, last) in enumerate(sorted(fitted), start=1):
        said.append((
            "These factors are fitted to the norms " if len(fitted) == 1 else "Some of these factors are fitted to the "
            "norms ", Number(f"{key}.fitted-{place}.first", first, "count"), " to ",
            Number(f"{key}.fitted-{place}.last", last, "count"), " steps back; the steps nearer to the end are left "
            "out.",
        ))
    if any(len(flow.norm) == 1 for flow in flows):
        said.append(("With the pooling “last” the backward half is read after its first step: it has read one word, "
                     "and no gradient reaches its other states.",))
    every = sorted({flow.pooling for flow in flows if flow.pooling in EVERY_STEP})
    if every:
        said.append((f"The pooling {' and '.join(every)} uses every state, so each state gets a gradient directly: "
                     "the curve need not fall, and no factor is fitted.",))
    said += dict.fromkeys(
        (f"{with_direction(flow)} is not a run of the study: it was trained for this comparison alone "
         f"({flow.trained_how}).",)
        for flow in flows if flow.trained_how
    )
    return said


def _lessons(key: str, flows: Sequence[GradientFlow]) -> Iterator[Sentence]:
    """Yield for each model the share of the gradient left at the far end, before and after training."""
    left = {(flow.model, flow.state): flow for flow in flows
            if flow.direction == "forward" and flow.decay is not None and flow.norm[0] > 0}
    for model in dict.fromkeys(model for model, _ in left):
        before, after = left.get((model, "initial")), left.get((model, "trained"))
        if before is None or after is None:
            continue
        shares = [flow.norm[-1] / flow.norm[0] for flow in (before, after)]
        yield (
            f"{model_name(model)}: ", _flow_number(key, after, "steps", after.steps_back[-1]), " steps back ",
            *_left(key, before, shares[0]), " of the gradient is left before training and ",
            *_left(key, after, shares[1]), " in the trained model", _learnt(model, *shares), ".",
        )


def _left(key: str, flow: GradientFlow, share: float) -> Sentence:
    if share < LEAST_SHARE:
        return ("less than a thousandth",)
    return (_flow_number(key, flow, "left", share, "of the norm at the end"), f"{NBSP}%")


def _learnt(model: str, before: float, after: float) -> str:
    """Return why training has changed the share of the gradient that is left; empty where it hardly has."""
    if after < FAR_MORE * before:
        return ""
    if model == "rnn":
        return ": its weights grew until more of the gradient passes"
    return (": with initial weights the gates forget a state within a few words; training teaches them to keep it, and "
            "the gradient follows the state")


# ---------------------------------------------------------------- gates and words


def _gates(names: _Names, found: Diagnostics) -> list[Block]:
    """Return the gates of each model over a sentence."""
    if not found.gates:
        return []
    by_model: dict[str, list[GateMap]] = {}
    for one in found.gates:
        by_model.setdefault(one.model, []).append(one)
    said = [_gate_sentence(names.key, one) for one in found.gates]
    if found.review:
        said.insert(0, (f"The words are those of a {plain(found.review)} review, in its order; words without a vector "
                        "are left out.",))
    return [
        Heading("Gates over a sentence", f"{names.key}-gates"),
        *(gate_figure(maps, names.of(f"gates-{slug(model)}")) for model, maps in by_model.items()),
        *sentences(said),
    ]


def _gate_sentence(key: str, found: GateMap) -> Sentence:
    """Return the mean of the gates, and the word at which most of the state is replaced."""
    part = f"{key}.gates-{slug(found.model)}-{found.direction}"
    runs = (found.run_id,) if found.run_id else ()
    update_T = [sum(units) / len(units) for units in found.update]
    reset_T = [sum(units) / len(units) for units in found.reset]
    least = min(range(len(update_T)), key=update_T.__getitem__)

    def number(which: str, value: float) -> Number:
        return Number(f"{part}.{which}", value, "score", runs, None, "mean over units and words of the sentence")

    return (
        f"{with_direction(found)}: on average over this sentence the update gate is at ",
        number("update", sum(update_T) / len(update_T)), " and the reset gate at ",
        number("reset", sum(reset_T) / len(reset_T)),
        "; the update gate is lowest, and so replaces most of the state, "
        f"at “{plain(found.tokens[least])}”, word ", Number(f"{part}.place", least + 1, "count"), " of ",
        Number(f"{part}.words", len(found.tokens), "count"), ": ",
        Number(f"{part}.lowest", update_T[least], "score", runs, None, "mean over units at this word"), ".",
    )


def _words(names: _Names, attributions: Sequence[Attribution]) -> list[Block]:
    """Return how far each word moves the decision of each model."""
    if not attributions:
        return []
    words = attributions[0].tokens
    alike = [found for found in attributions if found.tokens == words]
    name = names.of("words")
    figure = word_figure(alike, name, names.key)
    weights = {drawn: found.column("weight") for drawn, found in figure.values.groups("model", "method").items()}
    table = Table(
        name, names.title("Weights by word"),
        ("What each word adds to the log-odds of label 1, in nats. This holds for this sentence and these weights, not "
         "in general.",),
        (Column("Word", align="left", width=2.6),
         *(Column(f"{model}, {method}", named=True) for model, method in weights)),
        tuple(zip(map(plain, words), *weights.values(), strict=True)))
    return [
        Heading("Words that move the decision", f"{name}-heading"),
        figure,
        *sentences([_word_sentence(names.key, found, weights[model_name(found.model), found.method])
                    for found in alike if found.method == METHODS[0]]),
        Details("Weights by word", (table,)),
    ]


def _word_sentence(key: str, found: Attribution, weights: Sequence[Number]) -> Sentence:
    """Return the prediction of the model, and the word that speaks most for each label."""
    runs = (found.run_id,) if found.run_id else ()
    probability = Number(f"{key}.words-{slug(found.model)}.probability", found.probability, "percent", runs)
    places = range(len(found.tokens))
    most, least = max(places, key=found.weight.__getitem__), min(places, key=found.weight.__getitem__)
    parts: list[Sentence] = []
    if found.weight[most] > 0:
        parts.append((f"“{plain(found.tokens[most])}” speaks most for label 1 (", weights[most], ")"))
    if found.weight[least] < 0:
        parts.append((f"“{plain(found.tokens[least])}” speaks most for label 0 (", weights[least], ")"))
    return (f"{model_name(found.model)} gives label 1 a probability of ", probability,
            f"{NBSP}%; by {found.method} ", *(joined(parts, ", ") if parts else ("no word moves it",)), ".")


def _neighbours(names: _Names, neighbours: Sequence[Neighbours]) -> list[Block]:
    """Return the words nearest to some words."""
    if not neighbours:
        return []
    return [Heading("Nearest words", f"{names.key}-neighbours"), Table(
        names.of("neighbours"), names.title("Nearest words"),
        ("For some words, the nearest of the most common words by the cosine of their vectors, before any model was "
         "trained.",),
        (Column("Word", align="left", width=2.6), Column("Nearest, with cosine", align="left", width=12.4)),
        tuple((plain(found.word), _nearest(names.key, found)) for found in neighbours))]


def _nearest(key: str, found: Neighbours) -> Sentence:
    part = f"{key}.near-{slug(found.word, 'word')}"
    return joined([(f"{plain(word)} (", Number(f"{part}.{place}", cosine, "score", (), None, "cosine"), ")")
                   for place, (word, cosine) in enumerate(found.nearest[:SHOWN_NEIGHBOURS], start=1)], ", ")


# ---------------------------------------------------------------- recall task


def _recall(names: _Names, curve: RecallCurve) -> list[Block]:
    """Return the accuracy of the models by the steps over which they must remember a token."""
    if not curve.points:
        return []
    name = names.of("recall")
    figure = recall_figure(curve, name, names.key)
    means = {(row["model"], row["steps"]): row["accuracy"] for row in figure.values.records() if row["what"] == MEAN}
    missing = Number(f"{names.key}.recall-missing", None, "percent")
    table = Table(
        name, names.title("Accuracy by steps to remember"),
        ("Test accuracy, %, on sequences whose label is one token, by the steps between it and the end; means over "
         "seeds, 95 % intervals in brackets.",),
        (Column("Steps"), *(Column(model, named=True) for model in figure.series)),
        tuple((_steps(names.key, k), *(means.get((model, k), missing) for model in figure.series))
              for k in sorted(figure.values.distinct("steps"))))
    return [
        Heading("Recall task", f"{name}-heading"),
        figure,
        *sentences([_furthest(names.key, curve, means), _common(names.key, curve)]),
        Details("Accuracy by steps", (table,)),
    ]


def _steps(key: str, k: int) -> Number:
    return Number(f"{key}.recall-steps-{k}", k, "count")


def _furthest(key: str, curve: RecallCurve, means: Mapping[tuple[str, int], Number]) -> Sentence:
    """Return the number of steps at which the models are furthest apart, and their accuracies there."""
    def apart(k: int) -> float:
        at_k = [point.mean for point in curve.points if point.k == k]
        return max(at_k) - min(at_k)

    furthest = max(sorted({point.k for point in curve.points}), key=apart)
    parts: list[Sentence] = []
    for (model, k), accuracy in means.items():
        if k == furthest:
            parts.append((f"{model} ", accuracy, f"{NBSP}% (", Ends(accuracy), ")"))
    return ("The models are furthest apart over ", _steps(key, furthest), " steps: ", *joined(parts, ", "), ".")


def _common(key: str, curve: RecallCurve) -> Sentence:
    """Return the settings that all points have in common."""
    common = ", ".join(f"{plain(name)} {plain(value)}" for name, value in curve.settings.items())
    seeds = Number(f"{key}.recall-seeds", len(curve.points[0].seeds), "count")
    return (f"Settings of all points: {common}; seeds per point: ", seeds, ".")
