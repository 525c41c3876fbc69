"""What studies have logged of classes of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from gru_bench.config import is_own
from gru_bench.evidence.collect import Evidence
from gru_bench.results.own import OwnModel, own_artifact, own_model_of
from gru_bench.tracking import LoggedStudy


def own_models(evidence: Evidence) -> Iterator[tuple[LoggedStudy, str, OwnModel | None]]:
    """Yield a study, the name of a class, and what the study has logged of it: None where that cannot be read."""
    for study in evidence.studies:
        for model in sorted({run.model for run in (*study.trials, *study.confirms)}):
            text = evidence.store.text(study.run.run_id, own_artifact(model)) if is_own(model) else None
            if text is not None:
                found = None
                with suppress(ValueError):
                    found = own_model_of(text)
                yield study, model, found
