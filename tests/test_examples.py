"""The studies that come with the repository can be read, and their reports verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gru_bench.evidence.candidates import study_candidates
from gru_bench.report import verify
from gru_bench.report.__main__ import app as report_app
from gru_bench.report.render import record
from gru_bench.results.runs import digest_of_examples
from gru_bench.stats.intervals import difference
from gru_bench.tracking import open_reader
from tests.support import by_hand
from tests.support.commands import completed
from tests.support.examples import EXAMPLE, unpacked
from tests.support.renderings import without_drawing
from tests.support.values import present

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with all studies that come with the repository. No test may change it."""
    return unpacked(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize(("name", "experiment", "models"), [
    ("homework", "sentiment_dataset_train_amazon14", {"scratch", "torch", "bidirectional"}),
    ("bidirectional", "movie-reviews", {"bidirectional"}),
    ("amazon", "sentiment_dataset_train_amazon14", {"bidirectional"}),
])
def test_an_example_has_no_texts_and_its_runs_can_be_read(
    name: str, experiment: str, models: set[str], machine: Path
) -> None:
    store = open_reader(f"sqlite:///{machine / 'mlflow.db'}")
    (study,) = [study for study in store.studies(experiment) if study.run.study == name]
    done = [run for run in study.confirms if run.complete]
    assert {run.model for run in done} == models
    for run in done:
        found = store.predictions(run.run_id, "test")
        right = np.mean((found.probability_NC[:, 1] > 0.5) == found.label_N)
        assert right == pytest.approx(run.metrics["score/test_accuracy"])
        assert run.test_set == digest_of_examples(found.example_id_N)
    assert store.texts(study.run.run_id, "test") is None


GOLDEN = {
    "bidirectional": ({"bidirectional": 87.6388, "ngrams": 87.4587, "average": 88.3588}, 904, {
        ("average", "ngrams"): (0.900090, 1.418645e-05), ("average", "bidirectional"): (0.720072, 1.025962e-05),
        ("bidirectional", "ngrams"): (0.180018, 2.465642e-05)}),
    "amazon": ({"bidirectional": 90.2128, "ngrams": 88.6484, "average": 90.5403}, 5497, {
        ("average", "ngrams"): (1.891941, 8.938062e-06), ("average", "bidirectional"): (0.327451, 7.015242e-06),
        ("bidirectional", "ngrams"): (1.564490, 1.597585e-05)})}
"""Study -> test accuracies in per cent, groups, and of pairs the difference in points and its variance."""


@pytest.mark.parametrize("name", list(GOLDEN))
def test_what_to_take_is_what_a_script_computes_from_the_predictions_alone(name: str, machine: Path) -> None:
    scores, groups, pairs = GOLDEN[name]
    validation, test = (by_hand.read(machine, name, split) for split in ("validation", "test"))
    on_validation, on_test = by_hand.candidates(validation, test)
    store = open_reader(f"sqlite:///{machine / 'mlflow.db'}")
    found = study_candidates(store.study(name), store)
    every = {one.model: one for one in found.every}
    assert present(found.chosen).model == by_hand.best(validation["label"], on_validation) == "average"
    for model, expected in scores.items():
        assert 100 * present(every[model].score.value) == pytest.approx(expected, abs=1e-4)
        assert 100 * by_hand.accuracy(test["label"], on_test[model]) == pytest.approx(expected, abs=1e-4)
    for (a, b), (points, variance) in pairs.items():
        pair = difference("accuracy", every[a], every[b])
        theta, v, p, count = by_hand.difference(test, on_test[a], on_test[b])
        assert 100 * theta == pytest.approx(points, abs=1e-6)
        assert count == groups
        assert v == pytest.approx(variance, rel=1e-6)
        assert (pair.estimate, pair.variance, pair.p) == pytest.approx((theta, v, p), rel=1e-6)


@pytest.mark.parametrize(("example", "studies"), [
    ("homework", ["homework"]), ("amazon", ["amazon"]), ("tuned", ["bidirectional", "torch", "scratch"]),
    ("compare", ["compare"]), ("compare-swapped", ["compare-swapped"])])
def test_the_numbers_of_an_example_are_those_of_its_studies(
    example: str, studies: list[str], machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine)
    chosen = [word for study in studies for word in ("--study", study)]
    with without_drawing():
        done = completed(report_app, "--no-attach", "--out", str(tmp_path / "again"), *chosen)
        assert done.returncode == 0, done.stderr
        done = completed(report_app, "--verify", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    committed, again = (record.read(folder) for folder in (EXAMPLE / example, tmp_path / "again"))
    assert committed.numbers.keys() == again.numbers.keys()
    assert {found for key, number in committed.numbers.items()
            if (found := verify._difference(number, again.numbers[key]))} == set()
    assert committed.on_test == again.on_test
