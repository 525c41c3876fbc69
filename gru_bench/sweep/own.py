"""What a start of a study finds out about models that are classes of the user's own, before anything is stored."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.config import RunConfig, is_own
from gru_bench.data.code import kept
from gru_bench.results.own import OwnModel, own_artifact

if TYPE_CHECKING:
    from gru_bench.sweep.plan import StudyState

CHECK_SECONDS = 120.0
"""Most seconds that gru-check may take."""


def checked_models(stored: StudyState, console: Any) -> dict[str, str]:
    """Try the classes of the user's own, and print how each is called.

    Args:
        stored: The study as earlier starts have left it.
        console: Where to print.

    Returns:
        Artifact of the study's parent run -> its text, for the models of which no start has logged it.

    Raises:
        UsageError: for a class that cannot be used.
        RunError: where gru-check cannot run the file.
    """
    return {own_artifact(model): _described(stored.spec.config(model, {}, 0), console).to_json()
            for model in stored.spec.models if is_own(model) and not stored.searches[model].identity}


def _described(config: RunConfig, console: Any) -> OwnModel:
    """Return what is known of the class of a config: how it is called, and what gru-check says of it."""
    from gru_bench.gru_check.sandbox import Options, run
    from gru_bench.models.own import CALLED, kind_of

    model, source = config.model.name, config.model.source or ""
    file, _, name = model.partition(":")
    code = kept(model, source)
    with console.status(f"checking {model}"), tempfile.TemporaryDirectory(prefix="gru-bench-own-") as folder:
        path = Path(folder) / file
        path.write_text(code, encoding="utf-8")
        verdict = run(path, Options(name, None, CHECK_SECONDS))
    use = f"{CALLED[kind_of(model, source)]}, batch first"
    findings = tuple(finding.said for finding in verdict.findings)
    console.print(f"{model}: {use}. gru-check: {verdict.words}. {' '.join(findings)}", markup=False)
    return OwnModel(model, source, code, use, verdict.words, findings)
