"""The tuned settings of the models, compared with those of the homework."""

from __future__ import annotations

from gru_bench.report.document.blocks import Cell, Column, Table
from gru_bench.report.document.numbers import slug
from gru_bench.report.document.report import Section
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.settings import as_number, setting, setting_name
from gru_bench.report.homework import published
from gru_bench.report.homework.reproduction import reproductions

TUNABLE = ("model.hidden_size", "model.layers", "training.lr", "training.batch_size", "training.epochs")
"""Those settings of the homework that a search may tune."""


def homework_settings(evidence: Evidence) -> Section | None:
    """Return the section; None where no model was tuned, or no study follows the homework's protocol."""
    tuned = [group for group in evidence.groups if group.tuned]
    if not tuned or not reproductions(evidence):
        return None
    rows: list[tuple[Cell, ...]] = []
    for name in TUNABLE:
        key = f"homework-settings.{slug(name)}"
        theirs = evidence.numbers.add(f"{key}.homework", as_number(published.SETTINGS[name]), "setting",
                                      "the homework's setting")
        rows.append((setting_name(name), theirs, *(setting(group, key, group.settings[name]) for group in tuned)))
    return Section("homework-settings", "Comparison with the homework’s settings", (Table(
        "homework-settings", "Best configuration and the homework’s settings",
        ("The best configuration of each search, and the settings of the homework, which compared the same three "
         "models.",),
        (Column("Setting", align="left", width=2.6), Column("Homework"),
         *(Column(group.label, named=True) for group in tuned)),
        tuple(rows),
    ),))
