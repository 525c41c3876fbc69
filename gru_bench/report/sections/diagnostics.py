"""The diagnostics section: gradients, gates, words and recall, from what a study logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gru_bench.report.document.numbers import NBSP, Kind, Number, Sentence, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.evidence.groups import MODEL_NAMES, Evidence, free_name
from gru_bench.report.sections.verdicts import joined
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
    RecallPoint,
)
from gru_bench.tracking import LoggedStudy

if TYPE_CHECKING:
    from gru_bench.report.figures.figure import Picture

NAME = "diagnostics"
SHOWN_NEIGHBOURS = 6
LEAST_SHARE = 0.001
"""Share of a gradient below which no digits are shown."""
FAR_MORE = 10.0
"""Ratio of the shares after and before training from which on the change is explained."""

Found = TypeVar("Found", Diagnostics, RecallCurve)


@dataclass(frozen=True)
class FlowRow:
    """A row of the gradient table: the norm at the last state and some steps back."""

    label: str
    weights: str
    """Before training, or trained."""
    reviews: Number
    start: Number
    """The norm at the state that is read last."""
    steps: Number
    end: Number
    """The norm `steps` back."""
    decay: Number


@dataclass(frozen=True)
class WordRow:
    """How much a word moves the decision of each model."""

    word: str
    weights: tuple[Number, ...]


@dataclass(frozen=True)
class NeighbourRow:
    """The words nearest to a word."""

    word: str
    nearest: tuple[tuple[str, Number], ...]


@dataclass(frozen=True)
class RecallRow:
    """Accuracy of each model at a number of steps to remember."""

    steps: Number
    accuracy: tuple[Number, ...]


@dataclass(frozen=True)
class StudyDiagnostics:
    """The diagnostics of one study."""

    key: str
    study: str
    """Its name where several studies have diagnostics; else empty."""
    gradients: str
    """The name of the figure, empty without one; likewise below."""
    flows: tuple[FlowRow, ...]
    flow_sentences: tuple[Sentence, ...]
    gates: tuple[str, ...]
    gate_sentences: tuple[Sentence, ...]
    words: str
    word_heads: tuple[str, ...]
    word_rows: tuple[WordRow, ...]
    word_sentences: tuple[Sentence, ...]
    neighbours: tuple[NeighbourRow, ...]
    recall: str
    recall_heads: tuple[str, ...]
    recall_rows: tuple[RecallRow, ...]
    recall_sentences: tuple[Sentence, ...]
    unreadable: tuple[Sentence, ...]
    diagnostics: Diagnostics | None
    curve: RecallCurve | None


def diagnostics_section(evidence: Evidence) -> Section | None:
    """Return the diagnostics section; None where no study logged diagnostics."""
    holding = [
        (study, texts) for study in evidence.studies
        if any(texts := [evidence.store.text(study.run.run_id, name) for name in (DIAGNOSTICS, RECALL)])
    ]
    if not holding:
        return None
    taken: set[str] = set()
    content = tuple(_study_diagnostics(study, *texts, several=len(holding) > 1, taken=taken)
                    for study, texts in holding)
    return Section(NAME, "Diagnostics", content, _pictures, ("gradients", "words", "neighbours", "recall"))


def _pictures(content: Sequence[StudyDiagnostics]) -> list[Picture]:
    from gru_bench.report.figures.diagnostics import gate_picture, gradient_picture, recall_picture, word_picture

    found = []
    for one in content:
        if one.diagnostics is not None:
            if one.gradients:
                found.append(gradient_picture(one.diagnostics.flows, MODEL_NAMES, one.gradients))
            found += [gate_picture(maps, MODEL_NAMES, name)
                      for name, maps in zip(one.gates, gates_by_model(one.diagnostics.gates), strict=True)]
            if one.words:
                found.append(word_picture(one.diagnostics.attributions, MODEL_NAMES, one.words))
        if one.curve is not None:
            found.append(recall_picture(one.curve, MODEL_NAMES, one.recall))
    return found


def gates_by_model(gates: Sequence[GateMap]) -> list[list[GateMap]]:
    """Return the maps of each model together."""
    by_model: dict[str, list[GateMap]] = {}
    for found in gates:
        by_model.setdefault(found.model, []).append(found)
    return list(by_model.values())


def _study_diagnostics(
    study: LoggedStudy, diagnostics_text: str | None, recall_text: str | None, *, several: bool, taken: set[str]
) -> StudyDiagnostics:
    name = plain(study.run.study or study.run.name)
    key = free_name(f"diagnostics-{slug(name, 'study')}", taken)
    diagnostics, lost = _read(Diagnostics, diagnostics_text, DIAGNOSTICS, name)
    curve, also_lost = _read(RecallCurve, recall_text, RECALL, name)
    found = diagnostics or Diagnostics((), (), (), ())

    def figure(kind: str) -> str:
        return f"{kind}-{key}" if several else kind

    heads = tuple(f"{_name(one.model)}, {one.method}" for one in found.attributions)
    return StudyDiagnostics(
        key=key,
        study=name if several else "",
        gradients=figure("gradients") if found.flows else "",
        flows=tuple(_flow_row(key, flow) for flow in found.flows),
        flow_sentences=_flow_sentences(key, found.flows),
        gates=tuple(figure(f"gates-{slug(maps[0].model)}") for maps in gates_by_model(found.gates)),
        gate_sentences=(*_whose_words(found), *(_gate_sentence(key, gates) for gates in found.gates)),
        words=figure("words") if found.attributions else "",
        word_heads=heads,
        word_rows=_word_rows(key, found.attributions),
        word_sentences=tuple(_word_sentence(key, one) for one in found.attributions if one.method == "occlusion"),
        neighbours=tuple(_neighbour_row(key, one) for one in found.neighbours),
        recall=figure("recall") if curve is not None else "",
        recall_heads=tuple(_name(model) for model in _models(curve)),
        recall_rows=() if curve is None else _recall_rows(key, curve),
        recall_sentences=() if curve is None else _recall_sentences(key, curve),
        unreadable=(*lost, *also_lost),
        diagnostics=diagnostics,
        curve=curve,
    )


def _read(kind: type[Found], text: str | None, file: str, study: str) -> tuple[Found | None, tuple[Sentence, ...]]:
    """Return what was logged, or a sentence where it cannot be read."""
    if text is None:
        return None, ()
    try:
        return kind.from_json(text), ()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, ((f"The study {study} holds a {file} that cannot be read; it is left out.",),)


def _name(model: str) -> str:
    return MODEL_NAMES.get(model, plain(model))


def _flow_name(flow: GradientFlow) -> str:
    return f"{_name(flow.model)}, {flow.direction}" if flow.model == "bidirectional" else _name(flow.model)


# ---------------------------------------------------------------- gradients


def _flow_number(key: str, flow: GradientFlow, name: str, value: float | None, method: str = "") -> Number:
    runs = (flow.run_id,) if flow.run_id else ()
    part = f"{key}.flow-{slug(flow.model)}-{flow.direction}-{flow.state}.{name}"
    kinds: Mapping[str, Kind] = {"decay": "score", "steps": "count", "reviews": "count", "left": "percent"}
    return Number(part, value, kinds.get(name, "setting"), runs, flow.reviews, method)


def _decay(key: str, flow: GradientFlow) -> Number:
    first, last = flow.fitted
    method = f"least squares on the logarithm of the norms {first} to {last} steps back"
    return _flow_number(key, flow, "decay", flow.decay, method if flow.decay is not None else "not fitted")


def _flow_row(key: str, flow: GradientFlow) -> FlowRow:
    mean = "geometric mean over reviews"
    return FlowRow(
        _flow_name(flow), STATES[flow.state], _flow_number(key, flow, "reviews", flow.reviews),
        _flow_number(key, flow, "start", flow.norm[0], mean), _flow_number(key, flow, "steps", flow.steps_back[-1]),
        _flow_number(key, flow, "end", flow.norm[-1], mean), _decay(key, flow))


def _flow_sentences(key: str, flows: Sequence[GradientFlow]) -> tuple[Sentence, ...]:
    said: list[Sentence] = []
    for state, start in (("initial", "Before training"), ("trained", "In the trained models")):
        rates: list[Sentence] = [(f"{_flow_name(flow)} ", _decay(key, flow))
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
        (f"{_flow_name(flow)} is not a run of the study: it was trained for this comparison alone "
         f"({flow.trained_how}).",)
        for flow in flows if flow.trained_how
    )
    return tuple(said)


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
            f"{_name(model)}: ", _flow_number(key, after, "steps", after.steps_back[-1]), " steps back ",
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


def _whose_words(found: Diagnostics) -> tuple[Sentence, ...]:
    """Return a sentence that says which review the words come from."""
    if not found.gates or not found.review:
        return ()
    return ((f"The words are those of a {plain(found.review)} review, in its order; words without a vector are left "
             "out.",),)


def _gate_sentence(key: str, found: GateMap) -> Sentence:
    """Return the mean of the gates, and the word at which most of the state is replaced."""
    name = _name(found.model) + (f", {found.direction}" if found.model == "bidirectional" else "")
    part = f"{key}.gates-{slug(found.model)}-{found.direction}"
    runs = (found.run_id,) if found.run_id else ()
    update_T = [sum(units) / len(units) for units in found.update]
    reset_T = [sum(units) / len(units) for units in found.reset]
    least = min(range(len(update_T)), key=update_T.__getitem__)

    def number(which: str, value: float) -> Number:
        return Number(f"{part}.{which}", value, "score", runs, None, "mean over units and words of the sentence")

    return (
        f"{name}: on average over this sentence the update gate is at ",
        number("update", sum(update_T) / len(update_T)), " and the reset gate at ",
        number("reset", sum(reset_T) / len(reset_T)),
        "; the update gate is lowest, and so replaces most of the state, "
        f"at “{plain(found.tokens[least])}”, word ", Number(f"{part}.place", least + 1, "count"), " of ",
        Number(f"{part}.words", len(found.tokens), "count"), ": ",
        Number(f"{part}.lowest", update_T[least], "score", runs, None, "mean over units at this word"), ".",
    )


def _weight(key: str, found: Attribution, place: int) -> Number:
    return Number(
        f"{key}.words-{slug(found.model)}-{slug(found.method)}.{place + 1}", found.weight[place], "signed",
        (found.run_id,) if found.run_id else (), None, found.method)


def _word_rows(key: str, attributions: Sequence[Attribution]) -> tuple[WordRow, ...]:
    """Return a row for each word; all models have read the same ones."""
    if not attributions:
        return ()
    tokens = attributions[0].tokens
    same = [found for found in attributions if found.tokens == tokens]
    return tuple(WordRow(plain(token), tuple(_weight(key, found, place) for found in same))
                 for place, token in enumerate(tokens))


def _word_sentence(key: str, found: Attribution) -> Sentence:
    """Return the prediction of the model, and the word that speaks most for each label."""
    runs = (found.run_id,) if found.run_id else ()
    probability = Number(f"{key}.words-{slug(found.model)}.probability", found.probability, "percent", runs)
    places = range(len(found.tokens))
    most, least = max(places, key=found.weight.__getitem__), min(places, key=found.weight.__getitem__)
    parts: list[Sentence] = []
    if found.weight[most] > 0:
        parts.append((f"“{plain(found.tokens[most])}” speaks most for label 1 (", _weight(key, found, most), ")"))
    if found.weight[least] < 0:
        parts.append((f"“{plain(found.tokens[least])}” speaks most for label 0 (", _weight(key, found, least), ")"))
    return (f"{_name(found.model)} gives label 1 a probability of ", probability, f"{NBSP}%; by {found.method} ",
            *(joined(parts, ", ") if parts else ("no word moves it",)), ".")


def _neighbour_row(key: str, found: Neighbours) -> NeighbourRow:
    part = f"{key}.near-{slug(found.word, 'word')}"
    return NeighbourRow(plain(found.word), tuple(
        (plain(word), Number(f"{part}.{place}", cosine, "score", (), None, "cosine"))
        for place, (word, cosine) in enumerate(found.nearest[:SHOWN_NEIGHBOURS], start=1)))


# ---------------------------------------------------------------- recall task


def _models(curve: RecallCurve | None) -> list[str]:
    return [] if curve is None else list(dict.fromkeys(point.model for point in curve.points))


def _recall_number(key: str, curve: RecallCurve, point: RecallPoint) -> Number:
    return Number(f"{key}.recall-{slug(point.model)}-{point.k}", point.mean, "percent", (), point.test_size,
                  f"{len(point.seeds)} seeds, 95 % interval: {plain(curve.method)}", point.low, point.high)


def _recall_rows(key: str, curve: RecallCurve) -> tuple[RecallRow, ...]:
    by_place = {(point.model, point.k): point for point in curve.points}
    missing = Number(f"{key}.recall-missing", None, "percent")
    return tuple(
        RecallRow(Number(f"{key}.recall-steps-{k}", k, "count"), tuple(
            _recall_number(key, curve, by_place[model, k]) if (model, k) in by_place else missing
            for model in _models(curve)))
        for k in sorted({point.k for point in curve.points})
    )


def _recall_sentences(key: str, curve: RecallCurve) -> tuple[Sentence, ...]:
    """Return the number of steps at which the models are furthest apart, and their common settings."""
    def apart(k: int) -> float:
        means = [point.mean for point in curve.points if point.k == k]
        return max(means) - min(means)

    furthest = max(sorted({point.k for point in curve.points}), key=apart)
    parts: list[Sentence] = []
    for point in curve.points:
        if point.k == furthest:
            number = _recall_number(key, curve, point)
            parts.append((f"{_name(point.model)} ", number, f"{NBSP}% (", number.ends[0], " to ", number.ends[1], ")"))
    common = ", ".join(f"{plain(name)} {plain(value)}" for name, value in curve.settings.items())
    seeds = Number(f"{key}.recall-seeds", len(curve.points[0].seeds), "count")
    steps = Number(f"{key}.recall-steps-{furthest}", furthest, "count")
    return (
        ("The models are furthest apart over ", steps, " steps: ", *joined(parts, ", "), "."),
        (f"Settings of all points: {common}; seeds per point: ", seeds, "."),
    )
