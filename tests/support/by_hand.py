"""The classifier that one takes, computed from predictions alone: no line of the package has a part in it.

A study's candidates are its trained model with all its seeds (the mean of their probabilities), its linear model, and
the average of both (the mean of their log-odds, each at its temperature). The best one on validation is compared on
test with each other one.

    python tests/support/by_hand.py FOLDER STUDY ...

FOLDER holds `mlflow.db` and `mlartifacts`.
"""

from __future__ import annotations

import sqlite3
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, special

SMALLEST = float(np.finfo(np.float32).eps)
Split = dict[str, np.ndarray]
"""`label` (N), `group` (N), `stratum` (N), and the probabilities of class 1 by each model: R x N."""
KEYS = {"label", "group", "stratum"}


def read(folder: Path, study: str, split: str) -> Split:
    """Return what the models of a study predict for one split: a row for each seed, texts in the order of their ids."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        tags = pd.read_sql("select run_uuid, key, value from tags where key like 'gru_bench.%'", database)
    runs = tags.pivot(index="run_uuid", columns="key", values="value")
    runs = runs[(runs["gru_bench.study"] == study) & (runs["gru_bench.complete"] == "true")
                & runs["gru_bench.role"].isin(["confirm", "baseline"]) & (runs["gru_bench.model"] != "majority")]
    found: dict[str, list[np.ndarray]] = {}
    frame = pd.DataFrame()
    for run, row in runs.sort_values("gru_bench.seed").iterrows():
        path = folder / "mlartifacts" / str(run) / "artifacts" / "predictions" / f"{split}.parquet"
        frame = pd.read_parquet(path).sort_values("example_id")
        found.setdefault(row["gru_bench.model"], []).append(frame["probability"].to_numpy(np.float64))
    group, stratum = frame["example_id"], pd.Series(0, frame.index)
    if "group" in frame:  # these were drawn from strata: the class and category of most texts of a group
        group, trait = frame["group"], frame["label"].astype(str) + " " + frame["category"]
        stratum = trait.groupby(group).agg(lambda traits: traits.mode()[0]).loc[group]
    return {"label": frame["label"].to_numpy(), "group": group.to_numpy(), "stratum": stratum.to_numpy(),
            **{model: np.stack(rows) for model, rows in found.items()}}


def log_odds(probability_N: np.ndarray) -> np.ndarray:
    found_N: np.ndarray = np.log(np.maximum(probability_N, SMALLEST)) - np.log(np.maximum(1 - probability_N, SMALLEST))
    return found_N


def log_loss(label_N: np.ndarray, odds_N: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(label_N == 1, -odds_N, odds_N)).mean())


def temperature(label_N: np.ndarray, odds_N: np.ndarray) -> float:
    found = optimize.minimize_scalar(lambda inverse: log_loss(label_N, odds_N * inverse), bounds=(0.1, 10),
                                     method="bounded", options={"xatol": 1e-10})
    return 1 / found.x


def candidates(validation: Split, test: Split) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the log-odds of each candidate on the validation and on the test texts, at its temperature."""
    label_N = validation["label"]
    kept: list[dict[str, np.ndarray]] = [{}, {}]
    for model in validation.keys() - KEYS:
        odds = [log_odds(split[model].mean(axis=0)) for split in (validation, test)]
        for own, odds_N in zip(kept, odds, strict=True):
            own[model] = odds_N / temperature(label_N, odds[0])
    linear = best(label_N, {model: odds for model, odds in kept[0].items() if len(validation[model]) == 1})
    trained = best(label_N, {model: odds for model, odds in kept[0].items() if len(validation[model]) > 1})
    for own in kept:
        own["average"] = (own[trained] + own[linear]) / 2
    return kept[0], kept[1]


def best(label_N: np.ndarray, odds: dict[str, np.ndarray]) -> str:
    return min(odds, key=lambda model: (-accuracy(label_N, odds[model]), log_loss(label_N, odds[model])))


def accuracy(label_N: np.ndarray, odds_N: np.ndarray) -> float:
    return float(((odds_N > 0) == label_N).mean())


def difference(test: Split, a_N: np.ndarray, b_N: np.ndarray) -> tuple[float, float, float, int]:
    """Return theta, V, p by t with nu_v degrees of freedom, and the number of groups."""
    d_N = ((a_N > 0) == test["label"]).astype(float) - ((b_N > 0) == test["label"])
    _, group_N, size_K = np.unique(test["group"], return_inverse=True, return_counts=True)
    _, stratum_N, size_H = np.unique(test["stratum"], return_inverse=True, return_counts=True)
    theta, n, groups, strata = d_N.mean(), d_N.size, size_K.size, size_H.size
    rest_N = d_N - (np.bincount(stratum_N, d_N) / size_H)[stratum_N]
    total_K, within_K = np.bincount(group_N, rest_N), np.bincount(group_N, size_H[stratum_N]) / size_K
    variance = float((total_K**2 / (1 - size_K / within_K)).sum() / n**2)
    mean_K = total_K / size_K
    between = (size_K * mean_K**2).sum() / (groups - strata)
    within = ((rest_N - mean_K[group_N]) ** 2).sum() / max(1, n - groups)
    usual = (n - (size_K**2 / within_K).sum()) / (groups - strata)
    rho = np.clip((between - within) / (between + (usual - 1) * within), 0, 1)
    weight_K = size_K * (1 + (size_K - 1) * rho)
    nu = weight_K.sum() ** 2 / (weight_K**2).sum() - strata
    return theta, variance, float(2 * special.stdtr(nu, -abs(theta) / variance**0.5)), groups


def main(folder: Path, studies: list[str]) -> None:
    for study in studies:
        validation, test = read(folder, study, "validation"), read(folder, study, "test")
        on_validation, on_test = candidates(validation, test)
        print(study)
        for model, odds_N in on_test.items():
            print(f"  {model:15} validation {accuracy(validation['label'], on_validation[model]):.6%}  test "
                  f"{accuracy(test['label'], odds_N):.6%}  loss {log_loss(test['label'], odds_N):.6f}")
        for a, b in combinations(on_test, 2):
            theta, variance, p, groups = difference(test, on_test[a], on_test[b])
            half = 1.96 * variance**0.5
            print(f"  {a} - {b}: {theta:+.6%} [{theta - half:+.2%}, {theta + half:+.2%}] V {variance:.6e} p {p:.4g} "
                  f"in {groups} groups")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
