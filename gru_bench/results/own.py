"""What a study logs of each class of the user's own: its file, how it is called, and what gru-check says of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

OWN = "own"
"""Folder of the artifacts."""


@dataclass(frozen=True)
class OwnModel:
    """A class of the user's own in a study."""

    model: str
    """Name of the model, `FILE.py:CLASS`."""
    source: str
    """SHA-256 of its file."""
    code: str
    """Its file."""
    use: str
    """How it is called, in words."""
    verdict: str
    """What gru-check says of it, in a few words."""
    findings: tuple[str, ...]
    """A sentence for each finding of gru-check."""

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1)


def digest_of(code: str) -> str:
    """Return the SHA-256 of a file, by which it is known everywhere."""
    return sha256(code.encode()).hexdigest()


def own_artifact(model: str) -> str:
    """Return the artifact of the study's parent run that holds what is known of a model."""
    return f"{OWN}/{model.replace(':', '-')}.json"


def own_model_of(text: str | bytes) -> OwnModel:
    """Return what an artifact holds.

    Raises:
        ValueError: for a text that is none, and for a file with another SHA-256.
    """
    from gru_bench.results.runs import parsed  # numpy takes longer to load than the rest of --help

    found = parsed(OwnModel, text)
    if digest_of(found.code) != found.source:
        raise ValueError("source: the file must have this SHA-256")
    return found
