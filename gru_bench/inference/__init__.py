"""The models that a study has trained, in use: prediction, saved models, the registry and the Python API."""
