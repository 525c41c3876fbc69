"""The sections that a study of the homework's protocol adds to a report.

Published results are shown beside those of these runs. They are labeled, and no number of these runs uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gru_bench.evaluation.statistics import Finding, accuracy_interval
from gru_bench.report.document.blocks import Block, Blocks, Bullets, Cell, Column, Heading, Paragraph, Table, prose
from gru_bench.report.document.numbers import NBSP, Number, Sentence, file_name, plain
from gru_bench.report.document.report import Comparison
from gru_bench.report.document.section import Section
from gru_bench.report.evidence.groups import Evidence
from gru_bench.report.homework import published, theory
from gru_bench.report.homework.ablations import ablation_blocks
from gru_bench.report.homework.losses import loss_section
from gru_bench.report.homework.protocol import Reproduction, backends, departures, method, model_name
from gru_bench.report.homework.run_times import run_times
from gru_bench.report.sections.search import as_number
from gru_bench.report.sections.verdicts import joined
from gru_bench.results.logged_metrics import TRAIN_SECONDS

if TYPE_CHECKING:
    from gru_bench.report.figures.figure import Picture

BECOMES: Mapping[str, tuple[str, str]] = {
    Finding.BETTER.value: ("holds up", "is contradicted"),
    Finding.BETTER_BY_MARGIN.value: ("holds up", "is contradicted"),
    Finding.NEGLIGIBLE.value: ("holds up by a negligible amount only", "does not hold up"),
    Finding.EQUIVALENT.value: ("does not hold up", "does not hold up"),
    Finding.INCONCLUSIVE.value: ("stays open", "stays open"),
    Finding.TOO_FEW_SEEDS.value: ("stays open", "stays open"),
}
"""Finding -> what follows for the claim if the bidirectional model has the higher mean, and if it has not."""


def opening(studies: Sequence[Reproduction]) -> tuple[Section, ...]:
    """Return the sections that come before the results; none without a study of the homework's protocol."""
    if not studies:
        return ()
    return (
        _section("introduction", "Introduction", _introduction(studies)),
        _section("theory", "Theory", _theory(studies), "word-vectors", "networks", "gru-cell", "poolings"),
        _section("protocol", "Method", method(studies), "chunks"),
    )


def findings(studies: Sequence[Reproduction], evidence: Evidence, margin: float) -> tuple[Section, ...]:
    """Return the sections that come after the results; none without a study of the homework's protocol."""
    if not studies:
        return ()
    return (
        *loss_section(studies, evidence),
        _section("run-times", "Run times", run_times(studies)),
        _section("ablations", "Ablations", ablation_blocks(studies, evidence.store, margin)),
    )


def closing(studies: Sequence[Reproduction], comparisons: Sequence[Comparison]) -> tuple[Section, ...]:
    """Return the discussion; none without a study of the homework's protocol."""
    return (_section("discussion", "Discussion", _discussion(studies, comparisons)),) if studies else ()


def conclusions(studies: Sequence[Reproduction], comparisons: Sequence[Comparison]) -> tuple[Sentence, ...]:
    """Return the conclusion of each study of the homework."""
    return tuple(_claim(one, comparisons)[1] for one in studies)


def _section(name: str, title: str, blocks: tuple[Block, ...], *diagrams: str) -> Section:
    return Section(name, title, Blocks(blocks), pictures=partial(_diagrams, diagrams) if diagrams else None,
                   template="blocks")


def _diagrams(names: Sequence[str], _content: Blocks) -> list[Picture]:
    from gru_bench.report.homework.diagrams import DIAGRAMS

    return [DIAGRAMS[name] for name in names]


# ---------------------------------------------------------------- before the results


