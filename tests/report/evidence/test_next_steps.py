"""The commands that a report recommends run new confirmation sets with fresh seeds and the same settings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gru_bench.report.__main__ as report_command
import gru_bench.sweep.__main__ as sweep_command
from gru_bench.cli import ended
from gru_bench.report import verify
from gru_bench.report.document.blocks import Paragraph, numbers_in
from gru_bench.report.document.sentences import joined
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.next_steps import held_back, next_step_commands, remove_limit_commands
from gru_bench.report.evidence.verdicts import advice
from gru_bench.report.findings import findings_of
from gru_bench.report.render import files, record
from gru_bench.report.sections.comparisons import comment_on, comparisons
from gru_bench.report.sections.runs import runs
from gru_bench.report.sections.summary import summary
from gru_bench.sweep import start
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import (
    BEST,
    FakeStore,
    Studies,
    TestSet,
    add_study,
    one_each,
    summarized,
    three_models,
    with_data,
)
from tests.support.renderings import said, words_of
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.values import present

MARGIN = 0.02


@pytest.fixture
def inconclusive() -> Studies:
    """Two studies whose difference more seeds would settle, at the margin."""
    return one_each({"scratch": 0.0, "torch": 0.05})


def sentence_of(evidence: Evidence, place: int = 0) -> str:
    """Return the words below the table on a pair, and how to get what would settle it."""
    pair = evidence.compared[place]
    return said(joined([comment_on(evidence, pair), *(advice(pair, held_back(pair.a)) if pair.done else ())]))


def sizes_in(evidence: Evidence, ending: str) -> list[float | None]:
    """Return the numbers in the words on all pairs whose keys end so."""
    sentences = tuple(comment_on(evidence, one) for one in evidence.compared)
    return [number.value for number in numbers_in(sentences) if number.key.endswith(ending)]


def spec_of(command: str, monkeypatch: pytest.MonkeyPatch) -> StudySpec:
    """Type a command and return the study that it would run."""
    program, *words = shlex.split(command.removeprefix("python "))
    assert program == "sweeps/run.py"
    seen = []

    def completed(spec: StudySpec, *_: object, **__: object) -> None:
        seen.append(spec.with_stored())
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "completed", completed)
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    ended(sweep_command.app)
    (spec,) = seen
    return spec


def test_the_commands_run_new_confirmation_sets_with_fresh_seeds_and_the_same_settings(
    inconclusive: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, studies = inconclusive
    evidence = collect(studies, store, MARGIN)
    assert evidence.compared[0].verdict.finding.value == "inconclusive"
    (fresh,) = sizes_in(evidence, "fresh-seeds")
    *sweeps, last = next_step_commands(evidence)
    assert last == "gru-bench report --study NAME-1 --study NAME-2"
    for number, (command, study) in enumerate(zip(sweeps, studies[::-1], strict=True), start=1):
        spec = spec_of(command, monkeypatch)
        assert spec.models == load_study(study.run.name).models
        assert (spec.name, spec.trials, spec.confirm) == (f"NAME-{number}", 0, fresh)
        assert not set(spec.confirm_seeds) & set(present(study.summary).confirm_seeds)
        original = load_study(study.run.name)
        assert not set(spec.confirm_seeds) & set(original.model_copy(update={"confirm": 9999}).confirm_seeds)
        config = spec.config(spec.models[0], {}, 0)
        assert (config.training.lr, config.model.hidden_size, config.model.pooling, config.model.dropout) == (
            BEST["training.lr"], BEST["model.hidden_size"], BEST["model.pooling"], BEST["model.dropout"])
    report = build_only(studies, store, comparisons, margin=MARGIN)
    assert words_of(report, "comparisons").endswith("\n".join([*sweeps, last]))


def typed(study: LoggedStudy, command: str) -> LoggedStudy:
    return replace(study, run=replace(study.run, tags={**study.run.tags, "mlflow.source.name": command}))


def test_other_options_of_the_recorded_command_are_kept_and_passwords_are_not(
    inconclusive: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (one, two) = inconclusive
    one = typed(one, "run.py --study scratch --trials 30 --seed=4 --data 'my reviews.csv' --timeout 2h "
                     "--set model.layers=2 --tracking-uri http://me:secret@host:5000")
    commands = next_step_commands(collect([one, two], store, MARGIN))
    command = next(command for command in commands if "--study scratch" in command)
    assert "secret" not in command
    assert "--timeout" not in command
    spec = spec_of(command, monkeypatch)
    assert (spec.base.data.name, spec.base.model.layers, spec.seed) == ("my reviews.csv", 2, 2)


@pytest.mark.parametrize("command", ["", "train.py --study x", "run.py --study 'unclosed", "run.py --study '\x1b[31m'"])
def test_no_command_is_recommended_for_a_study_whose_own_command_is_unknown(
    inconclusive: Studies, command: str
) -> None:
    store, (one, two) = inconclusive
    evidence = collect([typed(one, command), two], store, MARGIN)
    assert next_step_commands(evidence) == ()
    assert "Fresh seeds on the same test texts are a second test" in sentence_of(evidence)


def test_new_test_examples_come_before_a_second_set_whose_cost_is_said(inconclusive: Studies) -> None:
    store, studies = inconclusive
    evidence = collect(studies, store, MARGIN)
    (pair,) = evidence.compared
    text = sentence_of(evidence)
    mentions(text, "new test texts", "collect more labeled texts", "second test", "0.025", "all 6 pairs",
             "--looks 5,10,20")
    assert text.index("new test texts") < text.index("second test")
    assert (pair.family, pair.pairs_again) == (1, 6)
    (fresh,), (detected,) = sizes_in(evidence, "fresh-seeds"), sizes_in(evidence, "fresh-detectable")
    again = replace(present(pair.design), family=6)
    assert pair.fresh_seeds == max(10, present(again.seeds_for(MARGIN, 2000)))
    assert fresh == max(present(one.fresh_seeds) for one in evidence.pairs if one.fresh_seeds)
    assert detected == again.detectable((int(present(fresh)),) * 2, 2000) <= MARGIN
    assert (sizes_in(evidence, "needed-examples"), sizes_in(evidence, "needed-seeds")) == (
        [-(-present(pair.needed)[0] // 100) * 100], [present(pair.needed)[1]])


def test_a_second_new_set_has_other_seeds_than_the_first(inconclusive: Studies) -> None:
    store, (one, two) = inconclusive
    again = summarized(replace(two, run=replace(two.run, name="again", study="again")), name="again", search_seed=2)

    def seeds(studies: Sequence[LoggedStudy], known: Sequence[str] = ()) -> list[int]:
        *sweeps, _ = next_step_commands(collect(studies, store, MARGIN, known))
        return [int(command.partition("--seed ")[2].split()[0]) for command in sweeps]

    assert seeds([one, two]) == [2, 2]
    assert seeds([one, again]) == [4, 2]
    assert seeds([one, two], ["again"]) == [3, 3]  # that study is not in this report


def test_more_test_examples_are_proposed_if_no_number_of_seeds_is_enough() -> None:
    store, studies = three_models(test_set=TestSet.draw(500))
    evidence = collect(studies, store)
    assert evidence.compared[0].verdict.finding.value == "inconclusive"
    assert "more labeled texts" in sentence_of(evidence)
    examples = present(sizes_in(evidence, "needed-examples")[0])
    assert examples > 500
    assert examples % 100 == 0
    assert next_step_commands(evidence) == ()


def one_study(bests: list[dict[str, Any]], **options: Any) -> Studies:
    """Return a study of three models, each with its own best settings."""
    store = FakeStore()
    skills = dict(zip(("scratch", "torch", "bidirectional"), (0.0, 0.0, 0.4), strict=True))
    study = add_study(store, "all", skills, test_set=TestSet.draw(2000), **options)
    best = {model: BEST | changes for model, changes in zip(skills, bests, strict=True)}
    return store, [typed(summarized(study, best=best), "run.py --study all.toml")]


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.toml").write_text('models = ["scratch", "torch", "bidirectional"]\n', encoding="utf-8")


def test_models_of_one_study_with_different_settings_get_a_command_each(
    study_file: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, studies = one_study([{"training.lr": 0.001}, {"training.lr": 0.002, "model.layers": 2}, {}])
    evidence = collect(studies, store, MARGIN)
    assert [one.verdict.finding.value for one in evidence.compared
            if "bidirectional" not in (one.a.model, one.b.model)] == ["inconclusive"]
    *commands, last = next_step_commands(evidence)
    assert last == "gru-bench report --study NAME-1 --study NAME-2"
    seen = {}
    for command in commands:
        spec = spec_of(command, monkeypatch)
        (model,) = spec.models
        seen[model] = spec.config(model, {}, 0)
        assert spec.trials == 0
        assert not set(spec.confirm_seeds) & set(present(studies[0].summary).confirm_seeds)
    assert {model: (config.training.lr, config.model.layers) for model, config in seen.items()} == {
        "scratch": (0.001, 1), "torch": (0.002, 2)}


def test_models_of_one_study_with_the_same_settings_share_a_command(
    study_file: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, studies = one_study([{}, {}, {}])
    command, last = next_step_commands(collect(studies, store, MARGIN))
    spec = spec_of(command, monkeypatch)
    assert (spec.models, spec.name) == (["scratch", "torch"], "NAME-1")
    assert last == "gru-bench report --study NAME-1"


def test_too_few_seeds_are_settled_by_a_new_set_of_ten(study_file: None, monkeypatch: pytest.MonkeyPatch) -> None:
    store, studies = one_study([{}, {}, {}], seeds=2)
    evidence = collect(studies, store)
    command, _ = next_step_commands(evidence)
    spec = spec_of(command, monkeypatch)
    assert (spec.models, spec.name, spec.confirm) == (["scratch", "torch", "bidirectional"], "NAME-1", 10)
    (_, notes) = (block for block in summary(evidence) if isinstance(block, Paragraph))
    mentions(said(notes.text), "at least 5 seeds", "10 fresh seeds")


def test_all_new_sets_of_a_report_have_the_same_size() -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.05, "bidirectional": 0.0})
    evidence = collect(studies, store, MARGIN)
    sizes = sizes_in(evidence, "fresh-seeds")
    assert len(sizes) == 2
    assert len(set(sizes)) == 1
    *sweeps, _ = next_step_commands(evidence)
    assert len(sweeps) == 3
    assert all(f"--confirm {sizes[0]:g} " in command for command in sweeps)


@pytest.mark.parametrize("where", ["--tracking-uri http://host:5000", "--tracking-uri=http://host:5000"])
def test_the_report_command_reads_the_store_of_the_studies(inconclusive: Studies, where: str) -> None:
    store, studies = inconclusive
    recorded = [typed(study, f"run.py --study {study.run.name} {where}") for study in studies]
    assert next_step_commands(collect(recorded, store, MARGIN))[-1].endswith(where)


def test_the_report_command_chooses_the_new_studies(inconclusive: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    store, studies = inconclusive
    program, *words = shlex.split(next_step_commands(collect(studies, store, MARGIN))[-1].removeprefix("gru-bench "))
    assert program == "report"
    seen = []

    def chosen(_: object, experiment: str | None, names: Sequence[str]) -> None:
        seen.append((experiment, list(names)))
        raise KeyboardInterrupt

    monkeypatch.setattr("gru_bench.report.choice.choose", chosen)
    monkeypatch.setattr("gru_bench.tracking.open_reader", lambda uri=None: store)
    monkeypatch.setattr(sys, "argv", ["report", *words])
    ended(report_command.app)
    assert seen == [(None, ["NAME-1", "NAME-2"])]


def test_a_report_can_still_be_verified_after_a_new_set_was_added(tmp_path: Path) -> None:
    test_set = TestSet.draw(50)
    store, studies = one_each({"scratch": 0.0, "torch": 0.05}, test_set=test_set, trials=5)
    report = build(studies, store, experiment="movie-reviews", margin=MARGIN, tracking_uri=store.uri,
                    known_studies=[study.run.name for study in studies])
    files.write(report, tmp_path)
    add_study(store, "again", {"torch": 0.05}, test_set=test_set, search=False)
    assert verify.differences(tmp_path, record.read(tmp_path), store) == []


def limited(
    study: LoggedStudy, limit: int = 100, available: int = 10_000, command: str | None = None
) -> LoggedStudy:
    """Return the same study as if it had been run with data.limit on data that contains so many reviews."""
    runs = tuple(replace(run, params={**run.params, "data.limit": str(limit)}) for run in study.confirms)
    study = with_data(replace(study, confirms=runs), train=limit * 8 // 10, validation=limit // 10,
                      test=limit // 10, available=available)
    return study if command is None else typed(study, command)


@pytest.fixture
def short_of_reviews() -> Studies:
    """Two studies whose difference no number of seeds would settle on their 500 test reviews."""
    return one_each({"scratch": 0.0, "torch": 0.05}, test_set=TestSet.draw(500))


@pytest.mark.parametrize(("available", "parts", "collects"), [
    (10_000, ("let 5,000 of the 10,000 texts", "--set data.limit=none", "--study-name", "about 1,000 test texts",
              "not enough"), True),
    (900_000, ("about 90,000 test texts", "are enough"), False),
])
def test_removing_the_limit_is_proposed_before_collecting_reviews(
    short_of_reviews: Studies, available: int, parts: tuple[str, ...], collects: bool
) -> None:
    store, studies = short_of_reviews
    studies = [limited(study, 5000, available) for study in studies]
    evidence = collect(studies, store, 0.012)
    text = sentence_of(evidence)
    mentions(text, *parts)
    assert ("collect" in text) == collects
    report = build_only(studies, store, comparisons, runs, margin=0.012)
    held = {key: number.value for key, number in report.numbers.items() if key.endswith(".held-back")}
    assert set(held.values()) == {available - 5000}
    mentions(words_of(report, "comparisons"), "excluded", *remove_limit_commands(evidence))


@pytest.mark.parametrize(("limit", "taken", "available"), [
    (None, 5000, 9000), (9000, 5000, 9000), (5000, 5000, 5000)])
def test_a_limit_that_holds_nothing_back_is_not_mentioned(
    short_of_reviews: Studies, limit: int | None, taken: int, available: int
) -> None:
    store, studies = short_of_reviews
    studies = [limited(study, taken, available) for study in studies]
    studies = [replace(study, confirms=tuple(
        replace(run, params={**run.params, "data.limit": str(limit)}) for run in study.confirms)) for study in studies]
    evidence = collect(studies, store, 0.012)
    assert "data.limit" not in sentence_of(evidence)
    assert "collect more labeled texts" in sentence_of(evidence)
    assert remove_limit_commands(evidence) == ()


def test_the_commands_that_remove_the_limit_are_the_recorded_ones_without_it(
    short_of_reviews: Studies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my study.toml").write_text('models = ["scratch"]\ntrials = 0\n[data]\nlimit = 5000\n')
    monkeypatch.chdir(tmp_path)
    store, (one, two) = short_of_reviews
    one = limited(one, 5000, command="run.py --study 'my study.toml' --study-name scratch --epochs 2 "
                                     "--tracking-uri sqlite:///x.db")
    two = limited(two, 5000, command="run.py --study torch --limit 5000 --limit=5000 --set data.limit=5000 --trials 3 "
                                     "--tracking-uri sqlite:///x.db")
    evidence = collect([one, two], store, 0.012)
    *sweeps, last = remove_limit_commands(evidence)
    assert last == "gru-bench report --study NAME-1 --study NAME-2 --tracking-uri sqlite:///x.db"
    torch, scratch = (spec_of(command, monkeypatch) for command in sweeps)
    assert "--limit" not in sweeps[0]
    assert (torch.name, torch.base.data.limit, torch.trials) == ("NAME-1", None, 3)
    assert (scratch.name, scratch.base.data.limit, scratch.base.training.epochs) == ("NAME-2", None, 2)
    assert {torch.confirm, scratch.confirm} == set(sizes_in(evidence, "needed-seeds"))


def test_the_command_of_a_study_with_a_class_of_ones_own_may_take_more_than_an_hour(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "homework.py").write_text("class MyGRU: pass\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    store, mine = FakeStore(), "homework.py:MyGRU"
    study = add_study(store, "own", {"torch": 0.05, mine: 0.0}, test_set=TestSet.draw(500), search=False)
    study = limited(study, 3000, command=f"run.py --study own --model torch --model {mine}")
    command, last = remove_limit_commands(collect([study], store, 0.012))
    assert "--allow-slow" in command.split()
    spec = spec_of(command, monkeypatch)
    assert (spec.name, spec.models, spec.base.data.limit) == ("NAME-1", ["torch", mine], None)
    assert last == "gru-bench report --study NAME-1"


def test_no_command_that_removes_the_limit_is_recommended_if_a_recorded_command_is_unknown(
    short_of_reviews: Studies
) -> None:
    store, (one, two) = short_of_reviews
    evidence = collect([limited(one, 5000, command="train.py --study x"), limited(two, 5000)], store, 0.012)
    assert "--set data.limit=none" in sentence_of(evidence)
    command, _ = remove_limit_commands(evidence)  # of the other study, which is to be compared with the linear model
    assert "--study-name NAME-1" in command
    assert f"--study {two.name} " in command


def test_each_new_study_of_a_report_has_a_name_of_its_own() -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.05}, test_set=TestSet.draw(2000))
    evidence = collect([limited(study, 5000) for study in studies], store, MARGIN)
    commands = (*remove_limit_commands(evidence), *next_step_commands(evidence))
    names = [command.partition("--study-name ")[2].split()[0] for command in commands if "--study-name" in command]
    assert names == ["NAME-1", "NAME-2", "NAME-3", "NAME-4"]
    assert findings_of(evidence).next_commands == commands
