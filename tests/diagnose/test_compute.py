"""Diagnostics against finite differences, closed forms and the models themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batches import encode
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.tokenizer import tokenize
from gru_bench.data.vectors import Vectors, load_vectors
from gru_bench.diagnose import compute as d
from gru_bench.errors import DataError
from gru_bench.models.gru import GRUCell
from gru_bench.models.trained import TrainedModel, Weights
from gru_bench.results.diagnostics import Diagnostics
from gru_bench.train.loop import train
from gru_bench.train.network import untrained

MODELS = [("scratch", "final", 1), ("scratch", "last", 2), ("torch", "meanmax", 1),
          ("bidirectional", "final", 1), ("bidirectional", "last", 2), ("bidirectional", "mean", 2)]
"""Model, pooling and layers."""
TWO_CLASSES = ("negative", "positive")


@pytest.fixture(scope="module")
def data(easy_csv: Path) -> tuple[RunConfig, Corpus, Vectors]:
    config = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 6, "model.hidden_size": 5, "model.backend": "torch",
        "training.epochs": 1, "training.threads": 1})
    corpus = load_corpus(config.data)
    return config, corpus, load_vectors(config.embedding, corpus)


def vectors_of(width: int, words: list[str], seed: int = 0) -> Vectors:
    table_VE = np.random.default_rng(seed).normal(size=(len(words) + 1, width)).astype(np.float32)
    table_VE[0] = 0
    return Vectors("made up", table_VE, np.arange(1, len(words) + 1, dtype=np.int32), ["", *words])


def subject(name: str, pooling: str, layers: int, vectors: Vectors, **settings: object) -> d.Subject:
    config = with_settings(RunConfig(), {
        "model.name": name, "model.pooling": pooling, "model.layers": layers, "model.hidden_size": 5,
        **{f"model.{key}": value for key, value in settings.items()}})
    return d.Subject.untrained(config, vectors, TWO_CLASSES)


def trained(config: RunConfig, weights: Weights, vectors: Vectors) -> TrainedModel:
    return TrainedModel("", config.model.name, config, (config.seed,), TWO_CLASSES, vectors.words_V,
                        None if config.embedding.trainable else vectors.table_VE, (weights,))


def sentence_of(text: str, vectors: Vectors, longest: int | None = None) -> d.Sentence:
    config = with_settings(RunConfig(), {"data.max_length": longest})
    return d.Sentence.of(tokenize(text), trained(config, {}, vectors))


def batch(lengths: list[int], width: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    x_BTE = torch.randn(len(lengths), max(lengths), width, dtype=torch.float64,
                        generator=torch.Generator().manual_seed(3))
    return x_BTE, torch.tensor(lengths), torch.tensor([n % 2 for n in range(len(lengths))])


@pytest.mark.parametrize(("name", "pooling", "layers"), MODELS)
def test_a_watched_model_computes_what_the_model_computes(name: str, pooling: str, layers: int) -> None:
    vectors = vectors_of(3, list("abcdefgh"))
    watched = subject(name, pooling, layers, vectors)
    index_BT, length_B = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([4, 2])
    expected = watched.model(watched.model.table_VE, index_BT, length_B, backend="torch")
    torch.testing.assert_close(watched.run(watched.model.table_VE[index_BT], length_B), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "pooling", "layers"), MODELS)
def test_state_gradients_are_those_of_finite_differences(name: str, pooling: str, layers: int) -> None:
    """Push one state of all reviews along each axis, and look at each review's loss."""
    watched = subject(name, pooling, layers, vectors_of(3, ["a"]), hidden_size=3, relu=name == "torch")
    x_BTE, length_B, label_B = batch([4, 2, 5])
    got = d.state_gradients(watched, x_BTE, length_B, label_B)
    assert set(got) == set(watched.directions)
    epsilon, steps = 1e-6, x_BTE.shape[1]
    for place, direction in enumerate(watched.directions):
        calls_before = ((layers - 1) * len(watched.directions) + place) * steps
        for t in range(steps):
            call = calls_before + (t if direction == "forward" else steps - 1 - t)
            slopes = [
                (losses_pushed(watched, x_BTE, length_B, label_B, call, h, epsilon)
                 - losses_pushed(watched, x_BTE, length_B, label_B, call, h, -epsilon)) / (2 * epsilon)
                for h in range(3)
            ]
            # Central differences: 1e-12 of third derivatives, and 1e-16 / 1e-6 of rounding.
            np.testing.assert_allclose(got[direction][:, t], np.linalg.norm(slopes, axis=0), rtol=0, atol=2e-9)
        assert not got[direction][1, 2:].any()


