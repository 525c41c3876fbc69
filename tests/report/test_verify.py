"""The check of a report finds whatever was changed since it was made."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.tracking
from gru_bench.config import RunConfig
from gru_bench.report import verify
from gru_bench.report.__main__ import app
from gru_bench.report.document.figure import Figure
from gru_bench.report.evidence.store import StudyStore
from gru_bench.report.render import files, record
from gru_bench.results.runs import EpochRecord, RunResult
from gru_bench.tracking import LoggedRun
from tests.support.commands import completed, mentions
from tests.support.fake_store import FakeStore, TestSet, one_each
from tests.support.mlflow_stores import client_of
from tests.support.renderings import Written, figure_of
from tests.support.reports import build
from tests.support.values import present

ACCURACY = "scratch-scratch.accuracy"


def differences(store: StudyStore, folder: Path) -> list[str]:
    return verify.differences(folder, record.read(folder), store)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_untouched_report_is_verified(original: Written) -> None:
    store, folder, _ = original
    assert differences(store, folder) == []


def test_a_record_without_its_runs_is_a_difference(original: Written, folder: Path) -> None:
    kept = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    for runs in ([], kept["runs"][1:], [*kept["runs"], kept["runs"][0]]):
        (folder / "numbers.json").write_text(json.dumps(kept | {"runs": runs}), encoding="utf-8")
        (found,) = differences(original[0], folder)
        mentions(found, "numbers.json", f"{len(runs)} runs", f"{len(kept['runs'])}")


def test_a_changed_number_is_named_with_its_file_and_both_values(original: Written, folder: Path) -> None:
    store, _, report = original
    numbers = report.numbers
    accuracy, area, seeds = (numbers[key] for key in (ACCURACY, "torch-torch.roc-auc", "torch-torch.seeds"))
    value = repr(accuracy.value)
    difference = repr(numbers["pair.torch-torch.scratch-scratch.difference"].value)
    change(folder / "numbers.json", f'"value": {value}', '"value": 0.99')
    page = (folder / "report.html").read_text(encoding="utf-8")
    page = re.sub(rf'(data-key="{re.escape(ACCURACY)}"[^>]*>){accuracy.text}<', r"\g<1>99.9<", page, count=1)
    page = page.replace(f'value="{area.value!r}"', 'value="0.5"')
    brought = present(re.search(r'download="differences.csv" href="([^"]*)"', page))[1]
    page = page.replace(brought, brought.replace(difference, "0.0099"))
    (folder / "report.html").write_text(page, encoding="utf-8")
    change(folder / "report.tex", rf"\val{{{ACCURACY}}}{{{accuracy.text}}}", rf"\val{{{ACCURACY}}}{{99.9}}")
    change(folder / "tables" / "results.tex", rf"\val{{{seeds.key}}}{{{seeds.text}}}", rf"\val{{{seeds.key}}}{{7}}")
    change(folder / "figures" / "accuracy.csv", value, "0.99")
    found = differences(store, folder)
    for line, parts in zip(found, [
        ("numbers.json: ", ACCURACY, "0.99", f"{accuracy.value:.9g}"),
        ("figures/accuracy.csv: ", "line 2", "0.99", f"{accuracy.value:.9g}"),
        ("report.html: ", ACCURACY, "99.9", accuracy.text),
        ("report.html: ", area.key, "0.5", f"{area.value:.9g}"),
        ("report.html: ", "0.0099", f"{float(difference):.9g}"),
        ("tables/results.tex: ", seeds.key, "7", seeds.text),
        ("report.tex: ", ACCURACY, "99.9", accuracy.text),
    ], strict=True):
        mentions(line, *parts)


def test_a_missing_number_and_one_too_many_are_named(original: Written, folder: Path) -> None:
    store, _, report = original
    found, numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8")), report.numbers
    found["numbers"]["made-up"] = found["numbers"].pop(ACCURACY)
    (folder / "numbers.json").write_text(json.dumps(found), encoding="utf-8")
    area = numbers["torch-torch.roc-auc"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    page = re.sub(rf'<data [^>]*data-key="{re.escape(area.key)}".*?</data>', "0.999", page)
    (folder / "report.html").write_text(page, encoding="utf-8")
    missing, made_up, *taken_off = differences(store, folder)
    mentions(missing, "numbers.json: ", ACCURACY, "nothing, but")
    mentions(made_up, "numbers.json: made-up", "give nothing")
    assert taken_off
    for line in taken_off:
        mentions(line, "report.html: line ", "0.999", area.key)


def test_a_margin_changed_afterwards_is_named(original: Written, folder: Path) -> None:
    store, _, _ = original
    change(folder / "numbers.json", '"margin": 0.01', '"margin": 0.05')
    assert any("methods.margin" in line for line in differences(store, folder))


def test_changed_words_are_named_with_their_line(original: Written, folder: Path) -> None:
    store, _, report = original
    words = " passed, "
    change(folder / "report.html", words, words.replace("passed", "failed"))
    change(folder / "report.html", "<section", "<svg></svg><section")
    shown, path = report.numbers[ACCURACY].text, folder / "report.md"
    change(path, words, words.replace("passed", "failed"))
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("| ") and f"| {shown} [" in line)
    lines[place] = lines[place].replace(f"| {shown} [", "| 99.9 [")
    del lines[-1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    drawing, on_page, in_markdown, number, last = differences(store, folder)
    mentions(drawing, "report.html: line ", "'<svg/><section")
    for line, name in ((on_page, "report.html"), (in_markdown, "report.md")):
        mentions(line, f"{name}: line ", " failed, ", " passed, ")
    mentions(number, f"report.md: line {place + 1} ", "| 99.9 [", f"| {shown} [")
    mentions(last, f"report.md: line {len(lines) + 1} has nothing")


def test_a_digit_changed_in_the_values_behind_any_figure_is_named(original: Written, folder: Path) -> None:
    store, _, report = original
    names = [figure.name for figure in report.figures]
    for name in names:
        path = folder / "figures" / f"{name}.csv"
        head, line, *rest = path.read_bytes().decode().splitlines()
        digit = present(re.search(r"\d(?=\D*$)", line))
        other = line[:digit.start()] + str((int(digit[0]) + 5) % 10) + line[digit.end():]
        if re.search(r"\d\.\d{12,}\D*$", line):  # its last digit is below what rounding may do
            other = re.sub(r"(\d\.\d\d)(\d)(?=\d*\D*$)", lambda m: m[1] + str((int(m[2]) + 5) % 10), line)
        path.write_bytes("\r\n".join([head, other, *rest, ""]).encode())
    found = differences(store, folder)
    assert [line.partition(": ")[0] for line in found] == [f"figures/{name}.csv" for name in names]
    assert all(" line 2 has " in line for line in found)


def test_missing_lines_are_named_and_files_that_are_not_there_are_not_compared(original: Written, folder: Path) -> None:
    store, _, _ = original
    path = folder / "figures" / "accuracy.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]), encoding="utf-8")
    for name in ("report.tex", "figures/differences.csv", "figures/curves.pdf"):
        (folder / name).unlink()
    (cut,) = differences(store, folder)
    mentions(cut, f"figures/accuracy.csv: line {len(lines)} has nothing, but the runs give '{lines[-1][:20]}")


def test_a_drawing_that_was_changed_is_named(original: Written, folder: Path) -> None:
    svg = figure_of(original.report, "accuracy").svg
    change(folder / "report.html", svg, svg.replace("values", "other values"))
    (folder / "figures" / "differences.pdf").write_bytes(b"%PDF-1.4")
    on_page, on_paper = differences(original.store, folder)
    mentions(on_page, "report.html: ", "figure accuracy ", "numbers.json")
    mentions(on_paper, "figures/differences.pdf ", "numbers.json")


def test_a_drawing_without_a_digest_is_named(original: Written, folder: Path) -> None:
    kept = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    del kept["drawings"]["accuracy"]
    (folder / "numbers.json").write_text(json.dumps(kept), encoding="utf-8")
    (found,) = differences(original.store, folder)
    mentions(found, "numbers.json", "digests", "figure accuracy")


def test_real_drawings_are_verified_and_not_drawn_again(
    tmp_path: Path, drawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, studies = one_each({"torch": 0.0}, test_set=TestSet.draw(60), seeds=2, epochs=2, search=False)
    report = build(studies, store, experiment="movie-reviews")
    few = replace(report, sections=tuple(one for one in report.sections if one.name in ("summary", "runs")))
    files.write(few, tmp_path)
    again = replace(few)
    monkeypatch.setattr(verify, "build", lambda *_, **__: again)
    monkeypatch.setattr(Figure, "_drawn", None)
    assert differences(store, tmp_path) == []
    change(tmp_path / "report.html", "var(--series-1)", "var(--series-2)")
    (line,) = differences(store, tmp_path)
    mentions(line, "report.html: ", "figure accuracy ")


def test_a_run_that_is_gone_is_named_with_what_changes_without_it(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    gone = study.confirms[2].run_id
    less = replace(study, confirms=tuple(run for run in study.confirms if run.run_id != gone))
    first, *lines = differences(replace(store, by_experiment={"movie-reviews": [less, *others]}), folder)
    mentions(first, gone, "is gone")
    assert any(line.startswith(f"numbers.json: {ACCURACY} has ") for line in lines)
    assert any(line.startswith("numbers.json: scratch-scratch.seeds has ") for line in lines)
    assert any(line.startswith("report.html: line ") for line in lines)


def test_a_study_and_an_experiment_that_are_gone_are_named(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    mentions(differences(replace(store, by_experiment={"movie-reviews": others}), folder)[0],
             study.run.run_id, "study scratch", "is gone")
    mentions(differences(replace(store, by_experiment={"other": [study]}), folder)[0], "experiment is gone")
    mentions(differences(replace(store, by_experiment={"movie-reviews": []}), folder)[-1], "cannot be computed again")


def imported(store: FakeStore, *earlier: int, name: str | None = None) -> FakeStore:
    """Return a store that holds the studies under ids of its own, having come there through others."""
    def moved(run: LoggedRun, place: int) -> str:
        return f"{int(run.run_id, 16) ^ (place + 1) << 120:032x}" if place >= 0 else run.run_id

    def here(run: LoggedRun) -> LoggedRun:
        ids = " ".join(moved(run, place) for place in earlier)
        study = name if name and run.study == "scratch" else run.study
        return replace(run, run_id=moved(run, 7), study=study, tags={**run.tags, "gru_bench.earlier_ids": ids})

    ids = {run.run_id: moved(run, 7) for run in store.runs("movie-reviews")}
    studies = [replace(study, run=here(study.run), trials=tuple(map(here, study.trials)),
                       confirms=tuple(map(here, study.confirms)), ablations=tuple(map(here, study.ablations)),
                       baselines=tuple(map(here, study.baselines)))
               for study in store.by_experiment["movie-reviews"]]
    return replace(
        store, by_experiment={"movie-reviews": studies}, url=None,
        metrics={ids[run]: found for run, found in store.metrics.items()},
        predicted={(ids[run], split): found for (run, split), found in store.predicted.items()})


def test_a_report_is_verified_against_imported_runs(original: Written, folder: Path) -> None:
    store, _, report = original
    assert differences(imported(store, -1), folder) == []
    assert differences(imported(store, -1, 2, 3), folder) == []  # through two more stores
    mentions(differences(imported(store, 2), folder)[0],
             f"run {report.source.studies[0].run}", "study scratch", "is gone")


def test_a_report_from_a_server_is_verified_against_imported_runs(original: Written, tmp_path: Path) -> None:
    url = "http://host:5000"
    store = replace(original.store, url=url)
    report = build(store.by_experiment["movie-reviews"], store, experiment="movie-reviews", tracking_uri=url)
    files.write(report, tmp_path)
    assert url in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert differences(imported(store, -1), tmp_path) == []
    both = imported(store, -1)
    both.by_experiment["movie-reviews"] += store.by_experiment["movie-reviews"]
    both = replace(both, url=url, metrics={**both.metrics, **store.metrics},
                   predicted={**both.predicted, **store.predicted})
    assert differences(both, tmp_path) == []  # the runs themselves are there beside their copies


def test_two_runs_that_claim_one_earlier_id_are_no_copy(original: Written, folder: Path) -> None:
    store = imported(original[0], -1)
    study, *others = store.by_experiment["movie-reviews"]
    twin = tuple(replace(run, tags=study.confirms[0].tags) for run in study.confirms)
    store.by_experiment["movie-reviews"] = [replace(study, confirms=twin), *others]
    assert "of the study scratch is gone" in differences(store, folder)[0]


def test_what_differs_is_shown_in_plain_characters() -> None:
    said = verify._changed("a\u00a0b 1\u202f% \x1b[2J x", "a b 1 % z")
    mentions(said, r"'a\xa0b 1\u202f% \x1b[2J x'", "'a b 1 % z'")
    assert said.isprintable()


def test_the_command_ends_with_4_and_the_differences_if_there_are_any(original: Written, folder: Path) -> None:
    store, _, report = original
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_bench.tracking, "open_reader", lambda uri=None: store)
        done = completed(app, "--verify", str(folder))
        assert done.returncode == 0
        mentions(done.stdout, f"all {len(report.numbers):,} numbers")
        change(folder / "report.tex", rf"\val{{{ACCURACY}}}{{", rf"\val{{{ACCURACY}}}{{1")
        done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    mentions(done.stdout, "report.tex: line ", rf"\val{{{ACCURACY}}}{{1")
    mentions(done.stderr, "error: ", str(folder), "1 place:", "gru-bench report --out ")


def test_the_command_prints_the_first_differences_and_counts_all(original: Written, folder: Path) -> None:
    for name in original.report.numbers:
        change(folder / "numbers.json", f'"{name}": ', f'"other-{name}": ')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_bench.tracking, "open_reader", lambda uri=None: original.store)
        done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    places = 2 * len(original.report.numbers)
    *shown, rest = done.stdout.splitlines()
    assert len(shown) == 20
    mentions(rest, f"{places - 20:,} more")
    mentions(done.stderr, f"{places} places")


def test_a_store_that_is_on_another_machine_is_looked_for_in_this_directory(
    folder: Path, tmp_path: Path, empty_database: Path
) -> None:
    change(folder / "numbers.json", '"tracking_uri": "sqlite:///mlflow.db"',
           '"tracking_uri": "sqlite:////home/nobody/mlflow.db"')
    done = completed(app, "--verify", str(folder))
    assert done.returncode == 1
    mentions(done.stderr, "/home/nobody/mlflow.db", "no such file")
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    mentions(done.stdout, "/home/nobody/mlflow.db", "mlflow.db in this directory", "the experiment is gone")


def test_a_run_deleted_in_mlflow_itself(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "runs.db")
    writer = gru_bench.tracking.Store(f"sqlite:///{tmp_path / 'runs.db'}")
    parent = writer.start("reviews", "torch", role="study", study="torch", fingerprint="f")
    test_set, rng = TestSet.draw(60), np.random.default_rng(0)
    runs = []
    for seed in range(3):
        run = writer.start("reviews", f"torch {seed}", role="confirm", study="torch", model="torch", fingerprint="f",
                           config=RunConfig(seed=seed), parent=parent.run_id)
        epoch = EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0)
        run.epoch(epoch)
        run.finish(RunResult(
            RunConfig(seed=seed), "torch", "cpu", (epoch,), (), 1, 12, 2, 4.5, 1000,
            {"test": test_set.predictions(rng, np.zeros(60), 0.0)}, {}, classes=test_set.classes))
        runs.append(run)
    writer.catch_up()
    store = gru_bench.tracking.open_reader(writer.uri)
    folder = tmp_path / "report"
    report = build(store.studies("reviews"), store, experiment="reviews", tracking_uri=store.uri)
    files.write(report, folder)
    assert differences(store, folder) == []
    client_of(writer).delete_run(writer.mlflow_id(runs[1].run_id))
    lines = differences(store, folder)
    assert lines[0] == f"the run {runs[1].run_id} is gone"
    (seeds,) = [line for line in lines if line.startswith("numbers.json: torch-torch.seeds has ")]
    mentions(seeds, '{"value": 3, ', '{"value": 2, ')
