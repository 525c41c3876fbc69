"""A fraction of a study whose trials are drawn beforehand, so that all contenders train the same trials."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_TRIALS = 4
"""A median pruner compares only after four trials have ended. Until then all contenders train the same epochs."""


@dataclass(frozen=True)
class Fraction:
    """The study, and how much of it is run."""

    study: str
    trials: int
    confirm: int
    epochs: int | None
    limit: int | None
    settings: tuple[str, ...]

    def spec(self) -> Any:
        """Return the specification of the study as it will run."""
        from gru_bench.config import parsed_settings
        from gru_bench.sweep.spec import load_study

        settings = {"data.limit": self.limit, "training.epochs": self.epochs}
        settings = {key: value for key, value in settings.items() if value is not None}
        return load_study(self.study, trials=self.trials, confirm=self.confirm,
                          settings={**settings, **parsed_settings(list(self.settings))})

    def described(self) -> str:
        """Return a description of the fraction."""
        from gru_bench.sweep.spec import load_study

        whole, spec = load_study(self.study), self.spec()
        parts = [f"{spec.trials} of {whole.trials} trials", f"{spec.confirm} of {whole.confirm} confirmation runs",
                 f"{spec.base.training.epochs} of {whole.base.training.epochs} epochs",
                 f"{spec.base.data.limit:,} reviews" if spec.base.data.limit else "all reviews"]
        if len(spec.models) > 1:
            parts.append(f"for each of {', '.join(spec.models)}")
        return f"{spec.name}: " + ", ".join([*parts, *self.settings])

    def drawn(self) -> dict[str, list[dict[str, Any]]]:
        """Return the settings of each model's trials, the same at each call."""
        spec = self.spec()
        return {model: [{key: _value(span, random.Random(f"{model}:{key}:{number}")) for key, span in
                         spec.space.items()} for number in range(spec.trials)] for model in spec.models}

    def command(self) -> list[str]:
        """Return the sweep command, to be run in a folder that `queue` has prepared."""
        options = ["--study", self.study, "--trials", str(self.trials), "--confirm", str(self.confirm)]
        epochs = self.spec().base.training.epochs  # of all reviews: a sweep would choose more for fewer
        for name, value in {"--epochs": epochs, "--limit": self.limit}.items():
            options += [name, str(value)] if value is not None else []
        for setting in self.settings:
            options += ["--set", setting]
        return options

    def queue(self, folder: Path) -> None:
        """Queue the trials in a search in `folder`, which a sweep that starts there will continue."""
        import optuna

        from gru_bench.sweep.sharing import JOURNAL
        from gru_bench.sweep.sharing.storage import open_storage
        from gru_bench.sweep.study import FORMAT, FORMAT_KEY

        storage = open_storage(str(folder / JOURNAL))
        record = optuna.create_study(study_name=self.spec().name, storage=storage, direction="maximize")
        record.set_user_attr(FORMAT_KEY, FORMAT)
        for model, trials in self.drawn().items():
            search = optuna.create_study(
                study_name=f"{self.spec().name}/{model}", storage=storage, direction="maximize")
            for settings in trials:
                search.enqueue_trial(settings)

    def warm(self) -> None:
        """Fill the caches (reviews, word vectors, baselines, numba's compiled kernel) in a child process."""
        process = multiprocessing.get_context("spawn").Process(target=warmed, args=(self,))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the data could not be prepared; the message is above")


def warmed(fraction: Fraction) -> None:
    """Fill the caches in this process, for `Fraction.warm`."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.kernels import fused as kernels
    from gru_bench.stats.baseline import baselines

    spec = fraction.spec()
    corpus = load_corpus(spec.base.data)
    load_vectors(spec.base.embedding, corpus)
    baselines(corpus)
    kernels.unavailable()


def add_arguments(parser: argparse.ArgumentParser, *, trials: int, confirm: int) -> None:
    """Let the fraction be chosen on the command line."""
    parser.add_argument("--study", default="bidirectional", help="a study's name or TOML file (default bidirectional)")
    parser.add_argument("--trials", type=int, choices=range(1, MOST_TRIALS + 1), default=trials,
                        help=f"trials of each model (default {trials}); with more, the pruner would stop different "
                        "trials for each contender")
    if confirm:
        parser.add_argument("--confirm", type=int, default=confirm, help=f"confirmation runs (default {confirm})")
    parser.add_argument("--epochs", type=int, help="epochs of a run (default the study's)")
    parser.add_argument("--limit", type=int, default=6000,
                        help="reviews, before they are split (default 6000; 0 for all)")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="any other setting of every run; may be repeated")


def chosen(asked: argparse.Namespace) -> Fraction:
    """Return the fraction that was asked for."""
    study = str(Path(asked.study).resolve()) if asked.study.endswith(".toml") else asked.study
    return Fraction(study, asked.trials, getattr(asked, "confirm", 0), asked.epochs, asked.limit or None,
                    tuple(asked.settings))


def _value(span: Any, drawing: random.Random) -> Any:
    if span.choices is not None:
        return drawing.choice(span.choices)
    if span.log:
        value = math.exp(drawing.uniform(math.log(span.low), math.log(span.high)))
        return round(value) if isinstance(span.low, int) and isinstance(span.high, int) else value
    if isinstance(span.low, int) and isinstance(span.high, int):
        return drawing.randrange(span.low, span.high + 1, int(span.step or 1))
    if span.step:
        return span.low + span.step * drawing.randint(0, math.floor((span.high - span.low) / span.step + 1e-9))
    return drawing.uniform(span.low, span.high)
