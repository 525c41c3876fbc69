"""A report's numbers are the runs' own, its sentences agree with them, and nothing is dropped in silence."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.errors import RunError
from gru_bench.evaluation import statistics
from gru_bench.evaluation.statistics import Design, Estimate, Finding
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING, Number, decimals_for, plain, slug, written
from gru_bench.report.sections.verdicts import Limit, Pair, next_step_sentence, verdict_sentence
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, logged, three_models
from tests.support.renderings import all_said, said


@pytest.fixture(scope="module")
def three():
    store, studies = three_models()
    return store, studies, build(studies, store, experiment="movie-reviews")


def correct(store, study):
    runs = [run for run in study.confirms if run.complete]
    read = [store.kept[run.run_id, "test"] for run in runs]
    return np.stack([(p.probability_N >= 0.5) == (p.label_N == 1) for p in read])


def test_rows_hold_what_the_predictions_say(three):
    store, studies, report = three
    assert [row.label for row in report.rows] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for study, row in zip(studies, report.rows, strict=True):
        right_RN = correct(store, study)
        expected = statistics.accuracy_interval(right_RN)
        assert row.accuracy.value == expected.estimate
        assert (row.accuracy.low, row.accuracy.high) == (expected.low, expected.high)
        assert row.deviation.value == statistics.seed_deviation(right_RN)
        runs = [run for run in study.confirms if run.complete]
        assert row.seeds.value == 5
        assert row.accuracy.runs == tuple(run.run_id for run in runs)
        assert row.accuracy.examples == 2000
        assert row.f1.value == pytest.approx(np.mean([run.metrics["score/test_f1"] for run in runs]), abs=1e-6)
        assert row.train_seconds.value == pytest.approx(np.mean([run.metrics["time/train_seconds"] for run in runs]))
        for cell, name in zip(
            row.confusion, ("true_negative", "false_positive", "false_negative", "true_positive"), strict=True
        ):
            assert cell.value == pytest.approx(np.mean([run.metrics[f"score/test_{name}"] for run in runs]))
        assert sum(cell.value for cell in row.confusion) == pytest.approx(2000)


def test_pairs_are_compared_by_the_headline_method(three):
    store, studies, report = three
    by_name = {study.run.name: correct(store, study) for study in studies}
    p = []
    for pair, (a, b) in zip(
        report.comparisons,
        [("torch", "scratch"), ("bidirectional", "scratch"), ("bidirectional", "torch")],
        strict=True,
    ):
        expected = statistics.accuracy_difference(by_name[a], by_name[b])
        assert (pair.difference.value, pair.difference.low, pair.difference.high) == (
            expected.estimate, expected.low, expected.high,
        )
        assert pair.chance.value == statistics.chance_better(by_name[a], by_name[b])
        assert pair.effect.value == statistics.effect_size(by_name[a], by_name[b])
        p.append(expected.p)
    assert [pair.p.value for pair in report.comparisons] == statistics.holm(p)
    assert report.comparisons[1].finding in (Finding.BETTER.value, Finding.BETTER_BY_MARGIN.value)
    assert "Bidirectional GRU is better than Scratch GRU" in said(report.comparisons[1].sentence)


def test_every_number_says_what_it_rests_on(three):
    _, _, report = three
    numbers = report.numbers()
    assert len(numbers) > 200
    for key, number in numbers.items():
        assert key == number.key
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert number.method or number.kind == "count", key
        # What follows from test reviews says from how many.
        if key.startswith(("categories-", "lengths-", "reviews-", "pair.")) and not key.endswith(".margin"):
            assert number.examples, key
        if number.kind == "count" and key.startswith(("categories-", "lengths-", "reviews-", "pair.")):
            assert number.method, key
        if number.low is not None:
            assert number.low <= number.value <= number.high
            assert number.method
            assert number.runs


def test_a_baseline_above_is_said(three):
    _, _, report = three
    text = all_said(report.below_baseline)
    assert "Scratch GRU (86.1 %), Torch GRU (86.4 %) are below the baseline TF-IDF + logistic regression" in text
    assert "Bidirectional" not in text
    assert "majority" not in text


def test_a_baseline_inside_or_beyond_the_interval_is_said():
    store = FakeStore()
    low = add_study(store, "low", {"torch": -0.3})
    even = add_study(store, "even", {"torch": 0.08})
    text = all_said(build([low], store).below_baseline)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %)" in text
    assert "its whole interval lies below" in text
    row = build([even], store).rows[0].accuracy
    assert row.low < 0.8731 < row.value
    text = all_said(build([even], store).below_baseline)
    assert "is above the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in text
    under = add_study(store, "under", {"torch": 0.03})
    row = build([under], store).rows[0].accuracy
    assert row.value < 0.8731 < row.high
    text = all_said(build([under], store).below_baseline)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in text


def test_a_model_that_shows_the_same_as_a_baseline_is_neither_above_nor_below():
    store = FakeStore()
    study = add_study(store, "even", {"torch": 0.08}, test_set=TestSet.draw(400))
    level = build([study], store).rows[0].accuracy
    for shift in (-0.0003, 0.0, 0.0003):
        shown = round(level.value, 3)
        baselines = (replace(study.summary.baselines[1], test_accuracy=shown + shift),)
        even = replace(study, summary=replace(study.summary, baselines=baselines))
        text = all_said(build([even], store).below_baseline)
        assert text.replace("\u00a0", " ") == (
            f"Torch GRU ({level.text} %) is level with the baseline TF-IDF + logistic regression ({level.text} %) on "
            "the same split."
        )


def test_many_pairs_are_tallied_first():
    store = FakeStore()
    for place in range(5):
        add_study(store, f"study {place}", {"torch": 0.05 * place}, test_set=TestSet.draw(400), seed=place)
    report = build(store.by_experiment["movie-reviews"], store)
    assert said(report.summary[0]).startswith("Each of 10 pairs of models is compared below: ")
    tally = {n.key: n.value for n in report.summary[0] if isinstance(n, Number)}
    assert tally.pop("summary.pairs") == sum(tally.values())


def test_failed_seeds_are_named_and_counted(three):
    _, _, report = three
    assert "Torch GRU: 1 confirm run is not complete (seed 1005)" in all_said(report.cautions)
    counts = {(count.study, count.stage): count for count in report.counts}
    torch = counts["torch", "confirm"]
    assert [n.value for n in (torch.complete, torch.pruned, torch.failed, torch.other)] == [5, 0, 1, 0]
    assert torch.reasons == (("torch seed 1005", "failed: the loss is not finite in epoch 2"),)
    search = counts["torch", "search"]
    assert [n.value for n in (search.complete, search.pruned, search.failed, search.other)] == [10, 3, 3, 0]


def test_a_run_still_running_counts_as_other():
    store, (study, *_) = three_models()
    running = logged("r", role="trial", complete=False, status="RUNNING", tags={"gru_bench.state": "running"})
    report = build([replace(study, trials=(*study.trials, running))], store)
    assert report.counts[0].other.value == 1
    assert report.counts[0].reasons[-1] == ("r", "other: no reason logged")


def test_curves_are_means_with_the_range_of_seeds(three):
    store, studies, report = three
    runs = [run.run_id for run in studies[0].confirms]
    curve = report.curves[0]
    assert [epoch.epoch.value for epoch in curve.epochs] == [1, 2, 3, 4]
    values = [dict(store.metrics[run]["loss/val"])[2] for run in runs]
    shown = curve.epochs[1].validation_loss
    assert (shown.value, shown.low, shown.high) == (pytest.approx(np.mean(values)), min(values), max(values))
    assert curve.window_losses is not None
    assert curve.window_losses.epoch[-1] == pytest.approx(4.0)


def test_an_epoch_that_only_some_seeds_reached_says_how_many():
    store, (study, *_) = three_models()
    short = study.confirms[0].run_id
    store.metrics[short] = {name: points[:2] for name, points in store.metrics[short].items()}
    curve = build([study], store).curves[0]
    assert [epoch.seeds.value for epoch in curve.epochs] == [5, 5, 4, 4]


def test_categories_add_up(three):
    _, _, report = three
    (table,) = report.category_tables
    assert [category.name for category in table.categories] == ["imdb", "rotten_tomatoes"]
    assert sum(category.examples.value for category in table.categories) == 2000
    for place, row in enumerate(report.rows):
        whole = sum(c.examples.value * c.accuracy[place].value for c in table.categories) / 2000
        assert whole == pytest.approx(row.accuracy.value)


def test_search_shows_promise_confirmation_and_test(three):
    _, studies, report = three
    search = report.searches[0]
    runs = studies[0].confirms
    assert search.best.value == 0.872
    assert search.confirmed.value == pytest.approx(np.mean([run.metrics["score/val_accuracy"] for run in runs]))
    assert search.test == report.rows[0].accuracy
    assert "the best trial reached 87.2 % on validation; fresh seeds" in said(search.gap)
    assert {d.name: d.edge for d in search.space} == {
        "learning rate": "", "hidden size": "high", "pooling": "", "dropout": "",
    }
    assert said(search.edges).startswith("The best value of hidden size lies at an end of the range searched; a")
    assert search.importance_method.startswith("PED-ANOVA")


def test_validation_of_the_best_epoch_is_found_in_the_history_too():
    store, (study, *_) = three_models()
    bare = [replace(run, metrics={key: value for key, value in run.metrics.items() if key != "score/val_accuracy"})
            for run in study.confirms]
    search = build([replace(study, confirms=tuple(bare))], store).searches[0]
    expected = np.mean([dict(store.metrics[run.run_id]["accuracy/val"])[3] for run in bare])
    assert search.confirmed.value == pytest.approx(expected)


def test_unequal_budgets_are_said():
    store = FakeStore()
    add_study(store, "scratch", {"scratch": 0.0}, trials=16)
    add_study(store, "torch", {"torch": 0.0}, trials=16)
    studies = store.by_experiment["movie-reviews"]
    assert build(studies, store).budgets == ()
    add_study(store, "bidirectional", {"bidirectional": 0.1}, trials=40)
    text = said(build(store.by_experiment["movie-reviews"], store).budgets)
    assert "were not given the same budget" in text
    # Of forty, as many failed as in the other studies of sixteen.
    assert "bidirectional had 32 finished trials of up to 4 epochs over 4 settings" in text


def test_budgets_are_the_trials_that_finished_whatever_was_typed_last():
    store = FakeStore()
    one = add_study(store, "one", {"scratch": 0.0, "torch": 0.0}, trials=5)
    two = add_study(store, "two", {"bidirectional": 0.1}, trials=5)
    lowered = replace(one, summary=replace(one.summary, trials_asked=0))
    # Of five trials of each model one failed; neither a number lowered later nor a second model changes that.
    report = build([lowered, two], store)
    assert report.budgets == ()
    assert "Search trials saw training and validation reviews only" in all_said(report.methods)
    three = add_study(store, "three", {"rnn": 0.0}, trials=16)
    text = said(build([lowered, two, three], store).budgets)
    assert "one had 4 finished trials for each model of up to 4 epochs over 4 settings" in text
    assert "two had 4 finished trials of up to 4 epochs" in text
    assert "three had 13 finished trials of up to 4 epochs" in text
    fewer = tuple(trial for trial in one.summary.trials if trial.model == "scratch" or trial.number == 0)
    uneven = replace(one, summary=replace(one.summary, trials=fewer))
    assert "one had 4 (Scratch GRU) and 1 (Torch GRU) finished trials of up to" in said(build([uneven], store).budgets)
    fixed = add_study(store, "fixed", {"rnn": 0.0}, search=False)
    assert said(build([two, fixed], store).budgets).endswith("settings; fixed had no search.")
    # Models on other data are not compared.
    there = add_study(store, "there", {"torch": 0.0}, trials=16, fingerprint="other", test_set=TestSet.draw(seed=1))
    assert build([two, there], store).budgets == ()


def test_a_study_of_several_models_without_a_search():
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0, "torch": 0.0, "bidirectional": 0.1}, search=False)
    report = build([study], store)
    assert len(report.rows) == 3
    assert report.searches == ()
    assert [setting.name for setting in report.rows[0].settings] == [
        "learning rate", "hidden size", "layers", "pooling",
    ]
    assert report.budgets == ()


def test_two_studies_of_one_model_are_told_apart():
    store = FakeStore()
    add_study(store, "small", {"torch": 0.0})
    add_study(store, "large", {"torch": 0.1})
    report = build(store.by_experiment["movie-reviews"], store)
    assert [row.label for row in report.rows] == ["Torch GRU (small)", "Torch GRU (large)"]
    assert len(report.comparisons) == 1


def test_other_data_is_not_compared():
    store = FakeStore()
    add_study(store, "here", {"torch": 0.0})
    add_study(store, "there", {"bidirectional": 0.1}, test_set=TestSet.draw(seed=1), fingerprint="other")
    report = build(store.by_experiment["movie-reviews"], store)
    assert report.comparisons == ()
    assert "not compared: their data or its split differ" in all_said(report.not_compared)
    assert len(report.data) == 2
    assert len(report.category_tables) == 2
    # A baseline is context for its own data alone.
    assert {baseline.fingerprint for baseline in report.baselines} == {"3f6c90d2a41b", "other"}


def test_the_same_data_with_other_test_examples_is_not_compared():
    store = FakeStore()
    add_study(store, "here", {"torch": 0.0})
    add_study(store, "there", {"bidirectional": 0.1}, test_set=TestSet.draw(seed=1))
    report = build(store.by_experiment["movie-reviews"], store)
    assert "not compared: their test examples differ" in all_said(report.not_compared)


def test_the_order_of_examples_in_a_file_does_not_matter(three):
    store, studies, report = three
    shuffled = FakeStore(metrics=store.metrics)
    rng = np.random.default_rng(0)
    for key, p in store.kept.items():
        order_N = rng.permutation(len(p))
        shuffled.kept[key] = type(p)(
            p.example_id_N[order_N], p.label_N[order_N], p.probability_N[order_N], p.category_N[order_N],
            p.tokens_N[order_N], p.dropped_N[order_N],
        )
    again = build(studies, shuffled, experiment="movie-reviews")
    assert [pair.difference for pair in again.comparisons] == [pair.difference for pair in report.comparisons]


def test_a_run_scored_on_other_examples_is_left_out_and_named():
    store, (study, *_) = three_models()
    odd = study.confirms[2].run_id
    store.kept[odd, "test"] = TestSet.draw(seed=5).predictions(np.random.default_rng(0), np.zeros(2000), 0.0)
    report = build([study], store)
    assert report.rows[0].seeds.value == 4
    assert f"the run {odd} was scored on other test examples and is left out" in all_said(report.cautions)


def test_a_run_without_predictions_is_left_out_and_named():
    store, (study, *_) = three_models()
    bare = study.confirms[0].run_id
    del store.kept[bare, "test"]
    report = build([study], store)
    assert report.rows[0].seeds.value == 4
    assert f"the run {bare} has no readable test predictions and is left out" in all_said(report.cautions)


def test_a_logged_accuracy_that_the_predictions_contradict_is_said():
    store, (study, *_) = three_models()
    liar = replace(study.confirms[0], metrics={**study.confirms[0].metrics, "score/test_accuracy": 0.99})
    report = build([replace(study, confirms=(liar, *study.confirms[1:]))], store)
    assert f"the test accuracy logged by the run {liar.run_id} is not the one" in all_said(report.cautions)


def test_runs_of_an_earlier_configuration_are_left_out_and_counted():
    store, (study, *_) = three_models()
    old = tuple(
        replace(run, params={**run.params, "training.lr": "0.5"}, started=run.started - 1e6)
        for run in study.confirms[:2]
    )
    report = build([replace(study, confirms=(*old, *study.confirms[2:]))], store)
    assert report.rows[0].seeds.value == 3
    assert "2 confirm runs are left out (earlier settings or other data)" in all_said(report.cautions)


def test_a_seed_run_twice_counts_once_and_the_newer_stands():
    store, (study, *_) = three_models()
    again = replace(study.confirms[0], run_id="again", started=study.confirms[0].started + 1e6)
    store.kept["again", "test"] = store.kept[study.confirms[1].run_id, "test"]
    store.metrics["again"] = store.metrics[study.confirms[1].run_id]
    report = build([replace(study, confirms=(*study.confirms, again))], store)
    assert report.rows[0].seeds.value == 5
    assert "again" in report.rows[0].accuracy.runs
    assert study.confirms[0].run_id not in report.rows[0].accuracy.runs


def test_planned_seeds_without_a_run_are_named():
    store, (study, *_) = three_models()
    report = build([replace(study, confirms=study.confirms[:3])], store)
    assert "Scratch GRU: 2 planned seeds without a run: 1003, 1004." in all_said(report.cautions)


def test_an_unfinished_study_shows_what_there_is():
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False)
    report = build([study], store)
    assert len(report.rows) == 1
    text = all_said(report.cautions)
    assert "The study torch has not come to its end: what follows is what there is." in text
    assert "Not there yet of torch: the baselines, the facts of its data, what its search found" in text
    assert text.endswith("type the command of torch again, which goes on where it was left: python sweeps/run.py "
                         "--study torch")
    assert report.data == ()
    assert report.baselines == ()
    assert report.curves[0].window_losses is None  # the iterations of an epoch are not known


def test_an_unfinished_study_names_its_missing_seeds_and_parts_and_comes_first():
    store = FakeStore()
    models = {"scratch": 0.0, "torch": 0.01, "bidirectional": 0.1}
    whole = add_study(store, "homework", models)
    params = {**whole.run.params, "models": "scratch,torch,bidirectional",
              "contents": "search,ablations,timings,diagnostics,recall"}
    kept = tuple(run for run in whole.confirms if run.model != "bidirectional" and (run.seed or 0) < 1003)
    study = replace(whole, run=replace(whole.run, params=params), summary=None, confirms=kept)
    store.artifacts[study.run.run_id, "data.json"] = json.dumps(asdict(whole.summary.data))
    store.artifacts[study.run.run_id, "baselines.json"] = json.dumps([asdict(b) for b in whole.summary.baselines])
    report = build([study], store)
    text = all_said(report.cautions)
    assert "Scratch GRU: 2 of the 5 planned confirm seeds have no complete run yet." in text
    assert "Bidirectional GRU has no complete confirm run and is left out." in text
    assert ("Not there yet of homework: what the search found, the ablations, the run times side by side, the look "
            "inside the models, what the models remember.") in text
    assert "type the command of homework again" in text
    assert len(report.baselines) == 2
    assert len(report.data) == 1
    assert report.curves[0].window_losses is not None
    # No new seeds are called for before the planned ones are there.
    assert report.next_step_commands == ()
    assert "new confirm set" not in all_said([*report.summary, *(pair.sentence for pair in report.comparisons)])


def test_a_study_that_ended_without_some_seeds_is_gone_on_with_first():
    store, (study, *_) = three_models(seeds=3)
    short = replace(study, confirms=study.confirms[:2])
    assert "type the command of scratch again" in all_said(build([short], store).cautions)
    assert "again" not in all_said(build([study], store).cautions)


def test_nothing_to_show():
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=0, failed=2)
    with pytest.raises(RunError, match=r"needs a study with a complete confirm run, but there is none: run one"):
        build([study], store)


def test_how_often_the_test_reviews_were_looked_at():
    store = FakeStore()
    one = add_study(store, "one", {"torch": 0.0, "scratch": 0.0}, search=False)
    two = add_study(store, "two", {"bidirectional": 0.0})
    there = add_study(store, "there", {"torch": 0.0}, test_set=TestSet.draw(seed=1), fingerprint="other")
    alone = all_said(build([one], store).methods)
    assert "were scored by the confirm runs of one study alone" in alone
    assert "opened once" not in alone
    assert "Search trials" not in alone
    both = all_said(build([one, two], store).methods)
    assert "The confirm runs of 2 studies (one, two) were scored on the same test reviews." in both
    assert "Search trials saw training and validation reviews only" in both
    assert "one study alone" in all_said(build([one, there], store).methods)


@pytest.mark.parametrize(("seeds", "words"), [
    ((5, 10), "Scratch GRU: enough seeds for a verdict, which takes 5; publishing a claim takes 10. Torch GRU: enough "
              "seeds to publish a claim, which takes 10."),
    ((9, 3), "Scratch GRU: enough seeds for a verdict, which takes 5; publishing a claim takes 10."),
    ((5, 6), "Scratch GRU and Torch GRU: enough seeds for a verdict, which takes 5; publishing a claim takes 10."),
])
def test_it_is_said_whether_seeds_carry_a_verdict_or_a_claim(seeds, words):
    store = FakeStore()
    for (name, count) in zip(("scratch", "torch"), seeds, strict=True):
        add_study(store, name, {name: 0.0}, seeds=count, test_set=TestSet.draw(300))
    assert words in all_said(build(store.by_experiment["movie-reviews"], store).summary)
    few, studies = three_models(seeds=3, test_set=TestSet.draw(300))
    assert "enough seeds" not in all_said(build(studies, few).summary)


def spread_out(store, study, shares):
    """Make the seeds of a study answer such shares of the test reviews rightly."""
    for run, share in zip(study.confirms, shares, strict=True):
        p = store.kept[run.run_id, "test"]
        right_N = np.arange(len(p)) < share * len(p)
        store.kept[run.run_id, "test"] = replace(
            p, probability_N=np.where(right_N == (p.label_N == 1), 0.9, 0.1).astype(np.float32))


@pytest.mark.parametrize(("one", "two", "words"), [
    ((0.80, 0.84, 0.88), (0.83, 0.83, 0.83), "varies at least five times as much from seed to seed"),
    ((0.80, 0.84, 0.88), (0.80, 0.83, 0.88), ""),
    ((0.80, 0.83, 0.86, 0.89, 0.84), (0.84,) * 6, "and has the fewer seeds: such intervals are known"),
    ((0.80, 0.83, 0.86, 0.89, 0.84), (0.84,) * 5, ""),
    ((0.84,) * 5, (0.80, 0.83, 0.86, 0.89, 0.84, 0.85), ""),
])
def test_intervals_known_to_be_too_narrow_say_so(one, two, words):
    store = FakeStore()
    for name, shares in (("scratch", one), ("torch", two)):
        spread_out(store, add_study(store, name, {name: 0.0}, seeds=len(shares)), shares)
    (pair,) = build(store.by_experiment["movie-reviews"], store).comparisons
    text = said(pair.sentence)
    assert ("too narrow" in text) == bool(words)
    assert words in text
    assert not words or "Scratch GRU varies" in text


def with_margin(study, points):
    params = {key: value for key, value in study.run.params.items() if key != "margin"}
    return replace(study, run=replace(study.run, params=params if points is None else {**params, "margin": points}))


@pytest.mark.parametrize(("logged", "asked", "value", "words"), [
    (("2.0", "2.0"), None, 0.02, "2.0 points, fixed beforehand: each study logged it at its start."),
    (("2.0", "2.0"), 0.02, 0.02, "2.0 points, fixed beforehand"),
    (("2.0", "2.0"), 0.01, 0.01, "1.0 points, chosen when this report was made: at their start the studies had "
                                 "logged 2.0."),
    (("1.0", "2.0"), None, 0.01, "the studies had logged 1.0 and 2.0."),
    (("1.0", None), None, 0.01, "the studies had logged 1.0, and some had logged none."),
    ((None, None), None, 0.01, "chosen when this report was made: no study had logged one at its start."),
    (("nan", "-1"), None, 0.01, "no study had logged one at its start."),
])
def test_a_margin_is_fixed_beforehand_only_where_the_studies_logged_it(logged, asked, value, words):
    store = FakeStore()
    studies = [with_margin(add_study(store, name, {name: 0.0}), points)
               for name, points in zip(("scratch", "torch"), logged, strict=True)]
    report = build(studies, store, margin=asked)
    assert report.margin.value == value
    assert words in all_said(report.methods)
    assert ("was not fixed before the runs" in all_said(report.cautions)) == ("beforehand" not in words)


def test_missing_metrics_are_dashes_and_never_zero():
    store, (study, *_) = three_models()
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build([replace(study, confirms=bare)], store)
    row = report.rows[0]
    assert [n.text for n in (row.parameters, row.train_seconds, row.tokens_per_second)] == [MISSING] * 3
    assert row.accuracy.value is not None
    assert report.curves[0].best.text == MISSING


@pytest.mark.parametrize(
    ("seeds", "caution", "verdict"),
    [
        (1, "rests on 1 seed: its interval is over test examples only", "from 1 seed: between these very runs"),
        (2, "rests on 2 seeds: an estimate without interval", "from 2 seeds: an estimate only"),
        (3, "rests on 3 seeds: too few for a verdict", "from 3 seeds (5 are the least)"),
    ],
)
def test_few_seeds_say_less(seeds, caution, verdict):
    store, studies = three_models(seeds=seeds)
    report = build(studies, store)
    assert caution in all_said(report.cautions)
    assert ("intervals" in said(report.summary[0])) == (seeds != 2)
    for pair in report.comparisons:
        assert verdict in said(pair.sentence)
        assert pair.p.text == MISSING
        assert "better" not in said(pair.sentence)
        assert ("McNemar" in said(pair.sentence)) == (seeds == 1)
    assert (report.rows[0].accuracy.low is None) == (seeds == 2)
    assert (report.rows[0].deviation.text == MISSING) == (seeds == 1)


def test_all_reviews_answered_rightly_are_no_certainty_and_no_equivalence():
    few = TestSet.draw(31)
    few = replace(few, ease_N=np.full(31, 20.0))  # so easy that no run errs
    store, studies = three_models(seeds=10, test_set=few)
    report = build(studies, store)
    for row in report.rows:
        assert row.accuracy.value == 1.0
        assert row.accuracy.low < 0.9
        assert row.f1.low < 0.9
    for pair in report.comparisons:
        assert pair.finding == Finding.INCONCLUSIVE.value
        assert "Equivalence within 1.0 points could not have been shown: it takes at least 269" in said(pair.sentence)
        assert "difference of 0.0 points" not in said(pair.sentence)
    assert "The test reviews are few: 31, each of them 3.2 points of accuracy" in all_said(report.cautions)


@pytest.mark.parametrize("size", [199, 200])
def test_few_test_reviews_are_said_up_to_two_hundred(size):
    store, studies = three_models(test_set=TestSet.draw(size))
    assert ("The test reviews are few: 199" in all_said(build(studies, store).cautions)) == (size == 199)


def test_the_seeds_stand_beside_their_deviation(three):
    store, studies, report = three
    for study, row in zip(studies, report.rows, strict=True):
        accuracies = correct(store, study).mean(1)
        assert [end.value for end in row.extremes] == [accuracies.min(), accuracies.max()]
        assert row.extremes[0].method == "lowest of 5 seeds"
    store, studies = three_models(seeds=1)
    assert all(row.extremes == () for row in build(studies, store).rows)


def pair_of(theta, deviation, seeds=10, factor=1.0, margin=0.01, family=3) -> Pair:
    estimate = Estimate(
        theta, theta, theta, 0.95, deviation**2, 40.0, (seeds, seeds), 2000, statistics.METHOD_BOTH
    ).at(0.95)
    p = min(1.0, factor * estimate.p) if seeds >= 5 else None
    design = Design((0.005**2, 0.005**2), (0.07, 0.07), 0.10)
    found = statistics.verdict(estimate, p, margin)
    return Pair("pair.a.b", "Alpha", "Beta", estimate, p, family, found, design, ("r",))


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (pair_of(0.02, 0.008), "Alpha is better than Beta: +2.0 points (95 % interval +0.4 to +3.6), p = 0.017"),
        (pair_of(-0.02, 0.008), "Alpha is worse than Beta: −2.0 points"),
        (pair_of(0.03, 0.008), "Alpha is better than Beta by more than 1.0 points: +3.0 points"),
        (pair_of(0.005, 0.002), "Alpha is better than Beta, but by a negligible amount: +0.5 points"),
        (pair_of(0.001, 0.002), "Alpha and Beta are equivalent within 1.0 points: the 90 % interval"),
        (pair_of(0.01, 0.008), "Inconclusive: Alpha against Beta, +1.0"),
    ],
)
def test_verdicts_in_words(pair, words):
    assert words in said(verdict_sentence(pair))


def test_inconclusive_names_what_would_settle_it():
    pair = pair_of(0.01, 0.008)
    text = said(verdict_sentence(pair)) + " " + said(next_step_sentence(pair))
    assert "Runs like these detect a true difference of 1.4 points with a chance of 80 %." in text
    assert "takes more test examples (on these, no number of seeds is enough: even very many detect no less" in text
    # Where very many seeds would do, nothing is said of their limit.
    few = pair_of(0.01, 0.03, margin=0.012)
    few = replace(few, design=Design((0.016**2, 0.016**2), (0.3, 0.3), 0.31))
    assert "test examples (on these, more than 50 seeds for each model); about" in said(next_step_sentence(few))
    assert "--test-data FILE" in said(next_step_sentence(few))
    # Where no number of test examples would do, none is asked for.
    apart = replace(few, design=Design((0.04**2, 0.04**2), (0.07, 0.07), 0.07))
    assert said(next_step_sentence(apart)) == (
        "To detect 1.2 points with a chance of 80 % takes more than 50 seeds for each model, however many the test "
        "examples: from seed to seed these models vary too much.")
    assert said(next_step_sentence(apart, limit=Limit(500, 9000))).endswith(
        "too much. data.limit let in 500 of the 9,000 reviews of the data: lift it first, by --set data.limit=none "
        "under another --study-name; on all of them they may vary less.")
    wide = pair_of(0.01, 0.03, margin=0.02)
    told = said(next_step_sentence(wide))
    assert "A new confirm set of 20 fresh seeds for each model, without the old runs, would" in told
    assert told.endswith("points with a chance of 80 %; it may still end inconclusive.")
    assert next_step_sentence(pair_of(0.03, 0.008)) == ()


def test_an_interval_without_zero_that_holm_does_not_grant_is_explained():
    pair = pair_of(0.02, 0.009, factor=3)
    text = said(verdict_sentence(pair))
    assert text.startswith("Inconclusive")
    assert "Taken alone the interval leaves out 0, but among 3 pairs one such finding may be chance." in text


def test_ends_near_a_landmark_get_the_decimals_to_tell_them_apart():
    # The lower end is 0.003 points: with one decimal it would look like 0.
    text = said(verdict_sentence(pair_of(0.0162, 0.0080)))
    assert "(95 % interval +0.003 to +3.237)" in text


@given(
    st.floats(-0.1, 0.1), st.floats(1e-4, 0.05), st.integers(1, 20), st.floats(1, 6),
    st.sampled_from([0.005, 0.01, 0.02]),
)
def test_no_sentence_contradicts_its_numbers(theta, deviation, seeds, factor, margin):
    pair = pair_of(theta, deviation, seeds, factor, margin)
    text = said(verdict_sentence(pair))
    assert "no difference" not in text
    numbers = {n.key.removeprefix("pair.a.b."): n for n in verdict_sentence(pair) if isinstance(n, Number)}

    def shown(key):
        return float(numbers[key].text.replace("−", "-").replace("< ", ""))

    if " than Beta" in text:
        assert text.startswith(f"Alpha is {'better' if theta > 0 else 'worse'} than Beta")
        assert (shown("difference") > 0) == (theta > 0)
        assert shown("p") < 0.05
        assert shown("difference.low") * shown("difference.high") > 0
    if "by more than" in text:
        assert min(abs(shown("difference.low")), abs(shown("difference.high"))) > shown("margin")
    if "equivalent" in text or "negligible" in text:
        assert -shown("margin") < shown("difference-90.low") <= shown("difference-90.high") < shown("margin")
    if text.startswith("Inconclusive"):
        assert shown("p") >= 0.05
        inside = shown("difference.low") <= 0 <= shown("difference.high")
        assert inside == ("Taken alone" not in text)
    if seeds < 5:
        assert text.startswith("No verdict")


@pytest.mark.parametrize(
    ("value", "kind", "decimals", "text"),
    [
        (0.86125, "percent", None, "86.1"),
        (0.0062, "percent", 2, "0.62"),
        (0.012, "points", None, "+1.2"),
        (-0.012, "points", None, "−1.2"),
        (0.0, "points", None, "0.0"),
        (-0.00001, "points", None, "0.0"),
        (0.0004, "p", None, "< 0.001"),
        (0.0312, "p", None, "0.031"),
        (0.0499, "p", None, "0.0499"),
        (0.05, "p", None, "0.050"),
        (0.7312, "p", None, "0.73"),
        (1.0, "p", None, "1.00"),
        (120802.0, "count", None, "120,802"),
        (8075.2, "amount", None, "8,080"),
        (61234.0, "amount", None, "61,200"),
        (9.2, "amount", None, "9.2"),
        (0.01, "amount", None, "< 0.1"),
        (0.97, "amount", None, "1.0"),
        (0.34567, "score", None, "0.346"),
        (0.00137, "setting", None, "0.00137"),
        (1e-05, "setting", None, "1e−05"),
        (250.0, "setting", None, "250"),
        (None, "percent", None, MISSING),
        (float("nan"), "count", None, MISSING),
    ],
)
def test_how_numbers_are_written(value, kind, decimals, text):
    assert written(value, kind, decimals) == text


def test_decimals_keep_ends_off_landmarks():
    assert decimals_for([0.012, 0.034], [0.0, 0.01]) == 1
    assert decimals_for([0.0004, 0.034], [0.0, 0.01]) == 2
    assert decimals_for([0.0102, 0.034], [0.0, 0.01]) == 2
    assert decimals_for([0.0, 0.01], [0.0, 0.01]) == 1  # it is the landmark


@given(st.text())
def test_names_become_harmless(text):
    shown = plain(text)
    assert all(character.isprintable() or character == " " for character in shown if character.isascii())
    assert "\n" not in shown
    assert set(slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(text)


def test_one_read_of_histories_and_predictions_of_confirm_runs_only():
    store, studies = three_models()
    build(studies, store)
    confirmed = [run.run_id for study in studies for run in study.confirms if run.complete]
    assert sorted(store.reads) == sorted(["histories", *confirmed])


def test_a_thousand_runs_take_no_time():
    store = FakeStore()
    add_study(store, "large", {"torch": 0.0, "bidirectional": 0.1}, trials=500)
    begin = time.perf_counter()
    report = build(store.by_experiment["movie-reviews"], store)
    assert time.perf_counter() - begin < 5
    assert report.counts[0].complete.value == 600


def test_tuned_settings_are_shown_as_they_ran(three):
    _, _, report = three
    shown = {s.name: s.value if isinstance(s.value, str) else s.value.value for s in report.rows[0].settings}
    assert shown == {
        "learning rate": BEST["training.lr"], "hidden size": 250, "pooling": "meanmax", "dropout": 0.31,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logged_value_that_is_not_a_number_is_shown_as_missing(value):
    store, studies = three_models(test_set=TestSet.draw(200))
    odd = {"size/parameters": value, "score/best_epoch": value, "time/train_seconds": value}
    studies = [replace(study, confirms=tuple(
        replace(run, metrics={key: value for key, value in (run.metrics | odd).items() if key != "score/val_accuracy"})
        for run in study.confirms)) for study in studies]
    found = build(studies, store).numbers()
    assert {number.text for key, number in found.items() if key.endswith(".parameters")} == {MISSING}
