"""The command compare on several data sets: scores on each, verdicts on each, and the mean difference over them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import gru_bench as gb
from gru_bench.errors import ExitCode, UsageError
from gru_bench.predictions.__main__ import app
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.verdict import Finding, holm
from tests.support.commands import completed, mentions

TIGHT: Any = {"rel": 0, "abs": 1e-12}
CLASSES = np.array(["bad", "good"])
SKILLS = {"strong": 0.6, "middle": 0.5, "weak": 0.0}


def predictions(model: str, data_sets: int, *, seed: int | None = None) -> pd.DataFrame:
    """Return what a model predicts on data sets of unequal sizes, whose examples have the same ids."""
    parts = []
    for place in range(data_sets):
        size = 100 + 50 * place
        label_N, ease_N = np.random.default_rng([1, place]).integers(0, 2, size), np.random.default_rng(
            [2, place]).normal(0.8, 1, size)
        right_N = np.random.default_rng([3, place, *model.encode(), seed or 0]).normal(
            ease_N + SKILLS[model], 0.4) > 0
        parts.append(pd.DataFrame({
            "dataset": f"set {place}", "id": range(size), "label": CLASSES[label_N],
            "prediction": CLASSES[np.where(right_N, label_N, 1 - label_N)]}))
    frame = pd.concat(parts)
    return frame if seed is None else frame.assign(seed=seed)


def right(frame: pd.DataFrame, data_set: str) -> np.ndarray:
    own = frame[frame.dataset == data_set]
    return np.stack([(run.prediction == run.label).to_numpy() for _, run in own.groupby("seed")]) if (
        "seed" in own) else (own.prediction == own.label).to_numpy()[None]


def written(*models: str, data_sets: int) -> list[str]:
    for model in models:
        predictions(model, data_sets).to_csv(f"{model}.csv", index=False)
    return [f"{model}.csv" for model in models]


def test_each_data_set_has_its_verdicts_and_holm_counts_the_pairs_of_all() -> None:
    frames = {model: predictions(model, 3) for model in SKILLS}
    found = gb.compare(frames).findings
    each, over = found.pairs[:9], found.pairs[9:]
    assert {(one.models, one.data_sets) for one in each} >= {(("strong", "weak"), (f"set {place}",))
                                                             for place in range(3)}
    wanted = [accuracy_difference(*(right(frames[model], *one.data_sets) for model in one.models)) for one in each]
    assert [one.difference for one in each] == pytest.approx([one.estimate for one in wanted], **TIGHT)
    assert [one.p for one in each] == pytest.approx(holm([one.p for one in wanted]), **TIGHT)
    assert {one.family for one in each} == {9}
    assert [len(one.data_sets) for one in over] == [3, 3, 3]
    scores = {(one.model, one.data_set): one.score for one in found.models}
    assert scores["weak", "set 1"] == right(frames["weak"], "set 1").mean()


def test_over_data_sets_the_mean_difference_is_a_t_test_of_the_differences() -> None:
    frames = {model: pd.concat([predictions(model, 6, seed=seed) for seed in range(2)]) for model in SKILLS}
    found = gb.compare(frames).findings
    over = {one.models: one for one in found.pairs if len(one.data_sets) > 1}
    raw = []
    for (a, b), one in over.items():
        theta_D = np.array([right(frames[a], name).mean() - right(frames[b], name).mean() for name in one.data_sets])
        wanted = stats.ttest_1samp(theta_D, 0.0)
        ends = wanted.confidence_interval(0.95)
        assert one.difference >= 0
        assert (one.difference, one.low, one.high) == pytest.approx((theta_D.mean(), ends.low, ends.high), **TIGHT)
        raw.append(float(wanted.pvalue))
        wins, losses = (theta_D > 0).sum(), (theta_D < 0).sum()
        mentions(one.sentence, f"better on {wins} of them and worse on {losses}")
    assert [one.p for one in over.values()] == pytest.approx(holm(raw), **TIGHT)
    assert over["strong", "weak"].better == "strong"
    assert {one.family for one in over.values()} == {3}


@pytest.mark.parametrize(("data_sets", "code"), [(3, ExitCode.INCOMPLETE), (6, ExitCode.DONE)])
def test_a_claim_on_models_is_judged_over_data_sets(data_sets: int, code: ExitCode) -> None:
    files = written("strong", "weak", data_sets=data_sets)
    assert completed(app, *files, "--claim", "strong > weak").returncode == code
    assert completed(app, *files, "--claim", "strong (set 2) > weak (set 2)").returncode == ExitCode.DONE
    found = json.loads(completed(app, *files, "--json").stdout)
    few = found["pairs"][-1]["finding"] == Finding.TOO_FEW_DATA_SETS.value
    assert few == (data_sets < 5)


def test_the_report_has_a_table_of_models_and_data_sets_and_a_paragraph_with_its_methods() -> None:
    files = written(*SKILLS, data_sets=5)
    done = completed(app, *files, "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, "No decision over the data sets between strong and middle", "Over 5 data sets")
    page = Path("out/report.md").read_text("utf-8")
    numbers = json.loads(Path("out/numbers.json").read_text("utf-8"))["numbers"]
    mentions(page, "| Data set | Texts | strong | middle | weak |", numbers["set-4-weak.accuracy"]["text"])
    paragraph = page.partition("## For a paper")[2].partition("##")[0]
    mentions(paragraph, "5 data sets", "set 0: 100", numbers["over.strong-weak.difference"]["text"], "Holm 1979",
             "Ibragimov and Müller 2010", "after Holm")
    assert "over.strong-weak.wins" in Path("out/tables/verdicts.tex").read_text("utf-8")


def test_a_model_may_be_on_some_of_the_data_sets_alone() -> None:
    frames = {"strong": predictions("strong", 4), "weak": predictions("weak", 3), "middle": predictions("middle", 1)}
    found = gb.compare(frames).findings
    assert [(one.models, len(one.data_sets)) for one in found.pairs if len(one.data_sets) > 1] == [
        (("strong", "weak"), 3)]
    assert len([one for one in found.pairs if len(one.data_sets) == 1]) == 3 + 1 + 1


def test_true_labels_of_several_data_sets_may_be_in_a_file() -> None:
    frames = {model: predictions(model, 2) for model in ("strong", "weak")}
    truth = frames["weak"][["dataset", "id", "label"]]
    bare = {model: frame.drop(columns="label") for model, frame in frames.items()}
    assert gb.compare(bare, truth=truth).findings == gb.compare(frames).findings
    with pytest.raises(UsageError, match="set 1"):
        gb.compare(bare, truth=truth[truth.dataset == "set 0"])


def test_one_data_set_in_the_column_changes_nothing() -> None:
    frames = {model: predictions(model, 1) for model in ("strong", "weak")}
    without = {model: frame.drop(columns="dataset") for model, frame in frames.items()}
    assert gb.compare(frames).findings == gb.compare(without).findings


@pytest.mark.parametrize(("change", "parts"), [
    (lambda frame: frame.drop(columns="dataset"), ["column 'dataset'", "weak"]),
    (lambda frame: frame.assign(dataset=frame.dataset.replace("set 1", "")), ["'dataset'", "row 101"]),
    (lambda frame: frame.assign(id=frame.id.replace(3, 4)), ["'set 0/4'"])])
def test_data_sets_that_cannot_be_told_are_refused(change: Any, parts: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        gb.compare({"strong": predictions("strong", 2), "weak": change(predictions("weak", 2))})
    mentions(str(raised.value), *parts)


def test_models_that_are_on_one_data_set_each_are_refused() -> None:
    frames = {"strong": predictions("strong", 2)[:100], "weak": predictions("weak", 2)[100:]}
    with pytest.raises(UsageError, match=re.escape("column 'model'")):
        gb.compare(frames)
