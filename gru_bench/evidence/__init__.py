"""The evidence of a report: which runs belong together, and what is still missing."""
