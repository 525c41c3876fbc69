"""Inside a trained model: gradients through time, gates, the words that decide."""
