"""Console log of a run, line by line: losses by window, sizes, training time and test results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gru_bench.results.runs import Predictions, RunResult, WindowLoss
from gru_bench.stats.metrics import confidence, counts, predicted

SHOWN_EVERY = 500
"""Every how many test texts a prediction is shown."""
MOST_SHOWN = 10
"""Largest number of classes whose confusion matrix is shown."""


def window_line(point: WindowLoss) -> str:
    """Return the line for the end of a window of iterations: epoch, iteration, time and mean loss of the window."""
    return f"epoch {point.epoch}  iteration {point.iteration:,}  {point.seconds:.1f} s  loss {point.loss:.4f}"


def result_lines(result: RunResult) -> Iterator[str]:
    """Yield lines with the model's size, lowest loss, training time and test results."""
    yield f"{result.parameter_tensors} parameter tensors, {result.parameters:,} parameters; backend {result.backend}"
    if result.window_losses:
        lowest = min(result.window_losses, key=lambda point: point.loss)
        yield f"lowest loss {lowest.loss:.4f} at iteration {lowest.iteration:,} in epoch {lowest.epoch}"
    yield f"trained for {result.train_seconds:.1f} s"
    if "test" in result.predictions:
        yield from _test_lines(result.predictions["test"], result.classes)


def _test_lines(test: Predictions, classes: Sequence[str]) -> Iterator[str]:
    predicted_N, confidence_N = predicted(test.probability_NC), confidence(test.probability_NC)
    for n in range(SHOWN_EVERY - 1, len(test), SHOWN_EVERY):
        yield (f"test text {n + 1:,}: predicted {classes[predicted_N[n]]} ({100 * confidence_N[n]:.0f} %), "
               f"is {classes[test.label_N[n]]}")
    count_CC = counts(test.label_N, predicted_N, len(classes))
    hits = int(np.trace(count_CC))
    yield f"test accuracy {100 * hits / len(test):.2f} % ({hits:,} of {len(test):,})"
    if len(classes) > MOST_SHOWN:
        return
    headings = [f"predicted {name}" for name in classes]
    first = max(len("confusion matrix    "), *(len(f"is {name}") for name in classes))
    yield "  ".join(["confusion matrix".ljust(first), *headings])
    for name, count_C in zip(classes, count_CC.tolist(), strict=True):
        yield "  ".join([f"is {name}".rjust(first), *(
            f"{count:,}".rjust(len(heading)) for count, heading in zip(count_C, headings, strict=True))])
