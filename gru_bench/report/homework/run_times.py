"""How long the homework's models take to train, timed alone: engines beside times, and what a whole run would take."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.blocks import Block, Cell, Column, Paragraph, Table, prose
from gru_bench.report.document.numbers import NBSP, Kind, Number, Sentence, plain, slug
from gru_bench.report.evidence.groups import free_name
from gru_bench.report.homework import published
from gru_bench.report.homework.reproductions import Reproduction, model_name
from gru_bench.report.sections.verdicts import joined
from gru_bench.results.runs import TimedStretch

BASE = ("torch", "torch")
"""Model and engine that times are compared with: nn.GRU's own."""


def run_times(studies: Sequence[Reproduction]) -> tuple[Block, ...]:
    """Return the timed stretches and what follows from them."""
    blocks: list[Block] = [Paragraph(prose("""
        How long a model takes to train depends on the engine that runs it as much as on the model, and on what else the
        machine does. So the models were timed apart from the runs above, one after the other with nothing beside them,
        on a stretch of the same reviews; the time of a whole run is worked out from the stretch.
    """))]
    for one in studies:
        took: Sentence = (" has not come to its end.",)
        if one.seconds is not None:
            whole = one.number("seconds", one.seconds, "amount", "all runs of the study, side by side")
            took = (", with all its runs, took ", whole, f"{NBSP}s.")
        blocks.append(Paragraph((one.titled("The whole study"), *took)))
        blocks += _stretches(one)
    return tuple(blocks)


def _stretches(one: Reproduction) -> list[Block]:
    if not one.stretches:
        return [Paragraph((f"{one.titled('No stretch was timed')}.",))]
    taken: set[str] = set()
    keyed = [(stretch, free_name(f"{slug(stretch.model)}-{slug(stretch.engine)}", taken))
             for stretch in one.stretches]  # fmt: skip
    base = next((stretch for stretch, _ in keyed if (stretch.model, stretch.engine) == BASE), None)
    title = one.titled("Timed stretches")
    blocks: list[Block] = [Table(
        f"{one.key}-times", title,
        (f"{title}, one each, timed alone. The seconds of a whole run are worked out from the stretch, not "
         "measured; the ratio is the time against that of the torch GRU on its own engine.",),
        (Column("Model", 3.3), Column("Engine", 1.9), Column("Threads"), Column("Iterations timed"), Column("ms each"),
         Column("Whole run, s"), Column("Ratio")),
        tuple(_row(one, stretch, key, base) for stretch, key in keyed),
    )]  # fmt: skip
    said: list[Sentence] = [
        _compared(one, stretch, key, base)
        for stretch, key in keyed if base is not None and stretch.model == "scratch"
    ]  # fmt: skip
    if said:
        factor = published.SECONDS["scratch"] / published.SECONDS["torch"]
        blocks.append(Paragraph((
            *joined(said), " Published was a factor of ",
            Number("published.slower", factor, "tenth", method=published.LABEL),
            ", of a loop in Python against nn.GRU on a graphics card: the factor belongs to the engines, not to the "
            "model.",
        )))  # fmt: skip
    return blocks


def _compared(one: Reproduction, stretch: TimedStretch, key: str, base: TimedStretch) -> Sentence:
    """Say how the scratch GRU's time compares with that of nn.GRU, as a factor above 1."""
    start = f"The scratch GRU on the {plain(stretch.engine)} engine "
    faster = _seconds_each(base) / _seconds_each(stretch)
    if faster < 1:
        return (f"{start}took ", _ratio(one, stretch, key, base),
                " times as long as the torch GRU on nn.GRU’s own.")  # fmt: skip
    return (f"{start}was ", one.number(f"stretch.{key}.faster", faster, "tenth", "times as fast as the torch GRU"),
            " times as fast as the torch GRU on nn.GRU’s own.")  # fmt: skip


def _row(one: Reproduction, stretch: TimedStretch, key: str, base: TimedStretch | None) -> tuple[Cell, ...]:
    def number(name: str, value: float, kind: Kind, method: str) -> Number:
        return one.number(f"stretch.{key}.{name}", value, kind, method)

    each = _seconds_each(stretch)
    return (
        model_name(stretch.model), plain(stretch.engine),
        number("threads", stretch.threads, "count", "threads of the processor"),
        number("iterations", stretch.iterations, "count", "iterations timed"),
        number("milliseconds", 1000 * each, "amount", "of one iteration"),
        number("whole", each * stretch.protocol_iterations, "amount", "worked out from the stretch, not measured"),
        _ratio(one, stretch, key, base),
    )  # fmt: skip


def _ratio(one: Reproduction, stretch: TimedStretch, key: str, base: TimedStretch | None) -> Number:
    value = None if base is None else _seconds_each(stretch) / _seconds_each(base)
    kind: Kind = "tenth" if value is None or value >= 1 else "score"
    return one.number(f"stretch.{key}.ratio", value, kind, "times the torch GRU on nn.GRU's own engine")


def _seconds_each(stretch: TimedStretch) -> float:
    return stretch.seconds / stretch.iterations
