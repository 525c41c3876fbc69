"""Sweeps: search for the best settings, then confirm them on fresh seeds."""
