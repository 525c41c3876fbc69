"""The report command: what it picks, where it writes, and how it ends."""

from __future__ import annotations

import csv
import errno
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gru_bench.tracking
from gru_bench.errors import IncompleteError, UsageError
from gru_bench.evidence.collect import collect
from gru_bench.platforms import replace as replace_path
from gru_bench.report.__main__ import app
from gru_bench.report.choice import Choice, choose
from gru_bench.report.render import spreadsheets
from gru_bench.results.runs import Predictions
from tests.support.commands import SLOW, completed, mentions
from tests.support.commands import command as process
from tests.support.fake_store import FakeStore, TestSet, add_study, answered, correct, with_params
from tests.support.renderings import soup_of
from tests.support.values import present


@pytest.fixture
def store() -> FakeStore:
    """Two experiments; in the first, newest first, a study of each kind."""
    store = FakeStore()
    small: dict[str, Any] = {"test_set": TestSet.draw(60), "epochs": 2, "trials": 5}
    add_study(store, "newest", {"torch": 0.0}, **small)
    add_study(store, "early", {"scratch": 0.0}, **small | {"seeds": 0, "failed": 1, "search": False})
    add_study(store, "oldest", {"bidirectional": 0.1}, **small)
    add_study(store, "elsewhere", {"torch": 0.0}, **small, experiment="reviews.csv")
    return store


def names(choice: Choice) -> list[str]:
    return [study.run.name for study in choice.studies]


def test_by_default_the_newest_finished_study_and_those_with_its_test_texts_and_metric(store: FakeStore) -> None:
    choice = choose(store, None, [])
    assert choice.experiment == "movie-reviews"
    assert names(choice) == ["oldest", "newest"]
    left_out, others = choice.remarks
    mentions(left_out, "left out: early (not finished)", "--study NAME")
    mentions(others, "movie-reviews", "--experiment", "reviews.csv")


def test_finished_studies_on_other_test_texts_or_with_another_metric_are_named_in_one_line(store: FakeStore) -> None:
    own = store.by_experiment["movie-reviews"]
    add_study(store, "smoke", {"torch": 0.0}, test_set=TestSet.draw(40), trials=5)
    own[0] = with_params(own[0], metric="macro_f1")
    choice = choose(store, None, [])
    assert names(choice) == ["newest"]
    mentions(choice.remarks[0], "smoke (other test texts or metric), oldest (other test texts or metric), early")
    own.insert(0, own.pop())  # the smoke study is the newest one
    assert names(choose(store, None, [])) == ["smoke"]
    assert names(choose(store, None, ["smoke"])) == ["smoke"]
    for both in (["smoke", "newest"], ["oldest", "newest"]):
        with pytest.raises(UsageError, match=r"same test texts and metric.*differ"):
            choose(store, None, both)


def test_a_named_experiment(store: FakeStore) -> None:
    choice = choose(store, "reviews.csv", [])
    assert names(choice) == ["elsewhere"]
    assert choice.remarks == ()


def test_named_studies_in_the_order_named_wherever_they_are(store: FakeStore) -> None:
    assert names(choose(store, None, ["newest", "oldest"])) == ["newest", "oldest"]
    assert names(choose(store, None, ["newest", "newest"])) == ["newest"]
    elsewhere = choose(store, None, ["elsewhere"])
    assert elsewhere.experiment == "reviews.csv"


@pytest.mark.parametrize("confirmed", [False, True])
def test_of_a_study_logged_twice_the_newest_complete_one_is_taken(store: FakeStore, confirmed: bool) -> None:
    first = store.by_experiment["movie-reviews"][0]
    broken = replace(first, summary=None, confirms=first.confirms if confirmed else ())
    store.by_experiment["movie-reviews"].insert(0, broken)
    choice = choose(store, None, ["newest"])
    assert choice.studies == (first,)
    mentions(choice.remarks[0], "newest", "logged 2 times")


