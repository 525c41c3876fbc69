"""A report as HTML, LaTeX, Markdown, PDF and JSON."""
