"""Checks that the files of a report agree with what MLflow holds.

The report is computed again from its record, and every file is compared with the result: numbers by their keys, the
values behind each figure cell by cell, and, where these agree, the text around them. Figures are not drawn again, since
another machine may draw the same values differently: each drawing must have the digest that the record holds. So a
drawing that was changed later is found, but not one that was made from other values.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from gru_bench.errors import RunError, UsageError
from gru_bench.report.build import build
from gru_bench.report.document.figure import Figure
from gru_bench.report.evidence import store as evidence
from gru_bench.report.render.files import texts
from gru_bench.report.render.html import without_reload
from gru_bench.report.render.record import NAME, digest, entry, record
from gru_bench.results.runs import Predictions
from gru_bench.tracking import LoggedRun, LoggedStudy

TEXT_OF = {"text": "value", "interval_text": "interval"}
SHOWN = 3
"""Most differences of a text, and of a line, that are named."""
CLOSE = 1e-9
"""Relative tolerance of values, for the rounding of other machines. Shown texts must be equal exactly."""
WIDTH = 90
"""Most characters shown of a text."""


class ShownNumber(NamedTuple):
    """A number as a file shows it."""

    text: str
    value: str
    """The unrounded value on the page; empty in files without one."""


class Store(evidence.Store, Protocol):
    """The store that a check reads from."""

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return an experiment's studies."""
        ...

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return an experiment's runs."""
        ...


def differences(folder: Path, found: Mapping[str, Any], store: Store) -> list[str]:
    """Compute a report again and return every difference of its files, as sentences.

    Args:
        folder: Folder of the report.
        found: Record of the report, as `read` returns it.
        store: Store that holds its runs.
    """
    try:
        here = store.studies(found["experiment"])
        held = {run.run_id for run in store.runs(found["experiment"])}
    except UsageError as error:
        return [f"the experiment is gone: {error}"]
    chosen = {study["run"]: _reported_study(study["run"], study["name"], here) for study in found["studies"]}
    told = [f"the run {run} of the study {study['name']} is gone" for study in found["studies"]
            if chosen[run := study["run"]] is None]
    studies = [one.study for one in chosen.values() if one is not None]
    held |= {run.run_id for study in studies for run in study.runs}
    told += [f"the run {run} is gone" for run in found["runs"] if run not in held and run not in chosen]
    told += [study.damaged for study in studies if study.damaged]
    ids = {written: own for one in chosen.values() if one is not None for written, own in one.ids.items()}
    view = _StoreWithReportIds(store, ids, _links(folder, found["tracking_uri"]))
    try:
        report = build(
            studies, view, experiment=found["experiment"],
            title=found["title"], margin=found["margin"], cautions=[(text,) for text in found["cautions_before"]],
            tracking_uri=found["tracking_uri"], known_studies=found["known_studies"],
            mcnemar_runs=(found["mcnemar_runs"][0], found["mcnemar_runs"][1]) if found["mcnemar_runs"] else None,
            models_on_test=found["models_on_test"],
        )
    except (RunError, UsageError) as error:
        return [*told, f"it cannot be computed again: {error}"]
    if not told and found["runs"] != (runs := record(report)["runs"]):
        told.append(f"{NAME}: runs names {len(found['runs'])} runs, but its numbers come from {len(runs)}")
    told += _recorded(found["numbers"], {key: entry(number) for key, number in report.numbers.items()})
    fresh = texts(report, drawings=False)
    was = {name: (folder / name).read_text(encoding="utf-8", errors="replace")
           for name in fresh if (folder / name).is_file()}
    for name, text in was.items():
        told += _rendered(name, _numbers_in(name, text), _numbers_in(name, fresh[name]))
    page = was.get("report.html", "")
    told += _values(folder, page, report.figures)
    told += _drawings(folder, page, [figure.name for figure in report.figures], found["drawings"])
    # Numbers are told apart by their keys, but in Markdown, where they have none.
    told += _texts(was, {"report.md": fresh["report.md"]} if told else fresh)
    return told


class _ReportedStudy(NamedTuple):
    """A study whose runs have the ids that a report uses."""

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
    ids: dict[str, str] = {}

    def renamed(runs: Sequence[LoggedRun]) -> tuple[LoggedRun, ...]:
        found = []
        for run in runs:
            known = run.earlier_ids[place] if len(run.earlier_ids) >= -place else run.run_id
            ids[known] = run.run_id
            found.append(replace(run, run_id=known))
        return tuple(sorted(found, key=lambda run: (run.started, run.run_id)))

    study = replace(copy, run=renamed([copy.run])[0], trials=renamed(copy.trials), confirms=renamed(copy.confirms),
                    ablations=renamed(copy.ablations))
    return _ReportedStudy(study, ids) if len(ids) == len(copy.runs) else None


