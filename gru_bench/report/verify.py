"""Checks that the files of a report agree with what MLflow holds.

The report is computed again from its record, and every text in its folder is compared with the result: numbers by their
keys, other files line by line. Unrounded values may differ by rounding, as other machines compute them. Figures are not
drawn again, since another machine may draw the same values differently: each drawing must have the digest that the
record has. So a drawing that was changed later is found, but not one that was made from other values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from gru_bench.errors import RunError, UsageError
from gru_bench.report.build import build
from gru_bench.report.evidence.collect import collect
from gru_bench.report.evidence.store import Histories, Store, StudyStore
from gru_bench.report.render.files import texts
from gru_bench.report.render.record import NAME, Record, digest, entry, record
from gru_bench.results.runs import Predictions
from gru_bench.tracking import LoggedRun, LoggedStudy

DIGITS = 9
"""Significant digits that values must share: the others depend on the machine."""
BEFORE, AFTER = 60, 50
"""Most characters shown before and after the place at which two lines begin to differ."""


def differences(folder: Path, found: Record, store: StudyStore) -> list[str]:
    """Compute a report again and return every difference of its files, as sentences.

    Args:
        folder: Folder of the report.
        found: Record of the report, as `read` returns it.
        store: Store that holds its runs.
    """
    try:
        here = store.studies(found.experiment)
        # The diagnostics of an imported study name its runs as they were called in the first store.
        held = {name for run in store.runs(found.experiment) for name in (run.run_id, *run.earlier_ids)}
    except UsageError as error:
        return [f"the experiment is gone: {error}"]
    chosen = {study.run: _reported_study(study.run, study.name, here) for study in found.studies}
    told = [f"the run {study.run} of the study {study.name} is gone" for study in found.studies
            if chosen[study.run] is None]
    studies = [one.study for one in chosen.values() if one is not None]
    held |= {run.run_id for study in studies for run in study.runs}
    told += [f"the run {run} is gone" for run in found.runs if run not in held and run not in chosen]
    told += [study.damaged for study in studies if study.damaged]
    ids = {written: own for one in chosen.values() if one is not None for written, own in one.ids.items()}
    view = _StoreWithReportIds(store, ids, found.pages)
    try:
        evidence = collect(studies, view, found.margin, found.known_studies, found.on_test)
        report = build(evidence, experiment=found.experiment, title=found.title, tracking_uri=found.tracking_uri,
                       warnings=[(text,) for text in found.warnings_before])
    except (RunError, UsageError) as error:
        return [*told, f"it cannot be computed again: {error}"]
    if not told and list(found.runs) != (runs := record(report)["runs"]):
        told.append(f"{NAME}: runs names {len(found.runs)} runs, but its numbers come from {len(runs)}")
    fresh = {key: entry(number) for key, number in report.numbers.items()}
    for key in dict.fromkeys((*fresh, *found.numbers)):
        was, now = (comparable(json.dumps(numbers[key], ensure_ascii=False)) if key in numbers else ""
                    for numbers in (found.numbers, fresh))
        if was != now:
            told.append(f"{NAME}: {key} has {_changed(was, now)}")
    values = {f"figures/{figure.name}.csv": figure.values.csv() for figure in report.figures}
    told += _drawings(folder, [figure.name for figure in report.figures], found.drawings)
    for name, text in (values | texts(report, drawings=False)).items():
        if (folder / name).is_file():
            told += _differing(name, _read(folder / name), text)
    return told


class _ReportedStudy(NamedTuple):
    """A study whose runs have the ids and the names that a report uses."""

    study: LoggedStudy
    ids: dict[str, str]
    """Id in the report -> id in the store, of runs that have two."""


def _reported_study(run_id: str, name: str, here: Sequence[LoggedStudy]) -> _ReportedStudy | None:
    """Return the study that a report names, or an import of it; None if the store has neither.

    An imported run has a new id and remembers its earlier ids, one for each store that it passed through.

    Args:
        run_id: Id of the study's own run in the report.
        name: Name of the study in the report; an import has the same one by default.
        here: Studies of the store, newest first.
    """
    for study in here:
        if study.run.run_id == run_id:
            return _ReportedStudy(study, {})
    copies = [study for study in here if run_id in study.run.earlier_ids]
    if not copies:
        return None
    copy = next((study for study in copies if study.run.study == name), copies[0])
    # Counted from the last store backwards: a run that was trained later has passed through fewer.
    place = copy.run.earlier_ids.index(run_id) - len(copy.run.earlier_ids)
    known = {run.run_id: run.earlier_ids[place] if len(run.earlier_ids) >= -place else run.run_id for run in copy.runs}

    def renamed(runs: Sequence[LoggedRun]) -> tuple[LoggedRun, ...]:
        found = [replace(run, run_id=known[run.run_id], study=name, name=begins.sub(lambda _: name, run.name))
                 for run in runs]
        return tuple(sorted(found, key=lambda run: (run.started, run.run_id)))

    begins = re.compile(rf"^{re.escape(copy.run.study)}(?=$|[ :])")
    study = replace(copy, run=renamed([copy.run])[0], trials=renamed(copy.trials), confirms=renamed(copy.confirms),
                    baselines=renamed(copy.baselines),
                    ablations=renamed(copy.ablations), summary=copy.summary and replace(copy.summary, name=name))
    ids = {written: here for here, written in known.items()}
    return _ReportedStudy(study, ids) if len(ids) == len(known) else None


class _StoreWithReportIds:
    """A store whose runs have the ids and the pages that a report uses."""

    def __init__(self, store: Store, ids: Mapping[str, str], pages: Mapping[str, str]) -> None:
        self._store, self._ids, self._pages = store, ids, pages

    def histories(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Histories:
        found = self._store.histories([self._here(run_id) for run_id in run_ids], metrics)
        return {run_id: found[self._here(run_id)] for run_id in run_ids}

    def predictions(self, run_id: str, split: str) -> Predictions:
        return self._store.predictions(self._here(run_id), split)

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        return self._store.texts(self._here(run_id), split)

    def text(self, run_id: str, path: str) -> str | None:
        return self._store.text(self._here(run_id), path)

    def confirmed_models(self, test_set: str) -> int:
        return self._store.confirmed_models(test_set)

    def studies_on_test(self, test_set: str, until: float) -> int:
        return self._store.studies_on_test(test_set, until)

    def run_url(self, run: LoggedRun) -> str | None:
        # The report links to the page of a run on the server that it was made from.
        return self._pages.get(run.run_id)

    def _here(self, run_id: str) -> str:
        return self._ids.get(run_id, run_id)


def comparable(text: str) -> str:
    """Return a text with its unrounded numbers rounded to digits that all machines agree on."""
    return re.sub(r"(?<![\w.])-?(?:\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+)(?![\w.])",
                  lambda number: f"{round(float(number[0]), 12) + 0.0:.{DIGITS}g}", text)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def _lines(name: str, text: str) -> list[str]:
    """Return the lines of a file as they are compared.

    The drawings of a page are left out, because they have digests, and each number is next to its key.
    """
    if name.endswith(".html"):
        text = re.sub(r"<svg\b.*?</svg>", "<svg/>", text, flags=re.DOTALL)
        text = re.sub(r'<data (value="[^"]*") (data-key="[^"]*")([^>]*)>([^<]*)', r"<data \2 \1>\4<\3>", text)
        text = text.replace("%0D%0A", " ")  # between the lines of a CSV file in a link
    return comparable(text).splitlines()


def _differing(name: str, was: str, now: str) -> list[str]:
    """Compare a file line by line."""
    old, new = _lines(name, was), _lines(name, now)
    return [
        f"{name}: line {line} has {_changed(*pair)}"
        for kind, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes() if kind != "equal"
        for line, pair in enumerate(zip_longest(old[a:b], new[c:d], fillvalue=""), start=a + 1)]


def _changed(was: str, now: str) -> str:
    """Return how two lines differ, with nothing in it that steers a terminal."""
    place = next((place for place, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    parts = (line[max(0, place - BEFORE):place + AFTER] for line in (was, now))
    shown = ("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in part) for part in parts)
    return ", but the runs give ".join(f"'{part}'" if part else "nothing" for part in shown)


def _drawings(folder: Path, names: Sequence[str], digests: Mapping[str, Any]) -> list[str]:
    """Compare the drawings, on paper and on the page, with their digests in the record."""
    page = folder / "report.html"
    on_page = {name: digest(svg) for name, svg in re.findall(
        r'<figure\b[^>]* data-name="([^"]+)">.*?(<svg\b.*?</svg>)\s*</div>', _read(page) if page.is_file() else "",
        re.DOTALL)}
    told = []
    for name in names:
        right, path = digests.get(name), folder / "figures" / f"{name}.pdf"
        if not isinstance(right, dict):
            told.append(f"{NAME}: the digests of the figure {name} are missing")
            continue
        if path.is_file() and digest(path.read_bytes()) != right.get("paper"):
            told.append(f"figures/{name}.pdf is not the drawing that {NAME} has the digest of")
        if name in on_page and on_page[name] != right.get("page"):
            told.append(f"report.html: the figure {name} is not the drawing that {NAME} has the digest of")
    return told
