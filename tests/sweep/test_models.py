"""Studies of two models: each start works on both, and the models stay those with which the study began."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gru_bench.config import RunConfig
from gru_bench.document.numbers import Numbers
from gru_bench.errors import RunError, UsageError
from gru_bench.evidence.collect import collect
from gru_bench.evidence.groups import confirm_groups
from gru_bench.report.findings import findings_of
from gru_bench.results.runs import StudySummary
from gru_bench.stats.scores import over_seeds
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import read_study
from gru_bench.sweep.workers.messages import Message
from gru_bench.tracking import NOTE, LoggedStudy, Store
from tests.support.values import present
from tests.support.workers import WELL, answers, swept, well

pytestmark = pytest.mark.usefixtures("database")

MODELS = ["scratch", "torch"]


def start(csv: Path, *models: str, says: Any = lambda _: WELL, **changes: Any) -> StudySummary:
    options = {"all_models": MODELS, "trials": 1, "confirm": 1, **changes}
    return swept(csv, says, models=list(models) or None, **options)


def logged(name: str = "study") -> LoggedStudy:
    (study,) = [study for study in Store().studies("easy") if study.run.study == name]
    return study


def faults(csv: Path) -> tuple[str, ...]:
    """What `--check` finds."""
    spec = load_study("study.toml", settings={"data.name": str(csv)}, all_models=MODELS, trials=1, confirm=1)
    study = logged()
    return compare_stores(read_study(spec, open_storage(None)), study.runs).faults


def test_a_start_with_other_models_of_a_study_that_is_not_done_is_refused(easy_csv: Path) -> None:
    def killed(_: RunConfig) -> Sequence[Message]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(easy_csv, says=killed)
    for models in (["torch"], ["scratch", "torch", "bidirectional"]):
        with pytest.raises(UsageError, match=r"'study'.*scratch, torch, but got .*another name \(name"):
            start(easy_csv, all_models=models)
    assert start(easy_csv, all_models=["torch", "scratch"]).models == ("torch", "scratch")
    assert logged().run.complete
    assert faults(easy_csv) == ()


def test_a_study_whose_first_start_died_as_it_began_goes_on_with_all_of_its_models(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[Any]()

    def dies(*arguments: Any) -> Search:
        if begun:
            raise KeyboardInterrupt
        begun.append(Search(*arguments))
        return Search(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("gru_bench.sweep.study.Search", dies)
        with pytest.raises(KeyboardInterrupt):
            start(easy_csv)
    with pytest.raises(UsageError, match="scratch, torch, but got scratch"):
        start(easy_csv, "scratch")
    assert start(easy_csv).models == ("scratch", "torch")


def test_the_report_and_the_description_show_every_confirmed_model(easy_csv: Path) -> None:
    def says(config: RunConfig) -> Sequence[Message]:
        return well(answers(config.seed, 0.95 if config.model.name == "torch" else 0.8))

    start(easy_csv, says=says, trials=0, confirm=5)
    study, store = logged(), Store()
    assert [group.model for group in confirm_groups([study], store, Numbers())[0]] == MODELS
    (pair,) = findings_of(collect([study], store)).pairs
    assert (pair.better, pair.finding) == (pair.a, "better")
    assert study.run.tags[NOTE].startswith(f"**Decision:** Take {MODELS[1].capitalize()}")
    for group in collect([study], store).groups:
        logged_as = {part: study.run.metrics[over_seeds(group.model, "accuracy", part).key]
                     for part in ("mean", "low", "high", "seeds")}
        assert logged_as == {"mean": round(present(group.score.value), 4), "low": round(present(group.score.low), 4),
                             "high": round(present(group.score.high), 4), "seeds": 5}


def test_a_decision_that_cannot_be_made_does_not_keep_a_study_from_ending(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> NoReturn:
        raise RunError("the predictions of a run are damaged")

    monkeypatch.setattr("gru_bench.evidence.collect.collect", damaged)
    start(easy_csv)
    study = logged()
    assert study.run.complete
    assert study.run.tags[NOTE].startswith("| model")
