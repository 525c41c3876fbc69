"""The results of runs and studies: the data that training, tracking and report exchange."""
