"""Computation of the diagnostics: gradients through time, gates, and the words that decide.

The weights of a model run in float64 on the plain loop of gru.py, where each state can be observed. The float32 kernels
differ from it only by rounding. A model of the user's own stays in float32.

Shapes: `B` texts, `T` steps, `S` steps back, `E` vector width, `H` hidden width, `D` = H times directions,
`C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gru_bench.config import RunConfig
from gru_bench.data.batches import Encoded, encode
from gru_bench.data.corpus import Corpus, Split
from gru_bench.data.tokenizer import tokenize
from gru_bench.data.vectors import Vectors
from gru_bench.diagnose.occlusion import occlusion
from gru_bench.errors import DataError
from gru_bench.models.classifier import Classifier
from gru_bench.models.gru import GRUCell
from gru_bench.models.stack import Stack, Step
from gru_bench.models.trained import TrainedModel
from gru_bench.results.diagnostics import (
    EVERY_STEP,
    Attribution,
    Diagnostics,
    Direction,
    GateMap,
    GradientFlow,
    ModelState,
)
from gru_bench.train.network import restored, untrained

STEPS = 50
"""Number of steps back in time over which a gradient is followed."""
TEXTS = 96
"""Largest number of texts over which a gradient flow is averaged."""
LONGEST = 4
"""Longest text, as a multiple of the number of steps. Longer ones would take too much time."""
FIRST_FITTED = 5
"""First step of the fitted line. Nearer to the end the gradient is shaped by the head."""
SENTENCE = "At first I did not like it at all, but after a while it turned out to be the best I have ever had!"
LEGIBLE = (12, 30)
"""Smallest and largest number of known words in a text that is shown, so that its picture can be read."""
TURN = "but"
"""Texts with this word are preferred, because a turn in the text shows the gates at work."""


def run_diagnostics(
    trained: TrainedModel, corpus: Corpus, vectors: Vectors, *, texts: bool = False
) -> Diagnostics:
    """Return the diagnostics of a run.

    Args:
        trained: What the run has trained.
        corpus: Its texts. Only those of the validation split are read, or of the training split if there is no other.
        vectors: Word vectors of the corpus.
        texts: Whether words of a text may be shown. Otherwise a fixed sentence is used.

    Raises:
        DataError: where no text is long enough to follow a gradient back.
    """
    subject = Subject.trained(trained)
    legible = legible_text(corpus, vectors) if texts else None
    sentence = shown_sentence(trained, legible)
    return Diagnostics(
        tuple(flows_by_training(subject, corpus, vectors)),
        tuple(gate_maps(subject, sentence)) if sentence.tokens else (),
        (occluded(subject, sentence),) if sentence.tokens else (),
        "" if legible is None else _inspected_split(corpus)[0])


# ---------------------------------------------------------------- a model whose states can be observed


@dataclass(frozen=True)
class Subject:
    """A model with its word vectors, ready for the diagnostics."""

    model: Classifier
    config: RunConfig
    state: ModelState
    classes: tuple[str, ...]

    @classmethod
    def untrained(cls, config: RunConfig, vectors: Vectors, classes: tuple[str, ...]) -> Subject:
        """Return the model of a run before its first step, for classes of these names."""
        table_VE = torch.from_numpy(np.array(vectors.table_VE, dtype=np.float32))
        return cls(_prepared(untrained(config, table_VE, len(classes))), config, "initial", classes)

    @classmethod
    def trained(cls, trained: TrainedModel) -> Subject:
        """Return a model of one seed with its trained weights and its word vectors.

        Raises:
            DataError: where the weights do not fit the settings or the vectors.
        """
        return cls(_prepared(restored(trained)), trained.config, "trained", trained.classes)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Return the directions in which the model reads."""
        return ("forward", "backward") if self.config.model.is_bidirectional else ("forward",)

    def run(self, x_BTE: Tensor, length_B: Tensor, step: Step | None = None) -> Tensor:
        """Return the log-probabilities, B x C. `step` replaces the step function of the model."""
        observed = {} if step is None else {"step": step}
        return self.model.decide(self.model.recurrence(x_BTE, length_B, **observed), length_B)

    def by_direction(self, seen: Sequence[Tensor]) -> dict[Direction, list[Tensor]]:
        """Return the last layer's part of a list with one entry per step.

        Direction -> entries in the order of the tokens.
        """
        steps = len(seen) // (self.config.model.layers * len(self.directions))
        last = list(seen[-steps * len(self.directions):])
        found: dict[Direction, list[Tensor]] = {"forward": last[:steps]}
        if self.config.model.is_bidirectional:
            found["backward"] = last[:steps - 1:-1]
        return found


