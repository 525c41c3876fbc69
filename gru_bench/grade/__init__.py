"""Claims of accuracies, judged with their noise: the command `gru-bench grade`."""
