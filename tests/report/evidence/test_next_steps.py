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


def test_the_commands_train_the_studies_again_on_fresh_seeds(inconclusive: Studies) -> None:
    store, studies = inconclusive
    evidence = collect(studies, store, MARGIN)
    assert evidence.compared[0].verdict.finding.value == "inconclusive"
    (fresh,) = sizes_in(evidence, "fresh-seeds")
    *sweeps, last = next_step_commands(evidence)
    assert sweeps == [f"gru-bench sweep --again {study.name} --study-name NAME-{number} --confirm {fresh:g}"
                      for number, study in enumerate(studies[::-1], start=1)]
    assert last == "gru-bench report --study NAME-1 --study NAME-2"
    report = build_only(studies, store, comparisons, margin=MARGIN)
    assert words_of(report, "comparisons").endswith("\n".join([*sweeps, last]))


def typed(study: LoggedStudy, command: str) -> LoggedStudy:
    return replace(study, run=replace(study.run, tags={**study.run.tags, "mlflow.source.name": command}))


def test_the_stores_of_the_recorded_command_are_named_without_passwords(inconclusive: Studies) -> None:
    store, (one, two) = inconclusive
    one = typed(one, "run.py --study scratch --storage=postgresql://me:secret@head/x --trials 30 --tracking-uri "
                     "http://me:secret@host:5000")
    commands = next_step_commands(collect([one, two], store, MARGIN))
    (command,) = (command for command in commands if "--again scratch" in command)
    assert command.endswith(" --storage=postgresql://head/x --tracking-uri http://host:5000")
    assert "secret" not in " ".join(commands)


@pytest.mark.parametrize("command", ["", "train.py --study x", "run.py --study 'unclosed", "run.py --study '\x1b[31m'"])
def test_a_study_is_trained_again_whatever_its_command_was(inconclusive: Studies, command: str) -> None:
    store, (one, two) = inconclusive
    assert next_step_commands(collect([typed(one, command), two], store, MARGIN)) == next_step_commands(
        collect([one, two], store, MARGIN))


def test_new_test_examples_come_before_a_second_set_whose_cost_is_said(inconclusive: Studies) -> None:
    store, studies = inconclusive
    evidence = collect(studies, store, MARGIN)
    (pair,) = evidence.compared
    text = sentence_of(evidence)
    mentions(text, "new test texts", "collect more labeled texts", "ask the question again", "multiplied by 2",
             "all 6 pairs")
    assert text.index("new test texts") < text.index("ask the question again")
    assert (pair.family, pair.pairs_again) == (1, 6)
    (fresh,), (detected,) = sizes_in(evidence, "fresh-seeds"), sizes_in(evidence, "fresh-detectable")
    assert "by 6 for the pairs" in evidence.numbers.made[f"{pair.numbers.key}.fresh-detectable"].method
    again = replace(present(pair.design), family=12)  # 6 pairs, in each of two studies
    assert present(pair.design_again).level == 0.05 / 12
    assert pair.fresh_seeds == max(10, present(again.seeds_for(MARGIN, 2000)))
    assert fresh == max(present(one.fresh_seeds) for one in evidence.pairs if one.fresh_seeds)
    assert detected == again.detectable((int(present(fresh)),) * 2, 2000) <= MARGIN
    assert (sizes_in(evidence, "needed-examples"), sizes_in(evidence, "needed-seeds")) == (
        [-(-present(pair.needed)[0] // 100) * 100], [present(pair.needed)[1]])


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


def test_one_command_trains_the_models_of_a_study_whatever_their_settings() -> None:
    store, studies = one_study([{"training.lr": 0.001}, {"training.lr": 0.002, "model.layers": 2}, {}])
    evidence = collect(studies, store, MARGIN)
    assert [one.verdict.finding.value for one in evidence.compared
            if "bidirectional" not in (one.a.model, one.b.model)] == ["inconclusive"]
    command, last = next_step_commands(evidence)
    assert command.startswith("gru-bench sweep --again all --study-name NAME-1 ")
    assert {command.partition(" --model ")[2].partition(" ")[0], command.rpartition(" --model ")[2].partition(" ")[0]
            } == {"scratch", "torch"}
    assert last == "gru-bench report --study NAME-1"


def test_too_few_seeds_are_settled_by_a_new_set_of_ten() -> None:
    store, studies = one_study([{}, {}, {}], seeds=2)
    evidence = collect(studies, store)
    assert next_step_commands(evidence)[0] == "gru-bench sweep --again all --study-name NAME-1 --confirm 10"
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
    assert all(command.endswith(f" --confirm {sizes[0]:g}") for command in sweeps)


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
    report = build(studies, store, experiment="movie-reviews", margin=MARGIN, tracking_uri=store.uri)
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
    (10_000, ("restricts the study to 5,000 of 10,000 texts", "--set data.limit=none", "--study-name",
              "about 1,000 test texts", "not enough"), True),
    (900_000, ("about 90,000 test texts", "which is enough"), False),
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
    mentions(words_of(report, "comparisons"), "without data.limit", *remove_limit_commands(evidence))


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


def test_the_commands_that_remove_the_limit_train_the_studies_again_without_it(short_of_reviews: Studies) -> None:
    store, (one, two) = short_of_reviews
    one = limited(one, 5000, command="run.py --study 'my study.toml' --study-name scratch --epochs 2 "
                                     "--tracking-uri sqlite:///x.db")
    two = limited(two, 5000, command="run.py --study torch --limit 5000 --tracking-uri sqlite:///x.db")
    evidence = collect([one, two], store, 0.012)
    (seeds,) = sizes_in(evidence, "needed-seeds")
    assert remove_limit_commands(evidence) == (
        *(f"gru-bench sweep --again {name} --study-name NAME-{number} --confirm {seeds:g} --set data.limit=none "
          "--tracking-uri sqlite:///x.db" for number, name in enumerate(("torch", "scratch"), start=1)),
        "gru-bench report --study NAME-1 --study NAME-2 --tracking-uri sqlite:///x.db")


def test_the_command_of_a_study_with_a_class_of_ones_own_may_take_more_than_an_hour() -> None:
    store, mine = FakeStore(), "homework.py:MyGRU"
    study = add_study(store, "own", {"torch": 0.05, mine: 0.0}, test_set=TestSet.draw(500), search=False)
    command, last = remove_limit_commands(collect([limited(study, 3000)], store, 0.012))
    assert "--allow-slow" in command.split()
    assert last == "gru-bench report --study NAME-1"


def test_each_new_study_of_a_report_has_a_name_of_its_own() -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.05}, test_set=TestSet.draw(2000))
    evidence = collect([limited(study, 5000) for study in studies], store, MARGIN)
    commands = (*remove_limit_commands(evidence), *next_step_commands(evidence))
    names = [command.partition("--study-name ")[2].split()[0] for command in commands if "--study-name" in command]
    assert names == ["NAME-1", "NAME-2", "NAME-3", "NAME-4"]
    assert findings_of(evidence).next_commands == commands