@pytest.mark.parametrize(
    ("experiment", "studies", "error", "message"),
    [
        (None, ["new"], UsageError, "'new'.*'newest'.*early, elsewhere"),
        ("reviews.csv", ["newest"], UsageError, "'newest'.*elsewhere"),
        ("movies", [], UsageError, "'movies'.*'movie-reviews'"),
        (None, ["newest", "elsewhere"], UsageError, "studies.*newest, elsewhere"),
        (None, ["early"], IncompleteError, r"all.*early failed"),
    ],
)
def test_refuses_studies_that_cannot_be_reported_on(
    store: FakeStore, experiment: str | None, studies: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        choose(store, experiment, studies)


def test_refuses_a_store_in_which_nothing_is_logged() -> None:
    with pytest.raises(IncompleteError, match=r"nothing.*gru-bench sweep --study smoke"):
        choose(FakeStore(), None, [])


def test_refuses_an_experiment_without_a_complete_run() -> None:
    store = FakeStore()
    add_study(store, "early", {"scratch": 0.0}, seeds=0, failed=1, search=False)
    add_study(store, "later", {"scratch": 0.0}, seeds=0, failed=1, search=False)
    with pytest.raises(IncompleteError, match=r"all.*failed"):
        choose(store, None, [])


def test_where_no_study_is_finished_the_command_that_finishes_the_newest_one_is_named() -> None:
    store = FakeStore()
    for name in ("newest", "older"):
        add_study(store, name, {"torch": 0.0}, test_set=TestSet.draw(40), finished=False)
    with pytest.raises(IncompleteError, match=r"newest.*python sweeps/run.py --study newest"):
        choose(store, None, [])
    with pytest.raises(IncompleteError, match=r"python sweeps/run.py --study older"):
        choose(store, None, ["older"])
    add_study(store, "done", {"torch": 0.0}, test_set=TestSet.draw(40))
    assert names(choose(store, None, [])) == ["done"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command on a store in memory; return its exit code."""

    def run(store: FakeStore, *arguments: str) -> int:
        monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda uri=None: store)
        monkeypatch.setattr(gru_bench.tracking, "attach", FakeStore.attach)
        done = completed(app, *arguments)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode

    return run


def test_json_prints_scores_and_verdicts_and_writes_nothing(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(store, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["studies"] == ["oldest", "newest"]
    trained = [one for one in found["models"] if one["seeds"] is not None]
    assert {one["model"] for one in trained} == {"torch", "bidirectional"}
    for one in trained:
        runs = [run for run in store.runs("movie-reviews") if run.model == one["model"] and run.role == "confirm"]
        assert one["score"] == pytest.approx(np.mean([run.metrics["score/test_accuracy"] for run in runs]))
    assert len(found["pairs"]) == 3
    for pair in found["pairs"]:
        assert pair["difference"] == pytest.approx(np.subtract(*(
            next(one["score"] for one in found["models"] if one["model"] == model) for model in pair["models"])))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("better", "code"), [(0.0, 3), (2.0, 0)])
def test_a_claim_on_two_models_that_guess_has_no_verdict(
    better: float, code: int, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two models that differ clearly, both below half, and the same where one of them is far above it."""
    store, test_set = FakeStore(), TestSet.draw(400)
    study = add_study(store, "pair", {"scratch": 0.0, "torch": 0.0}, test_set=test_set, search=False, epochs=2)
    for place, run in enumerate(study.confirms):
        right = 0.35 if run.model == "scratch" else 0.5 + better / 5
        right_N = np.random.default_rng(place).random(400) < right
        store.predicted[run.run_id, "test"] = answered(store.predicted[run.run_id, "test"], right_N)
    assert command(store, "--claim", "torch > scratch") == code
    printed = capsys.readouterr().out
    assert ("neither is above guessing" in printed) is (code == 3)
    assert command(store, "--json") == 0
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert (pair["finding"] == "neither is above guessing", pair["settled"]) == (code == 3, code == 0)


def test_other_models_on_the_same_test_reviews_are_named_in_claims_and_json_and_change_nothing(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store, test_set = FakeStore(), TestSet.draw(1500)
    add_study(store, "pair", {"scratch": 0.0, "torch": 0.13}, test_set=test_set, search=False, epochs=2)
    asked = ("--study", "pair", "--claim", "torch > scratch")
    assert command(store, *asked) == 0
    alone = capsys.readouterr().out
    for place in range(6):
        add_study(store, f"other-{place}", {"torch": 0.0, "scratch": 0.0}, test_set=test_set, search=False, epochs=2,
                  experiment=f"elsewhere-{place}")
    assert command(store, *asked) == 0
    with_others = capsys.readouterr().out
    assert with_others.splitlines()[0] == alone.splitlines()[0]
    mentions(with_others, "12 other models that were scored on these test texts")
    assert command(store, "--study", "pair", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [pair["family"] for pair in found["pairs"]] == [1, 2, 2]
    mentions(found["notes"][0], "12 other models", "pairs of this report alone")


@pytest.mark.parametrize(("claim", "better", "code", "word"), [
    ("torch > scratch", 2.0, 0, "proven"), ("scratch < torch", 2.0, 0, "proven"),
    ("scratch > torch", 2.0, 4, "refuted"), ("torch > scratch", 0.05, 3, "not settled")])
def test_a_claim_ends_with_the_exit_code_of_its_verdict(
    claim: str, better: float, code: int, word: str, command: Callable[..., int],
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:
    store = FakeStore()
    add_study(store, "pair", {"scratch": 0.0, "torch": better}, test_set=TestSet.draw(150), search=False, epochs=2)
    assert command(store, "--claim", claim) == code
    assert capsys.readouterr().out.startswith(f"{word}: ")
    assert not list(tmp_path.iterdir())


def test_json_and_claims_have_the_linear_model_among_the_others(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = FakeStore()
    add_study(store, "pair", {"scratch": 0.0, "torch": 1.0}, test_set=TestSet.draw(150), search=False, epochs=2)
    assert command(store, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["model"], one["seeds"]) for one in found["models"]] == [
        ("scratch", 5), ("torch", 5), ("majority", None), ("tfidf", None)]
    assert [one["models"] for one in found["pairs"]] == [["torch", "scratch"], ["scratch", "tfidf"], ["torch", "tfidf"]]
    assert command(store, "--claim", "torch > tfidf") == 0
    assert command(store, "--claim", "scratch > tfidf") in (3, 4)


def test_it_writes_and_says_where(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(store) == 0
    assert (tmp_path / "reports" / "movie-reviews" / "report.html").is_file()
    out = capsys.readouterr().out
    page = tmp_path / "reports" / "movie-reviews" / "report.html"
    mentions(out, f"wrote reports/movie-reviews/report.html: {page.resolve().as_uri()}", "report.tex", "report.md",
             "numbers.json", "--experiment", "reviews.csv", "left out: early (not finished)")
    # The warnings, as the page says them.
    soup = soup_of(page.read_text(encoding="utf-8"))
    page_text = soup.get_text().replace("\xa0", " ")
    lines = out.splitlines()
    care = lines.index("warnings:")
    for line in (line.removeprefix("- ") for line in lines[care:] if line.startswith("- ")):
        assert line.partition(" (GRU")[0] in page_text


@pytest.mark.parametrize(("name", "option"), [
    ("report.md", "--out"), ("figures/accuracy.csv", "--out"),
    ("predictions.csv", "--tables")])
def test_it_replaces_no_file_of_the_user(
    name: str, option: str, store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path("mine") / name
    mine.parent.mkdir(parents=True)
    mine.write_text("id,prediction\n", encoding="utf-8")
    words = ("--study", "newest", "--out", "x", option, "mine", "--no-attach")
    assert command(store, *words) == 2
    mentions(capsys.readouterr().err, option, str(mine))
    assert mine.read_text(encoding="utf-8") == "id,prediction\n"
    assert not Path("x").exists()
    mine.unlink()
    for _ in range(2):
        assert command(store, *words) == 0


def test_a_report_on_named_studies_is_named_after_them_and_attached_to_them(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    newest, _, oldest = (study.run.run_id for study in store.by_experiment["movie-reviews"])
    assert command(store, "--study", "newest", "--study", "oldest") == 0
    assert Path("reports/newest-oldest/report.html").is_file()
    mentions(capsys.readouterr().out, "attached to the studies in MLflow", "--no-attach")
    assert store.attached.keys() == {newest, oldest}
    names = store.attached[newest]
    assert {"numbers.json", "report.html", "report.md"} <= set(names)
    assert "report.tex" not in names
    assert {"figures/accuracy.csv", "figures/accuracy.pdf"} <= set(names)


def test_a_report_that_cannot_be_attached_is_written(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store.locked = "attempt to write a readonly database"
    assert command(store, "--study", "oldest", "--out", "y") == 0
    assert Path("y/report.html").is_file()
    mentions(capsys.readouterr().out, "not attached to the study oldest", store.locked)


def test_the_margin_is_in_the_unit_of_the_score(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = FakeStore()
    study = add_study(store, "pair", {"scratch": 0.0, "torch": 1.0}, test_set=TestSet.draw(150), search=False, epochs=2)
    store.by_experiment["movie-reviews"] = [with_params(study, metric="log_loss", margin="2")]
    assert command(store, "--json") == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["margin"] == 0.02


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (("--study", "nonsense"), 2, ("'nonsense'",)),
        (("--study", "early"), 3, ("early",)),
        (("--out", "file"), 2, ("--out", "file is a file")),
        (("--out", "file/below"), 2, ("--out", "file is a file")),
        (("--tables", "file"), 2, ("--tables", "file is a file")),
        (("--claim", "torch"), 2, ("--claim", "torch")),
        (("--nonsense",), 2, ("--nonsense",)),
    ],
)
def test_refuses_what_it_cannot_do_with_an_exit_code_and_a_reason(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
    code: int, parts: tuple[str, ...],
) -> None:
    Path("file").touch()
    assert command(store, *arguments) == code
    err = capsys.readouterr().err
    mentions(err, *parts)
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--out", "--tables"])
def test_a_folder_that_must_not_be_written_is_named_with_its_option(
    option: str, store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shut(source: Path, target: Path, real: Callable[..., Any] = replace_path) -> Any:
        if target.parent.name == "shut":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(source, target)

    monkeypatch.setattr("gru_bench.platforms.replace", shut)
    assert command(store, "--study", "newest", "--out", "x", option, "shut") == 1
    mentions(capsys.readouterr().err, "error: ", "shut", "Permission denied", option)


@pytest.mark.slow
def test_help_waits_for_no_library() -> None:
    done = process("-X", "importtime", "-m", "gru_bench.report", "--help")
    assert "--tracking-uri" in done.stdout
    assert not SLOW & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_without_a_store_it_says_what_to_run(tmp_path: Path) -> None:
    done = completed(app)
    assert done.returncode == 1
    mentions(done.stderr, "error: ", "gru-bench sweep --study smoke")
    assert list(tmp_path.iterdir()) == []


def test_names_in_the_terminal_are_not_markup(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    add_study(store, "[red]x", {"torch": 0.0}, seeds=0, failed=1)
    assert command(store, "--json") == 0
    assert "[red]x (not finished)" in capsys.readouterr().err


# ---------------------------------------------------------------- --tables


def table(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n")
    return list(csv.DictReader(text.splitlines()))


def test_runs_trials_and_predictions_are_written_as_tables(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path("tables")).mkdir()
    Path("tables/runs.csv").write_text(",".join(spreadsheets.FIRST_COLUMNS["runs.csv"]) + ",old\n", encoding="utf-8")
    assert command(store, "--out", "x", "--tables", "tables", "--no-attach") == 0
    studies = [study for study in store.by_experiment["movie-reviews"] if study.run.name in ("newest", "oldest")][::-1]
    runs, trials, predictions, disagreements = (
        table(Path("tables") / f"{name}.csv") for name in ("runs", "trials", "predictions", "disagreements"))
    assert [row["id"] for row in runs] == [run.run_id for study in studies for run in study.runs]
    confirm = studies[0].confirms[0]
    row = next(row for row in runs if row["id"] == confirm.run_id)
    config = confirm.config()
    assert [row[name] for name in ("study", "role", "model", "seed", "state", "started")] == [
        "oldest", "confirm", "bidirectional", "1000", "complete", "2025-11-24T00:00:00+00:00"]
    assert (float(row["training.lr"]), row["model.pooling"]) == (config.training.lr, config.model.pooling)
    assert float(row["score/test_accuracy"]) == confirm.metrics["score/test_accuracy"]
    parent = next(row for row in runs if row["role"] == "study")
    assert (parent["training.lr"], parent["score/test_accuracy"], parent["seed"]) == ("", "", "")
    found = [trial for study in studies for trial in present(study.summary).trials]
    assert [(row["study"], row["model"], int(row["number"]), row["state"]) for row in trials] == [
        (study.run.name, trial.model, trial.number, trial.state)
        for study in studies for trial in present(study.summary).trials]
    assert [float(row["value"]) if row["value"] else None for row in trials] == [trial.value for trial in found]
    assert [float(row["training.lr"]) for row in trials] == [trial.settings["training.lr"] for trial in found]
    assert len(predictions) == 2 * 5 * 60
    of_one = [row for row in predictions if row["run"] == confirm.run_id]
    right = store.predicted[confirm.run_id, "test"]
    assert [row["example"] for row in of_one] == right.example_id_N.tolist()
    assert [np.float32(row["probability"]) for row in of_one] == right.probability_NC[:, 1].tolist()
    assert np.mean([row["correct"] == "1" for row in of_one]) == confirm.metrics["score/test_accuracy"]
    assert {row["category"] for row in of_one} == {"imdb", "rotten_tomatoes"}
    printed = capsys.readouterr().out
    mentions(printed, f"tables/runs.csv ({len(runs)} rows)", f"tables/trials.csv ({len(found)} rows)",
             "tables/predictions.csv (600 rows)", f"tables/disagreements.csv ({len(disagreements)} rows)")
    assert "attached" not in printed
    assert store.attached == {}


def test_the_texts_that_only_one_model_gets_right_are_written_as_a_table(
    store: FakeStore, command: Callable[..., int]
) -> None:
    assert command(store, "--out", "x", "--tables", "x") == 0
    rows = table(Path("x/disagreements.csv"))
    assert list(rows[0]) == ["pair", "example", "label", "right", "category", "tokens"]
    torch, bidirectional = (next(study for study in store.by_experiment["movie-reviews"] if study.run.name == name)
                            for name in ("newest", "oldest"))
    torch_N, bidirectional_N = (correct(store, study.confirms).mean(0) > 0.5 for study in (torch, bidirectional))
    p = store.predicted[torch.confirms[0].run_id, "test"]
    expected = {
        (example, "Torch GRU" if torch_N[place] else "Bidirectional GRU", ("negative", "positive")[p.label_N[place]],
         p.category_N[place], str(p.tokens_N[place]))
        for place, example in enumerate(p.example_id_N.tolist()) if torch_N[place] != bidirectional_N[place]}
    assert len(expected) > 3
    assert {(row["example"], row["right"], row["label"], row["category"], row["tokens"]) for row in rows} == expected
    assert len(rows) == len(expected)
    (pair,) = {row["pair"] for row in rows}
    assert sorted(pair.split(" and ")) == ["Bidirectional GRU", "Torch GRU"]


def test_no_cell_of_a_table_is_computed_by_a_spreadsheet(command: Callable[..., int]) -> None:
    store = FakeStore()
    add_study(store, "=HYPERLINK(1)", {"torch": 0.0}, test_set=TestSet.draw(60, ["@sum", "-x", "+y"]))
    assert command(store, "--out", "x", "--tables", "x") == 0
    for name, column in (("runs", "study"), ("trials", "study"), ("predictions", "study"), ("predictions", "category")):
        assert {row[column][:2] for row in table(Path("x") / f"{name}.csv")} <= {"'=", "'@", "'-", "'+"}


def test_no_cell_of_a_table_controls_the_terminal_that_shows_it(command: Callable[..., int]) -> None:
    store = FakeStore()
    add_study(store, "mine", {"torch": 0.0, "scratch": 0.0}, test_set=TestSet.draw(60, ["\x1b[31mred", "plain"]))
    for key, found in store.predicted.items():
        store.predicted[key] = replace(found, group_N=np.array([f"\x1b]0;{n % 20}\x07" for n in range(len(found))]))
    assert command(store, "--out", "x", "--tables", "x") == 0
    for name in ("predictions", "disagreements"):
        content = (Path("x") / f"{name}.csv").read_text(encoding="utf-8")
        assert "\ufffd[31mred" in content
        assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", content)
    assert {row["group"] for row in table(Path("x/predictions.csv"))} == {f"\ufffd]0;{n}\ufffd" for n in range(20)}
    assert "\x1b[31mred" in store.predicted[key].category_N  # what the file leaves out is in the data


def test_predictions_are_written_run_by_run(store: FakeStore, tmp_path: Path) -> None:
    """Those of one run are read only when those of the run before are on their way to the disk."""
    seen: list[int] = []

    class Watched(FakeStore):
        def predictions(self, run_id: str, split: str) -> Predictions:
            seen.append(sum(path.stat().st_size for path in tmp_path.glob(".predictions.csv*")))
            return super().predictions(run_id, split)

    add_study(store, "large", {"torch": 0.0}, test_set=TestSet.draw(1500))
    evidence = collect(store.by_experiment["movie-reviews"][-1:], store)
    rows = spreadsheets.write(replace(evidence, store=Watched(**vars(store))), tmp_path)
    assert rows[tmp_path / "predictions.csv"] == 5 * 1500
    assert seen[0] == 0
    assert all(before < after for before, after in pairwise(seen[:5]))


def test_a_run_without_predictions_or_settings_leaves_its_cells_empty(store: FakeStore, tmp_path: Path) -> None:
    study = store.by_experiment["movie-reviews"][0]
    first, second, *others = study.confirms
    del store.predicted[first.run_id, "test"]
    broken = replace(second, params={"training.lr": "much"})
    spreadsheets.write(collect([replace(study, confirms=(first, broken, *others))], store), tmp_path)
    assert first.run_id not in {row["run"] for row in table(tmp_path / "predictions.csv")}
    (row,) = (row for row in table(tmp_path / "runs.csv") if row["id"] == second.run_id)
    assert row["training.lr"] == ""
    assert float(row["score/test_accuracy"]) == second.metrics["score/test_accuracy"]