def _introduction(studies: Sequence[Reproduction]) -> tuple[Block, ...]:
    what: list[Sentence] = [
        (
            f"on {plain(one.data.name)}, with ",
            one.number("introduction.train", one.data.train, "count", "reviews"), " training reviews, ",
            one.number("introduction.test", one.data.test, "count", "reviews"), " test reviews and ",
            one.number("introduction.seeds", one.seeds, "count"), " seeds of each model",
        )
        for one in studies
    ]
    return (
        Paragraph(prose("""
            Is a review positive or negative? A course’s homework answers this with three recurrent networks: a gated
            recurrent unit (GRU) written from scratch, PyTorch’s own GRU, and a bidirectional GRU, which reads each
            review from both ends. The homework teaches how gates keep gradients alive over many words, what word
            vectors are good for, and what reading in both directions adds.
        """)),
        Paragraph((
            *prose("""
                Its report trained each model once and found the bidirectional one best. One run of each cannot tell a
                better model from luckier initial weights. Here the homework is repeated by its protocol
            """), " (except for the departures listed below) " if any(map(departures, studies)) else " ",
            *joined(what, "; and "),
            ", so that its question can be answered with an interval. The discussion shows the published results "
            "for context, beside those of these runs.",
        )),
    )


def _theory(studies: Sequence[Reproduction]) -> tuple[Block, ...]:
    return (
        *theory.word_vectors(joined([_vectors(one) for one in studies])), *theory.recurrence(),
        *theory.gated_unit(_reset(studies)), *theory.bidirectional(),
    )


def _vectors(one: Reproduction) -> Sentence:
    """Return which word vectors a study has."""
    data = one.data
    trained = "were trained on the training reviews alone, as a continuous bag of words"
    source = trained if data.embedding == "corpus" else f"are “{file_name(data.embedding)}”"
    scale = as_number(next(iter(one.groups.values())).runs[0].params.get("embedding.scale"))
    scaled: Sentence = () if scale in (None, 1) else (
        ", all multiplied by ", one.number("theory.scale", scale, "setting", "a setting"),
        " (the factor brings vectors that were stored at one length to the size that training is used to)")
    return (
        f"The vectors of {one.name or 'these runs'} {source}, ",
        one.number("theory.dimension", data.embedding_dimension, "count", "numbers of a vector"), " numbers each",
        *scaled, "; ",
        one.number("theory.dropped", data.dropped_share, "percent", "tokens without a vector"),
        f"{NBSP}% of all tokens have none and are left out.",
    )


def _reset(studies: Sequence[Reproduction]) -> Sentence:
    """Return where the scratch models of these runs apply the reset gate."""
    places = {one.groups["scratch"].runs[0].params.get("model.reset", "after") for one in studies
              if "scratch" in one.groups}
    match sorted(places):
        case ["after"]:
            return ("In these runs the reset gate acts after the product.",)
        case ["before"]:
            return ("In these runs the reset gate was set to act before the product, which is another function.",)
        case ["after", "before"]:
            return ("In some of these runs the reset gate acts after the product, in others before it.",)
        case _:
            return ()


# ---------------------------------------------------------------- discussion


def _discussion(studies: Sequence[Reproduction], comparisons: Sequence[Comparison]) -> tuple[Block, ...]:
    def percent(name: str, value: float) -> Number:
        return Number(f"published.{name}", value, "percent", method=published.LABEL)

    blocks: list[Block] = [_published_table(one) for one in studies]
    blocks += [
        Paragraph((
            "The published figures come from one run each, on about ",
            Number("published.reviews", published.REVIEWS, "count", method=published.LABEL), " test reviews and a "
            "graphics card, and have no interval. They show what was found then; nothing here is measured against "
            "them. They also come from other reviews, and that alone changes an accuracy. Other students’ "
            "solutions were published with ",
            percent("others-lowest", published.OTHERS[0]), " to ",
            percent("others-highest", published.OTHERS[1]), f"{NBSP}%.",
        )),
        Heading("Is bidirectional better?", "claim"),
    ]
    for one in studies:
        learnt = tuple(filter(None, (_against_linear(one), _against_loop(one))))
        verdicts, conclusion = _claim(one, comparisons)
        if verdicts:
            blocks.append(Paragraph(verdicts))
        blocks.append(Paragraph(conclusion, lead="Conclusion."))
        if learnt:
            blocks.append(Bullets(learnt))
    return (*blocks, Heading("References", "references"), Bullets(theory.REFERENCES))