def losses_pushed(
    watched: d.Subject, x_BTE: Tensor, length_B: Tensor, label_B: Tensor, call: int, h: int, by: float
) -> np.ndarray:
    """The loss of each review where a unit of the state at the call's step is pushed by a little."""
    count = -1

    def step(cell: GRUCell, input_BG: Tensor, h_BH: Tensor) -> Tensor:
        nonlocal count
        count += 1
        h_BH = cell.step(input_BG, h_BH)
        if count == call:
            h_BH = h_BH.clone()
            h_BH[:, h] += by
        return h_BH

    return -watched.run(x_BTE, length_B, step).gather(1, label_B[:, None])[:, 0].numpy()


def test_a_linear_recurrence_has_the_closed_form() -> None:
    """At the state 0, with gates of 1/2 and U = 0.8 I for the candidate, a step is h' = (1/2 + 0.8 / 4) h."""
    vectors = vectors_of(3, ["a"])
    watched = subject("scratch", "final", 1, vectors)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            watched.model.recurrence.get_parameter(name).zero_()
        watched.model.recurrence.get_parameter("weight_hh_l0")[10:] = 0.8 * torch.eye(5, dtype=torch.float64)
    x_BTE, length_B, label_B = batch([30, 12])
    norm_BT = d.state_gradients(watched, x_BTE, length_B, label_B)["forward"]
    linear = watched.model.linear.weight
    for b, length in enumerate(length_B.tolist()):
        probability_C = torch.softmax(watched.model.linear.bias, dim=0)
        start = (linear.T @ (probability_C - torch.eye(2, dtype=torch.float64)[label_B[b]])).norm().item()
        expected = start * 0.7 ** np.arange(length - 1, -1, -1)
        np.testing.assert_allclose(norm_BT[b, :length], expected, rtol=1e-12)
    back_BS = d._back_from_end(norm_BT, length_B, "forward", "final", 10)
    assert d.decay(np.log(back_BS).mean(axis=0), first=5) == pytest.approx(0.7, rel=1e-12)


def test_a_gru_that_keeps_its_state_keeps_its_gradient() -> None:
    """An update gate forced open hands the state on: no gradient is lost on the way."""
    watched = subject("scratch", "final", 1, vectors_of(3, ["a"]))
    with torch.no_grad():
        watched.model.recurrence.get_parameter("bias_ih_l0")[5:10] = 60.0  # z = 1 - 1e-26
    norm_BT = d.state_gradients(watched, *batch([20]))["forward"]
    np.testing.assert_allclose(norm_BT[0], norm_BT[0, -1], rtol=1e-9)


def test_norms_are_geometric_means_over_texts() -> None:
    norm_BS = np.array([[1.0, 4], [4, 64], [0, 1]])
    flow = d._flow(subject("scratch", "final", 1, vectors_of(3, ["a"])), "forward", norm_BS)
    assert (flow.norm, flow.reviews) == ((2, 16), 2)  # a norm of 0 has no logarithm


def test_steps_are_counted_from_the_state_that_is_read_last() -> None:
    norm_BT = np.array([[10.0, 11, 12, 13, 14], [20, 21, 22, 0, 0]])
    length_B = torch.tensor([5, 3])
    assert d._back_from_end(norm_BT, length_B, "forward", "final", 2).tolist() == [[14, 13, 12], [22, 21, 20]]
    assert d._back_from_end(norm_BT, length_B, "backward", "final", 2).tolist() == [[10, 11, 12], [20, 21, 22]]
    assert d._back_from_end(norm_BT, length_B, "forward", "last", 2).tolist() == [[14, 13, 12], [22, 21, 20]]
    assert d._back_from_end(norm_BT, length_B, "backward", "last", 2).tolist() == [[14], [22]]


