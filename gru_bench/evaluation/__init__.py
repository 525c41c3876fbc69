"""Scores, intervals, tests and baselines."""
