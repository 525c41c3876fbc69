"""Write studies to one compressed folder that can be published: their stores, without texts and weights.

    python reports/publish.py studies.tar.xz --study bidirectional --study torch

reads mlflow.db, mlartifacts and optuna.journal in the working directory and changes nothing there. Who unpacks the
file has a folder in which all commands read the studies:

    tar xf studies.tar.xz
    gru-bench report --study bidirectional

Reports need predictions, params and metrics, so these are kept: the metrics with all of their points.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import tarfile
import tempfile
import warnings
from collections.abc import Container
from contextlib import closing
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from gru_bench.models.saved import SHARED
from gru_bench.results.diagnostics import DIAGNOSTICS, Diagnostics
from gru_bench.tracking.store import ATTACHED

DATABASE, ARTIFACTS, JOURNAL = "mlflow.db", "mlartifacts", "optuna.journal"
LEFT_OUT = ("texts/", "model/", SHARED, f"{ATTACHED}/")
"""Artifacts that show texts or their n-grams, hold weights, or were computed from the runs."""
OF_RUNS = ("tags", "params", "metrics", "latest_metrics", "runs")
"""Tables of MLflow with a row for each run, or several."""
OF_MODELS = ("logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models",
             "model_version_tags", "model_versions", "registered_model_aliases", "registered_model_tags",
             "registered_models")
"""Tables of MLflow with models, which have no weights here."""


def publish(stores: Path, studies: list[str], file: Path) -> None:
    """Write studies to a compressed folder.

    Args:
        stores: Folder with the stores of the studies.
        studies: Names of the studies.
        file: The file to write, which ends in .tar.xz.

    Raises:
        SystemExit: A store lacks a study.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for run in copy_runs(stores / DATABASE, folder / DATABASE, studies):
            copy_artifacts(stores / ARTIFACTS / run, folder / ARTIFACTS / run)
        copy_searches(stores / JOURNAL, folder / JOURNAL, studies)
        with tarfile.open(file, "w:xz", preset=9) as packed:
            for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"):
                packed.add(path, path.relative_to(folder).as_posix(), filter=without_owner)


def copy_runs(database: Path, copy: Path, studies: list[str]) -> list[str]:
    """Copy a database without the runs of other studies, and return MLflow's ids of the runs that are left."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source, closing(
            sqlite3.connect(copy)) as target:
        source.backup(target)
        with target:
            target.execute("CREATE TEMP TABLE kept AS SELECT run_uuid, value AS study FROM tags JOIN runs USING "
                           f"(run_uuid) WHERE key = 'gru_bench.study' AND value IN ({','.join('?' * len(studies))}) "
                           "AND lifecycle_stage = 'active'", studies)
            require(database, studies, {study for study, in target.execute("SELECT DISTINCT study FROM kept")})
            for table in OF_MODELS:
                target.execute(f"DELETE FROM {table}")
            for table in OF_RUNS:
                target.execute(f"DELETE FROM {table} WHERE run_uuid NOT IN (SELECT run_uuid FROM kept)")
            target.execute("DELETE FROM inputs WHERE destination_id NOT IN (SELECT run_uuid FROM kept)")
            target.execute("DELETE FROM input_tags WHERE input_uuid NOT IN (SELECT input_uuid FROM inputs)")
            target.execute(f"UPDATE runs SET artifact_uri = '{ARTIFACTS}/' || run_uuid || '/artifacts'")
            target.execute(f"UPDATE experiments SET artifact_location = '{ARTIFACTS}'")
        target.execute("VACUUM")
        return [run for run, in target.execute("SELECT run_uuid FROM runs")]


def copy_artifacts(run: Path, copy: Path) -> None:
    """Copy the artifacts of a run, without texts and weights."""
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run / "artifacts").as_posix() if path.is_file() else ""
        if not name or name.startswith(LEFT_OUT):
            continue
        target = copy / "artifacts" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == DIAGNOSTICS:  # some of it shows a text
            target.write_text(Diagnostics.from_json(path.read_text(encoding="utf-8")).without_review().to_json(),
                              encoding="utf-8")
        else:
            shutil.copyfile(path, target)


def copy_searches(journal: Path, copy: Path, studies: list[str]) -> None:
    """Copy the record and the searches of each study to a new journal."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    source, target = (JournalStorage(JournalFileBackend(str(path))) for path in (journal, copy))
    names = optuna.get_all_study_names(source)
    require(journal, studies, names)
    for name in names:
        if name.partition("/")[0] in studies:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of choices that are not numbers or texts
                optuna.copy_study(from_study_name=name, from_storage=source, to_storage=target)


def require(store: Path, studies: list[str], found: Container[str]) -> None:
    """End with a message if a store lacks one of the studies."""
    if missing := [study for study in studies if study not in found]:
        raise SystemExit(f"{store} has no study {missing[0]!r}: name studies that were run in this folder")


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member of the file without what tells who made it, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the file to write, such as studies.tar.xz")
    parser.add_argument("--study", action="append", required=True, help="a study; give the option again for others")
    arguments = parser.parse_args()
    publish(Path.cwd(), arguments.study, arguments.file)


if __name__ == "__main__":
    main()
