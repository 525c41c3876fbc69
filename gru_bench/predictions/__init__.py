"""Files of predictions of any classifiers, read, aligned by id, and compared as the models of a study are."""
