"""A study of the Python API: its verdict, its best model, and its runs as tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench import cli
from gru_bench.config import Scalar
from gru_bench.errors import GruBenchError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gru_bench.evidence.candidates import Candidates
    from gru_bench.evidence.collect import Evidence
    from gru_bench.inference.fitted import FittedModel
    from gru_bench.inference.shown import Verdict
    from gru_bench.report.choice import Choice
    from gru_bench.tracking import LoggedStudy, Reader


class Study:
    """A study in its stores: what it found, its best model, its runs as tables."""

    def __init__(self, name: str, store: Reader, *, run_code: bool = False) -> None:
        """Take a study by its name; `run_study` and `open_study` do so."""
        self._run_code = run_code
        self.name = name
        self._store = store
        self._fitted: tuple[tuple[str, ...], FittedModel] | None = None

    @property
    def model(self) -> FittedModel:
        """Return the model that the study takes, the best one on validation: a trained model with all its seeds, a
        linear one, or the average of both.

        Raises:
            GruBenchError: The study has no complete confirmation run, nothing is chosen, or its model cannot be read.
        """
        from gru_bench.inference import taken
        from gru_bench.inference.fitted import FittedModel

        chosen = taken.asked(self._candidates, self.name)
        if self._fitted is None or self._fitted[0] != chosen.ids:
            self._fitted = chosen.ids, FittedModel(taken.read(self._store, chosen), run_code=self._run_code)
        return self._fitted[1]

    @property
    def best_params(self) -> dict[str, Scalar]:
        """Return the settings that the search found best, of the tuned model with the best mean validation score.

        Raises:
            IncompleteError: No confirmation run is complete yet.
        """
        from gru_bench.inference.taken import tuned

        return dict(tuned(self._candidates).tuned)

    @property
    def trials(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each trial of the searches: its settings and validation score,
        which is `value`. It is empty until the study has ended.
        """
        from gru_bench.report.render.spreadsheets import trials_table

        return _frame(trials_table([self._logged]))

    @property
    def runs(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each run: its settings and scores."""
        from gru_bench.report.render.spreadsheets import runs_table

        return _frame(runs_table([self._logged])).astype({"seed": "Int64"})  # the study itself has none

    def scores(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each model, each baseline and the average: its mean test score over
        its seeds, with the ends of a 95 % interval where there are enough seeds for one.

        Raises:
            IncompleteError: No confirmation run is complete yet.
        """
        import pandas as pd

        from gru_bench.report.findings import findings_of

        return pd.DataFrame(map(asdict, findings_of(self._evidence).models)).astype(
            {"score": float, "low": float, "high": float, "seeds": "Int64"})

    def predictions(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each test text of each confirmation run.

        Classes are as the data has them, and `row` is the index of the data frame that the study was given.
        Probabilities are numbers, and NaN for a class whose probability was not kept.
        """
        from pandas import to_numeric

        from gru_bench.data.labels import as_given
        from gru_bench.evidence.progress import study_data
        from gru_bench.report.render.spreadsheets import predictions_table

        logged = self._logged
        frame, data = _frame(predictions_table([logged], self._store)), study_data(logged, self._store)
        columns = [name for name in map(str, frame.columns) if name.startswith("probability")]
        frame = frame.assign(**{name: to_numeric(frame[name]) for name in columns})
        known = data.classes if data is not None else ()
        classes = [*known, *sorted({*frame["label"], *frame["predicted"]} - {*known})]
        given = dict(zip(classes, as_given(classes, are_texts=data is not None and data.text_labels), strict=True))
        frame = frame.assign(**{name: frame[name].map(given) for name in ("label", "predicted")})
        are_numbers = all(row.removeprefix("-").isdecimal() and str(int(row)) == row and -2**63 <= int(row) < 2**63
                          for row in frame["row"])
        return frame.assign(row=frame["row"].astype(int)) if are_numbers else frame

    def plot(self, kind: str) -> Figure:
        """Return a figure of the report as one of matplotlib, which a notebook shows.

        Args:
            kind: What it shows: `accuracy`, the scores of the models; `curves`, their learning curves; `confusion`,
                their confusion matrices, or of more than two classes that of the best tuned model; `search`, the trials
                in their order; `differences`, the difference of each pair of models.

        Raises:
            UsageError: The kind is unknown, or the study has no such figure.
            IncompleteError: No confirmation run is complete yet.
        """
        from gru_bench.inference.taken import tuned
        from gru_bench.report.build import PLOTS, plotted

        if kind not in PLOTS:
            raise unknown("kind of figure", kind, PLOTS)
        return plotted(self._evidence, kind, tuned(self._candidates).label).drawing()

    def verdict(self) -> Verdict:
        """Return what the study says: scores beside the baselines, a verdict on each pair of models, warnings.

        Raises:
            IncompleteError: No confirmation run is complete yet.
        """
        from gru_bench.inference.shown import Verdict
        from gru_bench.report.build import chosen_report

        return Verdict(chosen_report(self._chosen, self._store))

    def write_report(self, folder: str | Path) -> Path:
        """Write the report to a folder (HTML, LaTeX, Markdown, all numbers), and return the path of its page."""
        from gru_bench.report.build import chosen_report
        from gru_bench.report.render import files

        folder = Path(folder).expanduser()
        cli.check_folder("folder", folder)
        return files.write(chosen_report(self._chosen, self._store), folder, option="folder")[0]

    def save_model(self, folder: str | Path, *, model: str | None = None, force: bool = False) -> Path:
        """Save `model`, or another model of the study, to a folder that `load_model` reads without the data.

        Returns the folder.

        Args:
            folder: The folder, which must be new.
            model: Another model of the study, such as `ngrams` or `average`.
            force: Whether a saved model in the folder is replaced.
        """
        from gru_bench.inference import taken
        from gru_bench.inference.save_model import write_model
        from gru_bench.models import saved

        folder = Path(folder).expanduser()
        saved.check_free(folder, force=force)
        found = self._candidates
        chosen = taken.asked(found, self.name, model)
        write_model(chosen, found, taken.read(self._store, chosen), folder, force=force)
        return folder

    def __repr__(self) -> str:
        """Return the verdict, or how far the study is."""
        return f"study {self.name}\n{self._verdict_or_state()!r}"

    def _repr_html_(self) -> str:
        found = self._verdict_or_state()
        return found if isinstance(found, str) else found._repr_html_()

    def _verdict_or_state(self) -> Verdict | _State:
        try:
            return self.verdict()
        except GruBenchError as error:
            return _State(str(error))

    @property
    def _logged(self) -> LoggedStudy:
        return self._store.study(self.name)

    @property
    def _candidates(self) -> Candidates:
        from gru_bench.inference.taken import candidates

        return candidates(self._store, self._logged)

    @property
    def _chosen(self) -> Choice:
        from gru_bench.report.choice import choose

        return choose(self._store, None, [self.name])

    @property
    def _evidence(self) -> Evidence:
        from gru_bench.evidence.collect import collect

        return collect([self._logged], self._store)


class _State(str):
    """A sentence on a study without a verdict, which shows itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _frame(table: Iterator[Iterable[Any]]) -> pd.DataFrame:
    """Return a table, whose first row holds the headings, as a pandas data frame."""
    import pandas as pd

    headings = list(next(table))
    return pd.DataFrame([list(row) for row in table], columns=headings)
