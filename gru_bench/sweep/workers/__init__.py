"""Processes and cluster nodes that train, and the tasks they do."""
