"""The check of a report finds whatever was changed since it was made."""

from __future__ import annotations

import json
import re
import shutil
import sys
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.tracking
from gru_bench.cli import ended
from gru_bench.config import RunConfig
from gru_bench.report import verify
from gru_bench.report.__main__ import app
from gru_bench.report.build import build
from gru_bench.report.document.figure import Diagram
from gru_bench.report.figures.accuracy import accuracy_figure
from gru_bench.report.render import files, record
from gru_bench.results.runs import EpochRecord, RunResult
from gru_bench.tracking import LoggedRun
from tests.support.fake_store import FakeStore, TestSet
from tests.support.renderings import Built, Written, figure_of
from tests.support.values import present

ACCURACY = "scratch-scratch.accuracy"


def differences(store: verify.Store, folder: Path) -> list[str]:
    return verify.differences(folder, record.read(folder), store)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_untouched_report_is_verified(original: Written) -> None:
    store, folder, _ = original
    assert differences(store, folder) == []


def test_a_number_changed_in_the_record(original: Written, folder: Path) -> None:
    store, _, report = original
    number = report.numbers()[ACCURACY]
    change(folder / "numbers.json", f'"value": {number.value!r}', '"value": 0.99')
    (line,) = differences(store, folder)
    assert line == f"numbers.json: {number.key} has value 0.99, but the runs give {number.value!r}"


def test_a_number_missing_from_the_record_and_one_too_many(original: Written, folder: Path) -> None:
    store, _, report = original
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    found["numbers"]["made-up"] = found["numbers"].pop(ACCURACY)
    (folder / "numbers.json").write_text(json.dumps(found), encoding="utf-8")
    assert differences(store, folder) == [
        f"numbers.json: {ACCURACY} is missing, it is {report.numbers()[ACCURACY].text}",
        "numbers.json: made-up is not among the numbers of the runs"]


def test_a_margin_changed_afterwards(original: Written, folder: Path) -> None:
    store, _, _ = original
    change(folder / "numbers.json", '"margin": 0.01', '"margin": 0.05')
    assert any("methods.margin" in line for line in differences(store, folder))


def test_a_number_changed_on_the_page(original: Written, folder: Path) -> None:
    store, _, report = original
    key, text = ACCURACY, report.numbers()[ACCURACY].text
    page = (folder / "report.html").read_text(encoding="utf-8")
    other = re.sub(rf'(data-key="{re.escape(key)}"[^>]*>){text}<', r"\g<1>99.9<", page, count=1)
    (folder / "report.html").write_text(other, encoding="utf-8")
    assert differences(store, folder) == [f"report.html: {key} is 99.9, but the runs give {text}"]
    (folder / "report.html").write_text(
        page.replace(f'value="{report.numbers()[ACCURACY].value!r}"', 'value="0.5"'), encoding="utf-8")
    assert differences(store, folder) == [
        f"report.html: {key} holds 0.5, but the runs give {report.numbers()[ACCURACY].value!r}"]


@pytest.mark.parametrize("name", ["report.tex", "tables/evaluation.tex"])
def test_a_number_changed_in_the_document(original: Written, folder: Path, name: str) -> None:
    store, _, report = original
    key, text = ACCURACY, report.numbers()[ACCURACY].text
    change(folder / name, rf"\val{{{key}}}{{{text}}}", rf"\val{{{key}}}{{99.9}}")
    assert differences(store, folder) == [f"{name}: {key} is 99.9, but the runs give {text}"]


def test_a_number_taken_off_the_page(original: Written, folder: Path) -> None:
    store, _, report = original
    key = "torch-torch.roc-auc"
    page = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").write_text(
        re.sub(rf'<data [^>]*data-key="{re.escape(key)}".*?</data>', "0.999", page), encoding="utf-8")
    assert differences(store, folder) == [f"report.html: {key} is missing, it is {report.numbers()[key].text}"]


def test_a_verdict_turned_round(original: Written, folder: Path) -> None:
    store, _, _ = original
    for name, line in (("report.html", "Bidirectional GRU is better than"), ("report.md", "is better than")):
        change(folder / name, line, line.replace("better", "worse"))
    lines = differences(store, folder)
    assert [line.partition(": ")[0] for line in lines] == ["report.html", "report.md"]
    assert all("'worse', but the runs give 'better'" in line and re.search(r": line \d+ has ", line)
               for line in lines)


