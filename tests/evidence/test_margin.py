"""The equivalence margin is that of the studies; otherwise the report says that it was chosen afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.document.numbers import Numbers
from gru_bench.evidence.pairs import margin_of
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import TestSet, one_each
from tests.support.renderings import all_said, said
from tests.support.sections import build_only


def with_margin(study: LoggedStudy, points: str | None) -> LoggedStudy:
    params = {key: value for key, value in study.run.params.items() if key != "margin"}
    return replace(study, run=replace(study.run, params=params if points is None else {**params, "margin": points}))


@pytest.mark.parametrize(("logged", "asked", "value", "parts"), [
    (("2.0", "2.0"), None, 0.02, ("2.0 points", "fixed beforehand")),
    (("2.0", "2.0"), 0.02, 0.02, ("2.0 points", "fixed beforehand")),
    (("2.0", "2.0"), 0.01, 0.01, ("1.0 points", "chosen when this report was made", "logged 2.0")),
    (("1.0", "2.0"), None, 0.01, ("1.0 points", "chosen when this report was made", "logged 1.0 and 2.0")),
    (("2.0", None), None, 0.01, ("chosen when this report was made", "logged 2.0", "some logged none")),
    ((None, None), None, 0.01, ("chosen when this report was made", "no study logged one")),
    (("nan", "-1"), None, 0.01, ("chosen when this report was made", "no study logged one")),
])
def test_a_margin_is_fixed_beforehand_only_if_all_studies_logged_it(
    logged: tuple[str | None, ...] | tuple[None, ...] | tuple[str, ...], asked: float | None, value: float,
    parts: tuple[str, ...]
) -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    studies = [with_margin(study, points) for study, points in zip(studies, logged, strict=True)]
    margin = margin_of(studies, asked, Numbers())
    mentions(said(margin.said), *parts)
    report = build_only(studies, store, margin=asked)
    assert report.source.margin == margin.value == value
    assert ("not fixed before the runs" in all_said(report.warnings)) == ("fixed beforehand" not in parts)
    # A report that compares nothing needs no margin.
    assert "margin" not in all_said(build_only(studies[:1], store, margin=asked).warnings)
