"""The fused GRU kernel: one torch operation over loops that numba compiles.

Read in the order of their imports: `machine` (its registers), `compiler` (how code is compiled and kept), `vectors`,
`bfloat16`, `tiles` and `products` (arithmetic), `batch`, `forward`, `pooling` and `backward` (a layer), `adam` (the
optimizer of its rows), and `fused`, the only module that other packages import.
"""