def test_a_digit_changed_in_the_values_behind_a_figure(original: Written, folder: Path) -> None:
    store, _, report = original
    value = report.numbers()["torch-torch.accuracy"].value
    names = [figure.name for figure in report.figures]
    kept = {name: (folder / "figures" / f"{name}.csv").read_bytes() for name in names}
    for name in names:
        head, line, *rest = kept[name].decode().splitlines()
        digit = present(re.search(r"\d(?=\D*$)", line))
        other = line[:digit.start()] + str((int(digit[0]) + 5) % 10) + line[digit.end():]
        if re.search(r"\d\.\d{12,}\D*$", line):  # its last digit is below what rounding may do
            other = re.sub(r"(\d\.\d\d)(\d)(?=\d*\D*$)", lambda m: m[1] + str((int(m[2]) + 5) % 10), line)
        (folder / "figures" / f"{name}.csv").write_bytes("\r\n".join([head, other, *rest, ""]).encode())
    told = differences(store, folder)
    assert [line.partition(": ")[0] for line in told] == [f"figures/{name}.csv" for name in names]
    assert all("in line 2 is" in line for line in told)
    (folder / "figures" / "accuracy.csv").write_bytes(kept["accuracy"])
    change(folder / "figures" / "accuracy.csv", repr(value), "0.99")
    expected = f"figures/accuracy.csv: accuracy in line 8 is 0.99, but the runs give {value!r}"
    assert expected in differences(store, folder)


def test_lines_taken_from_the_values_behind_a_figure(original: Written, folder: Path) -> None:
    store, _, _ = original
    path = folder / "figures" / "accuracy.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert differences(store, folder) == ["figures/accuracy.csv: 20 lines of 5 cells, but the runs give 21 of 5"]
    path.unlink()
    assert differences(store, folder) == ["figures/accuracy.csv is missing"]


def test_a_digit_changed_in_the_values_that_the_page_brings(original: Written, folder: Path) -> None:
    store, _, report = original
    value = repr(report.numbers()["pair.torch-torch.scratch-scratch.difference"].value)
    page = (folder / "report.html").read_text(encoding="utf-8")
    brought = present(re.search(r'download="differences.csv" href="([^"]*)"', page))[1]
    (folder / "report.html").write_text(page.replace(brought, brought.replace(value, "0.0099")), encoding="utf-8")
    assert differences(store, folder) == [
        "report.html: the values of the figure differences: difference in line 2 is 0.0099, but the runs give "
        f"{value}"]


