"""Search policies compared on a table of runs: which sampler, pruner and final race find the best settings in a budget.

    python benchmarks/search.py train --out benchmarks/search.parquet         hours: 64 configurations with 3 seeds each
    python benchmarks/search.py replay benchmarks/search.parquet              15 minutes: each policy 300 times
    python benchmarks/search.py replay benchmarks/search.parquet --repetitions 50 --gp 0     a few minutes

`train` trains a table of configurations once: points of a scrambled Sobol sequence, each with some seeds, on a share of
the training reviews and validated on the whole validation split. The other settings are those of the bidirectional
study, with `--set` on top. The rows stand in a JSON-lines file beside the table as soon as they are there, and the same
command does what is missing. `--full N` also trains N configurations, evenly spread over the ranking, on all reviews,
with a seed of their own.

`replay` lets Optuna's samplers and pruners search the table. What they are told is what a search would be told:

- A trial is the nearest configuration of the table that was not tried yet (log lr, hidden size, layers and dropout,
  each scaled to [0, 1]) to the point that the sampler proposes. It is the table's point that Optuna gets to know, as
  the parameters of the trial. Random search draws from the table.
- Two workers run side by side on one clock of CPU seconds, so that samplers and pruners see what is known at that time.
- Seconds are those of full-size runs: training time divided by the share, as measured; a check costs what validating
  its reviews costs, and only policies that look at checks pay for it.
- In a repetition, one seed of the table, drawn at random, is that of the search. A race trains the best finalists with
  other seeds and takes the best mean over all of its seeds. The same repetition has the same seeds for all policies.
- All policies but `today` use the same seconds on average: 6, 12 or 24 times the mean full run. They begin no trial
  after a time that is shorter than the budget by what the runs after it take, as measured in repetitions that do not
  count. The table may be exhausted before that: then the search ends, with fewer seconds than the others.
- A policy chooses the complete trial with the best score, as a sweep does. Pruners see the best score so far.

In the names of policies, `25% at random` are the start-up trials as a share of the budget, counted in full runs;
`best of 3 from 2` is successive halving with reduction factor 3 that begins at the second check; `top 75 %` is a
percentile pruner; `race 3x2` trains three finalists with two fresh seeds each. `today` is a search of 6, 12 or 24
trials as gru-bench does it.

The true score of a configuration is its expected score over seeds, given all its runs in the table: its mean over the
seeds, shrunk by empirical Bayes. The prior is estimated without a form, by the EM algorithm from a flat start that is
stopped early (Laird 1978; Shen and Louis 1999); the noise is that of the upper half of the configurations. If prior and
noise are right, such an expectation does not depend on how a configuration was chosen, even if the choice has seen all
of its runs, so it is fair to policies with and without a race. (In simulations, the gain by a race is off by 0.01
points where seeds deviate by 0.3.) Plain means are not fair: the winner of a race has won by its luck, too, and a mean
over the same runs would count that as quality. Means over unseen seeds would be fair as well, but a race of three seeds
leaves none.

Regret is the best true score of the table minus that of the chosen configuration, and optimism what the search says
of the chosen one minus its true score, both in points of accuracy. Standard errors are those of the repetitions: the
runs in the table are the same for all policies, and another table would differ by more.

Shapes: `C` configurations, `S` seeds, `D` settings, `G` values of a grid, `R` repetitions.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.errors import GruBenchError, RunError

STUDY = MODEL = "bidirectional"
SPACE: Mapping[str, tuple[float, float, float | None]] = {
    "training.lr": (5e-4, 2e-2, None), "model.hidden_size": (32, 256, 32), "model.layers": (1, 2, 1),
    "model.dropout": (0.2, 0.7, 0.1)}
"""Setting -> low, high, step. Without a step, the scale is a log one."""
GOOD = {"training.lr": 5e-3, "model.hidden_size": 128, "model.layers": 1, "model.dropout": 0.5}
"""Settings that are known to do well."""
CHECKS = 4
"""Checks in an epoch."""
TRIALS, BUDGETS = 6, (1, 2, 4)
"""Trials of a study as it is today; the budgets are these multiples of it."""
PILOTS = 0.2
"""Repetitions that measure by how much a policy misses its budget, as a share of those that count."""
ROUNDS = 100
"""Rounds of the EM algorithm."""

Settings = Mapping[str, float]
Row = dict[str, Any]
Job = tuple[int, int, float]
"""Number of the configuration, seed, and share of the training reviews."""


def side_by_side(
    work: Callable[[Any], Any], jobs: Sequence[Any], processes: int, start: Callable[..., None], *arguments: Any,
) -> Iterator[Any]:
    """Iterate over the results of the jobs as they are done.

    Args:
        work: Function that does a job.
        jobs: They are begun in this order.
        processes: Number of processes. 1: this one.
        start: Function that is called once in each process, with the arguments.
    """
    if processes == 1:
        start(*arguments)
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=_child, initargs=(start, *arguments)) as pool:
        try:
            for done in as_completed([pool.submit(work, job) for job in jobs]):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _child(start: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    start(*arguments)


# ---------------------------------------------------------------- the space


def configurations(count: int) -> list[Settings]:
    """Return the first points of a scrambled Sobol sequence in the space, the same at each call."""
    from scipy.stats import qmc

    unit_CD = qmc.Sobol(len(SPACE), rng=0).random_base2(max(1, math.ceil(math.log2(count))))[:count]
    return [{key: _value(u, *SPACE[key]) for key, u in zip(SPACE, unit_D, strict=True)} for unit_D in unit_CD.tolist()]


def _value(u: float, low: float, high: float, step: float | None) -> float:
    if step is None:
        return float(f"{low * (high / low) ** u:.3g}")
    return round(low + step * math.floor(u * (round((high - low) / step) + 1)), 6)


def scaled(settings: Settings) -> list[float]:
    """Return the place of a point in the unit cube."""
    return [math.log(settings[key] / low, high / low) if step is None else (settings[key] - low) / (high - low)
            for key, (low, high, step) in SPACE.items()]


# ---------------------------------------------------------------- train


@dataclass(frozen=True)
class Recipe:
    """What all runs of the table share."""

    settings: Mapping[str, Any]
    share: float

    @cached_property
    def spec(self) -> Any:
        from gru_bench.sweep.spec import load_study

        return load_study(STUDY, settings={"training.threads": 1, **self.settings})

    def described(self, corpus: Any) -> dict[str, Any]:
        """Return what must be equal for rows to stand in one table."""
        from gru_bench.config import flat

        fixed = {key: value for key, value in flat(self.spec.config(MODEL, {}, 0)).items()
                 if key not in SPACE and key not in ("seed", "data.name", "data.test_name", "embedding.name")}
        return {**fixed, "embedding.name": Path(self.spec.base.embedding.name).name, "data": corpus.fingerprint,
                "share": self.share, "checks": CHECKS, "train": len(corpus.train),
                "validation": len(corpus.validation)}


class Trainer:
    """Trains runs in one process, with the corpus and the vectors in memory."""

    def __init__(self, recipe: Recipe) -> None:
        from gru_bench.data.corpus import load_corpus
        from gru_bench.data.vectors import load_vectors
        from gru_bench.train.placement import place

        self.spec = recipe.spec
        self.corpus = load_corpus(self.spec.base.data)
        self.vectors = load_vectors(self.spec.base.embedding, self.corpus)
        place(self.spec.config(MODEL, {}, 0))  # compiles the kernel, so that no run pays for it

    def part(self, share: float) -> Any:
        """Return the corpus with a share of its training reviews."""
        if share == 1:
            return self.corpus
        reviews = len(self.corpus.train)
        drawn = np.random.default_rng(0).permutation(reviews)[:round(share * reviews)]
        return replace(self.corpus, train=self.corpus.train.select(np.sort(drawn)))

    def __call__(self, job: Job) -> Row:
        """Train a run and return its row. Seconds are CPU seconds of this process since the run began."""
        from gru_bench.train.listener import Listener
        from gru_bench.train.loop import train

        number, seed, share = job
        settings = configurations(number + 1)[number]
        corpus, config = self.part(share), self.spec.config(MODEL, settings, seed)
        row: Row = {"configuration": number, **settings, "seed": seed, "share": share, "checks": [],
                    "check_seconds": [], "epochs": [], "epoch_seconds": [], "score": math.nan, "loss": math.nan}
        begun = time.process_time()

        def note(kind: str, score: float | None) -> None:
            row[f"{kind}s"].append(score)
            row[f"{kind}_seconds"].append(time.process_time() - begun)

        try:
            result = train(
                config, corpus, self.vectors, Listener(
                    epoch=lambda record: note("epoch", record.validation_accuracy),
                    check=lambda check: note("check", check.score)), checks=CHECKS)
        except RunError:
            return row | {"failed": True, "seconds": time.process_time() - begun}
        best = result.epochs[result.best_epoch - 1]
        return row | {"failed": False, "seconds": row["epoch_seconds"][-1], "score": best.validation_accuracy,
                      "loss": best.validation_loss}


_trainer: Callable[[Job], Row]
"""That of this process."""


def _start(recipe: Recipe) -> None:
    global _trainer
    _trainer = Trainer(recipe)


def _train(job: Job) -> Row:
    return _trainer(job)


class Rows:
    """The rows that are done, in a JSON-lines file whose first line is the recipe."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self.done = path, list[Row]()
        known, *rows = _lines(path) or [about]
        if known != about:
            changed = [f"{key} was {known.get(key)!r} and is now {about.get(key)!r}"
                       for key in {**known, **about} if known.get(key) != about.get(key)]
            raise SystemExit(f"the rows of a table must have one recipe, but in {path} {', '.join(changed)}: give the "
                             "settings that it began with, or another --out")
        self.done = rows
        text = "".join(f"{json.dumps(line)}\n" for line in (about, *rows))  # without a line that was cut off
        path.write_text(text, encoding="utf-8")

    def add(self, row: Row) -> None:
        """Store a row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")
        self.done.append(row)

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that have no row yet."""
        known = {(row["configuration"], row["seed"], row["share"]) for row in self.done}
        return [job for job in jobs if job not in known]


