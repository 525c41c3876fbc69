"""The tuned settings of the models, compared with those of the homework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gru_bench.report.document.numbers import Number, slug
from gru_bench.report.document.report import HomeworkSettings, SettingComparison
from gru_bench.report.evidence.groups import Group
from gru_bench.report.homework import published
from gru_bench.report.sections.search import setting, setting_name

HOMEWORK: Mapping[str, float] = {
    name: float(str(published.SETTINGS[name]))
    for name in ("model.hidden_size", "model.layers", "training.lr", "training.batch_size", "training.epochs")
}
"""The homework's values of those settings that a search may tune."""


def homework_settings(groups: Sequence[Group]) -> HomeworkSettings | None:
    """Return the settings of the tuned models and of the homework; None where no model was tuned."""
    tuned = [group for group in groups if group.summary is not None and group.summary.best.get(group.model)]
    settings = []
    for name, theirs in HOMEWORK.items():
        part = f"homework-settings.{slug(name)}"
        ours = [setting(group, part, group.runs[0].params.get(name, "")) for group in tuned]
        if any(ours):
            homework = Number(f"{part}.homework", theirs, "setting", method="the homework's setting")
            settings.append(SettingComparison(setting_name(name), homework, tuple(ours)))
    return HomeworkSettings(tuple(group.label for group in tuned), tuple(settings)) if settings else None
