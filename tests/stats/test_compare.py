"""Comparing two models from their right and wrong answers alone gives what a report on their studies gives."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

from gru_bench.stats.compare import Comparison, compare
from gru_bench.stats.estimate import EvidenceLevel, accuracy_difference
from gru_bench.stats.verdict import DIFFERENT, Finding
from tests.support.commands import mentions
from tests.support.fake_store import TestSet, add_study, correct, three_models
from tests.support.renderings import all_said
from tests.support.reports import build
from tests.support.values import present

TIGHT: Any = {"rel": 0, "abs": 1e-9}


def rows(text: str) -> np.ndarray:
    return np.array([[int(bit) for bit in row] for row in text.split()])


def remainders(k: int, threshold: int) -> np.ndarray:
    s, i = np.arange(5)[:, None], np.arange(200)
    return ((7 * i + k * s * i + 11 * s + k) % 29 >= threshold + (2 * s) % 5).astype(int)


def drawn(skill: float, seeds: int = 5, examples: int = 2000, stream: int = 0) -> np.ndarray:
    """Return answers to examples of different ease, which are the same for every model."""
    ease_N = np.random.default_rng(0).normal(1.3, 1.0, examples)
    noise_SN = 0.4 * np.random.default_rng([1, stream]).normal(size=(seeds, examples))
    return np.asarray(ease_N + skill + noise_SN > 0)


@pytest.mark.parametrize(("a_SN", "b_SN", "theta", "low", "high", "p"), [
    (rows("1111111111 1111011110 1101110100"), rows("1101110100 1111010010 0100010000"),
     1 / 3, -0.2138181654, 0.8804848321, 0.1405338279),
    (rows("11111101 11011111"), rows("11110100 11011100 10110110 11110000"),
     9 / 32, -0.0623026039, 0.6248026039, 0.0940502866),
    (rows("11111110 11111101 11111011"), rows("11110001 11011001 10111001"),
     1 / 4, -0.0384546225, 0.5384546225, 0.0796020125),
    (rows("011111 011110 010111"), rows("110111 001011 011111"), 0.0, -0.5237022127, 0.5237022127, 1.0),
    (remainders(3, 2), remainders(5, 3), 4 / 125, -0.0493435153, 0.1133435153, 0.3981905712),
])
def test_golden_differences(
    a_SN: np.ndarray, b_SN: np.ndarray, theta: float, low: float, high: float, p: float
) -> None:
    found = compare(a_SN, b_SN)
    assert found.difference / 100 == pytest.approx(theta, **TIGHT)
    assert (found.seeds, found.examples) == ((len(a_SN), len(b_SN)), a_SN.shape[1])
    # Few examples decide the small cases: the golden values are those of the closed form alone.
    closed = replace(found.estimate, wilson=None).at(0.95)
    assert (closed.low, closed.high, closed.p) == pytest.approx((low, high, p), **TIGHT)
    if a_SN.shape[1] == 200:
        assert np.divide(present(found.interval), 100) == pytest.approx([low, high], **TIGHT)
        assert found.p == pytest.approx(p, **TIGHT)


WORDS = {
    Finding.BETTER: "is better", Finding.BETTER_BY_MARGIN: "by more than", Finding.NEGLIGIBLE: "negligible",
    Finding.EQUIVALENT: "equivalent", Finding.INCONCLUSIVE: "Inconclusive", Finding.TOO_FEW_SEEDS: "No verdict"}
"""Finding -> a word of its sentence."""


@pytest.mark.parametrize(("skills", "seeds"), [
    ((0.3, 0.0), 1), ((0.12, 0.1), 2), ((0.0, 0.2), 3), ((0.3, 0.0), 5), ((0.05, 0.0), 5)])
def test_agrees_with_a_report_on_the_same_answers(skills: tuple[float, float], seeds: int) -> None:
    """The report shows the model with the better mean first."""
    store, _ = three_models(seeds=1, test_set=TestSet.draw(200))
    studies = [add_study(store, name, {name: skill}, seeds=seeds, test_set=TestSet.draw(800), experiment="pair")
               for name, skill in zip(("torch", "scratch"), skills, strict=True)]
    right = {label: correct(store, study.confirms)
             for label, study in zip(("Torch GRU", "Scratch GRU"), studies, strict=True)}
    first, second = sorted(right, key=lambda label: -right[label].mean())
    found = compare(right[first], right[second], names=(first, second))
    report = build(studies, store)
    numbers = report.numbers
    (key,) = {".".join(key.split(".")[:3]) for key in numbers if key.startswith("pair.")}
    shown = numbers[f"{key}.difference"]
    assert found.difference == pytest.approx(100 * present(shown.value), **TIGHT)
    if shown.low is None:
        assert found.interval is None
    else:
        assert found.interval == pytest.approx((100 * shown.low, 100 * present(shown.high)), **TIGHT)
    assert found.p == numbers[f"{key}.p"].value
    detectable = numbers[f"{key}.detectable"].value if f"{key}.detectable" in numbers else None
    assert found.detectable == (None if detectable is None else pytest.approx(100 * detectable, **TIGHT))
    mentions(all_said(report.in_short), first, second, WORDS[found.finding])


BASE = drawn(0.0)


@pytest.mark.parametrize(("a_SN", "b_SN", "margin", "finding", "parts"), [
    (drawn(0.4, stream=1), BASE, 1.0, Finding.BETTER_BY_MARGIN, ["better", "more than 1.0 points", "p < 0.001"]),
    (BASE, drawn(0.4, stream=1), 1.0, Finding.BETTER_BY_MARGIN, ["worse", "more than 1.0 points", "p < 0.001"]),
    (drawn(0.4, stream=1), BASE, 6.0, Finding.BETTER, ["better", "p < 0.001"]),
    (drawn(0.4, stream=1), BASE, 8.0, Finding.NEGLIGIBLE, ["better", "negligible", "90 % interval", "8.0 points"]),
    (BASE.copy(), BASE, 1.0, Finding.EQUIVALENT, ["equivalent", "1.0 points", "90 % interval"]),
    (drawn(0.02, examples=100, stream=1), drawn(0.0, examples=100), 1.0, Finding.INCONCLUSIVE,
     ["Inconclusive", "80 %", "at least 269 test examples", "100"]),
    (BASE[:4], BASE, 1.0, Finding.TOO_FEW_SEEDS, ["No verdict", "4 seeds", "at least 5", "interval"]),
    (BASE[:2], BASE, 1.0, Finding.TOO_FEW_SEEDS, ["No verdict", "2 seeds", "estimate only"]),
    (BASE[:1], BASE, 1.0, Finding.TOO_FEW_SEEDS, ["No verdict", "1 seed", "examples only", "interval"]),
])
def test_a_verdict_names_the_models_the_finding_and_its_numbers(
    a_SN: np.ndarray, b_SN: np.ndarray, margin: float, finding: Finding, parts: list[str]
) -> None:
    found = compare(a_SN, b_SN, names=("x", "y"), margin=margin)
    assert found.finding is finding
    mentions(found.verdict, "x", "y", *parts)
    if finding in DIFFERENT:
        low, high = present(found.interval)
        mentions(found.verdict, f"{found.difference:+.1f} points", f"{low:+.1f} to {high:+.1f}")
    if finding is Finding.INCONCLUSIVE:
        mentions(found.verdict, f"{found.detectable:.1f} points")
    assert found.verdict in str(found)


def test_few_seeds_get_no_p_value_or_interval() -> None:
    base = drawn(0.0, seeds=10)
    for seeds, level, interval, p, detectable in (
        (1, EvidenceLevel.EXAMPLES_ONLY, True, False, False), (2, EvidenceLevel.ESTIMATE, False, False, True),
        (3, EvidenceLevel.FLAGGED, True, False, True), (5, EvidenceLevel.VERDICT, True, True, True),
        (10, EvidenceLevel.CLAIM, True, True, True),
    ):
        found = compare(base[:seeds], drawn(0.1, seeds=10, stream=1))
        assert found.evidence_level is level
        given = (found.interval is not None, found.p is not None, found.detectable is not None)
        assert given == (interval, p, detectable)
        assert level.value in str(found)


def test_the_detectable_difference_is_that_of_the_design() -> None:
    a_SN, b_SN = drawn(0.1, stream=1), drawn(0.0, seeds=7)
    found = compare(a_SN, b_SN)
    design = present(accuracy_difference(a_SN, b_SN).design)
    assert found.detectable == pytest.approx(100 * design.detectable((5, 7), 2000), rel=1e-12)
    # Clusters of one example each change nothing.
    alone = compare(a_SN, b_SN, clusters=np.arange(2000))
    assert alone.interval == pytest.approx(found.interval, **TIGHT)
    assert alone.detectable == pytest.approx(found.detectable, rel=1e-9)


def test_clusters_of_examples_widen_the_interval() -> None:
    a_SN, b_SN = drawn(0.1, examples=1000, stream=1), drawn(0.0, seeds=6, examples=1000)
    names = [f"product {int(value)}" for value in np.argsort(np.argsort(a_SN.mean(0) - b_SN.mean(0))) // 8]
    found, alone = compare(a_SN, b_SN, clusters=names), compare(a_SN, b_SN)
    expected = accuracy_difference(a_SN, b_SN, group_N=np.array(names))
    assert found.interval == pytest.approx((100 * expected.low, 100 * expected.high), **TIGHT)
    assert (found.clusters, found.examples, alone.clusters) == (125, 1000, None)
    assert present(found.interval)[0] < present(alone.interval)[0]
    assert present(found.detectable) > present(alone.detectable)
    mentions(str(found), "1,000 examples", "125 clusters")
    order = np.random.default_rng(2).permutation(1000)
    again = compare(a_SN[:, order], b_SN[:, order], clusters=pd.Series(names)[order])
    assert again.interval == pytest.approx(found.interval, **TIGHT)


def test_few_clusters_show_no_equivalence() -> None:
    right = np.ones((5, 4000), bool)
    equal = compare(right, right)
    assert equal.finding is Finding.EQUIVALENT
    mentions(equal.verdict, "up to 45 %")
    found = compare(right, right, clusters=np.arange(4000) // 20)
    assert found.finding is Finding.INCONCLUSIVE
    mentions(found.verdict, "at least 269 test examples", "200")
    assert present(found.detectable) > 1.0  # where no answer differs, it is not 0


def test_fewer_than_twenty_clusters_give_no_verdict() -> None:
    a_SN, b_SN = drawn(0.5, examples=1000, stream=1), drawn(0.0, examples=1000)
    found = compare(a_SN, b_SN, clusters=np.arange(1000) // 100)
    assert (found.finding, found.p) == (Finding.TOO_FEW_GROUPS, None)
    mentions(found.verdict, "10.0 of equal size", "at least 20")


@pytest.mark.parametrize("form", [
    np.asarray, lambda found: found.astype(bool), lambda found: found.astype(float), lambda found: found.tolist(),
    pd.DataFrame, lambda found: pd.DataFrame(found.astype(bool)).astype("boolean"),
    lambda found: pd.DataFrame(found).astype(object), lambda found: found.astype(np.uint8)])
def test_takes_arrays_lists_and_tables(form: Any) -> None:
    a_SN, b_SN = remainders(3, 2), remainders(5, 3)
    assert compare(form(a_SN), form(b_SN)) == compare(a_SN, b_SN)


GOOD = np.array([[1, 0, 1], [1, 1, 1]])


@pytest.mark.parametrize(("a", "options", "parts"), [
    ([], {}, ["a must", "empty", "at least 1 seed and 2 examples"]),
    (np.zeros((3, 0)), {}, ["a must", "empty"]),
    ([1, 0, 1], {}, ["a must", "(3,)", "[a]"]),
    (np.zeros((2, 3, 2)), {}, ["a must", "(2, 3, 2)"]),
    ([[1, 0, 1], [1]], {}, ["a must", "length"]),
    ([[1], [0]], {}, ["a must", "at least 2 examples", "2 rows and 1 column", ".T"]),
    (np.ones((4, 3)), {}, ["a must", "as many as seeds", "4 rows and 3 columns", ".T"]),
    (pd.DataFrame({"id": range(3), "label": 1}), {}, ["a must", ".T", "predictions as {'A': a, 'B': b}"]),
    ([[1, 0, 1], [1, 2, 1]], {}, ["a must", "0 or 1", "contains 2", "row 2", "column 2", "predicted == label"]),
    ([[0.9, 0, 1]], {}, ["0.9", "row 1", "column 1"]),
    ([[1, float("nan"), 1]], {}, ["nan", "row 1", "column 2"]),
    ([["1", "0", "1"]], {}, ["'1'", "row 1", "column 1"]),
    ([[1, None, 1]], {}, ["None", "row 1", "column 2"]),
    (pd.DataFrame([[True, None, True]]).astype("boolean"), {}, ["<NA>", "row 1", "column 2"]),
    ([[1, 0, 1, 1]], {}, ["same examples", "a has 4", "b has 3"]),
    (GOOD, {"margin": 0}, ["margin", "above 0", "at most 50", "got 0", "1.0"]),
    (GOOD, {"margin": float("nan")}, ["margin", "got nan"]),
    (GOOD, {"margin": 51}, ["margin", "got 51"]),
    (GOOD, {"names": ("x", "x")}, ["names", "('x', 'x')"]),
    (GOOD, {"names": ("x",)}, ["names", "('x',)"]),
    (GOOD, {"clusters": [1, 2]}, ["clusters", "3 examples", "(2,)"]),
    (GOOD, {"clusters": ["x", None, "y"]}, ["clusters", "example 2", "None"]),
    (GOOD, {"clusters": [1.0, 2.0, float("nan")]}, ["clusters", "example 3", "nan"]),
    (GOOD, {"clusters": ["x", "x", "x"]}, ["clusters", "at least 2", "'x'"]),
])
def test_refuses_what_cannot_be_compared(a: Any, options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError) as refused:
        compare(a, GOOD, **options)
    mentions(str(refused.value), *parts)


def test_an_error_about_the_second_model_names_it() -> None:
    with pytest.raises(ValueError, match=r"^b must .*\[b\]"):
        compare(GOOD, [1, 0, 1])


def test_tables_must_have_their_examples_in_one_order() -> None:
    a, b = pd.DataFrame(GOOD, columns=["e1", "e2", "e3"]), pd.DataFrame(GOOD[:, ::-1], columns=["e3", "e2", "e1"])
    with pytest.raises(ValueError, match=r"example 1.*'e1' in a.*'e3' in b.*b\[a\.columns\]"):
        compare(a, b)
    assert compare(a, b[a.columns]).difference == 0.0
    row, other = a.loc[0], b.loc[0]
    with pytest.raises(ValueError, match=r"'e1' in a\[0\].*'e3' in b\[0\].*\.loc.*\.to_numpy\(\)"):
        compare([row], [other])
    assert compare([row], [other.loc[row.index]]).difference == 0.0
    clusters = pd.Series(["x", "y", "z"], index=["e3", "e2", "e1"])
    with pytest.raises(ValueError, match=r"in a and 'e3' in clusters"):
        compare(a, a, clusters=clusters)
    assert compare(a, a, clusters=clusters.to_numpy()).clusters == 3


def test_a_comparison_is_shown_as_text_and_as_an_html_table() -> None:
    found = compare(drawn(0.1, stream=1), drawn(0.0), names=("<b>one</b> & more", "two"))
    title, *lines = str(found).splitlines()
    mentions(title, "<b>one</b> & more", "two")
    assert [line.split()[0] for line in lines] == [
        "difference", "p", "verdict", "evidence", "detectable", "data", "method"]
    mentions(lines[5], "5 and 5 seeds", "2,000 examples")
    assert str(found).isascii()
    table = BeautifulSoup(found._repr_html_(), "html.parser")
    assert not table.find_all("b")
    assert present(table.caption).get_text() == title
    assert [" ".join(row.get_text(" ").split()) for row in table.find_all("tr")] == [
        " ".join(line.split()) for line in lines]


def test_a_comparison_cannot_be_changed() -> None:
    found = compare(GOOD, GOOD)
    with pytest.raises(FrozenInstanceError):
        found.difference = 1.0  # type: ignore[misc]
    assert isinstance(found, Comparison)


def test_the_detectable_difference_allows_for_few_deciding_examples() -> None:
    """Where no answer differs, V is that of the pseudo-examples alone: z^2 of them, each of variance 1/N^2."""
    right = np.ones((5, 300))
    z = stats.norm.ppf(0.975)
    expected = (stats.t.ppf(0.975, 299) + stats.t.ppf(0.8, 299)) * z / 300
    assert accuracy_difference(right, right).detectable() == pytest.approx(expected, rel=1e-9)
