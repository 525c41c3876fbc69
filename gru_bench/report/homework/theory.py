"""The theory of the homework in words, formulas and diagrams.

Nothing here is measured. A few facts depend on a study: its vectors, and the place of its reset gate.
"""

from __future__ import annotations

from gru_bench.report.document.blocks import Bullets, Equation, Equations, Heading, Paragraph
from gru_bench.report.document.numbers import file_name
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined, prose, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.homework.diagrams import DIAGRAMS
from gru_bench.report.homework.reproduction import Reproduction, reproductions


def theory(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the homework's protocol.

    The four equations of the GRU are those of Cho et al. 2014, 5 to 8, except for the place of the reset gate; the
    probability of a context word is equation 2 of Mikolov et al. 2013.
    """
    studies = reproductions(evidence)
    if not studies:
        return None
    return Section("theory", "Theory", (
        Heading("Word vectors", "word-vectors"),
        Paragraph(prose("""
            A network reads numbers, so each word is first turned into a vector. Word2Vec (Mikolov et al. 2013) learns
            such vectors from text alone, by a task that needs no labels: given a focus word, predict the context words
            within a window around it.
        """)),
        DIAGRAMS["word-vectors"],
        Paragraph(prose("""
            The focus word enters as a one-hot vector, which is 0 except in one place. Multiplied by the first linear
            layer $W_1$, it selects one row, $v_w$: the layer is a table with a vector for each of the $V$ words. The
            second linear layer $W_2$ holds another vector $u_c$ for each word, as a column. A softmax turns the
            products of the two into probabilities:
        """)),
        Equations("The probability of a context word", (
            Equation(r"p(c \mid w)", r"= \frac{\exp(u_c^\top v_w)}{\sum_{k=1}^{V} \exp(u_k^\top v_w)}"),
        )),
        Paragraph(prose("""
            Training moves $v_w$ towards the $u_c$ of the words that occur around it. So words with similar contexts get
            similar vectors. A classifier profits from that: what it learns about one of them holds for the others. In
            the end only $W_1$ is used. The sum over the whole vocabulary is costly, so in practice it is replaced by a
            few words drawn as negative examples. The continuous bag of words reverses the task: it predicts the focus
            word from the mean of its context.
        """)),
        Paragraph(joined(list(map(_vectors, studies)))),
        Heading("From a feed-forward to a recurrent network", "recurrence"),
        Paragraph(prose("""
            A feed-forward network takes an input of fixed size. Reviews differ in length, and the order of their words
            matters. A recurrent network reads one word vector $x_t$ at each step. It has a state $h_t$ of what it has
            read, computed from the new word and the previous state:
        """)),
        Equations("A plain recurrent network", (Equation("h_t", r"= \tanh(W x_t + U h_{t-1} + b)"),)),
        DIAGRAMS["networks"],
        Paragraph(prose("""
            Unrolled in time it is a feed-forward network again, as deep as the review is long, with the same weights in
            every layer, and it is trained like one. The derivative of the last state with respect to an earlier one is
            a product with one factor for each step between them,
        """)),
        Equations("The gradient through time", (
            Equation(r"\frac{\partial h_T}{\partial h_t}", r"= \prod_{k=t+1}^{T} \operatorname{diag}(1 - h_k^2) \, U,"),
        )),
        Paragraph(prose("""
            in order from the last step to the first. Where these factors shorten a vector, the product vanishes
            geometrically: at 0.9 for each step, less than a ten-thousandth is left after a hundred steps, and the
            effect of the first words can hardly be learned. Where they lengthen it, the gradient explodes (Bengio et
            al. 1994). Gates were invented to solve this problem.
        """)),
        Heading("The gated recurrent unit", "gru"),
        Paragraph(prose(r"""
            A GRU (Cho et al. 2014) decides at each step, and for each entry of its state, how much of the old to keep.
            $\sigma$ is the logistic function, with values between 0 and 1, and $\odot$ is the product element by
            element:
        """)),
        Equations("The four equations of the GRU", (
            Equation("z_t", r"= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz})", "1", "update gate"),
            Equation("r_t", r"= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr})", "2", "reset gate"),
            Equation("n_t", r"= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn}))", "3", "candidate"),
            Equation("h_t", r"= z_t \odot h_{t-1} + (1 - z_t) \odot n_t", "4", "state"),
        )),
        DIAGRAMS["gru-cell"],
        Paragraph(prose("""
            The update gate $z_t$ divides the new state between the old one and a candidate $n_t$; the reset gate $r_t$
            says how much of the old state the candidate may use. Equation (4) shows the effect on the gradient:
        """)),
        Equations("The gradient through one step of a GRU", (
            Equation(r"\frac{\partial h_t}{\partial h_{t-1}}", r"= \operatorname{diag}(z_t) + \cdots"),
        )),
        Paragraph(prose("""
            where the dots stand for the terms that pass through the gates and the candidate. The first term contains no
            matrix and no tanh. Where the network learns to hold an entry of $z_t$ close to 1, that entry of the state
            and its gradient pass unchanged over many words. The gates are functions of the text, so the network can
            remember an opinion and still forget it at a “but”.
        """)),
        Paragraph(("The homework’s report writes two of the four differently:",)),
        Equations("Two equations as the homework writes them", (
            Equation(
                "n_t", r"= \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn})", "3a", "reset before"),
            Equation("h_t", r"= (1 - z_t) \odot h_{t-1} + z_t \odot n_t", "4a", "z swapped"),
        )),
        Bullets((
            ("The sign of z.", prose(r"""
                Cho et al. and PyTorch let $z_t$ weigh the old state, as in (4); the homework’s equation 4 has the two
                weights swapped, as in (4a). As $1 - \sigma(a) = \sigma(-a)$, this is the same family of functions with
                the update gate’s weights and biases negated. Nothing is gained or lost, but a gate near 1 keeps the
                state in the one form and replaces it in the other.
            """)),
            ("The place of the reset gate.", prose("""
                The homework’s equation 3 resets the state before the product, as in (3a) and in Cho et al. Its code
                resets after the product, as (3), cuDNN and PyTorch do. These are two different functions, because
                $W_{hn}$ mixes the entries of its input. In the second form a single product with $h_{t-1}$ serves both
                gates and the candidate.
            """)),
            ("What the scratch code computes.", (*prose("""
                With the reset after the product, the homework’s scratch GRU is the function of PyTorch’s GRU: the same
                weights give the same states. The two differ in the draw of their initial weights, in the ReLU that only
                the PyTorch models have before the last layer, and in speed.
            """), " ", *joined(list(map(_reset, studies))))),
        )),
        Heading("Bidirectional GRU", "bidirectional-gru"),
        Paragraph(prose("""
            A bidirectional GRU (Schuster and Paliwal 1997) is two recurrent networks with weights of their own. One
            reads the review from its first word to its last, the other from its last word to its first. At each word
            their states are concatenated. It matters which of these states the classifier gets.
        """)),
        DIAGRAMS["poolings"],
        Paragraph(prose("""
            The homework takes the output at the last word. There the forward half has read the whole review, but the
            backward half has read only one word. So the model hardly profits from reading in both directions: except
            for that one word it uses its forward half alone. The effect of this is measured below.
        """)),
    ))


def _vectors(one: Reproduction) -> Sentence:
    """Return which word vectors a study has."""
    data = one.data
    trained = "were trained on the training reviews alone, as a continuous bag of words"
    source = trained if data.embedding == "corpus" else f"are “{file_name(data.embedding)}”"
    scale = next(iter(one.groups.values())).config.embedding.scale
    scaled: Sentence = () if scale == 1 else (
        ", all multiplied by ", one.numbers.add("theory.scale", scale, "setting", "a setting"),
        " (the factor brings vectors that were stored at one length to the size that training is used to)")
    return say(
        "The vectors of {name} {source}, {dimension} numbers each{scaled}; {dropped} % of all tokens have none and are "
        "left out.", name=one.name or "these runs", source=source, scaled=scaled,
        dimension=one.numbers.add("theory.dimension", data.embedding_dimension, "count", "numbers of a vector"),
        dropped=one.numbers.add("theory.dropped", data.dropped_share, "percent", "tokens without a vector"))


def _reset(one: Reproduction) -> Sentence:
    """Return where the scratch models of a study apply the reset gate; empty where it has none."""
    if "scratch" not in one.groups:
        return ()
    if one.groups["scratch"].config.model.reset == "after":
        return (f"In {one.these_runs} the reset gate acts after the product.",)
    return (f"In {one.these_runs} the reset gate was set to act before the product, which is another function.",)
