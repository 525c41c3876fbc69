"""The method section: the loader, the scratch GRU, every setting of the training, and departures from the protocol."""

from __future__ import annotations

from gru_bench.report.document.blocks import Cell, Column, Heading, Paragraph, Table
from gru_bench.report.document.numbers import KINDS, Number, plain, slug
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Math, Sentence, joined, prose
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, model_name
from gru_bench.report.homework.diagrams import DIAGRAMS
from gru_bench.report.homework.reproduction import (
    Reproduction,
    departures,
    names_shown,
    reproductions,
    shown_setting,
)
from gru_bench.results.logged_metrics import PARAMETER_TENSORS, PARAMETERS, Metric


def protocol(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the homework's protocol."""
    studies = reproductions(evidence)
    if not studies:
        return None
    return Section("protocol", "Method", (
        Heading("The loader", "loader"),
        Paragraph((
            *prose(r"""
                A review is a list of words. Words without a vector are left out, and the vectors of the others are
                stacked, so that a review of $T$ known words becomes a matrix of $T \times E$. The reviews of an epoch
                are shuffled and processed one at a time, so no padding is needed.
            """), " ", *joined(list(map(_wordless, studies))),
        )),
        Heading("The scratch GRU", "scratch-gru"),
        Paragraph(prose("""
            Equations (1) to (3) use six matrices. The scratch GRU stores two: the three that multiply the word vector
            are stacked, and so are the three that multiply the state. Each product is split into three chunks of $H$
            rows, for $r_t$, $z_t$ and $n_t$. All word vectors of a review are known beforehand, so their product is
            computed once for all of them. Only the product with the state has to wait for the previous step.
        """)),
        DIAGRAMS["chunks"],
        Paragraph(prose("""
            The readable reference backend does exactly this, in a loop over the words. The fused backend computes the
            same recurrence in one compiled kernel with its own gradient, and is tested against the reference.
        """)),
        Heading("Training", "training"),
        Paragraph(prose("""
            The last linear layer turns the pooled state into two numbers. Their log-softmax is the log probability of
            each label, and the loss is the negative log-likelihood of the correct one. The table shows every setting
            of the protocol as these runs had it.
        """)),
        *map(_training_table, studies),
        *(Paragraph(said) for one in studies if (said := departures(one))),
    ))


def _wordless(one: Reproduction) -> Sentence:
    """Return how many reviews have no known word, and how they are read."""
    counts = one.data.wordless
    if not counts:
        return ()
    if not sum(counts.values()):
        return ("Every review has at least one word with a vector.",)
    parts: list[Sentence] = [
        (one.numbers.add(f"wordless.{slug(split)}", size, "count", "reviews without a known word"),
         f" of the {'training' if split == 'train' else plain(split)} reviews")
        for split, size in counts.items()
    ]
    return (*joined(parts, ", "), " have no known word. Each is read as one step of zeros and stays in every count.")


def _training_table(one: Reproduction) -> Table:
    groups = list(one.groups.values())
    rows: list[tuple[Cell, ...]] = [
        (label, *(shown_setting(group, name) for group in groups)) for name, label in names_shown(groups).items()]
    rows += [
        ("initial weights, for hidden size H", *(("uniform in ", Math(r"\pm 1/\sqrt{H}")) for _ in groups)),
        ("backend", *(group.backend for group in groups)),
        ("parameter tensors", *(_logged(group, PARAMETER_TENSORS, "tensors") for group in groups)),
        ("parameters", *(_logged(group, PARAMETERS, "parameters") for group in groups)),
    ]
    title = one.titled("The training")
    return Table(
        f"{one.numbers.key}-training", title, (f"{title}: every setting.",),
        (Column("Setting", align="left", width=5.2),
         *(Column(model_name(model), align="left", width=3.2, named=True) for model in one.groups)),
        tuple(rows),
    )


def _logged(group: Group, metric: Metric, name: str) -> Number:
    """Return a metric that is the same in all runs."""
    values = {run.metrics[metric.key] for run in group.runs if metric.key in run.metrics}
    value = values.pop() if len(values) == 1 else None
    return group.numbers.add(f"protocol.{name}", value, KINDS[metric.unit],
                        "not logged" if value is None else "the same in all runs")