def test_gradients_of_reviews_are_followed_in_each_direction(data: tuple[RunConfig, Corpus, Vectors]) -> None:
    config, corpus, vectors = data
    threads = torch.get_num_threads()
    flows = {}
    for name in ("scratch", "bidirectional"):
        one = with_settings(config, {"model.name": name})
        subject = d.Subject.untrained(one, vectors, corpus.classes)
        for flow in d.gradient_flows(subject, corpus, vectors, steps=8, texts=20):
            flows[name, flow.direction] = flow
    assert torch.get_num_threads() == threads
    assert set(flows) == {("scratch", "forward"), ("bidirectional", "forward"), ("bidirectional", "backward")}
    for flow in flows.values():
        assert flow.steps_back == tuple(range(len(flow.norm)))
        assert all(low <= middle <= high for low, middle, high in zip(flow.low, flow.norm, flow.high, strict=True))
        assert flow.state == "initial"
        assert flow.decay is not None
        assert 0 < flow.decay < 1


def test_a_pooling_over_all_steps_has_no_decay(
    data: tuple[RunConfig, Corpus, Vectors],
) -> None:
    config, corpus, vectors = data
    mean = with_settings(config, {"model.name": "scratch", "model.pooling": "mean"})
    (flow,) = d.gradient_flows(d.Subject.untrained(mean, vectors, corpus.classes), corpus, vectors, steps=6)
    assert flow.decay is None
    assert len(flow.norm) == 7
    last = with_settings(config, {"model.name": "bidirectional", "model.pooling": "last"})
    forward, backward = d.gradient_flows(d.Subject.untrained(last, vectors, corpus.classes), corpus, vectors, steps=6)
    assert (forward.direction, backward.direction) == ("forward", "backward")
    assert (len(forward.norm), len(backward.norm), backward.decay) == (7, 1, None)


def test_long_texts_are_drawn_the_same_each_time(data: tuple[RunConfig, Corpus, Vectors]) -> None:
    config, corpus, vectors = data
    encoded = encode(corpus.train, vectors, config.data.max_length)
    chosen, steps = d.long_texts(encoded, 8, 20)
    assert (np.diff(encoded.offsets_N1)[chosen] > steps).all()
    assert chosen.tolist() == d.long_texts(encoded, 8, 20)[0].tolist()
    assert (len(chosen), steps) == (20, 8)
    assert d.long_texts(encoded, 500, 20)[1] < 20  # no review has so many: as far as a few of them reach
    with pytest.raises(DataError, match="three steps"):
        d.long_texts(encode(corpus.train, vectors, 2), 8, 20)


# ---------------------------------------------------------------- a sentence


def test_gates_by_hand() -> None:
    """One unit, weights chosen: z and r of two steps."""
    vectors = Vectors("made up", np.array([[0.0], [1.0], [-2.0]], np.float32), np.array([1, 2], np.int32),
                      ["", "one", "two"])
    watched = d.Subject.untrained(with_settings(RunConfig(), {"model.name": "scratch", "model.hidden_size": 1}),
                                  vectors, TWO_CLASSES)
    values = {"weight_ih_l0": [[0.5], [-0.3], [0.8]], "weight_hh_l0": [[0.2], [0.7], [-0.4]],
              "bias_ih_l0": [0.1, 0.0, -0.2], "bias_hh_l0": [0.0, 0.3, 0.05]}
    watched.model.recurrence.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    (found,) = d.gate_maps(watched, sentence_of("One, TWO and three", vectors))
    assert found.tokens == ("one", "two")
    h, update, reset = 0.0, [], []
    for x in (1.0, -2.0):
        r = 1 / (1 + math.exp(-(0.5 * x + 0.1 + 0.2 * h)))
        z = 1 / (1 + math.exp(-(-0.3 * x + 0.7 * h + 0.3)))
        n = math.tanh(0.8 * x - 0.2 + r * (-0.4 * h + 0.05))
        h = z * h + (1 - z) * n
        update.append([z])
        reset.append([r])
    # Rounded to four decimals.
    np.testing.assert_allclose(found.update, update, rtol=0, atol=6e-5)
    np.testing.assert_allclose(found.reset, reset, rtol=0, atol=6e-5)


