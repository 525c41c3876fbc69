"""Predictions for texts are those of training, and explanations those of a loop over words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gru_bench.config import RunConfig, Scalar, with_settings
from gru_bench.data.batches import encode
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.tokenizer import tokenize
from gru_bench.data.vectors import Vectors, load_vectors
from gru_bench.errors import DataError
from gru_bench.inference.prediction import Explanation
from gru_bench.inference.predictor import EXPLAINED, Predictor
from gru_bench.models.trained import TABLE, TrainedModel
from gru_bench.results.runs import RunResult
from gru_bench.stats.metrics import predicted
from gru_bench.train import placement
from gru_bench.train.loop import train
from gru_bench.train.network import untrained
from tests.support.reviews import write
from tests.support.trained_study import QUICK, made_up, seed_of

SEEDS = (5, 6)
EQUAL = 1e-5
"""Probabilities differ by the order of 32-bit sums, which batches and backends choose: some 1e-6 in 20 steps."""


def configured(csv: Path, settings: Mapping[str, Scalar] | None = None) -> tuple[RunConfig, Corpus, Vectors]:
    config = with_settings(RunConfig(), {**QUICK, "data.name": str(csv), "training.epochs": 1, **(settings or {})})
    corpus = load_corpus(config.data)
    return config, corpus, load_vectors(config.embedding, corpus)


def trained(config: RunConfig, corpus: Corpus, vectors: Vectors) -> tuple[TrainedModel, list[RunResult]]:
    results = [train(with_settings(config, {"seed": seed}), corpus, vectors, score_test=True) for seed in SEEDS]
    return TrainedModel(
        "quick", config.model.name, results[0].config, SEEDS, corpus.classes, vectors.words_V,
        None if config.embedding.trainable else vectors.table_VE, tuple(result.weights for result in results)), results


def logged(result: RunResult) -> NDArray[np.float64]:
    """The logged probabilities of the test split, N x C."""
    return result.predictions["test"].probability_NC.astype(np.float64)


@pytest.mark.parametrize(("model", "layers", "trainable", "longest"), [
    ("scratch", 1, False, 5), ("torch", 2, True, None), ("bidirectional", 1, True, 5), ("bidirectional", 2, False, 5)])
def test_texts_are_predicted_as_in_training(
    easy_csv: Path, model: str, layers: int, trainable: bool, longest: int | None
) -> None:
    config, corpus, vectors = configured(easy_csv, {
        "model.name": model, "model.layers": layers, "embedding.trainable": trainable, "data.max_length": longest,
        "model.backend": "auto"})
    both, results = trained(config, corpus, vectors)
    texts = corpus.texts("test")
    found = Predictor(both).predict(texts)
    mean_NC = (logged(results[0]) + logged(results[1])) / 2
    np.testing.assert_allclose(found.probability_NC, mean_NC, rtol=0, atol=EQUAL)
    for place, result in enumerate(results):
        single = Predictor(seed_of(both, place)).predict(texts)
        np.testing.assert_allclose(single.probability_NC, logged(result), rtol=0, atol=EQUAL)
    encoded = encode(corpus.test, vectors, longest)
    assert found.read_N.tolist() == encoded.tokens_N.tolist()
    assert (found.tokens_N - found.known_N).tolist() == encoded.dropped_N.tolist()
    assert ((found.read_N < found.known_N) == encoded.cut_N).all()
    assert found.label_N == [corpus.classes[place] for place in predicted(mean_NC)]


def test_three_classes_are_predicted_as_in_training(tmp_path: Path) -> None:
    kinds = ("books", "films", "songs")
    rows = [(f"review {n} {kinds[n % 3]} nice {'very ' * (n % 4)}", kinds[n % 3]) for n in range(150)]
    config, corpus, vectors = configured(Path(write(tmp_path / "three.csv", rows)))
    both, results = trained(config, corpus, vectors)
    found = Predictor(both).predict(corpus.texts("test"))
    assert found.classes == corpus.classes == kinds
    np.testing.assert_allclose(found.probability_NC, sum(map(logged, results)) / 2, rtol=0, atol=EQUAL)
    np.testing.assert_allclose(found.probability_NC.sum(axis=1), 1, rtol=0, atol=EQUAL)
    assert found.label_N == [kinds[place] for place in found.probability_NC.argmax(axis=1)]


def test_the_probabilities_of_all_seeds_are_calibrated_by_their_temperature() -> None:
    raw = made_up(classes=("a", "b", "c"))
    texts = ["word1 word2", "word3", ""]
    before, found = (Predictor(model).predict(texts) for model in (raw, replace(raw, temperature=2.0)))
    power_NC = before.probability_NC ** (1 / 2.0)
    expected_NC = power_NC / power_NC.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probability_NC, expected_NC, rtol=1e-6)  # 32 bits
    assert found.label_N == before.label_N
    two = made_up(seeds=(1,))
    odds_T, more_T = (Predictor(one).explain("word1 word2").weight_T for one in (two, replace(two, temperature=0.5)))
    np.testing.assert_allclose(more_T, 2 * odds_T, rtol=1e-4)  # log-odds grow by 1/T


def test_a_text_is_predicted_as_by_the_gru_of_torch_alone() -> None:
    """The probabilities of one text by nn.GRU and a linear layer, without our reading, batches and backends."""
    model = made_up(seeds=(1,), settings={"model.pooling": "final"})
    weights = {name: torch.tensor(value) for name, value in model.weights_S[0].items()}
    gru, linear = torch.nn.GRU(4, 3, batch_first=True), torch.nn.Linear(3, 2)
    gru.load_state_dict({name.partition(".")[2]: value for name, value in weights.items() if "linear" not in name})
    linear.load_state_dict({name.partition(".")[2]: value for name, value in weights.items() if "linear" in name})
    x_1TE = torch.tensor(model.table(0)[[3, 1, 12]])[None]
    with torch.no_grad():
        expected = linear(gru(x_1TE)[1][-1]).softmax(1).numpy()
    np.testing.assert_allclose(Predictor(model).predict(["word3 word1, word12"]).probability_NC, expected, atol=1e-6)


def test_the_order_of_the_texts_changes_nothing() -> None:
    predictor = Predictor(made_up())
    texts = [" ".join(f"word{1 + (n * (k + n)) % 12}" for k in range(n % 30)) for n in range(200)]
    found = predictor.predict(texts)
    backwards = predictor.predict(texts[::-1])
    np.testing.assert_allclose(found.probability_NC, backwards.probability_NC[::-1], rtol=0, atol=EQUAL)
    assert found.tokens_N.tolist() == [n % 30 for n in range(200)]
    assert len(np.unique(found.probability_NC[:, 0].round(6))) > 50


def test_words_without_a_vector_are_left_out_before_a_text_is_cut() -> None:
    predictor = Predictor(made_up(settings={"data.max_length": 2}))
    plain, strange, longer = predictor.predict(
        ["word1 word2", "WORD1 unheard-of, <br/> word2!", "nothing word1 nothing word2 word3"]).probability_NC
    np.testing.assert_allclose(strange, plain, rtol=0, atol=EQUAL)
    np.testing.assert_allclose(longer, plain, rtol=0, atol=EQUAL)
    found = predictor.predict(["nothing word1 nothing word2 word3"])
    assert (found.tokens_N[0], found.known_N[0], found.read_N[0]) == (5, 3, 2)
    assert found.known_share_N.tolist() == [0.6]


def test_a_text_without_known_words_is_one_step_of_padding() -> None:
    model = made_up(settings={"embedding.trainable": True})
    empty, blank, unknown = Predictor(model).predict(["", " \n", "unheard ????"]).probability_NC
    config = model.config
    backend = placement.place(with_settings(config, {"training.device": "cpu"})).backend
    expected = np.zeros(2)
    for weights in model.weights_S:
        network = untrained(config, torch.tensor(weights[TABLE]), 2)
        network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        network.eval()
        with torch.no_grad():
            log_1C = network(torch.zeros(1, 4), torch.tensor([[0]]), torch.tensor([1]), backend=backend)
        expected += log_1C[0].exp().numpy() / 2
    for found in (empty, blank, unknown):
        np.testing.assert_allclose(found, expected, rtol=0, atol=EQUAL)
    assert Predictor(model).predict(["", "unheard"]).known_share_N.tolist() == [0.0, 0.0]


def test_no_texts_have_no_predictions() -> None:
    found = Predictor(made_up()).predict([])
    assert len(found) == 0
    assert found.probability_NC.shape == (0, 2)
    assert found.label_N == []


def test_a_tie_goes_to_the_second_of_two_classes() -> None:
    model = made_up(seeds=(1,))
    level = {name: np.zeros_like(value) for name, value in model.weights_S[0].items()}
    found = Predictor(replace(model, weights_S=(level,))).predict(["word1"])
    assert found.probability_NC.tolist() == [[0.5, 0.5]]
    assert found.label_N == ["good"]


# ---------------------------------------------------------------- explanations


def by_hand(model: TrainedModel, text: str) -> tuple[str, list[tuple[str, float]]]:
    """The effect of each word that is read, by one prediction after another."""
    words = [word for word in tokenize(text) if word in model.words_V][:model.config.data.max_length]
    predictor = Predictor(model)

    def log_odds(read: list[str], place: int) -> float:
        probability = float(predictor.predict([" ".join(read)]).probability_NC[0, place])
        return math.log(probability / (1 - probability))

    label = predictor.predict([" ".join(words)]).label_N[0]
    place = model.classes.index(label)
    whole = log_odds(words, place)
    return label, [(word, whole - log_odds(words[:one] + words[one + 1:], place)) for one, word in enumerate(words)]


@pytest.mark.parametrize("classes", [("bad", "good"), ("a", "b", "c")])
@pytest.mark.parametrize("longest", [None, 3])
def test_an_explanation_is_that_of_a_loop_over_words(classes: tuple[str, ...], longest: int | None) -> None:
    model = made_up(classes=classes, settings={"data.max_length": longest})
    for text in ("word1 word7 nothing word3 word7 word2", "word9", "word4 word4"):
        label, expected = by_hand(model, text)
        found = Predictor(model).explain(text)
        assert found.label == label
        assert list(found.words_T) == [word for word, _ in expected]
        np.testing.assert_allclose(found.weight_T, [weight for _, weight in expected], rtol=0, atol=1e-4)
        assert found.left_out == 0


def test_an_explanation_of_nothing_is_empty() -> None:
    found = Predictor(made_up()).explain("nothing of this is known")
    assert (found.words_T, len(found.weight_T), found.left_out) == ((), 0, 0)
    assert found.strongest(3) == []


def test_a_long_text_is_explained_at_its_beginning() -> None:
    found = Predictor(made_up(settings={"data.max_length": None})).explain("word1 " * (EXPLAINED + 7))
    assert len(found.words_T) == EXPLAINED
    assert found.left_out == 7


def test_the_strongest_words_come_once_and_in_order() -> None:
    found = Explanation("good", ("a", "b", "a", "c"), np.array([0.1, -0.5, 0.3, 0.0]), 0)
    assert found.strongest(2) == [("b", -0.5), ("a", 0.3)]


# ---------------------------------------------------------------- models that do not fit


def test_weights_of_another_size_are_refused() -> None:
    model = made_up()
    other = replace(model, config=with_settings(model.config, {"model.hidden_size": 4}))
    with pytest.raises(DataError, match="seed 1 must fit"):
        Predictor(other)


def test_a_table_without_a_vector_for_each_word_is_refused() -> None:
    model = made_up()
    with pytest.raises(DataError, match="14 words, but has 13"):
        Predictor(replace(model, words_V=[*model.words_V, "more"]))
