"""The runs, trials, predictions and disagreements behind a report as tables, and as CSV files for spreadsheets.

A table is a row of headings, followed by the other rows.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.data.files import check_writable, has_columns
from gru_bench.document.numbers import plain
from gru_bench.errors import RunError
from gru_bench.evidence.candidates import Candidates
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import class_names
from gru_bench.evidence.pairs import Pair
from gru_bench.evidence.progress import study_data
from gru_bench.evidence.store import Store
from gru_bench.platforms import replacing
from gru_bench.results.runs import MOST_WHOLE
from gru_bench.stats import metrics
from gru_bench.stats.disagreement import one_sided
from gru_bench.tracking import LoggedRun, LoggedStudy
from gru_bench.wording import csv_cell

Row = Iterable[str | float | None]
FIRST_COLUMNS = {
    "runs.csv": ("study", "role", "name", "id", "model", "seed", "state", "started"),
    "trials.csv": ("study", "model", "number", "state", "value", "epochs"),
    "predictions.csv": ("study", "model", "seed", "run", "example", "label", "predicted", "probability", "correct",
                        "category", "tokens", "row", "group"),
    "candidates.csv": ("classifier", "taken", "example", "label", "predicted", "probability", "correct"),
    "disagreements.csv": ("pair", "example", "label", "right", "category", "tokens"),
}
"""Table -> the columns that each has; further ones follow in some."""


def write(evidence: Evidence, folder: Path) -> dict[Path, int]:
    """Write the tables of `FIRST_COLUMNS` as CSV files, and return the number of rows of each.

    Args:
        evidence: The evidence of a report.
        folder: The folder, which is made where it does not exist.
    """
    studies = evidence.studies
    return {
        folder / name: _written(folder / name, table) for name, table in (
            ("runs.csv", runs_table(studies)), ("trials.csv", trials_table(studies)),
            ("predictions.csv", predictions_table(studies, evidence.store)),
            ("candidates.csv", candidates_table(evidence.candidates)),
            ("disagreements.csv", disagreements_table(evidence.pairs_shown)))
    }


def check(folder: Path) -> None:
    """Check that the tables replace nothing but such tables.

    Raises:
        UsageError: A file of the folder is another one.
    """
    for name, columns in FIRST_COLUMNS.items():
        check_writable(folder / name, "--tables", f"a folder with a {name} of a report",
                       partial(has_columns, columns, more=True))


def _written(path: Path, table: Iterator[Row]) -> int:
    """Write a table, the row of headings first, and return the number of its other rows."""
    count = -1
    with replacing(path) as file:
        writer = csv.writer(codecs.getwriter("utf-8")(file, "replace"))
        for row in table:
            writer.writerow(map(_cell, row))
            count += 1
    return count


def _cell(value: str | float | None) -> str:
    """Return a value for a table of text, without characters that control the terminal that shows the table."""
    return csv_cell(plain(value) if isinstance(value, str) and not (value.isascii() and value.isprintable()) else value)


def runs_table(studies: Sequence[LoggedStudy]) -> Iterator[Row]:
    """Yield a row for every run of the studies, with its settings and its latest metrics."""
    settings = [name for name in flat(RunConfig()) if name != "seed"]
    measured = sorted({key for study in studies for run in study.runs for key in run.metrics})
    yield [*FIRST_COLUMNS["runs.csv"], *settings, *measured]
    for study in studies:
        for run in study.runs:
            config = _config(run)
            started = datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds")
            yield [run.study, run.role, run.name, run.run_id, run.model, run.seed, run.state, started,
                   *map(config.get, settings), *map(run.metrics.get, measured)]


def _config(run: LoggedRun) -> Mapping[str, Scalar]:
    """Return the settings of a run: none for a study's own run and its baselines, and where they cannot be read."""
    try:
        return {} if run.role in ("study", "baseline") else flat(run.config())
    except RunError:
        return {}