class _StoreWithReportIds:
    """A store whose runs have the ids and the pages that a report uses."""

    def __init__(self, store: evidence.Store, ids: Mapping[str, str], links: Mapping[str, str]) -> None:
        self._store, self._ids, self._links = store, ids, links

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        found = self._store.histories([self._here(run_id) for run_id in run_ids], metrics)
        return {run_id: found[self._here(run_id)] for run_id in run_ids}

    def predictions(self, run_id: str, split: str) -> Predictions:
        return self._store.predictions(self._here(run_id), split)

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        return self._store.texts(self._here(run_id), split)

    def text(self, run_id: str, path: str) -> str | None:
        return self._store.text(self._here(run_id), path)

    def confirmed_models(self, test_set: str, fingerprints: Collection[str]) -> int:
        return self._store.confirmed_models(test_set, fingerprints)

    def run_url(self, run: LoggedRun) -> str | None:
        if run.run_id in self._ids:  # the report links to its page on the first server
            return self._links.get(run.run_id)
        return self._store.run_url(run)

    def _here(self, run_id: str) -> str:
        return self._ids.get(run_id, run_id)


def _links(folder: Path, uri: str) -> dict[str, str]:
    """Return run -> its page on the MLflow server that the report was made from, from the links of the report."""
    page = folder / "report.html"
    if not uri.startswith(("http://", "https://")) or not page.is_file():
        return {}
    found = re.finditer(re.escape(html.escape(uri.rstrip("/"))) + r"/#/experiments/\w{1,40}/runs/([0-9a-f]{32})\b",
                        page.read_text(encoding="utf-8", errors="replace"))
    return {match[1]: html.unescape(match[0]) for match in found}


def _recorded(found: Mapping[str, Any], fresh: Mapping[str, dict[str, Any]]) -> list[str]:
    told = [f"{NAME}: {key} is missing, it is {fresh[key]['text']}" for key in fresh if key not in found]
    told += [f"{NAME}: {key} is not among the numbers of the runs" for key in found if key not in fresh]
    for key in fresh:
        if key not in found or not isinstance(found[key], dict):
            told += [f"{NAME}: {key} is no record of a number"] * (key in found)
            continue
        was, now = found[key], fresh[key]
        other = [part for part in now if not _same(was.get(part), now[part])]
        # A text follows from its value, so that it is named only where it alone was changed.
        other = [part for part in other if TEXT_OF.get(part) not in other]
        parts = [f"{part} {_brief(was.get(part))}, but the runs give {_brief(now[part])}" for part in other]
        if parts:
            told.append(f"{NAME}: {key} has {'; '.join(parts)}")
    return told


def _rendered(
    name: str, was: Mapping[str, Sequence[ShownNumber]], now: Mapping[str, Sequence[ShownNumber]]
) -> list[str]:
    """Compare the numbers that a file shows; one that is shown twice must be right each time."""
    told = [f"{name}: {key} is missing, it is {now[key][0].text}" for key in now if key not in was]
    for key, all_shown in was.items():
        if key not in now:
            told.append(f"{name}: {key} is not among the numbers of the runs")
            continue
        right = now[key][0]
        for shown in dict.fromkeys(all_shown):
            if shown.text != right.text:
                told.append(f"{name}: {key} is {shown.text}, but the runs give {right.text}")
            elif not _same_value(shown.value, right.value):
                told.append(f"{name}: {key} holds {shown.value}, but the runs give {right.value}")
    return told


def _values(folder: Path, page: str, figures: Sequence[Figure]) -> list[str]:
    """Compare the values behind each figure, beside it and on the page."""
    carried = {
        name: unquote(html.unescape(values)) for name, values in
        re.findall(r'download="([^"]+)\.csv" href="data:text/csv;charset=utf-8,([^"]*)"', page)
    }
    told = []
    for figure in figures:
        beside = folder / "figures" / f"{figure.name}.csv"
        if beside.is_file():
            was = beside.read_bytes().decode("utf-8", errors="replace")
            told += _cells(f"figures/{figure.name}.csv", was, figure.csv())
        else:
            told.append(f"figures/{figure.name}.csv is missing")
        if page:
            where = f"report.html: the values of the figure {figure.name}"
            told += _cells(where, carried[figure.name], figure.csv()) if figure.name in carried else [
                f"{where} are missing"]
    return told


def _cells(where: str, was: str, now: str) -> list[str]:
    """Compare two tables cell by cell."""
    old, new = list(csv.reader(io.StringIO(was))), list(csv.reader(io.StringIO(now)))
    told = []
    if [len(row) for row in old] != [len(row) for row in new]:
        return [f"{where}: {len(old)} lines of {len(old[0]) if old else 0} cells, but the runs give {len(new)} of "
                f"{len(new[0])}"]
    for line, (one, two) in enumerate(zip(old, new, strict=True), start=1):
        told += [
            f"{where}: {heading} in line {line} is {a or 'empty'}, but the runs give {b or 'nothing'}"
            for heading, a, b in zip(new[0], one, two, strict=True) if not _same_value(a, b)
        ]
    return told


