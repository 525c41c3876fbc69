"""The fused GRU kernel: one torch operation over loops that numba compiles.

`GRU` is `torch.nn.GRU` on this kernel. It is loaded on first use, because it loads torch. docs/speed.md has a picture.
To change the kernel, read its modules in this order. Each has one idea:

    machine    The code is written for the vector registers of this processor.
    compiler   Code is compiled once for each processor and kept on disk, under a digest of the sources.
    vectors    Compiled functions hand each other pointers, and compute with one register of numbers at a time. A
               sequence of operators on vectors reads like the equations of the GRU.
    tiles      Of a matrix product, a block of results stays in the registers until it is complete: 6 x 2 or 8 x 3
               vectors. Any size of tile adds up the same numbers in the same order.
    products   The second factor is packed into panels, which a tile reads from front to back.
    layer      The sizes of a layer, its tokens, weights and states, as named tuples. Sequences are ragged: tokens are
               numbered one after another, and nothing is padded.
    forward    W x is computed once for each distinct token. At each step, a group of sequences shares one pass over
               the hidden weights. A sequence that has ended leaves its group.
    pooling    Features are pooled from the states inside the kernel, so that no padded output exists.
    backward   The gradients of the gates take the place of the gates. Up to CHUNK tokens' gradients are multiplied
               with their states while they are in the cache. Those of the same word are added up before they are
               multiplied with its vector.
    adam       Only the rows of a batch move.
    threads    Threads sleep between calls. No two of them add to the same number.
    denormals  Numbers too small to matter are 0, and what runs before and after is as it was.
    fused      The operation for torch: it checks, provides memory, and calls the functions above. Only this module is
               imported by other packages.
    module     `GRU`.

To change the candidate's activation, change `n = tanh(...)` in forward.py, its derivative `1 - n * n` in backward.py,
and the equations at the top of both. The backward pass knows only what the forward pass keeps (`gates` in
`layer.States`), so the derivative is written in n: that of softsign is (1 - |n|)^2. Write a new function of a vector by
operators, as `sigmoid` in vectors.py, and an instruction of LLVM as `square_root`. Then change what computes the same:
`models/gru.py` (the backend `reference`). What calls torch's GRU keeps tanh and must be refused: the backend `torch`,
`GRU` where it falls back to it (module.py), and the references of the tests (tests/support/batches.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gru_bench.kernels.module import GRU

__all__ = ["GRU"]


def __getattr__(name: str) -> type[GRU]:
    """Load `GRU` (PEP 562)."""
    if name == "GRU":
        from gru_bench.kernels.module import GRU

        return GRU
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
