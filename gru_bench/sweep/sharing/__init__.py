"""Shared access to one study for several processes and machines: storage, locks, claims and leases."""

JOURNAL = "optuna.journal"
"""The usual storage: a file in the working directory."""