def _prepared(network: Classifier) -> Classifier:
    network = network.eval().requires_grad_(False)
    return network.double() if isinstance(network.recurrence, Stack) else network


# ---------------------------------------------------------------- gradients through time


def gradient_flows(
    subject: Subject, corpus: Corpus, vectors: Vectors, *, steps: int = STEPS, texts: int = TEXTS
) -> list[GradientFlow]:
    """Return the gradient of the loss by the states of the last layer, by steps back in time, for each direction.

    Empty for a class of the user's own, whose states are not known.

    Args:
        subject: The model.
        corpus: Corpus whose validation texts are read, or training texts if there are no others.
        vectors: Word vectors of the corpus.
        steps: Number of steps back. It is reduced where few texts are that long.
        texts: Largest number of texts, drawn with a fixed seed, for the average.

    Raises:
        DataError: where no text is long enough to follow a gradient back.
    """
    if not isinstance(subject.model.recurrence, Stack):
        return []
    split = _inspected_split(corpus)[1]
    encoded = encode(split, vectors, subject.config.data.max_length)
    chosen_B, steps = long_texts(encoded, steps, texts)
    norms: dict[Direction, list[NDArray[np.float64]]] = {}
    with _one_thread():
        for start in range(0, len(chosen_B), 32):
            x_BTE, length_B, label_B = _batch(encoded, chosen_B[start:start + 32], subject.model.table_VE)
            for direction, norm_BT in state_gradients(subject, x_BTE, length_B, label_B).items():
                norms.setdefault(direction, []).append(
                    _back_from_end(norm_BT, length_B, direction, subject.config.model.pooling, steps))
    return [_flow(subject, direction, np.concatenate(parts)) for direction, parts in norms.items()]