def test_backward_gates_are_in_the_order_of_the_sentence() -> None:
    vectors = vectors_of(3, ["a", "b", "c"])
    watched = subject("bidirectional", "final", 2, vectors)
    sentence = sentence_of("a b c", vectors)
    forward, backward = d.gate_maps(watched, sentence)
    assert (forward.direction, backward.direction) == ("forward", "backward")
    assert np.shape(backward.update) == (3, 5)
    # A layer that reads backwards sees at its first token c what it sees at c alone, whatever stands before.
    alone = subject("bidirectional", "final", 1, vectors)
    whole, last = (d.gate_maps(alone, sentence_of(text, vectors))[1] for text in ("a b c", "c"))
    assert whole.update[2] == last.update[0]
    assert whole.update[0] != last.update[0]


def test_a_sentence_has_the_words_that_a_model_reads() -> None:
    vectors = vectors_of(2, ["did", "n't", "like"])
    sentence = sentence_of("I didn't LIKE it", vectors, 2)
    assert sentence.tokens == ("did", "n't")
    assert [vectors.words_V[row] for row in sentence.rows] == ["did", "n't"]
    assert sentence_of("quark xyz", vectors).tokens == ()


@pytest.mark.parametrize(("name", "pooling", "layers"), MODELS)
def test_attributions_from_their_definitions(name: str, pooling: str, layers: int) -> None:
    vectors = vectors_of(3, ["a", "b", "c", "e"])
    watched = subject(name, pooling, layers, vectors)
    sentence = sentence_of("a b a e", vectors)

    def odds(rows: list[Tensor]) -> float:
        log_BC = watched.run(torch.stack(rows)[None], torch.tensor([len(rows)]))
        return (log_BC[0, 1] - log_BC[0, 0]).item()

    rows = [watched.model.table_VE[row] for row in sentence.rows]
    found = d.occluded(watched, sentence)
    assert found.tokens == ("a", "b", "a", "e")
    assert (found.label, found.other) == ("positive", "negative")
    assert found.probability == pytest.approx(1 / (1 + math.exp(-odds(rows))), abs=1e-12)
    for t in range(4):
        assert found.weight[t] == pytest.approx(odds(rows) - odds(rows[:t] + rows[t + 1:]), rel=1e-5, abs=1e-12)


def test_log_odds_of_several_classes_are_those_of_the_likeliest_against_all_others() -> None:
    vectors = vectors_of(3, ["a", "b", "c", "e"])
    config = with_settings(RunConfig(), {"model.name": "scratch", "model.hidden_size": 5})
    watched = d.Subject.untrained(config, vectors, ("news", "sport, tennis", "arts"))
    sentence = sentence_of("a b a e", vectors)
    rows = [watched.model.table_VE[row] for row in sentence.rows]
    shares = watched.run(torch.stack(rows)[None], torch.tensor([4]))[0].exp().tolist()
    place = shares.index(max(shares))

    def odds(rows: list[Tensor]) -> float:
        share = watched.run(torch.stack(rows)[None], torch.tensor([len(rows)]))[0, place].exp().item()
        return math.log(share / (1 - share))

    found = d.occluded(watched, sentence)
    assert (found.label, found.against, found.other) == (watched.classes[place], "", "another class")
    assert found.probability == pytest.approx(shares[place], abs=1e-12)
    for t in range(4):
        assert found.weight[t] == pytest.approx(odds(rows) - odds(rows[:t] + rows[t + 1:]), rel=1e-5, abs=1e-12)


def test_a_run_of_several_classes_is_diagnosed(data: tuple[RunConfig, Corpus, Vectors]) -> None:
    config, corpus, vectors = data
    three = replace(corpus, classes=("bad", "good", "so-so"))
    config = with_settings(config, {"model.name": "scratch"})
    found = d.run_diagnostics(TrainedModel.of(train(config, three, vectors), vectors), three, vectors, texts=True)
    assert {flow.model for flow in found.flows} == {"scratch"}
    assert {one.label for one in found.attributions} <= {"bad", "good"}
    assert Diagnostics.from_json(found.to_json()) == found


def test_a_single_word_is_replaced_by_padding() -> None:
    vectors = vectors_of(3, ["a"])
    watched = subject("scratch", "final", 1, vectors)
    found = d.occluded(watched, sentence_of("a", vectors))
    log_1C, log_0C = (watched.run(watched.model.table_VE[[row]][None], torch.tensor([1]))[0] for row in (1, 0))
    expected = (log_1C[1] - log_1C[0] - log_0C[1] + log_0C[0]).item()
    assert list(found.weight) == pytest.approx([expected], rel=1e-5)


