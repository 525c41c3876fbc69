"""Runs -> one `Report` of numbers -> HTML and LaTeX."""
