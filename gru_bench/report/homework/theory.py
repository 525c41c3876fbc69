"""What the homework wanted to teach, in words, formulas and diagrams: its introduction and its theory.

Nothing here is measured. The few things that depend on a study (its vectors, where its scratch models reset) are
arguments.
"""

from __future__ import annotations

from gru_bench.report.document.blocks import (
    Block,
    Bullets,
    Equation,
    Equations,
    FigureReference,
    Heading,
    Paragraph,
    prose,
)
from gru_bench.report.document.numbers import Sentence

CELL = (
    Equation("z_t", r"= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz})", "1", "update gate"),
    Equation("r_t", r"= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr})", "2", "reset gate"),
    Equation("n_t", r"= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn}))", "3", "candidate"),
    Equation("h_t", r"= z_t \odot h_{t-1} + (1 - z_t) \odot n_t", "4", "state"),
)
"""As the code computes them: Cho et al. 2014, equations 5-8, but for the place of the reset gate."""
WRITTEN = (
    Equation("n_t", r"= \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn})", "3a", "reset before"),
    Equation("h_t", r"= (1 - z_t) \odot h_{t-1} + z_t \odot n_t", "4a", "z swapped"),
)
"""As the homework's equations 3 and 4 have them."""
CHANCE = Equation(r"p(c \mid w)", r"= \frac{\exp(u_c^\top v_w)}{\sum_{k=1}^{V} \exp(u_k^\top v_w)}")
"""Mikolov et al. 2013, equation 2."""
PLAIN = Equation("h_t", r"= \tanh(W x_t + U h_{t-1} + b)")
THROUGH_TIME = Equation(
    r"\frac{\partial h_T}{\partial h_t}", r"= \prod_{k=t+1}^{T} \operatorname{diag}(1 - h_k^2) \, U,"
)
"""The chain rule on the plain network; the factors from the last step to the first."""
THROUGH_GATE = Equation(r"\frac{\partial h_t}{\partial h_{t-1}}", r"= \operatorname{diag}(z_t) + \cdots")
"""The chain rule on (4)."""


def word_vectors(vectors: Sentence) -> tuple[Block, ...]:
    """Return how word vectors come about; `vectors` says which ones a study has."""
    return (
        Heading("Word vectors", "word-vectors"),
        Paragraph(prose("""
            A network reads numbers, so each word is first turned into a vector. Word2Vec (Mikolov et al. 2013) learns
            such vectors from text alone, by a task that needs no labels: given a focus word, predict the context words
            that stand within a window around it.
        """)),
        FigureReference("word-vectors"),
        Paragraph(prose("""
            The focus word enters as a one-hot vector, which is 0 but for one place. Times the first linear layer $W_1$
            it selects one row, $v_w$: the layer is a table with a vector for each of the $V$ words. The second linear
            layer $W_2$ holds another vector $u_c$ for each word, as a column, and the products of the two become
            chances by the softmax:
        """)),
        Equations("The chance of a context word", (CHANCE,)),
        Paragraph(prose("""
            Training draws $v_w$ towards the $u_c$ of the words that it is met with. Words that keep the same company so
            come to lie close together, and that is what a classifier profits from: what it learns of one of them holds
            for the others. In the end only $W_1$ is kept. As the sum over the whole vocabulary is costly, it is
            replaced in practice by a few words drawn as negative examples. The continuous bag of words turns the task
            round and predicts the focus word from the mean of its context.
        """)),
        Paragraph(vectors),
    )


def recurrence() -> tuple[Block, ...]:
    """Return why a recurrent network, and why a plain one forgets."""
    return (
        Heading("From a feed-forward to a recurrent network", "recurrence"),
        Paragraph(prose("""
            A feed-forward network takes an input of fixed size. A review is as long as its writer liked, and the order
            of its words matters. A recurrent network reads one word vector $x_t$ a step and keeps a state $h_t$ of what
            it has read, made from the new word and the state before:
        """)),
        Equations("A plain recurrent network", (PLAIN,)),
        FigureReference("networks"),
        Paragraph(prose("""
            Unrolled in time it is a feed-forward network again, as deep as the review is long, with the same weights in
            every layer, and it is trained like one. What the last state owes to an earlier one is a product with a
            factor for each step between,
        """)),
        Equations("The gradient through time", (THROUGH_TIME,)),
        Paragraph(prose("""
            in order from the last step to the first. Where these factors shorten a vector the product vanishes
            geometrically: at 0.9 a step, less than a ten-thousandth is left after a hundred steps, and what the first
            words have to do with the answer can hardly be learned. Where they lengthen it, the gradient explodes
            (Bengio et al. 1994). This is the difficulty that gates were made for.
        """)),
    )


