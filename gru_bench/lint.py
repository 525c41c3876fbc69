"""The command `gru-bench lint`: what may be wrong with studies, from their files or from what they have logged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.errors import ExitCode, IncompleteError, RunError, unknown

if TYPE_CHECKING:
    from gru_bench.checks.codes import Remark
    from gru_bench.tracking import LoggedStudy, Store

app = cli.app()


@app.command()
def lint(
    study: Annotated[list[str] | None, typer.Option(
        help="A study that is logged, a study that is installed with gru-bench, or a TOML file. May be repeated: "
        "studies are then compared.", show_default="every logged one")] = None,
    ignore: Annotated[list[str] | None, typer.Option(
        metavar="CODES", help="Codes that are not checked, such as GRU003,GRU010. May be repeated.",
        show_default="none")] = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Say what may be wrong with a study, and what to do about it.

    Of a study file the settings alone are checked: no data are read. Of a logged study also its data, its search and
    its confirm runs are checked, as far as they have run. Exit code 0: no remarks; 4: some. docs/checks.md says what
    each code means.
    """
    from gru_bench.checks.codes import PAGE, codes_of, without
    from gru_bench.checks.study_file import file_remarks
    from gru_bench.report.remarks import study_remarks
    from gru_bench.sweep.spec import is_file_name, known_studies, load_study

    ignored = codes_of(ignore or [])
    names = list(dict.fromkeys(study or []))
    files = [name for name in names if is_file_name(name)]
    wanted = [name for name in names if name not in files]
    store = _opened(tracking_uri, wanted) if wanted or not names else None
    logged = {} if store is None else _logged(store)
    known = {_name(one) for some in logged.values() for one in some}
    if not names and not known:
        raise IncompleteError("lint looks at logged studies unless --study names another, but nothing has been logged "
                              "yet: name a study file, such as --study smoke")
    for name in wanted:
        if name not in known and name not in known_studies():
            raise unknown("study", name, {*known, *known_studies()}, "Or give the path of a .toml file.")
    specs = [load_study(name) for name in names if name not in known]
    found: list[Remark] = file_remarks(specs)
    for some in logged.values():
        if chosen := [one for one in some if not names or _name(one) in wanted]:
            assert store is not None
            found += study_remarks(_sound(chosen), store)
    console = cli.out()
    left = without(found, ignored)
    for remark in left:
        console.print(remark.line, markup=False, soft_wrap=True)
    what = ", ".join(names or sorted(known))
    if not left:
        console.print(f"no remarks on {what}", markup=False, soft_wrap=True)
        return
    console.print(f"{len(left)} remark{'s' * (len(left) > 1)} on {what}; {PAGE} says what each code means",
                  markup=False, soft_wrap=True)
    raise typer.Exit(ExitCode.NO)


def _opened(uri: str | None, wanted: Sequence[str]) -> Store | None:
    """Return the store of logged studies; None where it is not there, but only studies of the package are wanted."""
    from gru_bench.sweep.spec import known_studies
    from gru_bench.tracking import Store
    from gru_bench.tracking.client import DEFAULT_DATABASE

    try:
        return Store(uri, create=False)
    except RunError:
        if uri is None and wanted and set(wanted) <= set(known_studies()) and not Path(DEFAULT_DATABASE).exists():
            return None
        raise


def _logged(store: Store) -> dict[str, list[LoggedStudy]]:
    """Return experiment -> its studies, oldest first; of those with one name the newest."""
    return {place: list({_name(one): one for one in reversed(store.studies(place))}.values())
            for place in store.experiments()}


def _sound(studies: Sequence[LoggedStudy]) -> list[LoggedStudy]:
    """Return the studies.

    Raises:
        RunError: The summary of one cannot be read.
    """
    for one in studies:
        if one.damaged:
            raise RunError(one.damaged)
    return list(studies)


def _name(study: LoggedStudy) -> str:
    return study.run.study or study.run.name


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
