"""The numbers of a write-up as data (`numbers.json`), and the check that a write-up says what MLflow holds.

`numbers.json` holds every number with its value, n, interval, method and runs, and what it takes to compute the
write-up again. The check does so, and compares what it finds with every file of the write-up but the figures
for paper: first number by number, then, where all numbers agree, the text around them.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gru_bench import __version__
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.report import confirmed, render
from gru_bench.report.contents import Writeup
from gru_bench.report.markdown import markdown
from gru_bench.report.numbers import Number
from gru_bench.report.writeup import build
from gru_bench.tracking import LoggedRun, LoggedStudy

NAME = "numbers.json"
FORMAT = 1
TEXT_OF = {"text": "value", "interval_text": "interval"}
SHOWN = 3
"""Lines of a text that are named where it differs."""
CLOSE = 1e-9
"""Relative: what another machine's rounding may do to a value. What is shown must be equal to the letter."""


class Shown(NamedTuple):
    """A number as a file shows it."""

    text: str
    value: str
    """As the page holds it for programs; empty where a file holds none."""


class Store(confirmed.Store, Protocol):
    """What a check reads."""

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return an experiment's studies."""
        ...

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return an experiment's runs."""
        ...


def write(writeup: Writeup, folder: Path) -> list[Path]:
    """Write `numbers.json` and `report.md` to `folder`, each replaced whole."""
    return [render.replace_file(folder / name, text.encode()) for name, text in data_files(writeup).items()]


def data_files(writeup: Writeup) -> dict[str, str]:
    """Return the write-up as data and as Markdown, by file name."""
    return {NAME: json.dumps(record(writeup), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            "report.md": markdown(writeup)}  # fmt: skip


def record(writeup: Writeup) -> dict[str, Any]:
    """Return every number, and what it takes to compute them again, as JSON can hold it."""
    numbers = writeup.numbers()
    return {
        "format": FORMAT,
        "gru_bench": __version__,
        "title": writeup.title,
        "experiment": writeup.experiment,
        "tracking_uri": writeup.source.tracking_uri,
        "margin": writeup.margin.value,
        "said_before": list(writeup.source.said_before),
        "taken": list(writeup.source.taken),
        "studies": [{"name": study.name, "run": study.run_id} for study in writeup.studies],
        "runs": sorted({run for number in numbers.values() for run in number.runs}),
        "numbers": {key: entry(number) for key, number in numbers.items()},
    }


def entry(number: Number) -> dict[str, Any]:
    """Return one number: value, text as rendered, unit, n (examples), interval, method and runs."""
    ends = [_finite(end.value) for end in number.ends]
    return {
        "value": _finite(number.value),
        "text": number.text,
        "kind": number.kind,
        "n": number.examples,
        "interval": None if None in ends else ends,
        "interval_text": None if None in ends else [end.text for end in number.ends],
        "method": number.method,
        "runs": list(number.runs),
    }


def read(folder: Path) -> dict[str, Any]:
    """Return a write-up's record.

    Raises:
        UsageError: for a folder that holds no write-up.
        DataError: for a record that is damaged or of another kind.
    """
    path = folder / NAME
    if not path.is_file():
        raise UsageError(f"--verify must name the folder of a write-up, but there is no {path}: write one first "
                         f"(python -m gru_bench.report --out {folder})")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"experiment": str, "tracking_uri": str, "title": str, "margin": float, "said_before": list,
                 "taken": list, "studies": list, "runs": list, "numbers": dict}
        broken = next((key for key, kind in kinds.items() if not isinstance(found[key], kind)), None)
        if broken is not None or found["format"] != FORMAT:
            raise ValueError(f"{broken or 'format'} is {found[broken or 'format']!r}")
        if not all(isinstance(study["run"], str) for study in found["studies"]):
            raise ValueError("a study's run is no text")
        if not 0 < found["margin"] <= 0.5:
            raise ValueError(f"margin is {found['margin']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must be a record that a write-up left, but is not ({error}): write it again with "
                        f"python -m gru_bench.report --out {folder}") from None
    return dict(found)