def gated_unit(ours: Sentence) -> tuple[Block, ...]:
    """Return the GRU and the three notes on its equations; `ours` says where the scratch models of a study reset."""
    return (
        Heading("The gated recurrent unit", "gru"),
        Paragraph(prose(r"""
            A GRU (Cho et al. 2014) decides at each step, and for each entry of its state, how much of the old to keep.
            With the logistic function $\sigma$, which lies between 0 and 1, and $\odot$ for the product element by
            element:
        """)),
        Equations("The four equations of the GRU", CELL),
        FigureReference("gru-cell"),
        Paragraph(prose("""
            The update gate $z_t$ divides the new state between the old one and a candidate $n_t$; the reset gate $r_t$
            says how much of the old state the candidate may use. What this does to the gradient can be read off (4):
        """)),
        Equations("The gradient through one step of a GRU", (THROUGH_GATE,)),
        Paragraph(prose("""
            where the dots stand for the terms that pass through the gates and the candidate. The first term multiplies
            by no matrix and passes no tanh. Where the network learns to hold an entry of $z_t$ close to 1, that entry
            and its gradient pass on as they are, over as many words as it takes. The gates are functions of the text,
            so the network can hold on to a verdict and still let go of it at a “but”.
        """)),
        Paragraph(("The homework’s report writes two of the four otherwise:",)),
        Equations("Two equations as the homework writes them", WRITTEN),
        Bullets((
            ("The sign of z.", prose(r"""
                Cho et al. and PyTorch let $z_t$ weigh the old state, as in (4); the homework’s equation 4 has the two
                weights the other way round, as in (4a). As $1 - \sigma(a) = \sigma(-a)$, this is the same family of
                functions with the update gate’s weights and biases negated: nothing is gained or lost, but a gate near
                1 keeps in the one text and replaces in the other.
            """)),
            ("The place of the reset gate.", prose("""
                The homework’s equation 3 resets the state before the product, as in (3a) and in Cho et al. Its code
                resets after the product, as (3), cuDNN and PyTorch do. These are two different functions, as $W_{hn}$
                mixes the entries of what it is given; the second lets a single product with $h_{t-1}$ serve both gates
                and the candidate.
            """)),
            ("What the scratch code really computes.", (*prose("""
                With the reset after the product, the homework’s scratch GRU is the function of PyTorch’s GRU: the same
                weights give the same states. What sets the two apart is the draw of their initial weights, the ReLU
                that only the PyTorch models have before the last layer, and speed.
            """), " ", *ours)),
        )),
    )


def both_ways() -> tuple[Block, ...]:
    """Return what a bidirectional GRU is, and what the homework reads of it."""
    return (
        Heading("Reading both ways", "both-ways"),
        Paragraph(prose("""
            A bidirectional GRU (Schuster and Paliwal 1997) is two recurrent networks with weights of their own. One
            reads the review from its first word to its last, the other from its last word to its first, and at each
            word their states stand side by side. It matters which of these states the classifier is given.
        """)),
        FigureReference("poolings"),
        Paragraph(prose("""
            The homework takes the output at the last word. There the forward half has read the whole review, but the
            backward half has read one word. So the model that is to profit from reading both ways hardly can: but for
            that one word it answers from its forward half. What this costs is measured below.
        """)),
    )


def scratch_unit() -> tuple[Block, ...]:
    """Return how the scratch GRU computes its projections."""
    return (
        Heading("The scratch GRU", "scratch-gru"),
        Paragraph(prose("""
            Equations (1) to (3) ask for six matrices. The scratch GRU keeps two: those that multiply the word vector
            stand on one another, and so do those that multiply the state. Each product is cut into three chunks of $H$
            rows, for $r_t$, $z_t$ and $n_t$. The word vectors of a review are all known beforehand, so that their
            product is made once for all of them; only the product with the state has to wait for the step before.
        """)),
        FigureReference("chunks"),
        Paragraph(prose("""
            The readable reference does just this, in a loop over the words. The fused backend computes the same
            recurrence in one compiled kernel with a gradient of its own, and is tested against the reference.
        """)),
    )


REFERENCES = (
    ("", prose("""
        Bengio, Simard, Frasconi (1994). Learning long-term dependencies with gradient descent is difficult. IEEE
        Transactions on Neural Networks 5 (2).
    """)),
    ("", prose("""
        Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio (2014). Learning phrase representations
        using RNN encoder-decoder for statistical machine translation. EMNLP.
    """)),
    ("", prose("""
        Mikolov, Sutskever, Chen, Corrado, Dean (2013). Distributed representations of words and phrases and their
        compositionality. NIPS.
    """)),
    ("", prose("""
        Schuster, Paliwal (1997). Bidirectional recurrent neural networks. IEEE Transactions on Signal Processing 45
        (11).
    """)),
)
