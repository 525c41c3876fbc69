"""The workers of a sweep: local processes or nodes of a Ray cluster, and the tasks they do."""
