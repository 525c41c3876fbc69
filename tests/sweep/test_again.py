"""A logged study is trained again from what MLflow holds of it: settings, data and fresh seeds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gru_bench.config import flat
from gru_bench.errors import GruBenchError, IncompleteError, UsageError
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.again import study_again
from gru_bench.tracking import LoggedStudy, open_reader
from tests.support.commands import completed, mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.sweeps import STUDY, without_worker_processes


def logged(best: dict[str, dict[str, str]], **params: str) -> LoggedStudy:
    """Return a study whose models have settings of their own."""
    study = add_study(FakeStore(), "first", dict.fromkeys(best, 0.0), test_set=TestSet.draw(40), search=False, seeds=2)
    confirms = tuple(replace(run, params={**run.params, **best[run.model]}) for run in study.confirms)
    parent = replace(study.run, params={**study.run.params, **params})
    return replace(study, run=parent, confirms=confirms)


def named(study: LoggedStudy, name: str, **params: str) -> LoggedStudy:
    return replace(study, run=replace(study.run, study=name, params={**study.run.params, **params}))


def test_each_model_has_the_settings_of_its_confirmation_runs() -> None:
    study = logged({"torch": {"training.lr": "0.003", "data.limit": "500"},
                    "scratch": {"training.lr": "0.001", "model.layers": "2", "data.limit": "500"}}, confirm="7")
    spec = study_again(study, [study], name="again")
    assert (spec.name, spec.models, spec.trials) == ("again", ["torch", "scratch"], 0)
    assert (spec.confirm, spec.margin) == (7, 1.0)
    for run in study.confirms:
        found, expected = flat(spec.config(run.model, {}, 0)), flat(run.config())
        assert {key for key in found if found[key] != expected[key]} <= {"seed", "training.threads"}
    assert spec.again == study.run.run_id
    one = study_again(study, [study], name="again", models=["scratch"], confirm=3, settings={"data.limit": None})
    assert (one.models, one.confirm, one.base.data.limit) == (["scratch"], 3, None)
    assert one.config("scratch", {}, 0).model.layers == 2


def test_the_seeds_are_those_of_no_other_study_and_stay_those_of_a_study_that_has_begun() -> None:
    study = logged({"torch": {}}, search_seed="0")
    others = [study, named(study, "second", search_seed="1"), named(study, "odd", search_seed="?")]
    assert study_again(study, others, name="again").seed == 2
    begun = [*others, named(study, "again", search_seed="2"), named(study, "later", search_seed="3")]
    again = study_again(study, begun, name="again")
    assert again.seed == 2
    assert not set(again.confirm_seeds) & set(study_again(study, begun, name="next").confirm_seeds)
    assert study_again(study, others, name="again", seed=7).seed == 7


@pytest.mark.parametrize(("changes", "error", "parts"), [
    ({"name": None}, UsageError, ["a new name", "none"]), ({"name": "first"}, UsageError, ["a new name", "first"]),
    ({"models": ["lstm"]}, UsageError, ["'lstm'", "torch"]), ({"settings": {"seed": 1}}, UsageError, ["seed"]),
    ({"settings": {"training.lr": -1}}, UsageError, ["training.lr", "-1"]),
    ({"confirm": 10_000}, UsageError, ["confirm", "10000"])])
def test_what_cannot_be_trained_again_is_refused(
    changes: dict[str, object], error: type[GruBenchError], parts: list[str]
) -> None:
    study = logged({"torch": {}})
    with pytest.raises(error) as raised:
        study_again(study, [study], **{"name": "again", **changes})  # type: ignore[arg-type]  # as typed
    mentions(str(raised.value), *parts)


def test_a_study_without_a_complete_confirmation_run_is_refused() -> None:
    study = replace(logged({"torch": {}}), confirms=())
    with pytest.raises(IncompleteError, match="first"):
        study_again(study, [study], name="again")


@pytest.mark.timeout(300)
def test_the_command_trains_a_study_again_resumes_it_and_refuses_other_data(
    tmp_path: Path, easy_csv: Path, database: Path
) -> None:
    (tmp_path / "easy.toml").write_text(STUDY, encoding="utf-8")
    shutil.copy(easy_csv, tmp_path / "mine.csv")

    def ran(*words: str) -> tuple[int, str]:
        with without_worker_processes():
            done = completed(app, *words, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    assert ran("--study", "easy.toml", "--data", "mine.csv", "--no-texts")[0] == 0
    (tmp_path / "easy.toml").unlink()
    again = ("--again", "easy", "--study-name", "more", "--confirm", "3")
    code, text = ran(*again)
    assert code == 0, text
    store = open_reader(f"sqlite:///{database}")
    first, more = store.study("easy"), store.study("more")
    assert more.run.params["texts"] == "False"
    assert (len(more.trials), len(more.confirms)) == (0, 3)
    assert (more.original, store.studies_again(first.run.run_id)) == (first.original, 1)
    assert study_again(more, [], name="most").again == first.run.run_id
    assert not {run.seed for run in first.confirms} & {run.seed for run in more.confirms}
    settings = [{key: value for key, value in flat(run.config()).items() if key != "seed"}
                for run in (first.confirms[0], *more.confirms)]
    assert all(one == settings[0] for one in settings)
    assert ran(*again, "--check")[0] == 0
    for words, part in (
        (("--again", "none", "--study-name", "x"), "'none'"), ((*again, "--trials", "2"), "--trials"),
        ((*again, "--study", "smoke"), "--again"), (("--trials", "2"), "--study"),
    ):
        code, text = ran(*words)
        assert code == 2
        assert part in text
    with (tmp_path / "mine.csv").open("a", encoding="utf-8") as file:
        file.write("one more text,1,books\n")
    code, text = ran("--again", "easy", "--study-name", "third")
    assert code == 2
    mentions(text, "the study easy was logged", "--data")