def _lines(path: Path) -> list[Any]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or was cut off


def write_table(path: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the rows to a Parquet file, in order, with the recipe in its metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    lists = dict.fromkeys(("checks", "check_seconds", "epochs", "epoch_seconds"), pa.list_(pa.float32()))
    kinds = {"configuration": pa.int16(), **dict.fromkeys(SPACE, pa.float64()), "seed": pa.int16(),
             "share": pa.float64(), **lists, "seconds": pa.float32(), "score": pa.float32(), "loss": pa.float32(),
             "failed": pa.bool_()}
    schema = pa.schema(list(kinds.items()), metadata={"about": json.dumps(about)})
    ordered = sorted(rows, key=lambda row: (row["share"], row["configuration"], row["seed"]))
    parquet.write_table(pa.Table.from_pylist(ordered, schema), path)


def spread(rows: Sequence[Row], share: float, count: int) -> list[int]:
    """Return the numbers of `count` configurations, evenly spread over the ranking by the mean score."""
    scores: dict[int, list[float]] = {}
    for row in rows:
        if row["share"] == share:
            scores.setdefault(row["configuration"], []).append(-math.inf if row["failed"] else row["score"])
    ranking = sorted(scores, key=lambda number: fmean(scores[number]))
    return [ranking[place] for place in np.linspace(0, len(ranking) - 1, min(count, len(ranking))).round().astype(int)]


def train_table(options: argparse.Namespace) -> None:
    """Train what the table lacks, and write it."""
    from rich.console import Console

    from gru_bench.config import parsed_settings
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors

    console = Console(highlight=False)
    named = {"data.name": options.data, "data.test_name": options.test_data, "embedding.name": options.embedding}
    settings = {**{key: name for key, name in named.items() if name is not None}, **parsed_settings(options.settings)}
    if searched := sorted(SPACE.keys() & settings):
        raise SystemExit(f"--set must leave alone what the table varies, but got {searched[0]}")
    if options.full and options.share == 1:
        raise SystemExit("--full is for tables of a share: all runs of this one are of full size")
    recipe = Recipe(settings, options.share)
    if recipe.spec.metric != "accuracy":
        raise SystemExit(f"training.metric must be accuracy, but got {recipe.spec.metric}")
    with console.status("preparing reviews and word vectors") as status:
        corpus = load_corpus(recipe.spec.base.data)
        load_vectors(recipe.spec.base.embedding, corpus)
        batches = math.ceil(options.share * len(corpus.train) / recipe.spec.base.training.batch_size)
        if batches < CHECKS:
            raise SystemExit(f"an epoch must have at least {CHECKS} batches, one for each check, but has {batches}: "
                             "raise --share or lower training.batch_size")
        about = json.loads(json.dumps(recipe.described(corpus)))  # lists for tuples, as the rows are read
        rows = Rows(options.out.with_suffix(".jsonl"), about)

        def do(jobs: list[Job]) -> None:
            missing = rows.missing(jobs)
            begun = time.monotonic()
            status.update(f"{len(missing)} of {len(jobs)} runs are to be trained")
            results = side_by_side(_train, missing, options.processes, _start, recipe) if missing else ()
            for count, row in enumerate(results, 1):
                rows.add(row)
                left = (time.monotonic() - begun) / count * (len(missing) - count)
                said = "failed" if row["failed"] else f"{100 * row['score']:.2f} %"
                console.print(f"{len(jobs) - len(missing) + count}/{len(jobs)}  configuration {row['configuration']} "
                              f"seed {row['seed']}: {said}, {row['seconds']:.0f} CPU s; about {left / 60:.0f} min left")

        try:
            do([(number, seed, options.share) for seed in range(options.seeds)
                for number in range(options.configurations)])
            do([(number, options.seeds, 1.0) for number in spread(rows.done, options.share, options.full)])
        except KeyboardInterrupt:
            console.print(f"stopped; {rows.path} holds {len(rows.done)} rows, and the same command does the rest")
            raise SystemExit(130) from None
        finally:
            write_table(options.out, about, rows.done)
    console.print(f"{options.out} holds {len(rows.done)} rows, {options.out.stat().st_size / 1000:.0f} kB")


# ---------------------------------------------------------------- the table as a search sees it


@dataclass(frozen=True)
class Run:
    """A run of the table, with the CPU seconds since its begin that a full-size run without checks would take."""

    checks: Sequence[tuple[float, float]]
    """Seconds and score of each check."""
    epochs: Sequence[tuple[float, float]]
    check_seconds: float
    """Seconds that a check takes."""
    seconds: float
    score: float
    """That of the best epoch. NaN for a run that failed."""

    def reports(self, checks: bool) -> list[tuple[float, float]]:
        """Return seconds and best score so far at each report of a trial: at epochs, or at checks that are paid for."""
        points = [(seconds + count * self.check_seconds, score) for count, (seconds, score) in
                  enumerate(self.checks, 1)] if checks else self.epochs
        best = accumulate((score for _, score in points), max)
        return [(seconds, score) for (seconds, _), score in zip(points, best, strict=True)]

    def end(self, checks: bool) -> float:
        """Return the seconds of the whole run."""
        return self.seconds + (len(self.checks) * self.check_seconds if checks else 0)

    @classmethod
    def of(cls, row: Row, share: float, checked: float, validation: float) -> Run:
        """Return the run of a row.

        Args:
            row: The row.
            share: Share of the training reviews that it was trained on.
            checked: Reviews of a check divided by those of the validation split.
            validation: Seconds of a validation, for a run that failed before its first one.
        """
        each = validations(row)
        cost = checked * (fmean(each) if each else validation)
        validated = [0.0, *accumulate(each)]

        def full(seconds: float, checks: int, epochs: int) -> float:
            return (seconds - checks * cost - validated[epochs]) / share + validated[epochs]

        checks = [full(seconds, count, (count - 1) // CHECKS) for count, seconds in enumerate(row["check_seconds"], 1)]
        checks = list(accumulate(checks, max, initial=0.0))[1:]
        epochs = [checks[number * CHECKS - 1] + seconds for number, seconds in enumerate(each, 1)]
        end = full(row["seconds"], len(checks), len(each)) if row["failed"] else epochs[-1]
        return cls(list(zip(checks, row["checks"], strict=True)), list(zip(epochs, row["epochs"], strict=True)), cost,
                   max([end, *checks]), math.nan if row["failed"] else row["score"])


def validations(row: Row) -> list[float]:
    """Return the seconds of each validation: those between the last check of an epoch and its end."""
    return [max(0.0, end - row["check_seconds"][number * CHECKS - 1])
            for number, end in enumerate(row["epoch_seconds"], 1)]


@dataclass(frozen=True)
class Table:
    """The configurations that have a run with each seed."""

    settings: Sequence[Settings]
    runs: Sequence[Sequence[Run]]
    """Runs of each configuration, by seed."""
    true_C: NDArray[np.float64]

    @cached_property
    def place_CD(self) -> NDArray[np.float64]:
        return np.array([scaled(settings) for settings in self.settings])

    @cached_property
    def mean_seconds(self) -> float:
        """CPU seconds of a run that does not fail, on average."""
        return fmean(run.seconds for runs in self.runs for run in runs if not math.isnan(run.score))

    @cached_property
    def good(self) -> int:
        """The configuration that is nearest to the settings that are known to do well."""
        return self.nearest(GOOD, range(len(self.settings)))

    @property
    def seeds(self) -> int:
        return len(self.runs[0])

    def nearest(self, settings: Settings, among: Sequence[int]) -> int:
        """Return the configuration that is nearest to a point."""
        distance = ((self.place_CD[list(among)] - scaled(settings)) ** 2).sum(axis=1)
        return among[int(distance.argmin())]


def expected_scores(score_CS: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected score of each configuration given its scores with some seeds, by empirical Bayes."""
    mean_C: NDArray[np.float64] = score_CS.mean(axis=1)
    upper = score_CS[mean_C >= np.median(mean_C)]
    residual = upper - upper.mean(axis=1, keepdims=True) - upper.mean(axis=0) + upper.mean()
    deviation = math.sqrt((residual**2).sum() / (max(1, len(upper) - 1) * (upper.shape[1] - 1)) / upper.shape[1])
    if deviation < 1e-9:
        return mean_C
    grid_G = np.arange(mean_C.min(), mean_C.max() + deviation / 4, deviation / 4)
    likelihood_CG = np.exp(-(((mean_C[:, None] - grid_G) / deviation) ** 2) / 2)
    prior_G = np.ones(len(grid_G))
    for _ in range(ROUNDS):
        posterior_CG = likelihood_CG * prior_G
        posterior_CG /= posterior_CG.sum(axis=1, keepdims=True)
        prior_G = posterior_CG.mean(axis=0)
    expected_C: NDArray[np.float64] = posterior_CG @ grid_G
    return expected_C


def read_table(path: Path) -> tuple[Table, str]:
    """Return the table in a Parquet file, and what is to be said about it."""
    from pyarrow import parquet
    from scipy.stats import spearmanr

    from gru_bench.train.loop import CHECKED_REVIEWS

    stored = parquet.read_table(path)
    about, rows = json.loads(stored.schema.metadata[b"about"]), stored.to_pylist()
    small = [row for row in rows if row["share"] == about["share"]]
    of: dict[int, dict[int, Row]] = {}
    for row in small:
        of.setdefault(row["configuration"], {})[row["seed"]] = row
    seeds = sorted({row["seed"] for row in small})
    whole = {number: found for number, found in sorted(of.items()) if len(found) == len(seeds)}
    if len(seeds) < 2 or len(whole) < 2:
        raise SystemExit(f"a table must hold at least two configurations with each of at least two seeds, but {path} "
                         f"has {len(whole)} with {len(seeds)}: go on with train")
    checked = min(1, CHECKED_REVIEWS / about["validation"])
    usual = fmean(seconds for row in small for seconds in validations(row))
    runs = [[Run.of(found[seed], about["share"], checked, usual) for seed in seeds] for found in whole.values()]
    score_CS = np.array([[run.score for run in of_one] for of_one in runs])
    true_C = expected_scores(np.nan_to_num(score_CS, nan=np.nanmin(score_CS)))
    table = Table([{key: found[seeds[0]][key] for key in SPACE} for found in whole.values()], runs, true_C)
    said = (f"{len(whole)} configurations with {len(seeds)} seeds on {about['share']:.0%} of {about['train']:,} "
            f"training reviews ({len(of) - len(whole)} incomplete, left out); {int(np.isnan(score_CS).sum())} runs "
            f"failed; a full run takes {table.mean_seconds:.0f} CPU s on average\n"
            f"true scores: best {100 * true_C.max():.2f} %, tenth best {100 * np.sort(true_C)[-10:][0]:.2f} %, median "
            f"{100 * np.median(true_C):.2f} %; the known-good point {_written(table.settings[table.good])} has "
            f"{100 * true_C[table.good]:.2f} %, rank {1 + int((true_C > true_C[table.good]).sum())}")
    full = {row["configuration"]: row["score"] for row in rows if row["share"] != about["share"]}
    both = [(true, full[number]) for number, true in zip(whole, true_C, strict=True) if number in full]
    if len(both) > 2:
        at_share, at_full = np.nan_to_num(np.array(both)).T
        said += (f"\nSpearman correlation between true score and score at full size: "
                 f"{spearmanr(at_share, at_full).statistic:.2f} (n = {len(both)})")
    return table, said


def _written(settings: Settings) -> str:
    return ", ".join(f"{key.partition('.')[2]} {value:g}" for key, value in settings.items())


# ---------------------------------------------------------------- replay


@dataclass(frozen=True)
class Policy:
    """A way to search."""

    sampler: str = "random"
    """random, tpe or gp."""
    startup: float | None = None
    """Share of the trials of the budget, counted in full runs, that are drawn at random first. None: five trials."""
    multivariate: bool | None = None
    """Whether TPE looks at all settings together. None: Optuna's default."""
    good: bool = True
    """Whether the first trial is the configuration that is known to do well."""
    pruner: str = ""
    """Class in `optuna.pruners`; empty for none."""
    label: str = ""
    """How the table calls the pruner."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Arguments of the class."""
    checks: bool = False
    """Whether the pruner sees checks; else it sees epochs."""
    race: tuple[int, int] | None = None
    """Number of finalists and of fresh seeds."""
    by_count: bool = False
    """Whether the budget is a number of trials."""

    @property
    def name(self) -> str:
        """Return what the policy is."""
        parts = [self.sampler]
        if self.sampler != "random":
            parts.append("5 at random" if self.startup is None else f"{self.startup:.0%} at random")
        if self.multivariate is not None:
            parts.append("multivariate" if self.multivariate else "univariate")
        parts += ["good first"] if self.good else []
        parts += [f"{self.label} at {'checks' if self.checks else 'epochs'}"] if self.pruner else []
        parts += [f"race {self.race[0]}x{self.race[1]}"] if self.race else []
        return ("today: " if self.by_count else "") + ", ".join(parts)

    def reserve(self) -> int:
        """Return the number of full runs that the race takes."""
        return self.race[0] * self.race[1] if self.race else 0


def policies() -> list[Policy]:
    """Return all policies, the baseline first."""
    from gru_bench.results.pruners import PRUNERS

    median = PRUNERS["median"]
    epochs = Policy(pruner=median.optuna, label="median", options=median.options)
    checks = Policy(pruner="MedianPruner", label="median", checks=True,
                    options={"n_startup_trials": 4, "n_warmup_steps": 2})
    lenient = Policy(pruner="PercentilePruner", label="top 75 %", checks=True,
                     options={"percentile": 75, "n_startup_trials": 2, "n_warmup_steps": 2})
    hyperband = Policy(pruner="HyperbandPruner", label="hyperband of 3", checks=True,
                       options={"min_resource": 1, "reduction_factor": 3})
    halving = {(least, factor): Policy(
        pruner="SuccessiveHalvingPruner", label=f"best of {factor} from {least}", checks=True,
        options={"min_resource": least, "reduction_factor": factor}) for least in (1, 2, 4) for factor in (2, 3, 4)}
    tpe: Any = {"sampler": "tpe", "startup": 1 / 4, "multivariate": True}
    best = replace(halving[2, 2], **tpe)
    return [
        replace(epochs, sampler="tpe", good=False, by_count=True), replace(epochs, sampler="tpe", good=False),
        Policy(good=False), Policy(), *(Policy(race=race) for race in ((2, 1), (3, 1), (3, 2))),
        Policy("tpe"), replace(Policy(), **tpe), Policy("tpe", 1 / 4, multivariate=False), Policy("gp", 1 / 4),
        epochs, checks, lenient, hyperband, *halving.values(),
        *(replace(one, **tpe) for one in (epochs, lenient, halving[1, 2], halving[4, 2], halving[2, 3], halving[4, 3])),
        best, replace(best, sampler="gp", multivariate=None), *(replace(best, race=race) for race in ((2, 1), (3, 1)))]


def table_sampler(table: Table, first: Sequence[int], sampler: Any, rng: np.random.Generator) -> Any:
    """Return a sampler of Optuna's whose proposals are configurations of the table, each of them once.

    Args:
        table: The table.
        first: Configurations to begin with.
        sampler: The sampler whose proposals are answered by the nearest configuration. None: draws from the table.
        rng: Source of these draws.
    """
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.samplers import BaseSampler

    distributions: dict[str, BaseDistribution] = {
        key: FloatDistribution(low, high, step=step, log=step is None) if step is None or step % 1
        else IntDistribution(int(low), int(high), step=int(step)) for key, (low, high, step) in SPACE.items()}

    class Nearest(BaseSampler):
        """Answers with the nearest configuration that is left."""

        def __init__(self) -> None:
            self.left, self.tried, self.first = list(range(len(table.settings))), list[int](), list(first)
            self.space = distributions

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
            return distributions

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            number = self._number(study, trial)
            self.left.remove(number)
            self.tried.append(number)
            return {key: kind.to_external_repr(table.settings[number][key]) for key, kind in distributions.items()}

        def _number(self, study: Any, trial: Any) -> int:
            if self.first:
                return self.first.pop(0)
            if sampler is None:
                return self.left[int(rng.integers(len(self.left)))]
            proposed = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
            return table.nearest({key: proposed[key] if key in proposed else sampler.sample_independent(
                study, trial, key, kind) for key, kind in distributions.items()}, self.left)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            raise AssertionError("all settings are sampled together")

        def before_trial(self, study: Any, trial: Any) -> None:
            if sampler is not None:
                sampler.before_trial(study, trial)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            if sampler is not None:
                sampler.after_trial(study, trial, state, values)

    return Nearest()


def _sampler(policy: Policy, trials: int, seed: int) -> Any:
    import optuna

    if policy.sampler == "random":
        return None
    startup = 5 if policy.startup is None else max(2, round(policy.startup * trials))
    if policy.sampler == "gp":
        import torch

        torch.set_num_threads(1)
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
    more: Any = {} if policy.multivariate is None else {"multivariate": policy.multivariate}
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, **more)


@dataclass(frozen=True)
class Outcome:
    """What one repetition of a policy has come to."""

    tried: Sequence[int]
    """The configurations, in the order in which they were begun."""
    chosen: int
    score: float
    """What the search says of the chosen configuration."""
    seconds: float


def search(
    table: Table, policy: Policy, *, until: float, trials: int, workers: int = 2, rng: np.random.Generator,
) -> Outcome:
    """Search the table once.

    Args:
        table: The table.
        policy: The way to search.
        until: CPU seconds of all workers after which no trial is begun.
        trials: Trials of the budget, counted in full runs. The search ends after so many if the policy says so.
        workers: Number of trials that run side by side.
        rng: Source of the search's seed, of the sampler, and of the order of fresh seeds.
    """
    import optuna
    from optuna.trial import TrialState

    seed, *fresh = rng.permutation(table.seeds).tolist()
    number = int(rng.integers(2**31))
    sampler = table_sampler(table, [table.good] if policy.good else [], _sampler(policy, trials, number), rng)
    options = dict(policy.options)
    if policy.pruner == "HyperbandPruner":
        options["max_resource"] = max(len(run.checks) for runs in table.runs for run in runs)
    pruner = getattr(optuna.pruners, policy.pruner or "NopPruner")(**options)
    study = optuna.create_study(study_name=str(number), direction="maximize", sampler=sampler, pruner=pruner)
    seen: list[tuple[int, float, int]] = []
    """Whether a trial is complete, its score, and its configuration."""
    events: list[tuple[float, int, int, float]] = []
    """Seconds, number of the trial, number of its next report, and when it began."""
    running: dict[int, tuple[Any, Run, list[tuple[float, float]]]] = {}
    seconds = now = 0.0

    def begin() -> None:
        if workers * now >= until or not sampler.left or (policy.by_count and len(sampler.tried) >= trials):
            return
        trial = study.ask(sampler.space)
        run = table.runs[sampler.tried[-1]][seed]
        running[trial.number] = trial, run, run.reports(policy.checks) if policy.pruner else []
        push(trial.number, 0, now)

    def push(place: int, report: int, begun: float) -> None:
        _, run, reports = running[place]
        after = reports[report][0] if report < len(reports) else run.end(policy.checks)
        heapq.heappush(events, (begun + after, place, report, begun))

    for _ in range(workers):
        begin()
    while events:
        now, place, report, begun = heapq.heappop(events)
        trial, run, reports = running[place]
        configuration, failed = sampler.tried[place], math.isnan(run.score)
        if report < len(reports):
            trial.report(reports[report][1], report + 1)
            if (report + 1 == len(reports) and not failed) or not trial.should_prune():
                push(place, report + 1, begun)
                continue
            study.tell(trial, state=TrialState.PRUNED)
            seen.append((0, reports[report][1], configuration))
        elif failed:
            study.tell(trial, state=TrialState.FAIL)
            seen.append((-1, -math.inf, configuration))
        else:
            study.tell(trial, run.score)
            seen.append((1, run.score, configuration))
        seconds += now - begun
        begin()
    seen.sort(key=lambda one: one[:2], reverse=True)
    best = [(score, configuration) for _, score, configuration in seen]
    if policy.race is None:
        return Outcome(sampler.tried, best[0][1], best[0][0], seconds)
    finalists, count = policy.race
    score, chosen, more = raced(table, best[:finalists], fresh[:count])
    return Outcome(sampler.tried, chosen, score, seconds + more)


def raced(table: Table, finalists: Sequence[tuple[float, int]], fresh: Sequence[int]) -> tuple[float, int, float]:
    """Train the finalists on fresh seeds and return the best mean score, its configuration, and the seconds.

    Args:
        table: The table.
        finalists: Score and configuration of each.
        fresh: Seeds that the search has not seen.
    """
    runs = [[table.runs[configuration][seed] for seed in fresh] for _, configuration in finalists]
    means = [fmean((score, *(-math.inf if math.isnan(run.score) else run.score for run in of_one)))
             for (score, _), of_one in zip(finalists, runs, strict=True)]
    best = int(np.argmax(means))
    return means[best], finalists[best][1], sum(run.seconds for of_one in runs for run in of_one)


@dataclass(frozen=True)
class Found:
    """All repetitions of a policy with a budget."""

    policy: Policy
    budget: int
    outcomes: Sequence[Outcome]

    def regrets(self, table: Table) -> NDArray[np.float64]:
        """Return the regret of each repetition, in points."""
        points_R: NDArray[np.float64] = 100 * (
            table.true_C.max() - table.true_C[[outcome.chosen for outcome in self.outcomes]])
        return points_R

    def optimism(self, table: Table) -> float:
        """Return the mean optimism, in points."""
        return 100 * fmean(outcome.score - table.true_C[outcome.chosen] for outcome in self.outcomes)


def is_possible(policy: Policy, budget: int, seeds: int) -> bool:
    """Return whether a race leaves a search of at least two full runs, and seeds to race with."""
    return policy.race is None or (policy.race[1] < seeds and TRIALS * budget - policy.reserve() >= 2)


def repeated(
    table: Table, policy: Policy, budget: int, repetitions: int, workers: int = 2, seed: int = 0,
) -> Found:
    """Search the table again and again, with the same seconds on average as all policies of this budget."""
    trials = TRIALS * budget
    seconds = trials * table.mean_seconds

    def outcomes(until: float, count: int, stream: int) -> list[Outcome]:
        return [search(table, policy, until=until, trials=trials, workers=workers,
                       rng=np.random.default_rng([seed, stream, repetition])) for repetition in range(count)]

    until = math.inf
    if not policy.by_count:
        until = seconds - policy.reserve() * table.mean_seconds
        pilots = outcomes(until, max(3, round(PILOTS * repetitions)), 1)
        missed = fmean(outcome.seconds for outcome in pilots) - seconds
        until = max(until - missed, 1e-9)
    return Found(policy, budget, outcomes(until, repetitions, 0))


def _prepare() -> None:
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def _repeated(job: tuple[Table, Policy, int, int, int, int]) -> Found:
    return repeated(*job)


def results(table: Table, found: Sequence[Found], budget: int) -> list[tuple[str, ...]]:
    """Return the rows of the printed table of a budget, in the order of the regrets."""
    of_budget = [one for one in found if one.budget == budget]
    today = next((one.regrets(table) for one in of_budget if one.policy.by_count), None)
    lines: list[tuple[str, ...]] = []
    for one in sorted(of_budget, key=lambda one: one.regrets(table).mean()):
        regret = one.regrets(table)
        apart = "" if today is None or one.policy.by_count else _with_error(regret - today[:len(regret)], "+")
        lines.append((
            one.policy.name, f"{fmean(len(outcome.tried) for outcome in one.outcomes):.1f}", _with_error(regret, ""),
            apart, f"{one.optimism(table):+.2f}", f"{fmean(outcome.seconds for outcome in one.outcomes):,.0f}",
            str(len(regret))))
    return lines


def _with_error(values: NDArray[np.float64], sign: str) -> str:
    return f"{values.mean():{sign}.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def replay(options: argparse.Namespace) -> None:
    """Print how the policies fare."""
    from rich.console import Console
    from rich.table import Table as Printed

    console = Console(width=140, highlight=False)
    table, said = read_table(options.table)
    print(said)
    chosen = [policy for policy in policies() if options.policies in policy.name or policy.by_count]
    repetitions = {policy.name: options.gp if policy.sampler == "gp" else options.repetitions for policy in chosen}
    jobs = [(table, policy, budget, repetitions[policy.name], options.workers, options.seed)
            for budget in options.budgets for policy in chosen
            if repetitions[policy.name] and is_possible(policy, budget, table.seeds)]
    found: list[Found] = []
    longest_first = sorted(jobs, key=lambda job: (job[1].sampler != "gp", -job[2]))
    with console.status("replaying") as status:
        for one in side_by_side(_repeated, longest_first, options.processes, _prepare):
            found.append(one)
            status.update(f"{len(found)} of {len(jobs)} policies and budgets")
    columns = ("policy", "begun", "regret", "regret - today's", "optimism", "CPU seconds", "repetitions")
    for budget in options.budgets:
        title = (f"{TRIALS * budget} full runs, {TRIALS * budget * table.mean_seconds:,.0f} CPU seconds, "
                 f"{options.workers} workers; points of accuracy ± standard error")
        lines = results(table, found, budget)
        if options.markdown:
            rule = ("---", *["---:"] * (len(columns) - 1))
            print(f"\n{title}\n", *(f"| {' | '.join(cells)} |" for cells in (columns, rule, *lines)), sep="\n")
            continue
        printed = Printed(title=title)
        for column in columns:
            printed.add_column(column, justify="left" if column == "policy" else "right")
        for cells in lines:
            printed.add_row(*cells)
        console.print(printed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train the table, or what it lacks")
    one.set_defaults(command=train_table)
    one.add_argument("--out", type=Path, required=True, help="the Parquet file")
    one.add_argument("--data", metavar="NAME|FILE", help="the reviews (default the study's)")
    one.add_argument("--test-data", metavar="FILE", help="the test reviews, in a file of their own")
    one.add_argument("--embedding", metavar="NAME|FILE", help="the word vectors (default the study's)")
    one.add_argument("--share", type=float, default=0.2, help="share of the training reviews (default 0.2)")
    one.add_argument("--configurations", type=int, default=64, help="number of configurations (default 64)")
    one.add_argument("--seeds", type=int, default=3, help="runs of each configuration (default 3)")
    one.add_argument("--full", type=int, default=0, metavar="N", help="configurations that are also trained on all "
                     "reviews (default 0)")
    one.add_argument("--processes", type=int, default=2, help="runs side by side, a thread each (default 2)")
    one.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
                     help="any other setting of every run; may be repeated")
    two = commands.add_parser("replay", help="compare search policies on the table")
    two.set_defaults(command=replay)
    two.add_argument("table", type=Path, metavar="TABLE", help="the Parquet file")
    two.add_argument("--repetitions", type=int, default=300, help="searches of each policy (default 300)")
    two.add_argument("--gp", type=int, default=10, metavar="N", help="searches with a Gaussian process, which takes "
                     "a hundred times as long as TPE (default 10; 0 leaves it out)")
    two.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="multiples of six full runs "
                     "(default 1 2 4)")
    two.add_argument("--policies", default="", metavar="TEXT", help="only policies whose name holds this text, and "
                     "today's")
    two.add_argument("--workers", type=int, default=2, help="simulated workers (default 2)")
    two.add_argument("--processes", type=int, default=2, help="parallel processes; results are the same (default 2)")
    two.add_argument("--seed", type=int, default=0, help="random seed of all draws (default 0)")
    two.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args(arguments)
    try:
        options.command(options)
    except GruBenchError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
