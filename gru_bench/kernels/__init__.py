"""The fused recurrence and its compiled loops."""
