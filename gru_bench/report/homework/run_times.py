"""The run times section: each model timed alone, with its backend, and the time of a whole run."""

from __future__ import annotations

from gru_bench.report.document.blocks import Block, Cell, Column, Paragraph, Table
from gru_bench.report.document.numbers import NBSP, Kind, Number, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Sentence, joined, prose
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import free_name, model_name
from gru_bench.report.homework import published
from gru_bench.report.homework.reproduction import Reproduction, reproductions
from gru_bench.results.runs import Timing

BASE = ("torch", "torch")
"""Model and backend that times are compared with: nn.GRU on its own backend."""


def run_times(evidence: Evidence) -> Section | None:
    """Return the timing benchmark and the published run times; None where no study follows the homework's protocol."""
    studies = reproductions(evidence)
    if not studies:
        return None
    blocks: list[Block] = [Paragraph(prose("""
        The training time of a model depends on its backend as much as on the model, and on what else the machine does.
        So the models were timed apart from the runs above: one after the other, with nothing else running, over some
        iterations on the same reviews. The time of a whole run is extrapolated from these iterations.
    """))]
    for one in studies:
        took: Sentence = (" is not finished.",)
        if one.study.summary is not None:
            whole = one.number("seconds", one.study.summary.seconds, "amount", "all runs of the study, side by side")
            took = (", with all its runs, took ", whole, f"{NBSP}s.")
        blocks.append(Paragraph((one.titled("The whole study"), *took)))
        blocks += _timings(one)
    return Section("run-times", "Run times", tuple(blocks))


def _timings(one: Reproduction) -> list[Block]:
    if not one.timings:
        return [Paragraph((f"{one.titled('No model was timed')}.",))]
    taken: set[str] = set()
    keyed = [(timing, free_name(f"{slug(timing.model)}-{slug(timing.backend)}", taken))
             for timing in one.timings]
    base = next((timing for timing, _ in keyed if (timing.model, timing.backend) == BASE), None)
    title = one.titled("Timing benchmark")
    blocks: list[Block] = [Table(
        f"{one.key}-times", title,
        (f"{title}: each model timed alone.",),
        (Column("Model", align="left", width=3.3), Column("Backend", align="left", width=1.9), Column("Threads"),
         Column("Iterations timed"), Column("ms each"),
         Column("Whole run", "s", note="The seconds of a whole run are extrapolated from the timed iterations, not "
                                       "measured."),
         Column("Ratio", note="{} is the time divided by that of the torch GRU on its own backend.")),
        tuple(_row(one, timing, key, base) for timing, key in keyed),
    )]
    said: list[Sentence] = [
        _compared(one, timing, key, base)
        for timing, key in keyed if base is not None and timing.model == "scratch"
    ]
    if said:
        factor = published.SECONDS["scratch"] / published.SECONDS["torch"]
        blocks.append(Paragraph((
            *joined(said), " The published factor is ",
            Number("published.slower", factor, "tenth", method=published.LABEL),
            ", for a loop in Python against nn.GRU on a graphics card: the factor comes from the backends, not from "
            "the model.",
        )))
    return blocks


def _compared(one: Reproduction, timing: Timing, key: str, base: Timing) -> Sentence:
    """Return how the time of the scratch GRU compares with that of nn.GRU, as a factor above 1."""
    start = f"The scratch GRU on the {plain(timing.backend)} backend "
    faster = _seconds_each(base) / _seconds_each(timing)
    if faster < 1:
        return (f"{start}took ", _ratio(one, timing, key, base),
                " times as long as the torch GRU on nn.GRU’s own backend.")
    return (f"{start}was ", one.number(f"timing.{key}.faster", faster, "tenth", "times as fast as the torch GRU"),
            " times as fast as the torch GRU on nn.GRU’s own backend.")


def _row(one: Reproduction, timing: Timing, key: str, base: Timing | None) -> tuple[Cell, ...]:
    def number(name: str, value: float, kind: Kind, method: str) -> Number:
        return one.number(f"timing.{key}.{name}", value, kind, method)

    each = _seconds_each(timing)
    return (
        model_name(timing.model), plain(timing.backend),
        number("threads", timing.threads, "count", "threads of the processor"),
        number("iterations", timing.iterations, "count", "iterations timed"),
        number("milliseconds", 1000 * each, "amount", "of one iteration"),
        number("whole", each * timing.protocol_iterations, "amount", "extrapolated, not measured"),
        _ratio(one, timing, key, base),
    )


def _ratio(one: Reproduction, timing: Timing, key: str, base: Timing | None) -> Number:
    value = None if base is None else _seconds_each(timing) / _seconds_each(base)
    kind: Kind = "tenth" if value is None or value >= 1 else "score"
    return one.number(f"timing.{key}.ratio", value, kind, "times the torch GRU on nn.GRU's own backend")


def _seconds_each(timing: Timing) -> float:
    return timing.seconds / timing.iterations
