"""Shared access to one study for several processes and machines: storage, locks, claims and leases."""
