"""The script that draws pictures of docs/explanation.md: `python docs/explanation/draw.py`.
With `--batches` it counts distinct words and padding instead.

Their numbers are computed from the confirmation runs in reports/example. Run it after you change a drawing. The
pictures gates.svg and gradients.svg come from `gru-bench diagnose`; the page names the commands.

Shapes: `R` seeds of a model, `N` test reviews.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations, product
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import NDArray

from gru_bench.report.figures.style import COLORS
from gru_bench.stats.estimate import Values, accuracy_interval, estimate

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parents[1] / "reports" / "example"
INK, FAINT, PALE = "#24292f", "#6e7781", "#d0d7de"
MODELS = {"scratch": "Scratch GRU", "torch": "Torch GRU", "bidirectional": "Bidirectional GRU"}

Interval = tuple[float, float]
Groups = NDArray[np.str_] | None


# ---------------------------------------------------------------- numbers


@cache
def right_answers(study: str) -> dict[str, NDArray[np.bool_]]:
    """Return for each model of an example study whether each seed is right on each test review, R x N."""
    found: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for model, seed, table in _predictions(study):
        right_N = (table["probability"].to_numpy() > 0.5) == table["label"].to_numpy()
        found.setdefault(model, {})[seed] = right_N
    return {model: np.stack([by_seed[seed] for seed in sorted(by_seed)]) for model, by_seed in found.items()}


@cache
def groups(study: str) -> NDArray[np.str_] | None:
    """Return the group of each test review of an example study; None where its data have none."""
    _, _, table = next(_predictions(study))
    return table["group"].to_numpy().astype(np.str_) if "group" in table.column_names else None


def _predictions(study: str) -> Iterator[tuple[str, int, pa.Table]]:
    """Yield the model, the seed and the test predictions of each confirm run of an example study."""
    with zipfile.ZipFile(EXAMPLES / f"{study}.study") as archive:
        for run in json.loads(archive.read("runs.json"))["runs"]:
            tags = run["tags"]
            if tags.get("gru_bench.role") != "confirm" or tags.get("gru_bench.complete") != "true":
                continue
            path = f"artifacts/{run['run_id']}/predictions/test.parquet"
            yield (tags["gru_bench.model"], int(tags["gru_bench.seed"]),
                   pq.read_table(io.BytesIO(archive.read(path))))


def best_of(score_R: NDArray[np.float64], k: int) -> float:
    """Return the mean over all choices of k seeds of the best score among the k."""
    return float(np.mean([max(chosen) for chosen in combinations(score_R, k)]))


def over_seeds(right_RN: NDArray[np.bool_], _: Groups) -> Interval:
    """Return the 95 % percentile interval of a bootstrap over seeds only, from all R^R draws, as shares."""
    score_R = right_RN.mean(axis=1)
    low, high = np.quantile([np.mean(drawn) for drawn in product(score_R, repeat=len(score_R))], [0.025, 0.975])
    return float(low), float(high)


def over_reviews(right_RN: NDArray[np.bool_], group_N: Groups) -> Interval:
    """Return the 95 % interval over reviews only, for these very seeds, as shares."""
    found = estimate(Values(right_RN.mean(axis=0, keepdims=True)), group_N=group_N)
    return found.low, found.high


def over_both(right_RN: NDArray[np.bool_], group_N: Groups) -> Interval:
    """Return the 95 % interval of a report, as shares."""
    found = accuracy_interval(right_RN, group_N=group_N)
    return found.low, found.high


INTERVALS: Mapping[str, Callable[[NDArray[np.bool_], Groups], Interval]] = {
    "seeds only": over_seeds, "reviews only": over_reviews, "both (the report's)": over_both}
SHOWN = {"bidirectional": ("bidirectional", "Bidirectional GRU, tuned"), "torch": ("torch", "Torch GRU, tuned"),
         "homework": ("torch", "Torch GRU, homework")}
"""Example study -> its model whose intervals are drawn, and the words beside it."""


# ---------------------------------------------------------------- drawings


def _plot(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, height), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("test accuracy, %")
    return figure, axes


def seeds() -> Figure:
    """Draw the seeds of the homework's three models, with the mean and the best of each."""
    figure, axes = _plot(2.5)
    for place, (model, name) in enumerate(MODELS.items()):
        score_R = 100 * right_answers("homework")[model].mean(axis=1)
        axes.plot(score_R, [place] * len(score_R), "o", color=COLORS[0], markersize=6, alpha=0.55, markeredgewidth=0)
        axes.plot(score_R.max(), place, "o", color=COLORS[1], markersize=8, markeredgewidth=0)
        axes.plot([score_R.mean()] * 2, [place - 0.22, place + 0.22], color=INK, linewidth=2)
        axes.text(score_R.max() + 0.07, place, f"{score_R.max():.1f}", va="center", color=COLORS[1], size=9)
        axes.text(score_R.mean(), place - 0.3, f"{score_R.mean():.1f}", ha="center", color=INK, size=9)
        axes.text(85.1, place - 0.3, name, color=INK, size=9.5)
    axes.set(ylim=(2.6, -0.75), xlim=(85.1, 87.6), yticks=[])
    return figure


