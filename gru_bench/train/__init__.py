"""Training: one config in, one result out."""
