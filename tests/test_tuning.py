"""What a search was worth, and that the commands a write-up names do what it says they do."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest

import gru_bench.sweep.__main__ as sweep_command
from gru_bench import statistics
from gru_bench.cli import ended
from gru_bench.report import render
from gru_bench.report.tuning import HOMEWORK
from gru_bench.report.writeup import build
from gru_bench.results import TrialSummary
from gru_bench.sweep.spec import load_study
from tests.report_fakes import BEST, FakeStore, TestSet, add_study, three_models
from tests.test_render import html_numbers, tex_numbers
from tests.test_writeup import all_said, said


def with_trials(study, values, sampler="random", states=None):
    states = states or ["complete"] * len(values)
    trials = tuple(TrialSummary(n, "torch", state, value, 3, BEST)
                   for n, (value, state) in enumerate(zip(values, states, strict=True)))  # fmt: skip
    return replace(study, summary=replace(study.summary, trials=trials, sampler=sampler))


@pytest.fixture
def torch():
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))


def test_the_expected_best_of_random_trials(torch):
    store, study = torch
    values = list(np.random.default_rng(0).uniform(0.8, 0.9, 20))
    writeup = build([with_trials(study, values)], store)
    (best,) = writeup.expected_best
    assert writeup.no_expected_best == ()
    expected = {found.trials: found for found in statistics.expected_best(values)}
    assert [point.trials.value for point in best.points] == [1, 2, 3, 5, 8, 12, 16, 20]
    for point in best.points:
        found = expected[point.trials.value]
        assert (point.best.value, point.best.low, point.best.high) == (found.mean, found.low, found.high)
    page, files = render.html(writeup), render.tex(writeup)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


@pytest.mark.parametrize(("sampler", "states", "reason"), [
    ("tpe", ["complete"] * 3, "but TPE chose each trial by those before it"),
    ("random", ["complete", "pruned", "complete"], "but some trials were pruned"),
    ("random", ["complete", "failed", "complete"], "but some trials failed"),
])  # fmt: skip
def test_no_expected_best_where_trials_were_not_independent(torch, sampler, states, reason):
    store, study = torch
    writeup = build([with_trials(study, [0.8, 0.81, 0.82], sampler, states)], store)
    assert writeup.expected_best == ()
    assert reason in all_said(writeup.no_expected_best)
    assert "Torch GRU: what fewer trials would have reached is not shown" in all_said(writeup.no_expected_best)


def test_settings_beside_the_homeworks(torch):
    store, study = torch
    rows = build([study], store).beside_homework
    assert {row.name: (row.ours.value, row.homework.value) for row in rows} == {
        "hidden size": (250, 100), "layers": (1, 1), "learning rate": (0.00137, 0.0001), "batch size": (64, 1),
        "epochs": (4, 5)}  # fmt: skip
    assert len(rows) == len(HOMEWORK)


def test_a_confirm_set_that_has_grown_is_disclosed(torch):
    store, study = torch
    assert "extended" not in all_said(build([study], store).missing)
    grown = replace(study, run=replace(study.run, params={"confirm": "3"}))
    text = all_said(build([grown], store).missing)
    assert "The confirm set of torch was extended: the study began with 3 seeds for each model and now has 5." in text


@pytest.fixture
def inconclusive():
    """Two studies close to one another, that more seeds would tell apart by the margin of 1.5 points."""
    store = FakeStore()
    test_set = TestSet.draw(2000)
    for name, skill in (("scratch", 0.0), ("torch", 0.05)):
        add_study(store, name, {name: skill}, test_set=test_set)
    return store, store.by_experiment["movie-reviews"]


def spec_of(command: str, monkeypatch):
    """Type a command and return the study that it would run."""
    program, *words = shlex.split(command.removeprefix("python "))
    assert program == "sweeps/run.py"
    seen = []

    def prepared(spec, *_):
        seen.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_command, "_prepare", prepared)
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    ended(sweep_command.app)
    (spec,) = seen
    return spec


def test_the_commands_make_new_confirm_sets_with_the_settings_kept(inconclusive, monkeypatch):
    store, studies = inconclusive
    writeup = build(studies, store, margin=0.015)
    (pair,) = writeup.comparisons
    assert pair.finding == "inconclusive"
    fresh = next(n for n in pair.sentence if not isinstance(n, str) and n.key.endswith("fresh-seeds")).value
    *sweeps, report = pair.commands
    assert report == "python -m gru_bench.report --study torch-confirm-2 --study scratch-confirm-2"
    for command, study in zip(sweeps, studies[::-1], strict=True):
        spec = spec_of(command, monkeypatch)
        assert (spec.name, spec.trials, spec.confirm) == (f"{study.run.name}-confirm-2", 0, fresh)
        assert not set(spec.confirm_seeds) & set(study.summary.confirm_seeds)
        original = load_study(study.run.name)
        assert not set(spec.confirm_seeds) & set(original.model_copy(update={"confirm": 9999}).confirm_seeds)
        config = spec.config(spec.models[0], {}, 0)
        assert (config.training.lr, config.model.hidden_size, config.model.readout, config.model.dropout) == (
            BEST["training.lr"], BEST["model.hidden_size"], BEST["model.readout"], BEST["model.dropout"])  # fmt: skip
    page, files = render.html(writeup), render.tex(writeup)
    assert "--study-name torch-confirm-2" in page
    assert "{-}{-}study{-}name" in files["report.tex"].replace(r"\allowbreak{}", "")


def typed(study, command):
    return replace(study, run=replace(study.run, tags={**study.run.tags, "mlflow.source.name": command}))


def test_what_was_typed_is_kept_but_for_what_the_new_set_needs(inconclusive, monkeypatch):
    store, (one, two) = inconclusive
    one = typed(one, "run.py --study scratch --trials 30 --seed=4 --data 'my reviews.csv' --timeout 2h "
                     "--set model.layers=2 --tracking-uri http://me:secret@host:5000")  # fmt: skip
    (pair,) = build([one, two], store, margin=0.015).comparisons
    command = next(command for command in pair.commands if "scratch-confirm-2" in command and "sweeps" in command)
    assert "secret" not in command
    assert "--timeout" not in command
    spec = spec_of(command, monkeypatch)
    assert (spec.base.data.name, spec.base.model.layers, spec.seed) == ("my reviews.csv", 2, 1)


@pytest.mark.parametrize("command", ["", "train.py --study x", "run.py --study 'unclosed", "run.py --study '\x1b[31m'"])
def test_no_command_is_named_that_is_not_known_to_work(inconclusive, command):
    store, (one, two) = inconclusive
    (pair,) = build([typed(one, command), two], store, margin=0.015).comparisons
    assert pair.commands == ()
    assert "A new confirm set of" in said(pair.sentence)


def test_a_second_new_set_gets_a_name_and_seeds_of_its_own(inconclusive):
    store, (one, two) = inconclusive
    again = replace(two, run=replace(two.run, name="torch-confirm-2", study="torch-confirm-2"),
                    summary=replace(two.summary, name="torch-confirm-2", search_seed=1))  # fmt: skip
    (pair,) = build([one, again], store, margin=0.015).comparisons
    assert any("--study-name torch-confirm-3 --seed 3" in command for command in pair.commands)


def test_more_examples_are_named_where_no_number_of_seeds_would_do():
    store, studies = three_models(test_set=TestSet.draw(500))
    writeup = build(studies, store)
    pair = next(pair for pair in writeup.comparisons if pair.finding == "inconclusive")
    assert "takes more test examples" in said(pair.sentence)
    numbers = {n.key.rpartition(".")[2]: n.value for n in pair.sentence if not isinstance(n, str)}
    assert numbers["needed-examples"] > 500
    assert numbers["needed-examples"] % 100 == 0
    assert pair.commands == ()