def intervals() -> Figure:
    """Draw three intervals of the same accuracy: over seeds, over reviews, over both."""
    figure, axes = _plot(3.4)
    for group, (study, (model, name)) in enumerate(SHOWN.items()):
        right_RN = right_answers(study)[model]
        axes.text(83.8, 4.2 * group, f"{name}: {100 * right_RN.mean():.1f} %", color=INK, size=9.5, va="center")
        for line, (words, interval) in enumerate(INTERVALS.items()):
            place = 4.2 * group + 0.95 * (line + 1)
            low, high = (100 * end for end in interval(right_RN, groups(study)))
            axes.plot([low, high], [place, place], color=COLORS[(1, 0, 2)[line]], linewidth=4, solid_capstyle="butt")
            axes.plot(100 * right_RN.mean(), place, "o", color="white", markeredgecolor=INK, markersize=4.5)
            axes.text(high + 0.08, place, words, va="center", color=FAINT, size=8.5)
    axes.set(ylim=(12.1, -0.7), xlim=(83.8, 90.6), yticks=[])
    return figure


REVIEWS = ("a dull film with a dull end", "a good film", "a good end")
"""Reviews of the picture of the kernel."""


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=FAINT, linewidth=1.2,
                                   shrinkA=0, shrinkB=0))


def _cell(axes: Axes, x: float, y: float, words: str, face: str, edge: str = INK, width: float = 13) -> None:
    axes.add_patch(Rectangle((x, y), width, 7, facecolor=face, edgecolor=edge, linewidth=0.7))
    axes.text(x + width / 2, y + 3.4, words, ha="center", va="center", size=8.5, color=INK)


def kernel() -> Figure:
    """Draw the reviews of a batch padded, and as the kernel takes them: distinct words, then ragged steps."""
    figure = Figure(figsize=(5.2, 5.0), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 104), ylim=(100, 0))
    axes.set_axis_off()
    lines = [review.split() for review in REVIEWS]
    longest, count = max(map(len, lines)), sum(map(len, lines))
    distinct = list(dict.fromkeys(word for line in lines for word in line))
    blue, amber = "#dbeaf5", "#fbe6d3"

    def heading(y: float, words: str, more: str) -> None:
        axes.text(4, y, words, size=9.5, weight="bold", color=INK, va="center")
        axes.text(4, y + 5, more, size=8.5, color=FAINT, va="center")

    heading(5, "Padded", f"{longest * len(lines)} steps for {count} words")
    for row, line in enumerate(lines):
        for place in range(longest):
            word = line[place] if place < len(line) else ""
            _cell(axes, 4 + 13.6 * place, 13.5 + 7.6 * row, word, blue if word else "white", INK if word else PALE)
    heading(42, "The kernel: each distinct word once",
            f"W x for {len(distinct)} words, in one large product")
    for place, word in enumerate(distinct):
        _cell(axes, 4 + 13.6 * place, 50.5, word, amber)
    _arrow(axes, (52, 59), (52, 65))
    heading(68, "Then step by step, and a review that ends leaves",
            f"U h for {count} words; reviews side by side share each pass over U")
    for row, line in enumerate(lines):
        for place, word in enumerate(line):
            _cell(axes, 4 + 13.6 * place, 76.5 + 7.6 * row, word, blue)
    return figure


PICTURES: Mapping[str, Callable[[], Figure]] = {"seeds": seeds, "intervals": intervals, "kernel": kernel}
"""Name -> its drawing."""


def svg(name: str) -> bytes:
    """Return a picture. Its letters stay letters, so that it is small."""
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        buffer = io.BytesIO()
        PICTURES[name]().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    lines = buffer.getvalue().decode().splitlines()
    return ("\n".join(line.rstrip() for line in lines) + "\n").encode()


def count_batches() -> None:
    """Print the shares of distinct words and of padding in batches of 64 of the built-in reviews, 8,000 of them."""
    from gru_bench.config import RunConfig, with_settings
    from gru_bench.data.batches import batches, encode
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors

    config = with_settings(RunConfig(), {"data.limit": 8000})
    corpus = load_corpus(config.data)
    encoded = encode(corpus.train, load_vectors(config.embedding, corpus), config.data.max_length)
    for words, bucket in (("of similar length", True), ("drawn at random", False)):
        found = list(batches(encoded, 64, generator=np.random.default_rng(0), bucket=bucket))
        tokens = sum(int(batch.length_B.sum()) for batch in found)
        cells = sum(int(batch.length_B.max()) * len(batch.length_B) for batch in found)
        distinct = sum(len(batch.distinct_U) for batch in found)
        print(f"batches {words}: {100 * distinct / tokens:.0f} % of the words are distinct, "
              f"{100 * (1 - tokens / cells):.0f} % of the rectangle is padding")


def main() -> None:
    """Write all pictures, and print the numbers that the page quotes."""
    for name in PICTURES:
        (FOLDER / f"{name}.svg").write_bytes(svg(name))
    for model, name in MODELS.items():
        score_R = 100 * right_answers("homework")[model].mean(axis=1)
        best = ", ".join(f"{k}: {best_of(score_R, k):.2f}" for k in range(1, len(score_R) + 1))
        print(f"homework, {name}, mean of the best of k seeds: {best}")
    for study, (model, name) in SHOWN.items():
        for words, interval in INTERVALS.items():
            low, high = (100 * end for end in interval(right_answers(study)[model], groups(study)))
            print(f"{name}, {words}: {low:.2f} to {high:.2f}")
    print(f"wrote {len(PICTURES)} pictures to {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    count_batches() if sys.argv[1:] == ["--batches"] else main()
