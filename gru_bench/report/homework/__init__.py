"""Sections that only a report on the homework's protocol has."""
