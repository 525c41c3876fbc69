"""The model card of a saved model: what it was trained on, what it scores, what it cannot do, and how to load it.

Its text is the template `model_card.md.j2`. The front matter has the keys that model hubs read (Mitchell et al. 2019,
"Model Cards for Model Reporting"). No text of the data is in a card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gru_bench.config import flat
from gru_bench.document.numbers import NBSP, Number
from gru_bench.errors import shown, visible
from gru_bench.evidence.candidates import Candidate, Candidates
from gru_bench.evidence.groups import LISTED_CLASSES
from gru_bench.evidence.progress import as_typed
from gru_bench.models.saved import without_folders
from gru_bench.models.trained import TrainedModel
from gru_bench.report.render.markdown import escaped
from gru_bench.resources import resource
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import SPLIT_NAMES
from gru_bench.stats.scores import compared, score, scores

EXAMPLE = "A text of yours."
"""A made-up text, which stands for an input wherever one must be shown."""
SCORES = ("accuracy", "macro_f1", "loss", "calibration_error")
"""The scores that a card lists."""


def scores_of(chosen: Candidate) -> Mapping[str, Any]:
    """Return the scores of a candidate as JSON can hold them: those of the very thing that is saved. The score of the
    study has its interval over texts."""
    number = chosen.score
    found: dict[str, float] = {}
    for split, one in (("validation", chosen.validation), ("test", chosen)):
        if one is not None:
            known = scores(one.label_N, one.probability_RNC[0], whole=chosen.whole)
            found |= {score(name, SPLIT_NAMES[split]).key: known[name] for name in SCORES if name in known}
    return {"metric": chosen.metric, "value": number.value, "low": number.low, "high": number.high,
            "text": _text(number), "method": number.method, "test_texts": len(chosen.example_N), "scores": found}


def model_card(
    chosen: Candidate, candidates: Candidates, model: TrainedModel, scores: Mapping[str, Any]
) -> str:
    """Return the text of a model card.

    Args:
        chosen: The candidate that is saved.
        candidates: All candidates of its study.
        model: What is saved.
        scores: Its scores, as `scores_of` returns them.
    """
    import yaml

    data, study = chosen.data, chosen.study.run
    metric = compared(chosen.metric, "test")
    name = study.params.get("data", "") if data is None else data.name
    kind = metric.key.removeprefix("score/test_")
    recurrent, linear = model if model.seeds else None, model.linear
    front = {
        "library_name": "gru-bench", "pipeline_tag": "text-classification",
        "tags": ["text-classification", *(["gru"] if recurrent else []), *(["linear"] if linear else []), model.name],
        "datasets": [name], "metrics": [kind],
        "model-index": [{"name": model.study, "results": [{
            "task": {"type": "text-classification"}, "dataset": {"name": name, "type": name, "split": "test"},
            "metrics": [{"type": kind, "value": scores["value"], "name": metric.label}]}]}]}
    settings = {} if recurrent is None else {
        key: value for key, value in flat(without_folders(recurrent.config)).items()
        if key.startswith(("model.", "training.", "embedding.")) or key == "data.max_length"}
    return _rendered("model_card.md.j2", {
        "front": yaml.safe_dump(front, sort_keys=False), "model": model, "label": chosen.label,
        "recurrent": recurrent, "linear": linear,
        "label_of_linear": "" if linear is None else baseline_label(linear.name, linear.settings),
        "longest": None if recurrent is None else recurrent.config.data.max_length,
        "temperatures": [] if recurrent is None else [f"{one:.3f}" for one in chosen.temperatures if one is not None],
        "settings": settings | dict({} if linear is None else linear.settings),
        "scores": scores, "name": name, "data": data, "fingerprint": study.fingerprint, "metric": metric.label,
        "others": [(one.label, _text(one.score)) for one in candidates.every if one.model != chosen.model],
        "example": EXAMPLE, "listed": LISTED_CLASSES, "number": "{:,}".format,
        "command": _code(as_typed(_without_paths(study.command)))})


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False)  # Markdown: each name is escaped by `shown`
    environment.filters["shown"] = lambda value: str(escaped(shown(str(value), "", 300)))
    return environment.get_template(template).render(values)


def _code(text: str) -> str:
    """Return a text as a code span, whose marks are longer than any within it."""
    line = visible(text).replace("\n", "\\n")
    mark = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{mark} {line} {mark}" if len(mark) > 1 else f"`{line}`"


def _without_paths(command: str) -> str:
    """Return a command whose files have names without folders, because a card is passed on."""
    quoted = r"""(?<=['"])(?![\s,:)}\]])[^'"]*[/\\](?=[^'"/\\])"""  # whose folders may have spaces
    return re.sub(quoted + r"""|[^\s'"=(,]*[/\\](?=[^\s'"/\\])""", "", command)


def _text(number: Number) -> str:
    interval = f" [{number.ends[0].text}, {number.ends[1].text}]" if number.low is not None else ""
    return f"{number.text}{interval}{' %' if number.kind == 'percent' else ''}".replace(NBSP, " ")
