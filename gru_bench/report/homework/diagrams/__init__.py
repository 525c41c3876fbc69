"""The diagrams of the theory section: their words, beside the files that the script `draw` makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gru_bench.report.document.figure import Diagram

FOLDER = Path(__file__).parent
"""Holds NAME.svg and NAME.pdf of each diagram."""
DIAGRAMS: Mapping[str, Diagram] = {diagram.name: diagram for diagram in (
    Diagram(
        "word-vectors",
        "Word2Vec, as a skip-gram. Top: a focus word and the context words within two places of it. Bottom: the "
        "network that predicts the context words from the focus word, two linear layers with nothing between them. "
        "The row of the first layer that the focus word selects is its word vector.",
        "The words a, quiet, film, that, moved, me, deeply. The focus word is moved; arcs lead from it to its context "
        "words film, that, me and deeply. Below, a one-hot column of V entries, the one of moved filled, enters a "
        "first linear layer W1 of V by E, which narrows to a word vector of E numbers. A second linear layer W2 of E "
        "by V widens to V values, which a softmax turns into probabilities: high for film, that, me and deeply, low "
        "for the other words.",
        FOLDER,
    ),
    Diagram(
        "networks",
        "A feed-forward layer; the same with its state fed back (U), which makes it recurrent; and the recurrent "
        "network unrolled: a deep network with one layer for each token, all with the same W and U.",
        "Three drawings. Feed-forward: an input x passes weights W into a layer h and on to an output y. Recurrent: "
        "the same with a loop, of weights U, from the state h at step t back to itself. Unrolled over a review of T "
        "tokens: a start state h0 leads by U to h1, by U to h2 and so on to the last state hT, from which the output "
        "y is read; at every step the token x of that step enters from below by the same W.",
        FOLDER,
    ),
    Diagram(
        "gru-cell",
        "One step of the GRU as the code computes it. Circles act element by element. Each gate is a logistic "
        "function (σ) of the sum of two linear layers, of the token and of the old state. The reset gate acts on the "
        "product with the old state; the update gate weighs the old state against the candidate. Biases are left out.",
        "The old state h at t minus 1 enters at the left and runs along the top: it is multiplied by the update gate "
        "z, then the candidate n times one minus z is added, which gives the new state h at t at the right. The "
        "update gate and the reset gate r are each a logistic function of the old state and the token x at t. The old "
        "state also passes the linear layer W hn; the product is multiplied by the reset gate and joins the token's "
        "linear layer W in under a tanh, which gives the candidate n.",
        FOLDER,
    ),
    Diagram(
        "poolings",
        "A bidirectional GRU: one half reads from the first token to the last, the other from the last to the first. "
        "Each box says how many tokens its state has read. The pooling last takes both halves at the last token, "
        "where the backward half has read one token. The pooling final takes each half where it has read all tokens.",
        "Two rows of states over the tokens x1, x2 and so on to xT. The forward row has read 1, 2, up to T tokens, "
        "from left to right; the backward row has read T at the first token, T minus 1 at the second, and 1 at the "
        "last. A circle marks what the pooling last passes on: the forward state at T, which has read T tokens, and "
        "the backward state at T, which has read one. A diamond marks what final passes on: the forward state at T "
        "and the backward state at 1, each of which has read T tokens.",
        FOLDER,
    ),
    Diagram(
        "chunks",
        "The projections of the scratch GRU. The weights of both gates and of the candidate are stacked, so that one "
        "product serves all three, and its result is split into three chunks. The product with the tokens is computed "
        "once for a whole review (X, its word vectors as columns), the product with the state once for each token.",
        "Two products. Once for each review: the stacked matrices W ir, W iz and W in, 3H by E, times the review X, E "
        "by T, give three chunks of 3H by T, which go to the reset gate r, the update gate z and the candidate n. "
        "Once for each token: the stacked matrices W hr, W hz and W hn, 3H by H, times the old state, H by 1, give "
        "three chunks of 3H by 1, which go to the same three.",
        FOLDER,
    ),
)}
"""Name -> diagram."""