def trials_table(studies: Sequence[LoggedStudy]) -> Iterator[Row]:
    """Yield a row for every trial of the searches, with the settings that were searched."""
    summaries = [study.summary for study in studies if study.summary is not None]
    searched = list(dict.fromkeys(setting for summary in summaries for setting in summary.space))
    yield [*FIRST_COLUMNS["trials.csv"], *searched]
    for summary in summaries:
        for trial in summary.trials:
            yield [summary.name, trial.model, trial.number, trial.state, trial.value, trial.epochs,
                   *map(trial.settings.get, searched)]


def predictions_table(studies: Sequence[LoggedStudy], store: Store) -> Iterator[Row]:
    """Yield a row for every test text of every complete confirmation run whose predictions can be read, run by run.

    The probability is that of class 1; of more than two classes it is that of the predicted one, and each class has a
    column of its own, which is empty where not all of them were kept.
    """
    named = {study.run.run_id: _many_classes(study, store) for study in studies}
    several = list(dict.fromkeys(name for names in named.values() for name in names))
    yield [*FIRST_COLUMNS["predictions.csv"], *(f"probability_{name}" for name in several)]
    for study in studies:
        data, own = study_data(study, store), named[study.run.run_id]
        for run in study.confirms:
            if not run.complete:
                continue
            try:
                found = store.predictions(run.run_id, "test")
            except RunError:  # the report says so
                continue
            names = class_names(data, found.probability_NC.shape[1])
            predicted_N = metrics.predicted(found.probability_NC)
            probability_N = found.probability_NC[:, 1] if len(names) == 2 else found.probability_NC.max(axis=1)
            nothing = [""] * len(found)
            by_class = [found.probability_NC[:, own.index(name)].astype(str).tolist() if name in own and found.whole
                        else nothing for name in several]
            # As text, a probability has the digits of its 32 bits, and no more.
            for example in zip(found.example_id_N.tolist(), [names[label] for label in found.label_N.tolist()],
                              [names[place] for place in predicted_N.tolist()], probability_N.astype(str),
                              (predicted_N == found.label_N).tolist(), found.category_N.tolist(),
                              found.tokens_N.tolist(),
                              *(nothing if values is None else values.tolist()
                                for values in (found.name_N, found.group_N)), *by_class, strict=True):
                yield [run.study, run.model, run.seed, run.run_id, *example]


def candidates_table(candidates: Candidates) -> Iterator[Row]:
    """Yield a row for every test text of every classifier that can be taken, as it is served.

    The probability is that of class 1; of more than two classes it is that of the predicted one.
    """
    yield FIRST_COLUMNS["candidates.csv"]
    for one in candidates.every:
        (probability_NC,), (predicted_N,) = one.probability_RNC, one.predicted_RN
        for place, example in enumerate(one.example_N.tolist()):
            label, predicted = int(one.label_N[place]), int(predicted_N[place])
            yield [one.label, str(one is candidates.chosen), example, one.classes[label], one.classes[predicted],
                   float(probability_NC[place, 1 if one.is_binary else predicted]), str(predicted == label)]


def _many_classes(study: LoggedStudy, store: Store) -> tuple[str, ...]:
    """Return the names of the classes of a study that has more than two, and keeps the probabilities of all."""
    data = study_data(study, store)
    found = () if data is None else tuple(map(plain, data.classes))
    return found if 2 < len(found) <= MOST_WHOLE else ()


def disagreements_table(pairs: Sequence[Pair]) -> Iterator[Row]:
    """Yield a row for every test text that only one model of a pair gets right, by the majority of its runs."""
    yield FIRST_COLUMNS["disagreements.csv"]
    for pair in pairs:
        a, b = pair.a, pair.b
        for right, place_F in zip((a, b), one_sided(a.correct_RN, b.correct_RN), strict=True):
            classes = right.classes
            for place in place_F:
                yield [f"{a.label} and {b.label}", str(right.example_N[place]), classes[right.label_N[place]],
                       right.label, str(right.category_N[place]), int(right.tokens_N[place])]
