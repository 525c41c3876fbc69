"""The command `gru-bench lint`: what may be wrong with studies, from their files or from what they have logged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.errors import ExitCode, IncompleteError, RunError, unknown

if TYPE_CHECKING:
    from gru_bench.tracking import LoggedStudy, Reader

app = cli.app()


@app.command()
def lint(
    study: Annotated[list[str] | None, typer.Option(
        help="A logged study, a built-in study, or a TOML file; repeatable, to compare "
        "studies.", show_default="all logged studies")] = None,
    ignore: Annotated[list[str] | None, typer.Option(
        metavar="CODES", help="Codes to skip, such as GRU003,GRU010; repeatable.",
        show_default="none")] = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Say what may be wrong with a study, and what to do about it.

    Of a study file the settings alone are checked: no data are read. Of a logged study also its data, its search and
    its finished confirmation runs are checked. Exit code 0: no warnings; 4: some. docs/checks.md explains each code.
    """
    from gru_bench.checks import PAGE, State, Subject, codes_of, of_logged, outcomes
    from gru_bench.sweep.spec import is_file_name, known_studies, load_study

    ignored = codes_of(ignore or [])
    names = list(dict.fromkeys(study or []))
    files = [name for name in names if is_file_name(name)]
    wanted = [name for name in names if name not in files]
    store = _opened(tracking_uri, wanted) if wanted or not names else None
    logged = {} if store is None else _logged(store)
    known = {one.name for some in logged.values() for one in some}
    if not names and not known:
        raise IncompleteError("no study has been logged yet: name a built-in study or a file, such as --study smoke")
    for name in wanted:
        if name not in known and name not in known_studies():
            raise unknown("study", name, {*known, *known_studies()}, "Or give the path of a .toml file.")
    subjects = [Subject([load_study(name) for name in names if name not in known])]
    for some in logged.values():
        if chosen := [one for one in some if not names or one.name in wanted]:
            assert store is not None
            if damaged := [one.damaged for one in chosen if one.damaged]:
                raise RunError(damaged[0])
            subjects.append(of_logged(chosen, store))
    console = cli.out()
    found = outcomes(*subjects, ignored=ignored)
    for one in found:
        one.show(console)
    states, count = [one.state for one in found], sum(len(one.warnings) for one in found)
    console.print(
        f"{count or 'no'} warning{'s' * (count != 1)} on {', '.join(names or sorted(known))}; checks passed: "
        f"{states.count(State.PASSED)}, not applicable: {states.count(State.NOT_APPLICABLE)}; {PAGE} explains each "
        "code", markup=False, soft_wrap=True)
    if count:
        raise typer.Exit(ExitCode.NO)


def _opened(uri: str | None, wanted: Sequence[str]) -> Reader | None:
    """Return the store of logged studies; None where it is not there, but only studies of the package are wanted."""
    from gru_bench.sweep.spec import known_studies
    from gru_bench.tracking import open_reader
    from gru_bench.tracking.client import DEFAULT_DATABASE

    try:
        return open_reader(uri)
    except RunError:
        if uri is None and wanted and set(wanted) <= set(known_studies()) and not Path(DEFAULT_DATABASE).exists():
            return None
        raise


def _logged(store: Reader) -> dict[str, list[LoggedStudy]]:
    """Return experiment -> its studies, oldest first; of those with one name the newest."""
    return {place: list({one.name: one for one in reversed(store.studies(place))}.values())
            for place in store.experiments()}


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
