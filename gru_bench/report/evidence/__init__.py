"""Which runs belong together, and what is still missing."""