def test_a_figure_drawn_from_other_values(original: Written, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _, report = original
    right = figure_of(report, "accuracy")
    better = replace(report.numbers()[ACCURACY], value=0.8655)
    drawn = accuracy_figure(replace(right.values, rows=tuple(
        tuple(better if cell == report.numbers()[ACCURACY] else cell for cell in row) for row in right.values.rows)))
    assert drawn.csv() != right.csv()
    (folder / "figures" / "accuracy.pdf").write_bytes(drawn.pdf())
    change(folder / "report.html", right.svg(), drawn.svg())
    expected = ["figures/accuracy.pdf is not what the numbers of the runs are drawn as",
                "report.html: the figure accuracy is not what the numbers of the runs are drawn as"]
    assert differences(store, folder) == expected
    # Where other versions draw otherwise, lines are not compared, and that is said.
    found = record.read(folder)
    assert verify.unchecked(found) == ""
    monkeypatch.setattr(verify, "drawn_by", lambda: "matplotlib 9.9")
    assert differences(store, folder) == []
    assert re.match(r"the figures were drawn by matplotlib \d.* and here is matplotlib 9\.9: ", verify.unchecked(found))


def test_a_figure_for_paper_that_is_damaged_or_missing(original: Written, folder: Path) -> None:
    store, _, _ = original
    path = folder / "figures" / "cost.pdf"
    path.write_bytes(path.read_bytes().replace(b"/MediaBox", b"/CropBox "))
    (folder / "figures" / "curves.pdf").unlink()
    assert differences(store, folder) == [
        "figures/cost.pdf is not what the numbers of the runs are drawn as",
        "figures/curves.pdf is missing",
    ]


def test_a_diagram_must_be_the_one_that_comes_with_it(
    made: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, report = made
    files.write(report, tmp_path)
    diagram = next(figure for figure in report.figures if isinstance(figure, Diagram))
    change(tmp_path / "report.html", diagram.svg(), diagram.svg().replace("<path", '<path id="x"', 1))
    path = tmp_path / "figures" / f"{diagram.name}.pdf"
    path.write_bytes(path.read_bytes() + b"\n")
    # It is not drawn here, so that it is compared whatever the drawing library.
    monkeypatch.setattr(verify, "drawn_by", lambda: "matplotlib 9.9")
    assert differences(store, tmp_path) == [
        f"figures/{diagram.name}.pdf is not what gru-bench brings",
        f"report.html: the figure {diagram.name} is not what gru-bench brings"]


def test_rounding_of_another_machine_is_no_difference(original: Written) -> None:
    _, folder, _ = original
    pdf = (folder / "figures" / "accuracy.pdf").read_bytes()
    stream = next(part for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
                  if b" l\n" in zlib.decompress(part))
    strokes = zlib.decompress(stream)
    place = present(re.search(rb"\d+\.\d+(?= \d+\.\d+ l\n)", strokes))
    for shift, same in ((0.0001, True), (0.4, False)):
        other = strokes[:place.start()] + b"%.6f" % (float(place[0]) + shift) + strokes[place.end():]
        assert verify._same_drawing(pdf.replace(stream, zlib.compress(other)), pdf) == same


def test_a_drawing_added_to_the_page(original: Written, folder: Path) -> None:
    store, _, _ = original
    change(folder / "report.html", "<section", "<svg></svg><section")
    (line,) = differences(store, folder)
    assert re.match(r"report\.html: line \d+ has '<svg/><section', but the runs give '<section', in ", line)


def test_a_number_changed_in_the_markdown_is_named_with_its_line(original: Written, folder: Path) -> None:
    store, _, report = original
    shown = report.numbers()[ACCURACY].text
    path = folder / "report.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("| ") and f"| {shown} [" in line)
    lines[place] = lines[place].replace(f"| {shown} [", "| 99.9 [")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (line,) = differences(store, folder)
    assert line.startswith(f"report.md: line {place + 1} has '99.9', but the runs give '{shown}', in '| ")
    path.write_text("\n".join([*lines[:place], *lines[place + 1:]]) + "\n", encoding="utf-8")
    assert differences(store, folder)[0].startswith(f"report.md: before line {place + 1} is missing '| ")


def test_a_missing_file(original: Written, folder: Path) -> None:
    store, _, _ = original
    (folder / "report.tex").unlink()
    assert differences(store, folder) == ["report.tex is missing"]


def test_a_run_that_is_gone(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    gone = study.confirms[2].run_id
    less = replace(study, confirms=tuple(run for run in study.confirms if run.run_id != gone))
    poorer = replace(store, by_experiment={"movie-reviews": [less, *others]})
    lines = differences(poorer, folder)
    assert lines[0] == f"the run {gone} is gone"
    assert any(line.startswith("numbers.json: scratch-scratch.accuracy has value") for line in lines)
    assert any(line.startswith("report.html: scratch-scratch.seeds is 5, but the runs give 4") for line in lines)


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
                       confirms=tuple(map(here, study.confirms)), ablations=tuple(map(here, study.ablations)))
               for study in store.by_experiment["movie-reviews"]]
    return replace(
        store, by_experiment={"movie-reviews": studies}, url=None,
        metrics={ids[run]: found for run, found in store.metrics.items()},
        predicted={(ids[run], split): found for (run, split), found in store.predicted.items()})


@pytest.mark.parametrize("url", [None, "http://host:5000"])
def test_a_report_is_verified_against_imported_runs(original: Written, tmp_path: Path, url: str | None) -> None:
    def ordered(runs: Iterable[LoggedRun]) -> tuple[LoggedRun, ...]:  # as a database gives them
        return tuple(sorted(runs, key=lambda run: (run.started, run.run_id)))

    store = replace(original[0], url=url, by_experiment={"movie-reviews": [
        replace(study, trials=ordered(study.trials), confirms=ordered(study.confirms))
        for study in original[0].by_experiment["movie-reviews"]]})
    whole = build(store.by_experiment["movie-reviews"], store, experiment="movie-reviews",
                  tracking_uri=url or store.uri)
    files.write(whole, tmp_path)
    assert (url or "http://host") in (tmp_path / "report.html").read_text(encoding="utf-8") or url is None
    assert differences(imported(store, -1), tmp_path) == []
    assert differences(imported(store, -1, 2, 3), tmp_path) == []  # through two more stores
    elsewhere = differences(imported(store, 2), tmp_path)
    assert elsewhere[0] == f"the run {whole.source.studies[0][1]} of the study scratch is gone"
    assert any("scratch is gone" in line or "torch is gone" in line for line in elsewhere)
    both = imported(store, -1)
    both.by_experiment["movie-reviews"] = [*both.by_experiment["movie-reviews"], *store.by_experiment["movie-reviews"]]
    both = replace(both, url=url, metrics={**both.metrics, **store.metrics},
                   predicted={**both.predicted, **store.predicted})
    assert differences(both, tmp_path) == []  # the runs themselves are there beside their copies
    change(tmp_path / "numbers.json", f'"value": {whole.numbers()[ACCURACY].value!r}', '"value": 0.99')
    assert len(differences(imported(store, -1), tmp_path)) == 1


def test_two_runs_that_claim_one_earlier_id_are_no_copy(original: Written, folder: Path) -> None:
    store = imported(original[0], -1)
    study, *others = store.by_experiment["movie-reviews"]
    twin = tuple(replace(run, tags=study.confirms[0].tags) for run in study.confirms)
    store.by_experiment["movie-reviews"] = [replace(study, confirms=twin), *others]
    assert "of the study scratch is gone" in differences(store, folder)[0]


def test_what_differs_is_shown_in_plain_characters() -> None:
    assert verify._changed(["a\u00a0b 1\u202f% \x1b[2J x"], ["a b 1 % z"], 3) == (
        "line 3 has ' [2J x', but the runs give 'z', in 'a b 1 %  [2J x'")
    assert verify._changed(["12\u00a0%"], ["12 %"], 4) == "line 4 has other spaces than the runs give: '12 %'"


def test_a_study_and_an_experiment_that_are_gone(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    lines = differences(replace(store, by_experiment={"movie-reviews": others}), folder)
    assert lines[0] == f"the run {study.run.run_id} of the study scratch is gone"
    assert differences(replace(store, by_experiment={"other": [study]}), folder)[0].startswith("the experiment is gone")
    assert "cannot be computed again" in differences(replace(store, by_experiment={"movie-reviews": []}), folder)[-1]


def test_the_command(
    original: Written, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, report = original
    monkeypatch.setattr(gru_bench.tracking, "Store", lambda uri=None, create=True: store)
    monkeypatch.setattr(sys, "argv", ["gru-bench", "--verify", str(folder)])
    assert ended(app) == 0
    assert f"all {len(report.numbers()):,} numbers are what" in capsys.readouterr().out
    change(folder / "report.tex", r"\val{scratch-scratch.accuracy}{", r"\val{scratch-scratch.accuracy}{1")
    assert ended(app) == 4
    shown = capsys.readouterr()
    assert "report.tex: scratch-scratch.accuracy is 1" in shown.out
    assert "error: a report must say what MLflow holds, but" in shown.err


def test_a_store_that_is_on_another_machine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    empty_database: Path,
) -> None:
    change(folder / "numbers.json", '"tracking_uri": "sqlite:///mlflow.db"',
           '"tracking_uri": "sqlite:////home/nobody/mlflow.db"')
    monkeypatch.setattr(sys, "argv", ["gru-bench", "--verify", str(folder)])
    assert ended(app) == 1
    assert "the runs must be in /home/nobody/mlflow.db, but there is no such file" in capsys.readouterr().err
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    assert ended(app) == 4
    shown = capsys.readouterr()
    assert "was made from /home/nobody/mlflow.db, which is not on this machine: mlflow.db in this dir" in shown.out
    assert "the experiment is gone" in shown.out


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
            {"test": test_set.predictions(rng, np.zeros(60), 0.0)}, {}), with_model=False)
        runs.append(run)
    writer.catch_up()
    store = gru_bench.tracking.Store(writer.uri, create=False)
    folder = tmp_path / "report"
    report = build(store.studies("reviews"), store, experiment="reviews", tracking_uri=store.uri)
    files.write(report, folder)
    assert differences(store, folder) == []
    writer._client.delete_run(runs[1].run_id)
    lines = differences(store, folder)
    assert lines[0] == f"the run {runs[1].run_id} is gone"
    assert any(line.startswith("report.html: torch-torch.seeds is 3, but the runs give 2") for line in lines)
