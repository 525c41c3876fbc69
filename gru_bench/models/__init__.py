"""The classifiers: the equations of the GRU, the backends that compute them, and the head on top."""
