"""Texts and word vectors, from files to batches of token ids."""
