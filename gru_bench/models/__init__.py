"""The classifiers: the equations of the GRU and the RNN, the backends that compute them, and the head on top."""