def _drawings(folder: Path, page: str, names: Sequence[str], recorded: Mapping[str, Any]) -> list[str]:
    """Compare the drawings, on paper and on the page, with their digests in the record."""
    shown = {name: digest(svg) for name, svg in re.findall(
        r'<figure\b[^>]* data-name="([^"]+)">.*?(<svg\b.*?</svg>)\s*</div>', page, re.DOTALL)}
    told = []
    for name in names:
        path = folder / "figures" / f"{name}.pdf"
        right = recorded.get(name)
        if not path.is_file():
            told.append(f"figures/{name}.pdf is missing")
        if not isinstance(right, dict):
            told.append(f"{NAME}: the digests of the figure {name} are missing")
            continue
        if path.is_file() and digest(path.read_bytes()) != right.get("paper"):
            told.append(f"figures/{name}.pdf is not the drawing that {NAME} has the digest of")
        if name in shown and shown[name] != right.get("page"):
            told.append(f"report.html: the figure {name} is not the drawing that {NAME} has the digest of")
    return told


def _bare(page: str) -> str:
    """Return a page without what is compared separately: drawings, and the values behind figures and numbers.

    A page that was written while its studies ran may reload itself, which is no difference.
    """
    page = re.sub(r"<svg\b.*?</svg>", "<svg/>", without_reload(page), flags=re.DOTALL)
    return re.sub(r'(<data value="|href="data:text/csv;charset=utf-8,)[^"]*"', r'\1"', page)


def _texts(found: Mapping[str, str], fresh: Mapping[str, str]) -> list[str]:
    """Compare whole files, line by line."""
    told = []
    for name, text in fresh.items():
        if name not in found:
            told.append(f"{name} is missing")
            continue
        was, now = ((_bare(page) if name.endswith(".html") else page).splitlines() for page in (found[name], text))
        parts = [part for part in SequenceMatcher(None, was, now, autojunk=False).get_opcodes() if part[0] != "equal"]
        told += [f"{name}: {_changed(was[a:b], now[c:d], a + 1)}" for _, a, b, c, d in parts[:SHOWN]]
        if len(parts) > SHOWN:
            told.append(f"{name}: {len(parts) - SHOWN} more places of its text differ")
    return told


def _changed(was: Sequence[str], now: Sequence[str], line: int) -> str:
    """Return how some lines of a text differ: the words of a single line, or the lines."""
    if len(was) == len(now) == 1:
        one, two = was[0].split(), now[0].split()
        pairs = [
            (" ".join(one[a:b]), " ".join(two[c:d]))
            for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes() if kind != "equal"
        ]
        shown = "; ".join(f"{_quoted(a or 'nothing')}, but the runs give {_quoted(b or 'nothing')}"
                          for a, b in pairs[:SHOWN])
        more = " and more" if len(pairs) > SHOWN else ""
        if pairs:
            return f"line {line} has {shown}{more}, in {_quoted(was[0].strip())}"
        return f"line {line} has other spaces than the runs give: {_quoted(was[0].strip())}"
    if not was:
        return f"before line {line} is missing {_quoted(now[0])}"
    if not now:
        return f"line {line} is not what the runs give: {_quoted(was[0])}"
    return f"line {line} has {_quoted(was[0])}, but the runs give {_quoted(now[0])}"


def _quoted(text: str) -> str:
    """Return a piece of a text in quotation marks, short, its spaces plain and nothing in it that steers a terminal."""
    plain = "".join(character if character.isprintable() else " " for character in text[:WIDTH])
    return f"'{plain}'"


def _numbers_in(name: str, text: str) -> dict[str, list[ShownNumber]]:
    """Return key -> each time a file shows it; nothing for Markdown, whose numbers have no keys."""
    found: dict[str, list[ShownNumber]] = {}
    if name.endswith(".html"):
        for attributes, shown in re.findall(r"<data\b([^>]*)>(.*?)</data>", text, re.DOTALL):
            named = dict(re.findall(r'([a-z-]+)="([^"]*)"', attributes))
            number = ShownNumber(html.unescape(re.sub("<[^>]*>", "", shown)), named.get("value", ""))
            found.setdefault(named.get("data-key", "a number without a key"), []).append(number)
    if name.endswith(".tex"):
        inner = r"((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)"
        for key, tex in re.findall(r"\\val\{([a-z0-9.-]+)\}\{" + inner + r"\}", text):
            plain = tex.replace(r"\ensuremath{-}", "−").replace(r"\ensuremath{<}", "<").replace(r"\textemdash{}", "—")
            found.setdefault(key, []).append(ShownNumber(re.sub(r"\{([,-])\}", r"\1", plain), ""))
    return found


def _same(was: object, now: object) -> bool:
    if isinstance(now, list) and isinstance(was, list):
        return len(was) == len(now) and all(_same(a, b) for a, b in zip(was, now, strict=True))
    if isinstance(now, int | float) and isinstance(was, int | float):
        return math.isclose(was, now, rel_tol=CLOSE, abs_tol=1e-12)
    return was == now


def _same_value(was: str, now: str) -> bool:
    try:
        return _same(float(was), float(now))
    except ValueError:
        return was == now


def _brief(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str):
        return f"{len(value)} of them"
    return json.dumps(value, ensure_ascii=False)
