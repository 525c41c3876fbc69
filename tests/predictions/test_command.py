"""The command compare: files of predictions of any spelling, aligned by id, with the statistics of a study's report."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

import gru_bench as gb
import gru_bench.tracking
from gru_bench.errors import ExitCode, GruBenchError, UsageError
from gru_bench.predictions.__main__ import app
from gru_bench.report.__main__ import app as report_app
from gru_bench.report.render.spreadsheets import predictions_table
from gru_bench.stats import intervals
from gru_bench.stats.estimate import accuracy_difference, accuracy_interval
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored
from gru_bench.stats.verdict import Finding
from gru_bench.tracking import AGAIN
from tests.support.commands import completed, mentions
from tests.support.fake_store import FakeStore, of_classes, three_models
from tests.support.reports import build

N = 400
CLASSES = ("ham", "spam")
TIGHT: Any = {"rel": 0, "abs": 1e-9}
RNG = np.random.default_rng(3)
LABEL_N = RNG.integers(0, 2, N)
EASE_N = RNG.normal(1.2, 1, N)


def right(skill: float, stream: int) -> np.ndarray:
    """Return which answers of one run are right."""
    return np.random.default_rng([7, stream]).normal(EASE_N + skill, 0.5) > 0


GOOD, POOR = right(0.3, 1), right(-0.4, 2)


def words(right_N: np.ndarray) -> list[str]:
    """Return the predicted classes of one run."""
    return [CLASSES[label if one else 1 - label] for label, one in zip(LABEL_N, right_N, strict=True)]


def write(name: str, columns: Mapping[str, Iterable[Any]], *, shuffled: int | None = None) -> str:
    """Write a CSV file in the working directory, with its rows in some order."""
    rows = list(zip(*columns.values(), strict=True))
    if shuffled is not None:
        np.random.default_rng(shuffled).shuffle(rows)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *rows])
    return name


def of(right_N: np.ndarray, **more: Iterable[Any]) -> dict[str, Iterable[Any]]:
    return {"id": [f"d{place}" for place in range(N)], "label": [CLASSES[one] for one in LABEL_N],
            "prediction": words(right_N), **more}


def found(*words: str) -> dict[str, Any]:
    """Return what the command prints as JSON."""
    done = completed(app, *words, "--json")
    assert done.returncode == ExitCode.DONE, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def refused(*words: str, code: ExitCode = ExitCode.MISTYPED) -> str:
    done = completed(app, *words, "--json")
    assert done.returncode == code, done.stderr + done.stdout
    assert done.stderr.count("error:") == 1
    assert done.stdout == ""
    return done.stderr


def pair(*words: str) -> dict[str, Any]:
    pairs: list[dict[str, Any]] = found(*words)["pairs"]
    one, = pairs
    return one


def pair_of_scores(file: str, metric: str) -> list[float]:
    """Return the score of a model of one file with the lower end of its interval."""
    one, = found(file, "--metric", metric)["models"]
    return [one["score"], one["low"]]


def test_rows_are_aligned_by_id_and_the_interval_of_single_runs_is_over_examples() -> None:
    one = pair(write("good.csv", of(GOOD), shuffled=1), write("poor.csv", of(POOR), shuffled=2))
    wanted = accuracy_difference(GOOD[None], POOR[None])
    assert (one["a"], one["b"], one["better"], one["seeds"]) == ("good", "poor", "good", [1, 1])
    assert one["difference"] == pytest.approx(wanted.estimate, **TIGHT)
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    assert one["p"] == pytest.approx(wanted.p, **TIGHT)
    mentions(one["sentence"], "In these runs alone, good is better than poor")


def test_a_file_of_predictions_may_have_the_true_labels_of_the_others() -> None:
    own = write("good.csv", of(GOOD))
    other = write("poor.csv", {name: values for name, values in of(POOR).items() if name != "label"})
    assert pair(own, other, "--truth", own)["better"] == "good"
    mentions(refused(own, own, "--truth", own), "good.csv and good.csv are identical")


def test_an_open_comparison_says_what_could_settle_it_and_names_no_option_of_a_study() -> None:
    files = [write(f"{model}{seed}.csv", of(right(0.3, stream + seed), model=[model] * N, seed=[seed] * N))
             for model, stream in (("a", 10), ("b", 20)) for seed in range(2)]
    one = pair(*files)
    assert one["finding"] == "inconclusive"
    mentions(one["needed"], "With these seeds, no number of test texts would detect a difference of 1.0 points")
    done = completed(app, *files, "--out", "out")
    page = Path("out/report.md").read_text("utf-8")
    assert "GRU003" in page
    mentions(done.stdout, f"{one['a']} and {one['b']}: {one['needed']}")
    mentions(page, one["needed"])
    mentions(repr(gb.compare(files)), "What could settle a pair", one["needed"])
    for text in (done.stdout, page):
        assert "--confirm" not in text
        assert "--study-name" not in text


def test_what_could_settle_an_open_pair_of_files_is_texts_with_these_seeds() -> None:
    values = {model: np.stack([right(skill, stream + seed) for seed in range(5)])
              for model, skill, stream in (("a", 0.3, 100), ("b", 0.2, 200))}
    files = [write(f"{model}-seed{seed}.csv", of(right_N))
             for model, right_SN in values.items() for seed, right_N in enumerate(right_SN)]
    one = pair(*files, "--margin", "2")
    design = accuracy_difference(values["a"], values["b"]).design
    assert design is not None
    assert (one["finding"], one["seeds"]) == ("inconclusive", [5, 5])
    assert design.detectable((5, 5), one["texts_needed"]) <= 0.02 < design.detectable((5, 5), one["texts_needed"] - 100)
    neither = pair(*files)  # within one point
    assert neither["texts_needed"] is None
    mentions(neither["needed"], "With these seeds, no number of test texts")
    alone = pair(files[1], files[7])
    assert (alone["seeds"], alone["texts_needed"]) == ([1, 1], 4000)
    mentions(alone["needed"], "A new test set of about", "would detect a difference of 1.0 points")


def test_several_seeds_are_compared_over_seeds_and_examples_in_files_or_in_one() -> None:
    runs = {model: np.stack([right(skill, 10 * place + seed) for seed in range(5)])
            for place, (model, skill) in enumerate({"good": 0.3, "poor": -0.4}.items())}
    apart = [write(f"{model}-seed{seed}.csv", of(runs[model][seed]), shuffled=seed)
             for model in runs for seed in range(5)]
    twice = [write(f"runs/{name}", of(runs[model][seed], seed=[seed] * N))
             for name, (model, seed) in zip(apart, product(runs, range(5)), strict=True)]
    stacked = {name: [value for model in runs for seed in range(5) for value in of(
        runs[model][seed], model=[model] * N, seed=[seed] * N)[name]]
        for name in ("id", "label", "prediction", "model", "seed")}
    together = write("all.csv", stacked, shuffled=0)
    wanted = accuracy_difference(runs["good"], runs["poor"])
    for one in (pair(*apart), pair(*twice), pair(together)):
        assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
        assert one["p"] == pytest.approx(wanted.p, **TIGHT)
        mentions(one["sentence"], "good is better than poor")


def remainders(k: int, threshold: int) -> np.ndarray:
    """Return which of 200 answers each of five runs has right."""
    s, i = np.arange(5)[:, None], np.arange(200)
    return (7 * i + k * s * i + 11 * s + k) % 29 >= threshold + (2 * s) % 5


def test_a_golden_difference_is_the_same_for_files_and_for_arrays() -> None:
    label_N = np.arange(200) % 2
    predicted = {name: list(np.where(right_RN, label_N, 1 - label_N))
                 for name, right_RN in (("a", remainders(3, 2)), ("b", remainders(5, 3)))}
    files = [write(f"{name}-seed{seed}.csv", {"id": range(200), "label": label_N, "prediction": prediction_N})
             for name, prediction_RN in predicted.items() for seed, prediction_N in enumerate(prediction_RN, start=1)]
    one, = gb.compare(predicted, truth=label_N).findings.pairs
    read = pair(*files)
    assert [one.difference, one.low, one.high, one.p] == [read[key] for key in ("difference", "low", "high", "p")]
    assert (one.difference, one.low, one.high, one.p) == pytest.approx(
        (4 / 125, -0.0493435153, 0.1133435153, 0.3981905712), **TIGHT)
    assert (one.models, one.seeds, one.finding) == (("a", "b"), (5, 5), "inconclusive")


def test_five_files_of_other_spellings_and_kinds_are_compared() -> None:
    ids, labels = [f"d{place}" for place in range(N)], [CLASSES[one] for one in LABEL_N]
    rows = pd.DataFrame({"Example": ids, "Gold": labels, "Pred": words(GOOD)})
    write("bert.csv", of(POOR), shuffled=4)
    rows.to_csv("tfidf.tsv", sep="\t", index=False)
    rows.rename(columns={"Example": "uid", "Gold": "truth", "Pred": "predicted"}).sample(
        frac=1, random_state=0).to_parquet("svm.parquet")
    with Path("llm.jsonl").open("w", encoding="utf-8") as file:
        for one, label, answer in zip(ids, labels, words(right(0, 9)), strict=True):
            file.write(json.dumps({"doc_id_": 1, "id": one, "gold": label, "output": answer}) + "\n")
    write("forest.csv", {"idx": ids, "label": labels, "prob_ham": [0.2 if one == "spam" else 0.9
                                                                     for one in words(right(0.1, 5))]})
    done = completed(app, "bert.csv", "tfidf.tsv", "svm.parquet", "llm.jsonl", "forest.csv", "--json")
    assert done.returncode == ExitCode.DONE, done.stderr
    scores = {one["label"]: one["score"] for one in json.loads(done.stdout)["models"]}
    assert scores == {"bert": POOR.mean(), "tfidf": GOOD.mean(), "svm": GOOD.mean(), "llm": right(0, 9).mean(),
                      "forest": right(0.1, 5).mean()}
    mentions(done.stderr, "'Gold'", "'uid'", "label column")


def samples(folder: str, right_N: np.ndarray, **more: Any) -> str:
    path = Path(folder) / "samples_sst2_2026-11-01T10-00-00.jsonl"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as file:
        for place, one in enumerate(right_N.tolist()):
            scores = {"none": float(one), **dict.fromkeys(more.get("filters", ()), 0.0)}
            for name, score in sorted(scores.items(), reverse=more.get("reverse", False)):
                file.write(json.dumps({
                    "doc_id": place, "doc": {"sentence": f"text {place}", "label": 1}, "target": "1",
                    "arguments": {}, "resps": [[["-1.2", "False"]]], "filtered_resps": [["-1.2", "False"]],
                    "filter": name, "metrics": ["acc"], "doc_hash": f"{more.get('task', 'sst2')} {place}",
                    "acc": score}) + "\n")
    return str(path)


def test_files_that_lm_eval_writes_are_read_as_they_are() -> None:
    files = samples("meta__llama", GOOD), samples("tiny", POOR, filters=["other"])
    done = completed(app, *files, "--json")
    assert done.returncode == ExitCode.DONE, done.stderr
    one, = json.loads(done.stdout)["pairs"]
    wanted = accuracy_difference(GOOD[None], POOR[None])
    assert (one["a"], one["b"], one["better"]) == ("meta__llama", "tiny", "meta__llama")
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    mentions(done.stderr, "tiny/samples_sst2_2026-11-01T10-00-00.jsonl: using filter none of several")


def test_an_answer_of_lm_eval_is_right_or_wrong_and_no_class() -> None:
    files = samples("a", GOOD), samples("b", POOR)
    done = completed(app, *files, "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    page = Path("out/report.md").read_text("utf-8")
    for word in ("F1", "confusion", "chance"):
        assert word not in page
    mentions(refused(*files, "--metric", "macro_f1"), "--metric macro_f1 needs predictions", "--metric accuracy",
             "--prediction-column")
    own = write("own.csv", {"id": range(N), "label": LABEL_N, "prediction": np.where(GOOD, LABEL_N, 1 - LABEL_N)})
    assert [one["score"] for one in found(files[1], own)["models"]] == [POOR.mean(), GOOD.mean()]
    lines = Path(files[0]).read_text("utf-8")
    exact = lines.replace('"acc"', '"exact_match"').replace("0.0}", "false}").replace("1.0}", "true}")
    Path(files[0]).write_text(exact, "utf-8")
    assert found(files[0])["models"][0]["score"] == GOOD.mean()


@pytest.mark.parametrize("acc", ["0.5", "NaN", "null", "2", '"yes"'])
def test_an_answer_of_lm_eval_that_is_neither_right_nor_wrong_is_refused_by_its_row(acc: str) -> None:
    path = Path(samples("a", GOOD))
    first, second, *others = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([first, second[:second.rindex(":") + 1] + acc + "}\n", *others]), "utf-8")
    mentions(refused(str(path)), "'acc'", "0 or 1" if acc != '"yes"' else "a number", "row 2")


def test_one_filter_of_lm_eval_is_read_of_all_files_whatever_their_order() -> None:
    files = samples("a", GOOD, filters=["strict"]), samples("b", GOOD, filters=["strict", "loose"], reverse=True)
    assert [one["score"] for one in found(*files)["models"]] == [GOOD.mean()] * 2
    lines = Path(files[1]).read_text("utf-8").splitlines(keepends=True)
    Path(files[1]).write_text("".join(line for line in lines if '"loose"' in line), "utf-8")
    mentions(refused(*files), "a filter in common", "a/samples", "none and strict", "b/samples", "loose")


def test_an_id_may_be_a_key_inside_doc() -> None:
    files = []
    for folder, right_N in (("a", GOOD), ("b", POOR)):
        path = Path(samples(folder, right_N))
        rows = list(map(json.loads, path.read_text("utf-8").splitlines()))
        for row in rows:
            row["doc"] |= {"id": f"q{row['doc_id']}", "film": row["doc_id"] // 10}
        if folder == "b":  # another run numbers the same questions in another order
            for number, row in enumerate(reversed(rows)):
                row["doc_id"] = number
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        files.append(str(path))
    one = pair(*files, "--id-column", "doc.id", "--group-column", "doc.film")
    wanted = accuracy_difference(GOOD[None], POOR[None], group_N=np.arange(N) // 10)
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    plain = accuracy_difference(GOOD[None], POOR[None])  # doc_id, the number of a question in one run, is no group
    assert pair(*files, "--id-column", "doc.id")["low"] == pytest.approx(plain.low, **TIGHT)
    mentions(refused(*files), "the same question")
    mentions(refused(*files, "--id-column", "doc.idd"), "unknown key in column 'doc'", "'idd'", "Did you mean 'id'",
             "sentence")
    mentions(refused(*files, "--id-column", "docs.id"), "unknown column", "'docs.id'")


def test_the_answers_in_samples_of_lm_eval_are_predictions_where_they_are_named() -> None:
    files = []
    for folder, right_N in (("a", GOOD), ("b", POOR)):
        path = Path(samples(folder, right_N))
        rows = list(map(json.loads, path.read_text("utf-8").splitlines()))
        for row, label, answer in zip(rows, LABEL_N.tolist(), words(right_N), strict=True):
            row |= {"target": CLASSES[label], "filtered_resps": [f" {answer.upper()}\n"]}
        rows[0]["filtered_resps"] = ["I am not able to say."]
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        files.append(str(path))
    asked = (*files, "--label-column", "target", "--prediction-column", "filtered_resps")
    mentions(refused(*asked), "'I am not able to say.' for 1 examples", "--refusals wrong")
    models = found(*asked, "--refusals", "wrong")["models"]
    assert [(one["score"], one["refusals"]) for one in models] == [
        (np.r_[False, right_N[1:]].mean(), 1) for right_N in (GOOD, POOR)]


def test_predictions_that_are_no_class_count_as_wrong_where_that_is_asked_for() -> None:
    answers = np.array(words(GOOD), dtype=object)
    answers[:3], answers[3], answers[4] = "I cannot say", "", str.upper(answers[4])
    good = write("good.csv", of(GOOD, prediction=answers))
    files = good, write("poor.csv", of(POOR, probability_spam=[0.9 if one == "spam" else 0.2 for one in words(POOR)]))
    mentions(refused(*files), "'I cannot say' for 4 examples", "'d0'", "--refusals wrong")
    right_N = GOOD & (np.arange(N) >= 4)
    read = found(*files, "--refusals", "wrong")
    wanted = accuracy_difference(right_N[None], POOR[None])
    assert (read["pairs"][0]["low"], read["pairs"][0]["p"]) == pytest.approx((wanted.low, wanted.p), **TIGHT)
    assert [(one["score"], one["refusals"]) for one in read["models"]] == [(right_N.mean(), 4), (POOR.mean(), 0)]
    mentions(" ".join(read["notes"]), "4 of 400 predictions of good are not a class", "‘I cannot say’ (3) and ‘’ (1)")
    macro = found(good, "--refusals", "wrong", "--metric", "macro_f1")["models"][0]["score"]
    predicted_N = np.where(right_N, LABEL_N, 1 - LABEL_N)
    predicted_N[:4] = 2
    assert macro == pytest.approx(np.mean([
        2 * (is_N & (predicted_N == one)).sum() / (is_N.sum() + (predicted_N == one).sum())
        for one in (0, 1) for is_N in [np.equal(LABEL_N, one)]]), **TIGHT)
    done = completed(app, *files, "--refusals", "wrong", "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    for text in (done.stdout, Path("out/report.md").read_text("utf-8")):
        mentions(text, "4 of 400 predictions of good are not a class and count as wrong")
    mentions(Path("out/report.md").read_text("utf-8"), "(no class)")
    proven = completed(app, *files, "--refusals", "wrong", "--claim", "good > poor")
    mentions(proven.stdout, "proven", "4 of 400 predictions of good are not a class")
    mentions(refused(*files, "--refusals", "right"), "refusals must be wrong")
    mentions(refused(good, "--refusals", "wrong", "--metric", "log_loss"), "predicts no class for some examples")
    nothing = write("none.csv", of(GOOD, prediction=["?"] * N))
    mentions(refused(nothing, "--refusals", "wrong"), "'?' for 400 examples", "use the same spelling")
    verdict = gb.compare({"good": pd.DataFrame(of(GOOD, prediction=answers))}, refusals="wrong")
    assert verdict.findings.models[0].refusals == 4


def test_samples_of_other_questions_are_refused_and_other_columns_of_lm_eval_are_read() -> None:
    files = samples("a", GOOD), samples("b", POOR, task="arc")
    mentions(refused(*files), "the same question", f"{N} of {N}", "a/samples", "b/samples", "doc_hash", "same task")
    mentions(refused(*files, "--id-column", "doc_hash", "--common"), "at least 2 common examples", "have 0")
    mentions(refused(*files, "--group-column", "film"), "unknown column", "'film'")


@pytest.mark.parametrize(("metric", "margin", "found"), [("log_loss", "0.02", 0.02), ("macro_f1", "1", 0.01)])
def test_other_scores_and_their_margins_are_those_of_a_study(metric: Any, margin: str, found: float) -> None:
    chance = {name: np.clip(np.where(one, 0.8, 0.3) + np.random.default_rng(len(name)).normal(0, 0.05, N), 0, 1)
              for name, one in (("good", GOOD), ("poor", POOR))}
    second = {name: np.where(LABEL_N == 1, one, 1 - one) for name, one in chance.items()}
    files = [write(f"{name}.csv", {**of(GOOD), "prediction": [CLASSES[int(value >= 0.5)] for value in one],
                                   "probability": one.astype(str)}) for name, one in second.items()]
    one = pair(*files, "--metric", metric, "--margin", margin)
    a, b = (Scored(LABEL_N, of_two(second[name])[None]) for name in (one["a"], one["b"]))
    wanted = intervals.difference(metric, a, b)
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    assert one["margin"] == found


def test_one_column_of_probabilities_is_of_the_class_that_it_predicts() -> None:
    ham = np.where([one == "ham" for one in words(GOOD)], 0.9, 0.2)
    files = [write("a.csv", of(GOOD, probability=ham)), write("b.csv", of(GOOD, probability_spam=1 - ham))]
    models = found(*files, "--metric", "log_loss")["models"]
    assert models[0]["score"] == pytest.approx(models[1]["score"], rel=1e-6)


@pytest.mark.parametrize("is_spam", [True, False])
def test_one_column_of_probabilities_without_predictions_is_named_after_the_class_it_was_taken_for(
    is_spam: bool
) -> None:
    spam = np.where([one == "spam" for one in words(GOOD)], 0.9, 0.2)
    file = write("a.csv", {name: values for name, values in of(
        GOOD, probability=spam if is_spam else 1 - spam).items() if name != "prediction"})
    done = completed(app, file, "--json")
    mentions(done.stderr, "of a was read as that of the class spam")
    assert ("below 50 %" in done.stderr) is ("probability_ham" in done.stderr) is not is_spam
    mentions(gb.compare([file]).warnings[0], "of the class spam")


@pytest.mark.parametrize(("names", "first"), [(("positive", "sad"), 0), (("Positive", "sad"), 0), (("0", "1"), 1)])
def test_a_lone_column_of_the_class_positive_is_of_that_class_and_else_of_the_second(
    names: tuple[str, str], first: int
) -> None:
    columns = {"id": range(N), "label": [names[one] for one in LABEL_N]}
    answer_N = np.where(GOOD, LABEL_N, 1 - LABEL_N)
    file = write("lone.csv", {**columns, "probability_positive": np.where(answer_N == first, 0.9, 0.2)})
    verdict = gb.compare([file])
    assert verdict.findings.models[0].score == GOOD.mean()
    assert any("was read as that of the class" in one for one in verdict.warnings) is (first == 1)
    several = write("several.csv", {**columns, "label": [*columns["label"][1:], "neutral"], "probability_positive": 0.5
                                    + np.zeros(N), "prediction": [*columns["label"][1:], "neutral"]})
    assert found(several)["models"][0]["score"] == 1.0


def test_the_probability_of_either_class_gives_one_loss() -> None:
    odds_N = np.random.default_rng(0).normal(0, 12, N) + np.where(LABEL_N == 1, 12, -12)
    frame = pd.DataFrame({"id": range(N), "label": LABEL_N})
    both = {"second": frame.assign(probability_1=1 / (1 + np.exp(-odds_N))),
            "first": frame.assign(probability_0=1 / (1 + np.exp(odds_N)))}
    one, other = (model.score for model in gb.compare(both, metric="log_loss").findings.models)
    assert one == pytest.approx(other, abs=1e-9)
    # A sure mistake costs what it costs a study, whose probabilities have 32 bits.
    sure = frame.assign(probability_1=np.where(np.arange(N) == 0, 1.0 - LABEL_N, LABEL_N))
    loss = gb.compare({"sure": sure}, metric="log_loss").findings.models[0].score
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).eps) / N, rel=1e-3)


def test_a_class_that_only_probabilities_name_changes_no_mean_over_classes() -> None:
    names, label_N = np.array(["a", "b", "c"]), np.arange(N) % 3
    chance_NC = np.random.default_rng(1).dirichlet([1, 1, 1], N) + 0.3 * np.eye(3)[label_N]
    chance_NC /= chance_NC.sum(axis=1, keepdims=True)
    columns = {"id": range(N), "label": names[label_N], "prediction": names[chance_NC.argmax(axis=1)]}
    three = {f"p_{name}": 0.99 * chance_NC[:, place] for place, name in enumerate(names)}
    own, more = write("own.csv", columns), write("more.csv", {**columns, **three, "p_none": [0.01] * N})
    assert pair_of_scores(own, "macro_f1") == pytest.approx(pair_of_scores(more, "macro_f1"), **TIGHT)
    mentions(gb.compare([more]).warnings[0], "leave out", "none")


def test_with_common_ids_a_class_of_an_example_left_out_may_be_predicted() -> None:
    columns = of(GOOD)
    first = {name: [*values, more] for (name, values), more in zip(columns.items(), ("x", "eggs", "ham"), strict=True)}
    first["prediction"][0] = "eggs"
    files = write("a.csv", first), write("b.csv", of(POOR))
    scores = [one["score"] for one in found(*files, "--common")["models"]]
    assert GOOD[1:].sum() / N in scores


def test_groups_widen_the_interval_as_in_a_study() -> None:
    group_N = [f"g{place // 10}" for place in range(N)]
    files = [write(f"{name}.csv", of(one, film=group_N)) for name, one in (("a", GOOD), ("b", POOR))]
    one = pair(*files, "--group-column", "film")
    wanted = accuracy_difference(GOOD[None], POOR[None], group_N=np.array(group_N))
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    assert pair(*files)["low"] != one["low"]
    single = [write(f"{name}.csv", of(one, film=["g"] * N)) for name, one in (("a", GOOD), ("b", POOR))]
    mentions(refused(*single, "--group-column", "film"), "at least 2 groups", "'g'", "leave out the group column")


def test_groups_are_named_on_console_page_and_in_json() -> None:
    group_N = [f"c{place // 10 if place < N // 2 else place}" for place in range(N)]
    size_K = np.unique(group_N, return_counts=True)[1]
    files = [write(f"{name}.csv", of(one, customer=group_N)) for name, one in (("a", GOOD), ("b", POOR))]
    done = completed(app, *files, "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    named = (f"Intervals account for the {len(size_K)} groups that the test texts belong to (column ‘customer’), which "
             f"count as {N**2 / (size_K**2).sum():.0f} groups of equal size.")
    for text in (done.stdout, Path("out/report.md").read_text("utf-8"), " ".join(found(*files)["notes"]),
                 completed(app, *files, "--claim", "a > b").stdout):
        mentions(text, named)
    assert [(one["groups"], one["group_columns"]) for one in found(*files)["models"]] == [
        (len(size_K), ["customer"])] * 2
    alone = [write(f"{name}.csv", of(one, client_id=range(N))) for name, one in (("c", GOOD), ("d", POOR))]
    assert [(one["groups"], one["group_columns"]) for one in found(*alone)["models"]] == [(None, [])] * 2


def test_groups_may_be_turned_off_with_a_warning_and_then_no_claim_is_judged() -> None:
    files = [write(f"{name}.csv", of(one, patient=[place // 10 for place in range(N)]))
             for name, one in (("a", GOOD), ("b", POOR))]
    done = completed(app, *files, "--group-column", "none", "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    for text in (done.stdout, Path("out/report.md").read_text("utf-8")):
        mentions(text, "Groups are turned off", "intervals are too narrow")
    read = found(*files, "--group-column", "none")
    assert read["groups_are_off"]
    assert read["pairs"][0]["p"] == pytest.approx(accuracy_difference(GOOD[None], POOR[None]).p, **TIGHT)
    assert gb.compare(files, columns={"group": "none"}).findings.groups_are_off
    claimed = completed(app, *files, "--group-column", "none", "--claim", "a > b")
    assert claimed.returncode == ExitCode.MISTYPED
    mentions(claimed.stderr, "--claim needs groups", "group_column=none")


def test_of_several_columns_of_usual_names_and_of_one_with_few_values_none_is_read() -> None:
    group_N = [place // 10 for place in range(N)]
    several = write("several.csv", of(GOOD, user=group_N, account=group_N))
    few = write("few.csv", of(GOOD, client=[place % 3 for place in range(N)]))
    for file, said in ((several, "several columns have a usual name for groups"), (few, "has only 3 different values")):
        done = completed(app, file, "--json")
        mentions(done.stderr, said, "group column")
        assert json.loads(done.stdout)["models"][0]["groups"] is None


def test_single_runs_on_few_groups_lack_groups_and_not_seeds() -> None:
    few = [f"g{place % 10}" for place in range(N)]
    files = [write(f"{name}.csv", of(one, group=few)) for name, one in (("good", GOOD), ("poor", POOR))]
    assert pair(*files, "--group-column", "group")["finding"] == Finding.TOO_FEW_GROUPS.value


def test_a_comparison_replaces_neither_its_files_nor_others() -> None:
    """Also where an earlier comparison has left its report."""
    files = write("a.csv", of(GOOD)), write("b.csv", of(POOR))
    assert completed(app, *files, "--out", "out").returncode == ExitCode.DONE
    mine = Path("out/figures/accuracy.csv")
    shutil.copy("a.csv", mine)
    done = completed(app, str(mine), "b.csv", "--out", "out")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--out", "is read by this command")
    assert mine.read_bytes() == Path("a.csv").read_bytes()
    Path("out/numbers.json").unlink()
    done = completed(app, *files, "--out", "out")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--out", "is another file")


def test_the_truth_may_stand_in_a_file_of_its_own() -> None:
    columns = of(GOOD)
    truth = write("truth.csv", {name: columns[name] for name in ("id", "label")}, shuffled=3)
    files = [write(f"{name}.csv", {"id": columns["id"], "label": words(one)}) for name, one in (
        ("a", GOOD), ("b", POOR))]
    assert [one["score"] for one in found(*files, "--truth", truth)["models"]] == [GOOD.mean(), POOR.mean()]


def test_columns_that_are_named_may_be_those_of_the_file_of_true_labels() -> None:
    group_N = [f"g{place // 10}" for place in range(N)]
    files = [write(f"{name}.csv", {name: values for name, values in of(one).items() if name != "label"})
             for name, one in (("a", GOOD), ("b", POOR))]
    truth = write("truth.csv", {"key": of(GOOD)["id"], "wahr": of(GOOD)["label"], "film": group_N}, shuffled=3)
    asked = (*files, "--truth", truth, "--label-column", "wahr", "--group-column", "film")
    one = pair(*asked, "--id-column", "key")
    wanted = accuracy_difference(GOOD[None], POOR[None], group_N=np.array(group_N))
    assert (one["low"], one["high"]) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    mentions(refused(*asked, "--id-column", "keys"), "truth.csv must have a column of ids", "id column")
    truth = write("gold.csv", of(GOOD))
    mentions(refused(*files, "--truth", truth, "--id-column", "key"), "no file has the id column 'key'", "leave it out")


def test_the_labels_that_predict_writes_are_predictions() -> None:
    chance_N = np.where([one == "spam" for one in words(GOOD)], 0.8, 0.3)
    file = write("mine.csv", {"id": of(GOOD)["id"], "label": words(GOOD), "probability_ham": 1 - chance_N,
                              "probability_spam": chance_N, "known_words": [0.9] * N})
    mentions(refused(file), "mine.csv has no true labels", "(--truth)")
    truth = write("truth.csv", {name: of(GOOD)[name] for name in ("id", "label")})
    assert found(file, "--truth", truth)["models"][0]["score"] == GOOD.mean()


def test_files_that_contradict_each_other_on_groups_are_refused_and_on_texts_are_noted() -> None:
    group_N = [place // 10 for place in range(N)]
    good = write("good.csv", of(GOOD, group=group_N, text=["x"] * N))
    done = completed(app, good, write("poor.csv", of(POOR, group=group_N, text=["y", *["x"] * (N - 1)])), "--json")
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stderr, "texts in good.csv and poor.csv", f"1 of {N}", "'x' and 'y'")
    other = write("other.csv", of(POOR, group=group_N[::-1]))
    for files in ((good, other), (other, good)):
        mentions(refused(*files), "must be in one group", files[0], files[1], f"{N} of {N}", "group column")
    assert found(write("few.csv", of(POOR, group=["a"] * N)), good)["pairs"][0]["low"] == pair(good, "poor.csv")["low"]


def test_common_ids_are_compared_alone_where_that_is_asked_for() -> None:
    first = {name: list(values)[:-3] for name, values in of(GOOD).items()}
    files = write("a.csv", first), write("b.csv", {name: list(values)[2:] for name, values in of(POOR).items()})
    mentions(refused(*files), "2 are only in a.csv, 3 only in b.csv", "'d0', 'd1' and 'd397'", "common")
    assert pair(*files, "--common")["examples"] == N - 5
    done = completed(app, *files, "--common", "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(Path("out/report.md").read_text("utf-8"), "5 examples are left out")


@pytest.mark.parametrize(("changed", "words"), [
    ({"probability_spam": [1.5, *[0.5] * (N - 1)]}, ["probability between 0 and 1", "row 1 has '1.5'"]),
    ({"p_ham": [0.6] * N, "p_spam": [0.5] * N}, ["must sum to 1", "sum to 1.1"]),
    ({"p_ham": [0.6] * N, "p_eggs": [0.4] * N}, ["named after the classes", "'eggs'"]),
    ({"prediction": ["eggs"] * N}, ["among the classes of the true labels (ham and spam)", "'eggs'"]),
    ({"label": ["ham"] * N}, ["at least two classes", "only 'ham'"]),
    ({"label": [CLASSES[1 - one] for one in LABEL_N]}, ["the same true labels", f"differ in {N} of {N}"]),
    ({"id": ["d1", *[f"d{place}" for place in range(1, N)]]}, ["one row for each id", "'d1'"]),
    ({"prediction": ["", *words(POOR)[1:]]}, ["among the classes", "'' for 1 examples, such as 'd0'"]),
])
def test_what_cannot_be_is_refused_in_one_sentence(changed: dict[str, Any], words: list[str]) -> None:
    other = {**of(POOR), **changed}
    if any(name.startswith("p") and name != "prediction" for name in changed):
        del other["prediction"]
    first = write("a.csv", of(GOOD)) if "only" not in words[-1] else write("a.csv", {**of(GOOD), **changed})
    mentions(refused(first, write("b.csv", other)), *words)


def test_files_alike_are_refused_and_equal_runs_are_a_warning() -> None:
    Path("copy.csv").write_bytes(Path(write("a.csv", of(GOOD))).read_bytes())
    mentions(refused("a.csv", "copy.csv"), "copy.csv and a.csv are identical")
    for name in ("a-seed1.csv", "a-seed2.csv"):
        Path(name).write_bytes(Path("a.csv").read_bytes())
    done = completed(app, "a-seed1.csv", "a-seed2.csv", "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    for said in (done.stdout, Path("out/report.md").read_text("utf-8")):
        mentions(said, "2 runs of a have the same predictions", "a-seed1.csv, seed 1")
    twice = write("b.csv", of(POOR, model=["a"] * N, seed=[1] * N)), write("c.csv", of(GOOD, model=["a"] * N,
                                                                                   seed=[1] * N))
    mentions(refused(*twice), "different seeds", "seed 1", "b.csv and c.csv")
    seeds = [write(f"both-seed{seed}.csv", of(right(0.3, seed), model=["both"] * N)) for seed in (1, 2)]
    assert found(*seeds)["models"][0]["seeds"] == 2
    lone = {**of(POOR), "model": ["m", *["n"] * (N - 1)]}
    mentions(refused("a.csv", write("both.csv", lone)), "both.csv, m")
    same = write("x/p.csv", of(GOOD)), write("y/p.csv", of(POOR))
    mentions(refused(*same), "x/p.csv", "y/p.csv", "rename one", "column 'model'")
    mentions(refused("a.csv", "gone.csv"), "No such file: 'gone.csv'")
    mentions(refused("a.csv", "--metric", "log_loss"), "needs the probability of each class")
    mentions(refused("a.csv", "--metric", "loss"), "metric must be one of", "log_loss")
    mentions(refused("a.csv", "--margin", "0"), "margin must be a number above 0", "leave it out")
    mentions(refused("a.csv", "--id-column", "idd"), "unknown column", "'id'")
    Path("words.csv").write_text(Path("a.csv").read_text("utf-8"), "utf-16")
    assert refused("words.csv", code=ExitCode.FAILED).endswith("save it as UTF-8\n")  # it cannot name an encoding
    for folder in ("a.csv", "a.csv/below"):
        mentions(refused("a.csv", "b.csv", "--out", folder), "--out must be a folder", "a.csv is a file")


@pytest.mark.parametrize(("claim", "code"), [
    ("baseline > Baseline", ExitCode.DONE), ("Baseline > baseline", ExitCode.NO)])
def test_a_claim_names_models_as_they_are_written_even_one_called_baseline(claim: str, code: int) -> None:
    files = [write(f"{name}/{model}.csv", of(one)) for name, model, one in (
        ("a", "baseline", GOOD), ("b", "Baseline", POOR))]
    assert completed(app, *files, "--claim", claim).returncode == code


@pytest.mark.parametrize(("claim", "code"), [
    ("good > poor", ExitCode.DONE), ("poor > good", ExitCode.NO), ("good > other", ExitCode.INCOMPLETE)])
def test_a_claim_ends_with_the_code_of_its_answer(claim: str, code: ExitCode) -> None:
    files = [write(f"{name}.csv", of(one)) for name, one in (
        ("good", GOOD), ("poor", POOR), ("other", right(0.28, 12)))]
    assert completed(app, *files, "--claim", claim).returncode == code
    both = completed(app, *files, "--claim", claim, "--json")  # as without, and the scores
    assert (both.returncode, len(json.loads(both.stdout)["pairs"])) == (code, 3)


def test_a_report_says_what_it_is_about_and_leaves_out_what_no_file_tells() -> None:
    files = [write(f"{name}.csv", of(one, text=[f"text {place}" for place in range(N)])) for name, one in (
        ("good", GOOD), ("poor", POOR))]
    done = completed(app, *files)
    assert done.returncode == ExitCode.DONE, done.stderr
    text = Path("reports/good-poor/report.md").read_text("utf-8")
    mentions(text, "Comparison: good and poor", "these runs only", "## Where they disagree", "good.csv")
    for absent in ("## Learning", "## Search", "Backend", "## Confidence", "MLflow", "## Checklist"):
        assert absent not in text
    record = json.loads(Path("reports/good-poor/numbers.json").read_text("utf-8"))
    assert [one["name"] for one in record["files"]] == ["good.csv", "poor.csv"]
    verified = completed(report_app, "--verify", "reports/good-poor")
    assert verified.returncode == ExitCode.MISTYPED
    mentions(verified.stderr, "files of predictions", "gru-bench compare")


def test_the_name_of_a_file_cannot_turn_the_direction_of_a_report() -> None:
    files = [write(f"{name}.csv", of(one)) for name, one in (("good\u202e", GOOD), ("poor", POOR))]
    assert completed(app, *files, "--out", "out").returncode == ExitCode.DONE
    for name in ("report.html", "report.md", "report.tex", "numbers.json"):
        assert "\u202e" not in Path("out", name).read_text("utf-8").replace(r"\u202e", "\u202e")


@pytest.mark.parametrize("studies", [three_models, lambda: of_classes(4)])
def test_the_predictions_of_a_study_give_its_numbers(studies: Any) -> None:
    store, logged = studies()
    logged = [replace(study, baselines=()) for study in logged]  # the file has trained models alone
    wanted = build(logged, store).findings
    table = predictions_table(logged, store)
    with Path("predictions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table)
    read = found("predictions.csv")
    assert {one["model"]: (one["score"], one["low"], one["high"]) for one in read["models"]} == {
        one.model: pytest.approx((one.score, one.low, one.high), **TIGHT) for one in wanted.models}
    by_models = {frozenset(one["models"]): one for one in read["pairs"]}
    for one in wanted.pairs:
        other = by_models[frozenset(one.models)]
        assert (one.finding, one.family) == (other["finding"], other["family"])
        assert (one.low, one.high, one.p) == pytest.approx((other["low"], other["high"], other["p"]), **TIGHT)
    loss = found("predictions.csv", "--metric", "log_loss")
    scores = {one["model"]: one["score"] for one in loss["models"]}
    assert all(0 < score < 2 for score in scores.values())


def test_files_are_compared_with_the_runs_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    store, logged = three_models()
    monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda *_, **__: store)
    torch = next(study for study in logged if study.name == "torch")
    first = store.predictions(next(run for run in torch.confirms if run.complete).run_id, "test")
    names = ("negative", "positive")
    answers = [names[int(one)] for one in first.probability_NC[:, 1] >= 0.5]
    file = write("mine.csv", {"id": first.example_id_N, "prediction": answers}, shuffled=1)
    read = found(file, "--study", "torch")
    assert [one["model"] for one in read["models"]] == ["torch", "mine", "majority", "tfidf"]
    assert [one["family"] for one in read["pairs"]] == [1, 2, 2]
    assert [{*one["models"]} for one in read["pairs"]] == [{"torch", "mine"}, {"torch", "tfidf"}, {"mine", "tfidf"}]
    for one in read["pairs"]:
        assert one["examples"] == len(first)
        assert "mine" not in one["models"] or 1 in one["seeds"]
    mentions(refused(file, "--study", "torch", "--group-column", "film"), "leave out --truth and --group-column")
    other = next(study for study in logged if study is not torch)
    again = tuple(replace(run, tags={**run.tags, AGAIN: torch.run.run_id}) for run in other.confirms)
    store.by_experiment = {name: [replace(study, confirms=again) if study is other else study for study in studies]
                           for name, studies in store.by_experiment.items()}
    doubled = found(file, "--study", "torch")
    assert doubled["pairs"][0]["p"] == pytest.approx(min(1, 2 * read["pairs"][0]["p"]))
    mentions(" ".join(doubled["notes"]), "2 studies", "multiplied by 2")


def test_python_compares_frames_files_and_arrays() -> None:
    frames: dict[str, Any] = {"good": pd.DataFrame(of(GOOD)).sample(frac=1, random_state=1), "poor": of(POOR)}
    files = [write(f"{name}.csv", of(one)) for name, one in (("good", GOOD), ("poor", POOR))]
    arrays = {"good": words(GOOD), "poor": np.array(words(POOR))}
    label_N = pd.Series(of(GOOD)["label"], index=range(N, 2 * N))
    truth = pd.DataFrame({name: of(GOOD)[name] for name in ("id", "label")})
    unlabeled = {name: pd.DataFrame(one).drop(columns="label") for name, one in frames.items()}
    wanted = accuracy_interval(GOOD[None])
    for verdict in (gb.compare(frames), gb.compare(files), gb.compare(arrays, truth=label_N),
                    gb.compare(unlabeled, truth=truth)):
        first = verdict.findings.models[0]
        assert first.label == "good"
        assert (first.low, first.high) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    pairs: list[Any] = [tuple(pd.DataFrame(one).assign(model=name) for name, one in frames.items()),
                        [pd.DataFrame(frames["good"]).assign(model="good"), files[1]]]
    for predictions in pairs:
        assert {one.label for one in gb.compare(predictions).findings.models} == {"good", "poor"}
    assert [one.label for one in gb.compare(files[0]).findings.models] == ["good"]
    named_files: list[Any] = [{"good": files[0]}, {"good": frames["good"], "poor": Path(files[1])}]
    for wrong in (3, *named_files):
        with pytest.raises(UsageError, match=r"data frames .*a list of files"):
            gb.compare(wrong)
    for named in ({"margin": "1"}, {"columns": ["id"]}, {"columns": {"id": 0}}):
        with pytest.raises(UsageError, match=rf"^{next(iter(named))} must be"):
            gb.compare(frames, **named)
    nothing: list[Any] = [[], {}]
    for predictions in nothing:
        with pytest.raises(UsageError, match="at least one model"):
            gb.compare(predictions)


@pytest.mark.parametrize(("predictions", "parts"), [
    ([0, 1, 0], ["a dictionary of arrays", "[0, 1, 0] of type list"]),
    ({"a": "010"}, ["'a'", "'010' of type str"]),
    ({"a": pd.DataFrame({"prediction": [0, 1, 0]})}, ["'a'", "DataFrame", "frame['prediction']"]),
    ({"a": [0, 1, 0, 1]}, ["the 3 true classes", "'a' has 4"]),
    ({"a": np.zeros((3, 2))}, ["the 3 true classes", "'a' has 2", "an array for each seed"]),
    ({"a": [0, None, 0]}, ["among the classes", "''", "'1'"]),
    ({"a": [pd.Series([0, 1, 0]), pd.Series([0, 1, 0], index=[2, 1, 0])]}, ["that of 'a'", "index", ".loc"]),
    ({"a": [[0, 1, 0], [0, 1, 2]]}, ["among the classes", "'2'"]),
])
def test_arrays_that_are_not_of_the_same_examples_are_refused(predictions: Any, parts: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        gb.compare(predictions, truth=[0, 1, 1])
    mentions(str(raised.value), *parts)


def test_a_store_of_files_has_no_runs() -> None:
    from gru_bench.predictions.evidence import FileStore

    assert len(FileStore(None, 2, FakeStore()).confirmed_models("")) == 2
    assert FileStore(None, 2, FakeStore()).histories([], []) == {}


def test_a_class_called_positive_is_one_of_several_or_the_second_of_two() -> None:
    names, label_N = ("negative", "neutral", "positive"), np.arange(N) % 3
    chance_NC = np.random.default_rng(0).dirichlet([1, 1, 1], N)
    several = write("several.csv", {"id": range(N), "label": [names[one] for one in label_N], **{
        f"p_{name}": chance_NC[:, place] for place, name in enumerate(names)}})
    assert found(several)["models"][0]["score"] == (chance_NC.argmax(axis=1) == label_N).mean()
    two = write("two.csv", {"id": range(N), "label": LABEL_N, "p_positive": chance_NC[:, 0]})
    assert found(two)["models"][0]["score"] == ((chance_NC[:, 0] > 0.5) == LABEL_N).mean()


def test_the_minimum_detectable_difference_of_single_runs_is_that_of_a_paired_test_over_examples() -> None:
    files = [write(f"{name}.csv", of(one)) for name, one in (("good", GOOD), ("poor", POOR))]
    done = completed(app, *files, "--out", "out")
    assert done.returncode == ExitCode.DONE, done.stderr
    numbers = json.loads(Path("out/numbers.json").read_text("utf-8"))["numbers"]
    shown, = (one["value"] for name, one in numbers.items() if name.endswith("detectable"))
    error = np.std(GOOD.astype(float) - POOR, ddof=1) / np.sqrt(N)
    quantiles = stdtrit(N - 1, 0.975) + stdtrit(N - 1, 0.8)
    assert shown == pytest.approx(quantiles * error, rel=1e-9)


def without(name: str) -> dict[str, Iterable[Any]]:
    return {column: values for column, values in of(GOOD).items() if column != name}


@pytest.mark.parametrize(("files", "metric", "remedy", "option", "argument"), [
    ([without("id")], None, "specify the id column ({})", "--id-column", "id"),
    ([without("label")], None, "specify the label column ({})", "--label-column", "label"),
    ([without("label")], None, "a file of true labels ({})", "--truth", "truth"),
    ([without("prediction")], None, "the prediction column ({})", "--prediction-column", "prediction"),
    ([of(GOOD), of(POOR, id=[f"e{n}" for n in range(N)])], None, "the common ones ({})", "--common", "common"),
    ([of(GOOD, prediction=["?"] * N)], None, "as wrong ({})", "--refusals wrong", "refusals='wrong'"),
    ([of(GOOD)], "log_loss", "{} needs the probability", "--metric log_loss", "metric='log_loss'"),
])
def test_a_remedy_is_an_option_at_the_command_line_and_an_argument_in_python(
    files: list[dict[str, Iterable[Any]]], metric: str | None, remedy: str, option: str, argument: str
) -> None:
    names = [write(f"{place}.csv", columns) for place, columns in enumerate(files)]
    mentions(refused(*names, *(["--metric", metric] if metric else [])), remedy.format(option))
    with pytest.raises(GruBenchError) as raised:
        gb.compare(names, metric=metric)
    mentions(str(raised.value), remedy.format(argument))
    assert "--" not in str(raised.value)


def test_messages_name_a_frame_after_its_model_and_what_to_give() -> None:
    good, poor = pd.DataFrame(of(GOOD)), pd.DataFrame(of(POOR))
    calls: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"good": good.rename(columns={"id": "name"})}, {}, "good.parquet must have a column of ids"),
        ({"good": good.drop(columns="label")}, {}, "specify the label column"),
        ({"good": good.drop(columns="prediction")}, {}, "specify the prediction column"),
        ({"good": good}, {"margin": -1}, "above 0"),
        ({"good": good, "poor": poor.assign(label=LABEL_N)}, {}, "good.parquet and poor.parquet"),
        ({"good": good, "poor": pd.concat([poor, poor[["label"]]], axis=1)}, {}, "column 'label' of the frame of poor"),
        ({"good": good.assign(label=[1, "x"] * (N // 2))}, {}, "frame['label'].astype(str)")]
    for frames, named, remedy in calls:
        with pytest.raises(GruBenchError) as raised:
            gb.compare(frames, **named)
        mentions(str(raised.value), remedy)
        assert "--" not in str(raised.value)
        assert "/" not in str(raised.value), "no file that stands for a frame is named by its path"


def test_what_files_do_not_have_is_not_spoken_of() -> None:
    files = [write(f"{name}.csv", of(right(skill, place)))
             for place, (name, skill) in enumerate({"a": 0.3, "b": 0.1, "c": 0.0}.items())]
    assert completed(app, *files, "--out", "out").returncode == ExitCode.DONE
    page = Path("out/report.md").read_text("utf-8")
    for word in ("dashed", "applicable", "linear model", "ROC AUC |", "Calibration error", "Loss", "Seed |"):
        assert word not in page
