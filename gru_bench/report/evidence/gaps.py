"""What a report cannot show, and what else its reader must know of it: warnings without a check, and their sentences.
"""

from __future__ import annotations

from collections.abc import Mapping

from gru_bench.report.document.sentences import Field, Statement

SENTENCES: Mapping[str, str] = {
    "unreadable-study": "The study {study} is left out: its summary cannot be read.",
    "unconfirmed-study": "The study {study} is left out: {reason}.",
    "unreadable-runs": "{runs} left out, because what MLflow holds of them cannot be read: {ids}.",
    "unfinished-study": "The study {study} is not finished: this report shows what it has so far.",
    "missing-parts": "Still missing from {study}: {parts}.",
    "continue-study": "First continue {study} by running its command again: {command}",
    "several-metrics": "These studies are about different scores ({metrics}). Their accuracies are compared.",
    "extended-study": "The confirm set of {study} was extended: the study began with {planned} seeds for each model "
    "and now has {now}. If seeds are added after a look at the result, intervals become too narrow and verdicts too "
    "confident. A new confirm set avoids both.",
    "no-confirm-run": "The study {study} has no complete confirm run yet.",
    "no-confirm-run-of-model": "{model} has no complete confirm run and is left out.",
    "no-trial": "{model} has no complete trial yet.",
    "unreadable-settings": "{model}: the run {run} has no readable settings and is left out.",
    "other-settings": "{model}: {runs} {runs:confirm run is|confirm runs are} left out (earlier settings or other "
    "data).",
    "incomplete-runs": "{model}: {seeds} {seeds:confirm run is|confirm runs are} not complete ({seeds:seed|seeds} "
    "{names}); the numbers use the other runs.",
    "seeds-without-run": "{model}: {seeds} planned seeds without a run: {names}.",
    "seeds-to-come": "{model}: {left} of the {planned} planned confirm seeds {left:has|have} no complete run yet.",
    "unreadable-predictions": "{model}: the run {run} has no readable {split} predictions and is left out.",
    "other-examples": "{model}: the run {run} was scored on other {split} examples and is left out.",
    "other-accuracy": "{model}: the {split} accuracy logged by the run {run} differs from that of its predictions; "
    "the predictions are used.",
    "few-reviews": "There are few test reviews{whose}: {reviews}, each worth {weight} points of accuracy. Intervals "
    "are wide, and only large differences can be told from chance.",
}
"""Code -> template."""


def gap(code: str, **fields: Field) -> Statement:
    """Return a warning from its code and its fields."""
    return Statement(SENTENCES[code], fields, code)
