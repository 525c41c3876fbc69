"""Diagnostics of a trained model: gradients through time, gates, and the words that decide."""
