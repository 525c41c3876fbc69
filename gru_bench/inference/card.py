"""The model card of a saved model: what it was trained on, what it scores, what it cannot do, and how to load it.

The front matter has the keys that model hubs read (Mitchell et al. 2019, "Model Cards for Model Reporting"). No text of
the data is in a card.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gru_bench.config import flat
from gru_bench.errors import shown, visible
from gru_bench.inference.winner import Winner
from gru_bench.models.saved import without_folders
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.numbers import NBSP
from gru_bench.report.evidence.groups import LISTED_CLASSES
from gru_bench.report.render.markdown import escaped
from gru_bench.results.logged_metrics import SPLIT_NAMES, compared, score

EXAMPLE = "At first I did not like it at all, but after a while it turned out to be the best I have ever had!"
"""A made-up text, which stands for an input wherever one must be shown."""

_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def scores_of(winner: Winner) -> Mapping[str, Any]:
    """Return the scores of a model as JSON can hold them: the score of the study with its interval, and the means."""
    group, plan = winner.group, winner.study.plan()
    number = group.score
    means = {metric.key: sum(values) / len(values) for split in SPLIT_NAMES.values()
             for name in ("accuracy", "macro_f1", "loss", "calibration_error") for metric in (score(name, split),)
             if (values := [run.metrics[metric.key] for run in group.runs if metric.key in run.metrics])}
    return {
        "metric": plan.metric, "value": number.value, "low": number.low, "high": number.high, "text": _text(number),
        "method": number.method, "seeds": [run.seed for run in group.runs], "test_reviews": len(group.example_N),
        "means": means}


def model_card(winner: Winner, model: TrainedModel, scores: Mapping[str, Any]) -> str:
    """Return the text of a model card."""
    data = winner.group.data
    name = winner.study.run.params.get("data", "") if data is None else data.name
    metric = compared(winner.study.plan().metric, "test")
    front = _front_matter({
        "library_name": "gru-bench", "pipeline_tag": "text-classification",
        "tags": ["text-classification", "gru", model.name], "datasets": [name],
        "metrics": [metric.key.removeprefix("score/test_")],
        "model-index": [{"name": model.study, "results": [{
            "task": {"type": "text-classification"}, "dataset": {"name": name, "type": name, "split": "test"},
            "metrics": [{"type": metric.key.removeprefix("score/test_"), "value": scores["value"],
                         "name": metric.label}]}]}],
    })
    named = list(model.classes[:LISTED_CLASSES])
    data_name = _name(name)
    classes = ", ".join(map(_name, named)) + (
        f" and {len(model.classes) - len(named):,} more" if len(named) < len(model.classes) else "")
    counts = "" if data is None else (f"{data.train:,} training, {data.validation:,} validation and {data.test:,} "
                                      "test reviews")
    settings = "\n".join(f"| {name} | {_name(value)} |" for name, value in flat(without_folders(model.config)).items()
                         if name.startswith(("model.", "training.", "embedding.")) or name == "data.max_length")
    means = "\n".join(f"| {key.removeprefix('score/').replace('_', ' ')} | {value:.4f} |"
                      for key, value in scores["means"].items())
    loss = scores["means"].get(score("loss", "test").key)
    together = len(model.seeds) > 1
    read = "all" if model.config.data.max_length is None else f"the first {model.config.data.max_length}"
    return f"""---
{front}---

# {_name(model.study)}: {_name(model.name)}

A recurrent text classifier, trained by gru-bench. It says which of {len(model.classes):,} classes a text belongs to:
{classes}.

{_seeds_sentence(model.seeds)}

## Data

{data_name}: {counts}. Fingerprint of the data and their split: `{winner.group.fingerprint}`.
It knows {len(model.words_V) - 1:,} words and reads {read} known words of a text.

## Scores

{_text_sentence(metric.label, scores)}

| mean over the seeds | |
|---|---|
{means}

## Limits

- The scores hold for texts like the test reviews of {data_name}. For other texts nothing is known.
- A text without a known word is answered all the same. The share of known words is part of each answer.
- Probabilities are {'the mean over the seeds' if together else 'those of one seed'}{
    f'; the test log loss of a seed is {loss:.3f} nats' if loss is not None else ''}. They were not calibrated.
- The model was chosen on the validation reviews of the same data.

## Use

```
pip install gru-bench
gru-bench predict --model . "{EXAMPLE}"
```

```python
import gru_bench as gb

model = gb.load_model(".")
print(model.predict(["{EXAMPLE}"]))
```

## Settings

| setting | value |
|---|---|
{settings}

Trained by: {_code(_without_paths(winner.study.run.command))}
"""


def _name(value: object) -> str:
    """Return a name or a value as Markdown that shows it: no markup, no HTML, no link."""
    return str(escaped(shown(str(value), "")))


def _code(text: str) -> str:
    """Return a text as a code span, whose marks are longer than any within it."""
    line = visible(text).replace("\n", "\\n")
    mark = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{mark} {line} {mark}" if len(mark) > 1 else f"`{line}`"


def _front_matter(values: Mapping[str, Any]) -> str:
    """Return values as YAML, each as JSON, which YAML contains."""
    return "".join(f"{key}: {_json(value)}\n" for key, value in values.items())


def _json(value: object) -> str:
    # YAML reads no control characters, and takes some separators for line breaks.
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(value, ensure_ascii=False))


def _without_paths(command: str) -> str:
    """Return a command whose files have names without folders, because a card is passed on."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def _seeds_sentence(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return f"It is the model of one seed ({seeds[0]})."
    return (f"It is {len(seeds)} models, trained on the seeds {', '.join(map(str, seeds))}. Their probabilities are "
            "averaged.")


def _text(number: Any) -> str:
    interval = f" [{number.ends[0].text}, {number.ends[1].text}]" if number.low is not None else ""
    return f"{number.text}{interval}{' %' if number.kind == 'percent' else ''}".replace(NBSP, " ")


def _text_sentence(label: str, scores: Mapping[str, Any]) -> str:
    return (f"{label.capitalize()}: **{scores['text']}** on {scores['test_reviews']:,} test reviews, mean of "
            f"{len(scores['seeds'])} seeds ({scores['method']}).")