def flows_by_training(trained: Subject, corpus: Corpus, vectors: Vectors) -> list[GradientFlow]:
    """Return the gradient flows of a model before its first step, and then those of the trained model.

    Raises:
        DataError: as `gradient_flows`.
    """
    initial = Subject.untrained(trained.config, vectors, trained.classes)
    return [flow for subject in (initial, trained) for flow in gradient_flows(subject, corpus, vectors)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread within the context. More threads only wait for the many small products here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def long_texts(encoded: Encoded, steps: int, texts: int) -> tuple[NDArray[np.int64], int]:
    """Return the positions of the texts in which a gradient is followed, and the number of steps back.

    Raises:
        DataError: where all texts are shorter than four tokens.
    """
    length_N = np.diff(encoded.offsets_N1)
    # A tenth of the texts, or `texts` of them, must be this long.
    enough = min(len(length_N), max(1, min(texts, len(length_N) // 10)))
    steps = min(steps, int(np.sort(length_N)[-enough]) - 1)
    if steps < 3:
        raise DataError("the texts must have at least four known words to follow a gradient over three steps, but "
                        "nearly all have fewer: use longer texts, or vectors that contain their words")
    fit_N = np.flatnonzero((length_N > steps) & (length_N <= max(LONGEST * steps, length_N.min())))
    if not len(fit_N):
        fit_N = np.flatnonzero(length_N > steps)
    drawn = np.random.default_rng(0).permutation(fit_N)[:texts]
    return drawn[np.argsort(length_N[drawn], kind="stable")], steps


def state_gradients(
    subject: Subject, x_BTE: Tensor, length_B: Tensor, label_B: Tensor
) -> dict[Direction, NDArray[np.float64]]:
    """Return for each direction the Euclidean norm of dLoss/dh for the loss of each text at each token, B x T.

    It is the total derivative: through all later states, and through the pooling if it reads this state.
    """
    seen: list[Tensor] = []

    def step(cell: GRUCell, input_BG: Tensor, h_BH: Tensor) -> Tensor:
        h_BH = cell.step(input_BG, h_BH)
        if not h_BH.requires_grad:  # the weights need no gradient, so the graph begins at the first state
            h_BH.requires_grad_()
        seen.append(h_BH)
        return h_BH

    log_BC = subject.run(x_BTE, length_B, step)
    loss = -log_BC.gather(1, label_B[:, None]).sum()
    found = {}
    for direction, states in subject.by_direction(seen).items():
        gradients = torch.autograd.grad(loss, states, retain_graph=True, allow_unused=True)
        norms = [torch.zeros(len(x_BTE), dtype=torch.float64) if g is None else g.norm(dim=1) for g in gradients]
        found[direction] = torch.stack(norms, dim=1).numpy()
    return found


def _back_from_end(
    norm_BT: NDArray[np.float64], length_B: Tensor, direction: Direction, pooling: str, steps: int
) -> NDArray[np.float64]:
    """Return the norms by steps back in time from the state that is read last, B x S."""
    last_B1 = length_B.numpy()[:, None] - 1
    if direction == "backward" and pooling == "last":  # it is read after its first step: no state stands before
        at_BS = last_B1
    elif direction == "backward":
        at_BS = np.broadcast_to(np.arange(steps + 1), (len(norm_BT), steps + 1))
    else:
        at_BS = last_B1 - np.arange(steps + 1)
    return np.take_along_axis(norm_BT, at_BS, axis=1)


def _flow(subject: Subject, direction: Direction, norm_BS: NDArray[np.float64]) -> GradientFlow:
    norm_BS = norm_BS[(norm_BS > 0).all(axis=1)]  # a ReLU may block all of a text, and 0 has no logarithm
    if not len(norm_BS):
        raise DataError("the gradient at the states must not be 0 to be followed, but it is 0 in every text: train "
                        "fewer epochs, since the model may be certain of every answer")
    log_BS = np.log(norm_BS)
    mean_S = log_BS.mean(axis=0)
    low_S, high_S = np.quantile(log_BS, [0.25, 0.75], axis=0)
    steps = len(mean_S) - 1
    first = min(FIRST_FITTED, max(0, steps - 2))
    pooling = subject.config.model.pooling
    fits = steps >= 2 and pooling not in EVERY_STEP
    return GradientFlow(
        model=subject.config.model.name, direction=direction, state=subject.state, pooling=pooling,
        reviews=len(norm_BS), steps_back=tuple(range(steps + 1)),
        norm=_rounded(np.exp(mean_S)), low=_rounded(np.exp(low_S)), high=_rounded(np.exp(high_S)),
        decay=decay(mean_S, first) if fits else None, fitted=(first, steps))


def decay(log_S: NDArray[np.float64], first: int) -> float:
    """Return the factor per step: exp of the slope of the least-squares line through `log_S` from step `first` on."""
    step_S = np.arange(first, len(log_S))
    slope = np.polyfit(step_S, log_S[first:], 1)[0]
    return math.exp(slope)


def _batch(encoded: Encoded, chosen_B: NDArray[np.int64], table_VE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ends = encoded.offsets_N1
    rows = [torch.from_numpy(encoded.rows[ends[n]:ends[n + 1]].astype(np.int64)) for n in chosen_B]
    row_BT = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return (table_VE[row_BT], torch.tensor([len(row) for row in rows]),
            torch.from_numpy(encoded.label_N[chosen_B].astype(np.int64)))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return values rounded to six significant digits: enough for a figure, and half the size of a file."""
    return tuple(float(f"{value:.6g}") for value in values)


# ---------------------------------------------------------------- one sentence


def _inspected_split(corpus: Corpus) -> tuple[str, Split]:
    """Return the name and the texts of the split for the diagnostics. It is never the test split."""
    return ("validation", corpus.validation) if len(corpus.validation) else ("training", corpus.train)


def legible_text(corpus: Corpus, vectors: Vectors) -> list[str] | None:
    """Return the tokens of the first text that is short enough for a picture. None if there is none.

    Texts that contain `TURN` are preferred.
    """
    split = _inspected_split(corpus)[1]
    known_before = np.concatenate([[0], np.cumsum(vectors.row_of_word[split.ids] >= 0)])
    known_N = np.diff(known_before[split.offsets_N1])
    least, most = LEGIBLE
    legible = [[corpus.words[word] for word in split.ids[split.offsets_N1[n]:split.offsets_N1[n + 1]]]
               for n in np.flatnonzero((known_N >= least) & (known_N <= most))]
    return next((tokens for tokens in legible if TURN in tokens), legible[0] if legible else None)


@dataclass(frozen=True)
class Sentence:
    """The tokens of a text that a model reads: they have a vector and lie within `max_length`."""

    tokens: tuple[str, ...]
    rows: tuple[int, ...]
    """Row of the vector table for each of `tokens`."""

    @classmethod
    def of(cls, tokens: Sequence[str], model: TrainedModel) -> Sentence:
        """Return the tokens of a text that a model reads."""
        rows = tuple(model.rows(tokens)[:model.config.data.max_length])
        return cls(tuple(model.words_V[row] for row in rows), rows)


def shown_sentence(model: TrainedModel, text: Sequence[str] | None) -> Sentence:
    """Return what a model reads of the tokens of a text, or without one of `SENTENCE`."""
    return Sentence.of(text or tokenize(SENTENCE), model)


def gate_maps(subject: Subject, sentence: Sentence) -> list[GateMap]:
    """Return the gates of the last layer over a sentence, one map for each direction. Empty for a class of the user's
    own."""
    if not isinstance(subject.model.recurrence, Stack):
        return []
    seen: list[Tensor] = []

    def step(cell: GRUCell, input_BG: Tensor, h_BH: Tensor) -> Tensor:
        r, z, _ = cell.gates(input_BG, h_BH)
        seen.append(torch.stack([z[0], r[0]]))
        return cell.step(input_BG, h_BH)

    subject.run(subject.model.table_VE[list(sentence.rows)][None], torch.tensor([len(sentence.rows)]), step)
    return [
        GateMap(subject.config.model.name, direction, sentence.tokens,
                *(tuple(tuple(round(value, 4) for value in step[gate].tolist()) for step in steps) for gate in (0, 1)))
        for direction, steps in subject.by_direction(seen).items()
    ]


def occluded(subject: Subject, sentence: Sentence) -> Attribution:
    """Return, for each word, the loss of log-odds of a class if the word is left out: of the second of two classes, of
    the likeliest one of more."""
    def read(texts: Sequence[Sequence[int]]) -> Tensor:
        return subject.run(subject.model.table_VE[torch.tensor(texts)], torch.tensor([len(texts[0])] * len(texts)))

    log_BC, names = read([sentence.rows]), subject.classes
    label = 1 if len(names) == 2 else int(log_BC[0].argmax())
    return Attribution(
        subject.config.model.name, sentence.tokens,
        _rounded(occlusion(read, sentence.rows, label).numpy()), math.exp(log_BC[0, label].item()), names[label],
        names[1 - label] if len(names) == 2 else "")
