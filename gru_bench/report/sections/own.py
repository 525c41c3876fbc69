"""The appendix on models that are classes of the user's own: what gru-check says of them."""

from __future__ import annotations

from gru_bench.document.blocks import Block, Paragraph
from gru_bench.document.numbers import plain
from gru_bench.document.report import Section
from gru_bench.document.sentences import say
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import model_name
from gru_bench.evidence.own import own_models
from gru_bench.evidence.progress import study_name
from gru_bench.results.own import own_artifact


def own(evidence: Evidence) -> Section | None:
    """Return the section on classes of the user's own. None without any."""
    blocks: list[Block] = []
    for study, model, one in own_models(evidence):
        if one is None:
            lost = f"{own_artifact(model)} of the study {study_name(study)} cannot be read and is left out."
            blocks.append(Paragraph((lost,)))
            continue
        blocks.append(Paragraph(say(
            "is called as {use}. gru-check: {verdict}. {findings} The run of the study {study} keeps its file in "
            "{file} (SHA-256 {digest}).", use=plain(one.use), verdict=plain(one.verdict),
            findings=plain(" ".join(one.findings)), study=study_name(study),
            file=plain(own_artifact(model)), digest=one.source), lead=model_name(one.model)))
    if not blocks:
        return None
    return Section("own", "Custom models", tuple(blocks), appendix=True)
