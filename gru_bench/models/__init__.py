"""The classifiers: the equations of the GRU and the RNN, and the head on top of them."""
