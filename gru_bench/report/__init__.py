"""Runs -> one `Writeup` of numbers -> HTML and LaTeX."""
