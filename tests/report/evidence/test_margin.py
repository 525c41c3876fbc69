"""The margin is the one that the studies logged, or is said to be chosen afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.report.build import build
from gru_bench.report.evidence.margin import margin_of
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import TestSet, one_each
from tests.support.renderings import all_said, said


def with_margin(study: LoggedStudy, points: str | None) -> LoggedStudy:
    params = {key: value for key, value in study.run.params.items() if key != "margin"}
    return replace(study, run=replace(study.run, params=params if points is None else {**params, "margin": points}))


@pytest.mark.parametrize(("logged", "asked", "value", "words"), [
    (("2.0", "2.0"), None, 0.02, "2.0 points, fixed beforehand: each study logged it at its start."),
    (("2.0", "2.0"), 0.02, 0.02, "2.0 points, fixed beforehand"),
    (("2.0", "2.0"), 0.01, 0.01, "1.0 points, chosen when this report was made: at their start the studies had "
                                 "logged 2.0."),
    (("1.0", "2.0"), None, 0.01, "the studies had logged 1.0 and 2.0."),
    (("1.0", None), None, 0.01, "the studies had logged 1.0, and some had logged none."),
    ((None, None), None, 0.01, "chosen when this report was made: no study had logged one at its start."),
    (("nan", "-1"), None, 0.01, "no study had logged one at its start."),
])
def test_a_margin_is_fixed_beforehand_only_where_the_studies_logged_it(
    logged: tuple[str | None, ...] | tuple[None, ...] | tuple[str, ...], asked: float | None, value: float, words: str
) -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.0}, test_set=TestSet.draw(300))
    studies = [with_margin(study, points) for study, points in zip(studies, logged, strict=True)]
    margin = margin_of(studies, asked)
    assert words in said((margin.number, *margin.said))
    report = build(studies, store, margin=asked)
    assert report.source.margin == margin.value == value
    caution = f"was not fixed before the runs: verdicts use a margin of {said((margin.number, *margin.said))}"
    assert (caution in all_said(report.cautions)) == ("beforehand" not in words)
    # Where nothing is compared, nothing depends on it.
    assert "margin" not in all_said(build(studies[:1], store, margin=asked).cautions)