def differences(folder: Path, found: Mapping[str, Any], store: Store) -> list[str]:
    """Compute a write-up again and return, as sentences, everything in which its files differ from it.

    Args:
        folder: of the write-up.
        found: its record, as `read` returns it.
        store: where its runs are.
    """
    try:
        studies = {study.run.run_id: study for study in store.studies(found["experiment"])}
        held = {run.run_id for run in store.runs(found["experiment"])}
    except UsageError as error:
        return [f"the experiment is gone: {error}"]
    chosen = [study["run"] for study in found["studies"]]
    told = [f"the run {run} of the study {study['name']} is gone" for study in found["studies"]
            if (run := study["run"]) not in studies]  # fmt: skip
    told += [f"the run {run} is gone" for run in found["runs"] if run not in held and run not in chosen]
    try:
        writeup = build(
            [studies[run] for run in chosen if run in studies], store, experiment=found["experiment"],
            title=found["title"], margin=found["margin"], missing=[(text,) for text in found["said_before"]],
            tracking_uri=found["tracking_uri"], taken=found["taken"])  # fmt: skip
    except RunError as error:
        return [*told, f"it cannot be computed again: {error}"]
    numbers = writeup.numbers()
    told += _recorded(found["numbers"], {key: entry(number) for key, number in numbers.items()})
    documents = render.tex(writeup)
    files = {**documents, "report.html": render.html(writeup), "report.md": markdown(writeup)}
    for name in ("report.html", *sorted(documents)):
        shown_in = _on_page if name == "report.html" else _on_paper
        path = folder / name
        if path.is_file():
            was = path.read_text(encoding="utf-8", errors="replace")
            told += _rendered(name, shown_in(was), shown_in(files[name]))
    if not told:
        told += _texts(folder, files)
    return told


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


def _rendered(name: str, was: Mapping[str, Sequence[Shown]], now: Mapping[str, Sequence[Shown]]) -> list[str]:
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


def _texts(folder: Path, fresh: Mapping[str, str]) -> list[str]:
    """Compare whole files, line by line."""
    told = []
    for name, text in fresh.items():
        path = folder / name
        if not path.is_file():
            told.append(f"{name} is missing")
            continue
        was, now = path.read_text(encoding="utf-8", errors="replace").splitlines(), text.splitlines()
        lines = [place for place, (a, b) in enumerate(zip(was, now, strict=False), start=1) if a != b]
        if len(was) != len(now):
            lines.append(min(len(was), len(now)) + 1)
        if lines:
            places = ", ".join(map(str, lines[:SHOWN])) + (" and more" if len(lines) > SHOWN else "")
            told.append(f"{name}: its numbers are those of the runs, but not its text (line {places})")
    return told


def _on_page(page: str) -> dict[str, list[Shown]]:
    """Return key -> each time the page shows it."""
    found: dict[str, list[Shown]] = {}
    for attributes, text in re.findall(r"<data\b([^>]*)>(.*?)</data>", page, re.DOTALL):
        named = dict(re.findall(r'([a-z-]+)="([^"]*)"', attributes))
        shown = Shown(html.unescape(re.sub("<[^>]*>", "", text)), named.get("value", ""))
        found.setdefault(named.get("data-key", "a number without a key"), []).append(shown)
    return found


def _on_paper(text: str) -> dict[str, list[Shown]]:
    """Return key -> each time the LaTeX source shows it."""
    found: dict[str, list[Shown]] = {}
    inner = r"((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)"
    for key, tex in re.findall(r"\\val\{([a-z0-9.-]+)\}\{" + inner + r"\}", text):
        plain = tex.replace(r"\ensuremath{-}", "−").replace(r"\ensuremath{<}", "<").replace(r"\textemdash{}", "—")
        found.setdefault(key, []).append(Shown(re.sub(r"\{([,-])\}", r"\1", plain), ""))
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


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
