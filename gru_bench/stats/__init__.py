"""Scores, intervals, statistical tests and baselines."""