def _published_table(one: Reproduction) -> Table:
    rows: list[tuple[Cell, ...]] = []
    context: list[tuple[Cell, ...]] = []
    for model, group in one.groups.items():
        seconds = [run.metrics[TRAIN_SECONDS.key] for run in group.runs if TRAIN_SECONDS.key in run.metrics]
        rows.append((
            f"{group.label}, these runs", backends(group),
            group.estimate("accuracy", accuracy_interval(group.correct_RN)),
            group.over_runs("train-seconds", seconds, "amount"),
        ))
        if model in published.ACCURACY:
            context.append((
                f"{model_name(model)}, published", "graphics card",
                Number(f"published.{model}.accuracy", published.ACCURACY[model], "percent", method=published.LABEL),
                Number(f"published.{model}.seconds", published.SECONDS[model], "count", method=published.LABEL),
            ))
    title = one.titled("These runs and what was published")
    return Table(
        f"{one.key}-published", title,
        (f"{title}. Test accuracy with 95 % intervals where there are enough seeds. The seconds of these runs are "
         "means with the lowest and the highest. These runs shared the machine; the timing benchmark compares models "
         "that were timed alone.",),
        (Column("Model", 4.6), Column("Ran on", 2.6), Column("Accuracy, %"), Column("Training, s")),
        tuple(rows), tuple(context),
    )


def _against_linear(one: Reproduction) -> tuple[str, Sentence] | None:
    """Compare the models with the linear baseline on the same test reviews."""
    linear = max((baseline for baseline in one.baselines if baseline.name != "majority class"),
                 key=lambda baseline: baseline.test_accuracy, default=None)
    if linear is None:
        return None
    above = [group.label for group in one.groups.values() if group.correct_RN.mean() > linear.test_accuracy]
    beside = {0: "more than any of the GRUs on average", len(one.groups): "fewer than each of the GRUs on average"}
    reached = one.number("discussion.baseline", linear.test_accuracy, "percent", "a baseline, trained once")
    return "What do the networks add?", (
        f"{plain(linear.name)}, which counts words and ignores their order, classifies ", reached, f"{NBSP}% of these "
        "test reviews correctly: ", beside.get(len(above), f"fewer than {' and '.join(above)} on average"), ".",
    )


def _against_loop(one: Reproduction) -> tuple[str, Sentence] | None:
    """Explain the published run times by the readable loop and the compiled kernel, both timed alone."""
    scratch = {timing.backend: timing.seconds / timing.iterations for timing in one.timings
               if timing.model == "scratch"}
    if not {"fused", "reference"} <= scratch.keys():
        return None
    factor = one.number("discussion.loop", scratch["reference"] / scratch["fused"], "tenth",
                        "ratio of timed iterations")
    return "Is a GRU from scratch slow?", (
        "Not because it is written from scratch: the same weights take ", factor, " times as long in the readable "
        "loop as in the compiled kernel, with the same result.",
    )


def _claim(one: Reproduction, comparisons: Sequence[Comparison]) -> tuple[Sentence, Sentence]:
    """Return the verdicts on the bidirectional model, and the conclusion on the claim that it is better."""
    bidirectional = one.groups.get("bidirectional")
    said: list[Sentence] = []
    becomes: dict[str, list[str]] = {}
    for group in one.groups.values():
        if bidirectional is None or group is bidirectional:
            continue
        ahead, behind = f"pair.{bidirectional.key}.{group.key}", f"pair.{group.key}.{bidirectional.key}"
        pair = next((pair for pair in comparisons if pair.key in (ahead, behind)), None)
        if pair is not None:
            said.append(pair.sentence)
            becomes.setdefault(BECOMES[pair.finding][pair.key == behind], []).append(group.label)
    if bidirectional is None or not said:
        return (), (f"{one.name or 'The study'} has no bidirectional model and another one on the same test reviews, "
                    "so it says nothing about the claim.",)
    parts = "; it ".join(f"{words} against {' and '.join(labels)}" for words, labels in becomes.items())
    where = f"In the runs of {one.name}" if one.name else "In these runs"
    by = "by a protocol that departs from the homework’s" if departures(one) else "by the homework’s protocol"
    start = f"{where}, {by}, the claim that the bidirectional GRU is better {parts}"
    if bidirectional.runs[0].params.get("model.pooling") == "last":
        return joined(said), (f"{start}. This holds for the pooling “last”, with which the backward half passes on a "
                              "state that has read one word.",)
    return joined(said), (f"{start}.",)
