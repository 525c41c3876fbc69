"""The timing benchmark of a study of the homework's protocol: each model timed alone, with its backend."""

from __future__ import annotations

from gru_bench.report.document.blocks import Block, Cell, Column, Paragraph, Table
from gru_bench.report.document.numbers import plain, slug
from gru_bench.report.evidence.groups import model_name
from gru_bench.report.homework.reproduction import Reproduction


def timings(one: Reproduction) -> list[Block]:
    """Return the time of each model on each backend."""
    base = next((timing for timing in one.timings if timing.model == timing.backend == "torch"), None)
    rows: list[tuple[Cell, ...]] = []
    for timing in one.timings:
        key = f"timing.{slug(timing.model)}-{slug(timing.backend)}"
        each = timing.seconds_each
        ratio = None if base is None else each / base.seconds_each
        ratio_shown = one.numbers.add(f"{key}.ratio", ratio, "score" if ratio is not None and ratio < 1 else "tenth",
                                 "times the torch GRU on nn.GRU's own backend")
        rows.append((
            model_name(timing.model),
            plain(timing.backend if timing.device == "cpu" else f"{timing.backend} on {timing.device}"),
            one.numbers.add(f"{key}.threads", timing.threads, "count", "threads of the processor"),
            one.numbers.add(f"{key}.iterations", timing.iterations, "count", "iterations timed"),
            one.numbers.add(f"{key}.milliseconds", 1000 * each, "amount", "of one iteration"),
            one.numbers.add(f"{key}.whole", each * timing.protocol_iterations, "amount", "extrapolated, not measured"),
            ratio_shown,
        ))
    if not rows:
        return [Paragraph((f"{one.titled('No model was timed')}.",))]
    title = one.titled("Timing benchmark")
    table = Table(
        f"{one.numbers.key}-times", title,
        (f"{title}: each model timed separately. The seconds of a complete run are extrapolated. Ratio: the time "
         "divided by that of the torch GRU on its own backend.",),
        (Column("Model", align="left", width=3.3), Column("Backend", align="left", width=1.9), Column("Threads"),
         Column("Iterations timed"), Column("ms each"),
         Column("Whole run", "s"),
         Column("Ratio")),
        tuple(rows),
    )
    return [table]
