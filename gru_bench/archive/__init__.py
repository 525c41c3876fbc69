"""A study in one file: out of one pair of stores, into another."""
