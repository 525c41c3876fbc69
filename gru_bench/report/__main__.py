"""`python -m gru_bench.report`: write up the studies that MLflow holds, as a page and as LaTeX."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from gru_bench import cli
from gru_bench.errors import RunError, UsageError, unknown

if TYPE_CHECKING:
    from gru_bench.report.document.numbers import Sentence
    from gru_bench.report.document.report import Report
    from gru_bench.tracking import LoggedStudy

app = cli.app()
RUN_ONE = "run one to its end: python sweeps/run.py --study smoke (installed: gru-bench-sweep --study smoke)"

MOST_NAMED = 5
"""Runs that are named in a sentence."""


class Shelf(Protocol):
    """Where studies are found."""

    def experiments(self) -> list[str]:
        """Return the experiments, the one written last first."""
        ...

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return an experiment's studies, newest first."""
        ...


@dataclass(frozen=True)
class Choice:
    """What is to be written up, and what a reader should know of the choice."""

    experiment: str
    studies: tuple[LoggedStudy, ...]
    """Oldest first."""
    missing: tuple[Sentence, ...]
    """Goes into the report."""
    remarks: tuple[str, ...]
    """Goes to the terminal alone."""
    known: tuple[str, ...]
    """Every study of the experiment."""


@app.command()
def report(
    study: Annotated[list[str] | None, typer.Option(
        help="A study to write up; may be repeated.", show_default="every complete one")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Folder to write to.", show_default="reports/ and the name of the experiment or study")] = None,
    experiment: Annotated[str | None, typer.Option(
        help="The experiment (one for each data set).", show_default="the one written last")] = None,
    margin: Annotated[float | None, typer.Option(
        help="The largest difference without practical weight, in points of accuracy. Another than the studies logged "
        "at their start is said to have been chosen afterwards.", show_default="the studies'")] = None,
    mcnemar: Annotated[tuple[str, str] | None, typer.Option(
        help="Ids of two confirm runs: adds McNemar's exact test of these two trained models, labelled as such.",
        metavar="RUN RUN", show_default=False)] = None,
    verify: Annotated[Path | None, typer.Option(
        help="Write nothing: compute the report in this folder again, and name every number that differs from what "
        "MLflow holds and every run that is gone.", show_default=False)] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Compile report.tex too; takes a TeX.")] = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Write up what the sweeps logged: report.html, report.tex with its tables and figures, report.md, numbers.json."""
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
    unsynced = [f"{found}: not in this report until a sweep that runs here, or python -m gru_bench.tracking, has fed "
             "them" for found in waiting(store.home, store.uri)]
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
    """Return what a page says first, as lines for a terminal."""
    from gru_bench.report.document.numbers import NBSP, in_text

    care = [*whole.cautions, *([whole.budgets] if whole.budgets else [])]
    lines = [f"- {in_text(sentence)}" for sentence in (*whole.summary, *whole.below_baseline)]
    lines += ["to be read with care:"] * bool(care) + [f"- {in_text(sentence)}" for sentence in care]
    return [line.replace(NBSP, " ") for line in lines]


def choose(shelf: Shelf, experiment: str | None, names: Sequence[str]) -> Choice:
    """Pick the studies to write up.

    Args:
        shelf: where they are.
        experiment: its name; None means the one written last (that has the studies named).
        names: of studies; none means every one with a complete confirm run.

    Raises:
        RunError: where there is no study with a complete confirm run.
        UsageError: for an unknown experiment or study, with the known ones.
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
    """Return what a report says of runs that were left out because nothing could be made of them."""
    if not odd:
        return []
    ids = ", ".join(sorted(odd)[:MOST_NAMED]) + (", ..." if len(odd) > MOST_NAMED else "")
    runs = "1 run of the experiment is" if len(odd) == 1 else f"{len(odd):,} runs of the experiment are"
    return [(f"{runs} left out, because what MLflow holds of them cannot be read: {ids}.",)]


def _verify(folder: Path, tracking_uri: str | None) -> None:
    """Say in what a report differs from what MLflow holds.

    Raises:
        RunError: where it differs.
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
    told = verify.differences(folder, found, store)
    for line in told:
        console.print(line, markup=False, soft_wrap=True)
    if remark := verify.unchecked(found):
        console.print(remark, markup=False, soft_wrap=True)
    if told:
        raise RunError(f"a report must say what MLflow holds, but {folder} differs in {len(told)} "
                       f"place{'s' * (len(told) > 1)}: write it again (python -m gru_bench.report --out "
                       f"{shlex.quote(str(folder))}), or look for what has changed")
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
        f"--study must name studies of one experiment, but {', '.join(names)} lie in several: write them up one by one"
    )


def _name(study: LoggedStudy) -> str:
    return study.run.study or study.run.name


def _confirmed(study: LoggedStudy) -> bool:
    return any(run.complete for run in study.confirms)


def _nothing(state: str) -> RunError:
    return RunError(f"a report needs a study with a complete confirm run, but {state}: {RUN_ONE}")


def main() -> None:
    """Run the command and end the process."""
    cli.run(app)


if __name__ == "__main__":
    main()
