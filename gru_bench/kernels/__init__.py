"""The fused GRU kernel: one torch operation over compiled loops."""
