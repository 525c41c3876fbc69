"""The model card of a saved model: what it was trained on, what it scores, what it cannot do, and how to load it.

Its text is the template `model_card.md.j2`. The front matter has the keys that model hubs read (Mitchell et al. 2019,
"Model Cards for Model Reporting"). No text of the data is in a card.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gru_bench.config import flat
from gru_bench.data.noun import noun
from gru_bench.errors import shown, visible
from gru_bench.inference.winner import Winner, better_baseline
from gru_bench.models.saved import without_folders
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.numbers import NBSP, Number
from gru_bench.report.evidence.groups import LISTED_CLASSES
from gru_bench.report.evidence.store import Store
from gru_bench.report.render.markdown import escaped
from gru_bench.resources import resource
from gru_bench.results.logged_metrics import SPLIT_NAMES, compared, score

EXAMPLE = "At first I did not like it at all, but after a while it turned out to be the best I have ever had!"
"""A made-up text, which stands for an input wherever one must be shown."""


def scores_of(store: Store, winner: Winner) -> Mapping[str, Any]:
    """Return the scores of a model as JSON can hold them: the score of the study with its interval, the means over the
    seeds, and a sentence where a baseline is better."""
    group, number = winner.group, winner.group.score
    means = {metric.key: sum(values) / len(values) for split in SPLIT_NAMES.values()
             for name in ("accuracy", "macro_f1", "loss", "calibration_error") for metric in (score(name, split),)
             if (values := [run.metrics[metric.key] for run in group.runs if metric.key in run.metrics])}
    return {
        "metric": winner.study.plan().metric, "value": number.value, "low": number.low, "high": number.high,
        "text": _text(number), "method": number.method, "seeds": [run.seed for run in group.runs],
        "test_reviews": len(group.example_N), "means": means, "better_baseline": better_baseline(store, winner)}


def model_card(winner: Winner, model: TrainedModel, scores: Mapping[str, Any]) -> str:
    """Return the text of a model card."""
    import yaml
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    data, metric = winner.group.data, compared(winner.study.plan().metric, "test")
    name = winner.study.run.params.get("data", "") if data is None else data.name
    kind = metric.key.removeprefix("score/test_")
    front = {
        "library_name": "gru-bench", "pipeline_tag": "text-classification",
        "tags": ["text-classification", "gru", model.name], "datasets": [name], "metrics": [kind],
        "model-index": [{"name": model.study, "results": [{
            "task": {"type": "text-classification"}, "dataset": {"name": name, "type": name, "split": "test"},
            "metrics": [{"type": kind, "value": scores["value"], "name": metric.label}]}]}]}
    longest = model.config.data.max_length
    settings = {key: value for key, value in flat(without_folders(model.config)).items()
                if key.startswith(("model.", "training.", "embedding.")) or key == "data.max_length"}
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False)  # Markdown: each name is escaped by `shown`
    environment.filters["shown"] = lambda value: str(escaped(shown(str(value), "", 300)))
    return environment.get_template("model_card.md.j2").render(
        front=yaml.safe_dump(front, sort_keys=False), model=model, scores=scores, name=name, data=data,
        fingerprint=winner.group.fingerprint, label=metric.label, settings=settings, longest=longest, example=EXAMPLE,
        listed=LISTED_CLASSES, noun=noun(model.config.data.name, model.config.data.text_column),
        loss=scores["means"].get(score("loss", "test").key), number="{:,}".format,
        command=_code(_without_paths(winner.study.run.command)))


def _code(text: str) -> str:
    """Return a text as a code span, whose marks are longer than any within it."""
    line = visible(text).replace("\n", "\\n")
    mark = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{mark} {line} {mark}" if len(mark) > 1 else f"`{line}`"


def _without_paths(command: str) -> str:
    """Return a command whose files have names without folders, because a card is passed on."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def _text(number: Number) -> str:
    interval = f" [{number.ends[0].text}, {number.ends[1].text}]" if number.low is not None else ""
    return f"{number.text}{interval}{' %' if number.kind == 'percent' else ''}".replace(NBSP, " ")
