"""Console log of a run, line by line: losses by window, sizes, training time and test results."""

from __future__ import annotations

from collections.abc import Iterator

from gru_bench.evaluation.metrics import confusion, predicted
from gru_bench.results.runs import Predictions, RunResult, WindowLoss

SHOWN_EVERY = 500
"""Every how many test reviews a prediction is shown."""
CLASS_NAMES = ("negative", "positive")


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
        yield from _test_lines(result.predictions["test"])


def _test_lines(test: Predictions) -> Iterator[str]:
    label_N = predicted(test.probability_N)
    for n in range(SHOWN_EVERY - 1, len(test), SHOWN_EVERY):
        probability = test.probability_N[n] if label_N[n] else 1 - test.probability_N[n]
        yield (f"test review {n + 1:,}: predicted {CLASS_NAMES[int(label_N[n])]} ({100 * probability:.0f} %), "
               f"is {CLASS_NAMES[test.label_N[n]]}")
    table = confusion(test.label_N, test.probability_N)
    hits = table.true_positive + table.true_negative
    yield f"test accuracy {100 * table.accuracy:.2f} % ({hits:,} of {table.total:,})"
    yield "confusion matrix     predicted negative  predicted positive"
    yield f"         is negative {table.true_negative:>18,}  {table.false_positive:>18,}"
    yield f"         is positive {table.false_negative:>18,}  {table.true_positive:>18,}"
