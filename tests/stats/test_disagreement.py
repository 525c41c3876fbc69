"""The texts that one of two models gets right alone, and the n-grams typical of them."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.stats.disagreement import FEWEST_TEXTS, one_sided, typical_ngrams


def test_a_text_is_one_sided_if_most_runs_of_one_model_and_at_most_half_of_the_other_are_right() -> None:
    first = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 1, 0], [0, 1, 0, 1, 1]], bool)
    second = np.array([[1, 0, 1, 1, 1], [0, 1, 1, 1, 1]], bool)
    only_first, only_second = one_sided(first, second)
    assert only_first.tolist() == [0, 1]
    assert only_second.tolist() == [2, 4]


def sides(marked: int, each: int = 40) -> tuple[list[str], list[str]]:
    """Two sets of random texts; so many of the first have the words `not bad`, which no other text has."""
    generator = np.random.default_rng(3)
    texts = [" ".join(f"w{word}" for word in generator.integers(0, 60, 12)) for _ in range(2 * each)]
    first = [f"{text} not bad" if place < marked else text for place, text in enumerate(texts[:each])]
    return first, texts[each:]


def test_ngrams_of_one_side_come_first_and_are_counted_in_texts() -> None:
    first, second = sides(20)
    of_first, of_second = typical_ngrams(first, second, most=5)
    top = {one.text: one for one in of_first[:3]}
    assert top.keys() == {"not", "bad", "not bad"}
    assert all((one.here, one.there, one.beyond_chance) == (20, 0, True) for one in top.values())
    assert not any(one.beyond_chance for one in (*of_first[3:], *of_second))
    assert len(of_first) == len(of_second) == 5
    mirrored = typical_ngrams(second, first, most=5)
    assert [one.text for one in mirrored[0]] == [one.text for one in of_second]


def test_the_order_is_that_of_the_log_odds_ratio_computed_by_hand() -> None:
    first, second = sides(20)
    found = typical_ngrams(first, second, most=500)[0]

    def score(here: int, there: int) -> float:
        prior, size = here + there, len(first) + len(second)
        a, b = here + prior, there + prior
        odds = np.log(a / (len(first) + size - a)) - np.log(b / (len(second) + size - b))
        return float(odds / np.sqrt(1 / a + 1 / b))

    scores = [score(one.here, one.there) for one in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_an_ngram_that_every_text_contains_is_typical_of_no_side() -> None:
    first, second = ([f"everywhere {text}" for text in texts] for texts in sides(20))
    of_first, of_second = typical_ngrams(first, second, most=500)
    assert "everywhere" not in {one.text for one in (*of_first, *of_second)}
    assert {"not", "bad", "not bad"} == {one.text for one in of_first[:3]}
    assert typical_ngrams(["alike"] * 20, ["alike"] * 20, most=5) == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_words_drawn_alike_on_both_sides_are_seldom_beyond_chance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    texts = [" ".join(f"w{word}" for word in generator.integers(0, 200, 20)) for _ in range(100)]
    of_first, of_second = typical_ngrams(texts[:50], texts[50:], most=10)
    assert of_first
    assert of_second
    assert not any(one.beyond_chance for one in (*of_first, *of_second))


def test_few_texts_and_texts_without_common_words_have_no_ngrams() -> None:
    first, second = sides(5)
    assert typical_ngrams(first[:FEWEST_TEXTS - 1], second, most=5) == ([], [])
    different = [f"a{n}" for n in range(20)]
    assert typical_ngrams(different[:10], different[10:], most=5) == ([], [])
