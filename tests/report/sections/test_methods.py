"""The section on how numbers were computed: the same words in every report, with its own margin and seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.report.sections.methods import methods
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_validation
from tests.support.renderings import words_of
from tests.support.sections import build_only

FEW = TestSet.draw(50)


def methods_of(store: FakeStore, *studies: LoggedStudy) -> str:
    """Return the words of the section of a report of these studies."""
    return words_of(build_only(studies, store, methods), "methods")


@pytest.mark.parametrize(("models", "seeds", "unseen"), [
    (("torch",), 2, "With 2 seeds, up to 78"), (("scratch", "torch", "bidirectional"), 5, "With 5 seeds, up to 45")])
def test_the_section_has_the_margin_the_level_the_positive_class_and_the_rare_failures(
    models: tuple[str, ...], seeds: int, unseen: str
) -> None:
    store = FakeStore()
    study = add_study(store, "one", dict.fromkeys(models, 0.0), seeds=seeds, search=False, test_set=FEW)
    mentions(methods_of(store, study), "95 % confidence", "equivalence margin is 1.0 points, fixed beforehand", "Holm",
             "0.050", "(positive)", unseen)


def test_models_are_said_to_be_chosen_on_validation_where_they_are_and_where_one_is_taken_this_is_said() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=FEW)
    unscored = replace(study, baselines=tuple(replace(run, metrics={
        key: value for key, value in run.metrics.items() if "val" not in key}) for run in study.baselines))
    without, chosen = methods_of(store, unscored), methods_of(store, with_validation(store, study))
    assert ("chosen on validation texts" in without, "average" in without) == (False, False)
    mentions(without, "no validation texts to choose one of them on")
    mentions(chosen, "are chosen on validation texts", "average of the best of both")
