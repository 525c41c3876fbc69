"""The command `gru-bench report`, which is also `python -m gru_bench.report`: write a report on studies."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from gru_bench import cli
from gru_bench.errors import DifferenceError, IncompleteError, RunError, UsageError, unknown

if TYPE_CHECKING:
    from gru_bench.report.document.numbers import Sentence
    from gru_bench.report.document.report import Report
    from gru_bench.tracking import LoggedStudy

app = cli.app()
RUN_ONE = "run one to its end (gru-bench sweep --study smoke)"

MOST_NAMED = 5
"""Most runs that one sentence names."""


class Shelf(Protocol):
    """A store of studies."""

    def experiments(self) -> list[str]:
        """Return the names of the experiments, the one written last first."""
        ...

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return the studies of an experiment, newest first."""
        ...


@dataclass(frozen=True)
class Choice:
    """The studies that a report shows, and remarks on how they were chosen."""

    experiment: str
    studies: tuple[LoggedStudy, ...]
    """Oldest first."""
    missing: tuple[Sentence, ...]
    """Sentences for the report."""
    remarks: tuple[str, ...]
    """Lines for the terminal only."""
    known: tuple[str, ...]
    """Names of all studies of the experiment."""


@app.command()
def report(
    study: Annotated[list[str] | None, typer.Option(
        help="A study to report on. May be repeated.", show_default="every complete one")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Folder to write to.", show_default="reports/ and the name of the experiment or study")] = None,
    experiment: Annotated[str | None, typer.Option(
        help="MLflow experiment of the studies. Each data set has one.", show_default="the one written last")] = None,
    margin: Annotated[float | None, typer.Option(
        help="The largest difference that does not matter in practice, in points of accuracy. The report says whether "
        "it was chosen before the study or afterwards.", show_default="the studies'")] = None,
    mcnemar: Annotated[tuple[str, str] | None, typer.Option(
        help="Ids of two confirm runs. Adds McNemar's exact test of these two trained models.",
        metavar="RUN RUN", show_default=False)] = None,
    verify: Annotated[Path | None, typer.Option(
        help="Write nothing. Compute the report in this folder again and list every number that differs from the "
        "runs: exit code 0 if none does, 4 otherwise.", show_default=False)] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Compile report.tex to a PDF too. This needs TeX.")] = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Write a report on what sweeps have logged.

    The folder gets report.html, report.tex, report.md, numbers.json, tables and figures.
    """
    if verify is not None:
        _verify(verify, tracking_uri)
        return
    _check(out, margin)
    from gru_bench.report import build as report
    from gru_bench.report.document.numbers import slug
    from gru_bench.report.render import html_latex as render
    from gru_bench.report.render import record
    from gru_bench.tracking import Store, waiting

    store = Store(tracking_uri, create=False)
    console = cli.out()
    try:
        choice = choose(store, experiment, study or [])
    finally:
        for remark in store.odd.values():
            console.print(remark, markup=False)
    unsynced = [f"{found}: not in this report; gru-bench sync sends what waits"
                for found in waiting(store.home, store.uri)]
    for remark in (*choice.remarks, *unsynced):
        console.print(remark, markup=False)
    whole = report.build(
        choice.studies, store, experiment=choice.experiment, margin=None if margin is None else margin / 100,
        mcnemar_runs=mcnemar, cautions=[*choice.missing, *odd_runs(store.odd)], tracking_uri=store.uri,
        known_studies=choice.known,
    )
    name = "-".join(study) if study else choice.experiment
    folder = out or Path("reports") / slug(name, "report")
    try:
        written = [*render.write(whole, folder), *record.write(whole, folder)]
    except OSError as error:
        if error.errno not in cli.UNWRITABLE:
            raise
        raise RunError(f"{folder} must be writable, but is not ({error.strerror}): name another with --out") from error
    for line in in_short(whole):
        console.print(line, markup=False)
    page, *others = sorted((path for path in written if path.parent == folder), key=lambda path: path.suffix != ".html")
    console.print(f"wrote {page}: {page.resolve().as_uri()}", markup=False, soft_wrap=True)
    console.print(f"and beside it {', '.join(path.name for path in others)}, tables and figures", markup=False)
    if pdf:
        from gru_bench.report.render import pdf as typeset

        console.print(f"wrote {typeset.pdf(folder)}", markup=False, soft_wrap=True)


def in_short(whole: Report) -> list[str]:
    """Return the first sentences of a report as lines for a terminal."""
    from gru_bench.report.document.numbers import NBSP, in_text

    care = [*whole.cautions, *([whole.budgets] if whole.budgets else [])]
    lines = [f"- {in_text(sentence)}" for sentence in (*whole.summary, *whole.below_baseline)]
    lines += ["cautions:"] * bool(care) + [f"- {in_text(sentence)}" for sentence in care]
    return [line.replace(NBSP, " ") for line in lines]


def choose(shelf: Shelf, experiment: str | None, names: Sequence[str]) -> Choice:
    """Return the studies to report on.

    Args:
        shelf: The store of the studies.
        experiment: Name of an experiment. None means the one written last that has the named studies.
        names: Names of studies. An empty sequence means every study with a complete confirm run.

    Raises:
        IncompleteError: When no study has a complete confirm run.
        RunError: When the summary of a study cannot be read.
        UsageError: For an unknown experiment or study. The error lists the known ones.
    """
    known = shelf.experiments()
    if experiment is not None and experiment not in known:
        raise unknown("experiment", experiment, known) if known else _nothing("nothing has been logged yet")
    if not known:
        raise _nothing("nothing has been logged yet")
    place, found = _shelved(shelf, [experiment] if experiment is not None else known, names)
    remarks, missing = [], []
    chosen = []
    for name in names or list(dict.fromkeys(_name(study) for study in reversed(found))):
        same = [study for study in found if _name(study) == name]
        usable = [study for study in same if _confirmed(study) and not study.damaged]
        if not usable and (broken := [study.damaged for study in same if study.damaged]):
            if names:
                raise RunError(broken[0])
            missing.append((f"The study {name} is left out: its summary cannot be read.",))
            remarks.append(f"study {name}: left out, {broken[0]}")
            continue
        finished = [study for study in usable if study.summary is not None]
        best = (finished or usable or same)[0]
        if not usable:
            state = f"trials so far: {len(best.trials)}, confirm runs: {len(best.confirms)}, none of these complete"
            if names and len(names) == 1:
                raise _nothing(f"the study {name} has none ({state})")
            missing.append((f"The study {name} is left out: it has no complete confirm run yet.",))
            remarks.append(f"study {name}: left out, it has no complete confirm run ({state})")
            continue
        if len(same) > 1:
            remarks.append(f"study {name}: logged {len(same)} times, the newest complete one is taken")
        chosen.append(best)
    if not chosen:
        damaged = [study.damaged for study in found if study.damaged]
        raise RunError(damaged[0]) if damaged else _nothing(f"the experiment {place} has none")
    others = [name for name in known if name != place]
    if others and experiment is None:
        remarks.append(f"experiment {place}; there are others (--experiment): {', '.join(others)}")
    return Choice(place, tuple(chosen), tuple(missing), tuple(remarks),
                  tuple(dict.fromkeys(_name(study) for study in found)))


def odd_runs(odd: Mapping[str, str]) -> list[Sentence]:
    """Return what a report says about runs that it leaves out because they cannot be read."""
    if not odd:
        return []
    ids = ", ".join(sorted(odd)[:MOST_NAMED]) + (", ..." if len(odd) > MOST_NAMED else "")
    runs = "1 run of the experiment is" if len(odd) == 1 else f"{len(odd):,} runs of the experiment are"
    return [(f"{runs} left out, because what MLflow holds of them cannot be read: {ids}.",)]


def _verify(folder: Path, tracking_uri: str | None) -> None:
    """Print how a report differs from what MLflow holds.

    Raises:
        DifferenceError: When it differs.
    """
    from gru_bench.report import verify
    from gru_bench.report.render import record
    from gru_bench.tracking import Store
    from gru_bench.tracking.client import DEFAULT_DATABASE, sqlite_path

    found = record.read(folder)
    console = cli.out()
    uri = tracking_uri or found["tracking_uri"] or None
    file = sqlite_path(uri or "")
    if tracking_uri is None and file is not None and not file.exists() and Path(DEFAULT_DATABASE).exists():
        console.print(f"{folder} was made from {file}, which is not on this machine: {DEFAULT_DATABASE} in this "
                      "directory is asked instead", markup=False, soft_wrap=True)
        uri = None
    store = Store(uri, create=False)
    differences = verify.differences(folder, found, store)
    for line in differences:
        console.print(line, markup=False, soft_wrap=True)
    if remark := verify.unchecked(found):
        console.print(remark, markup=False, soft_wrap=True)
    if differences:
        raise DifferenceError(
            f"a report must say what MLflow holds, but {folder} differs in {len(differences)} "
            f"place{'s' * (len(differences) > 1)}: write it again (gru-bench report --out {shlex.quote(str(folder))}), "
            "or look for what has changed")
    console.print(f"{folder}: all {len(found['numbers']):,} numbers are what {len(found['runs']):,} runs in "
                  f"{store.uri} give", markup=False, soft_wrap=True)


def _check(out: Path | None, margin: float | None) -> None:
    if margin is not None and not 0 < margin <= 50:
        raise UsageError(f"--margin must be above 0 and at most 50 points, but got {margin:g}: try --margin 1")
    for place in (out, *out.parents) if out is not None else ():
        if place.exists():
            if not place.is_dir():
                raise UsageError(f"--out must name a folder, but {place} is a file: choose another name")
            return


def _shelved(shelf: Shelf, places: Sequence[str], names: Sequence[str]) -> tuple[str, list[LoggedStudy]]:
    """Return the first experiment that holds all the studies named, and its studies."""
    seen: set[str] = set()
    for place in places:
        found = shelf.studies(place)
        here = {_name(study) for study in found}
        if set(names) <= here:
            return place, found
        seen |= here
    lost = [name for name in names if name not in seen]
    if lost:
        raise unknown("study", lost[0], seen) if seen else _nothing("no study has been logged yet")
    raise UsageError(
        f"--study must name studies of one experiment, but {', '.join(names)} lie in several: report on them one by one"
    )


def _name(study: LoggedStudy) -> str:
    return study.run.study or study.run.name


def _confirmed(study: LoggedStudy) -> bool:
    return any(run.complete for run in study.confirms)


def _nothing(state: str) -> IncompleteError:
    return IncompleteError(f"a report needs a study with a complete confirm run, but {state}: {RUN_ONE}")


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
