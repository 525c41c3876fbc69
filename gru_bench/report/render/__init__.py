"""A report as HTML, LaTeX, Markdown and JSON."""
