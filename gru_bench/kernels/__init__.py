"""The fused GRU kernel: one torch operation over loops that numba compiles.

`GRU` is `torch.nn.GRU` on this kernel. It is loaded on first use, because it loads torch.

Read in the order of their imports: `machine` (its registers), `compiler` (how code is compiled and kept), `vectors`,
`tiles` and `products` (arithmetic), `layer` (what its functions hand each other), `forward`, `pooling` and `backward`,
`adam` (the optimizer of its rows), `threads`, `fused`, the only module that other packages import, and `module`, which
holds `GRU`.
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