# ---------------------------------------------------------------- a run


@pytest.mark.parametrize(("name", "directions"), [("scratch", ["forward"]), ("bidirectional", ["forward", "backward"])])
def test_a_run_is_diagnosed_and_stored_as_json(
    name: str, directions: list[str], data: tuple[RunConfig, Corpus, Vectors]
) -> None:
    config, corpus, vectors = data
    one = with_settings(config, {"model.name": name, "embedding.trainable": name == "scratch"})
    kept = TrainedModel.of(train(one, corpus, vectors), vectors)
    found = d.run_diagnostics(kept, corpus, vectors)
    assert [(flow.model, flow.state, flow.direction) for flow in found.flows] == [
        (name, state, direction) for state in ("initial", "trained") for direction in directions]
    assert (found.gates, found.attributions, found.review) == ((), (), "")  # the data have no word of the sentence
    assert Diagnostics.from_json(found.to_json()) == found
    maps = d.gate_maps(d.Subject.trained(kept), sentence_of("good1 bad1", vectors))
    again = Diagnostics((), tuple(maps), ())
    assert Diagnostics.from_json(again.to_json()) == again


def test_a_review_is_diagnosed_where_texts_may_be_kept(
    data: tuple[RunConfig, Corpus, Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, corpus, vectors = data
    one = with_settings(config, {"model.name": "bidirectional"})
    kept = TrainedModel.of(train(one, corpus, vectors), vectors)
    review = d.legible_text(corpus, vectors)
    assert review is not None
    assert review in [tokenize(text) for text in corpus.texts("validation")]
    assert d.LEGIBLE[0] <= len(review) <= d.LEGIBLE[1]
    found = d.run_diagnostics(kept, corpus, vectors, texts=True)
    assert found.review == "validation"
    read = d.Sentence.of(review, kept)
    assert {gates.tokens for gates in found.gates} == {read.tokens}
    assert Diagnostics.from_json(found.to_json()) == found
    assert found.without_review() == replace(found, gates=(), attributions=(), review="")
    with_turn = next(text.split() for text in corpus.texts("validation")
                     if "good3" in text.split() and len(tokenize(text)) >= d.LEGIBLE[0])
    monkeypatch.setattr(d, "TURN", "good3")
    assert d.legible_text(corpus, vectors) == with_turn
    monkeypatch.setattr(d, "TURN", "nowhere")
    assert d.legible_text(corpus, vectors) == review
    unknown = replace(vectors, row_of_word=np.full_like(vectors.row_of_word, -1))
    assert d.legible_text(corpus, unknown) is None
    monkeypatch.setattr(d, "LEGIBLE", (1000, 2000))
    assert d.legible_text(corpus, vectors) is None


def test_the_trained_weights_and_vectors_are_diagnosed(data: tuple[RunConfig, Corpus, Vectors]) -> None:
    config, corpus, vectors = data
    one = with_settings(config, {"model.name": "scratch", "embedding.trainable": True, "training.lr": 0.05})
    result = train(one, corpus, vectors)
    watched = d.Subject.trained(TrainedModel.of(result, vectors))
    predictions = result.predictions["validation"]
    encoded = encode(corpus.validation, vectors, None)
    for n in range(5):
        rows = encoded.rows[encoded.offsets_N1[n]:encoded.offsets_N1[n + 1]].tolist()
        log_BC = watched.run(watched.model.table_VE[rows][None], torch.tensor([len(rows)]))
        assert log_BC[0, 1].exp().item() == pytest.approx(predictions.probability_NC[n, 1], abs=1e-5)


def test_refuses_weights_of_other_settings_or_data(data: tuple[RunConfig, Corpus, Vectors]) -> None:
    config, _, vectors = data
    model = untrained(config, torch.tensor(vectors.table_VE))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    other = with_settings(config, {"model.hidden_size": 7})
    with pytest.raises(DataError, match=r"seed 0 must fit.*size"):
        d.Subject.trained(trained(other, weights, vectors))
    short = {**weights, "embedding.table": np.zeros((3, 6), np.float32)}
    own = with_settings(config, {"embedding.trainable": True})
    with pytest.raises(DataError, match=r"seed 0.*has 3"):
        d.Subject.trained(trained(own, short, vectors))
