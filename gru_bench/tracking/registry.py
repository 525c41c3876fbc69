"""Models in MLflow's registry: the winner of a study, registered under the study's name with the alias `best`."""
