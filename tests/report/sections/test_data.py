"""The counts of runs: complete, pruned, failed and other."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.report.build import build
from tests.support.fake_store import logged, three_models
from tests.support.renderings import Built, all_said


def test_failed_seeds_are_named_and_counted(built: Built) -> None:
    _, _, report = built
    assert "Torch GRU: 1 confirm run is not complete (seed 1005)" in all_said(report.cautions)
    counts = {(count.study, count.stage): count for count in report.counts}
    torch = counts["torch", "confirm"]
    assert [n.value for n in (torch.complete, torch.pruned, torch.failed, torch.other)] == [5, 0, 1, 0]
    assert torch.reasons == (("torch seed 1005", "failed: the loss is not finite in epoch 2"),)
    search = counts["torch", "search"]
    assert [n.value for n in (search.complete, search.pruned, search.failed, search.other)] == [10, 3, 3, 0]


def test_a_run_still_running_counts_as_other() -> None:
    store, (study, *_) = three_models()
    running = logged("r", role="trial", complete=False, status="RUNNING", tags={"gru_bench.state": "running"})
    report = build([replace(study, trials=(*study.trials, running))], store)
    assert report.counts[0].other.value == 1
    assert report.counts[0].reasons[-1] == ("r", "other: no reason logged")
