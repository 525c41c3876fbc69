"""Workers on a Ray cluster: what each trial gets of it, and a sweep that loses a node."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gru_bench.errors import RunError, UsageError
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.workers.ray import Cluster, Node, Share, shared_out
from tests.support.commands import ROOT, completed, mentions
from tests.support.sweeps import STUDY, await_checkpoints, checkpoints, only_study

TWO, CARD = Node(cpus=2, gpus=0), Node(cpus=8, gpus=1)


class TestSharedOut:
    @pytest.mark.parametrize(("nodes", "workers", "gpus", "device", "share"), [
        ([TWO, TWO], None, None, "auto", Share(4, 1, 0)),
        ([TWO, TWO], 2, None, "auto", Share(2, 2, 0)),
        ([TWO, TWO], 3, None, "auto", Share(3, 1, 0)),
        ([Node(64, 0)], None, None, "auto", Share(4, 16, 0)),
        ([CARD, CARD], None, None, "auto", Share(2, 8, 1)),
        ([CARD, TWO], None, None, "auto", Share(1, 8, 1)),
        ([CARD, CARD], None, None, "cpu", Share(8, 2, 0)),
        ([CARD], None, 0.25, "auto", Share(4, 2, 0.25)),
        ([Node(8, 2)], None, 0.3, "auto", Share(6, 1, 0.3)),
        ([Node(2, 1)], None, 0.25, "auto", Share(2, 1, 0.25)),
        ([TWO], 9, None, "auto", Share(9, 1, 0)),
    ])
    def test_each_trial_gets_as_much_as_lets_all_fit(
        self, nodes: list[Node], workers: int | None, gpus: float | None, device: str, share: Share
    ) -> None:
        assert shared_out(nodes, workers, gpus, device) == share

    @pytest.mark.parametrize(("gpus", "parts"), [
        (0.5, r"--gpus-per-trial.*0\.5.*2 nodes has 0"),
        (2.0, r"--gpus-per-trial.*between 0 and 1.*got 2"),
        (-1.0, r"--gpus-per-trial.*between 0 and 1.*got -1"),
    ])
    def test_refuses_gpus_that_no_node_has(self, gpus: float, parts: str) -> None:
        with pytest.raises(UsageError, match=parts):
            shared_out([TWO, TWO], None, gpus, "auto")

    def test_a_lost_node_leaves_less_room(self) -> None:
        share = Share(4, 2, 0)
        assert (share.room([TWO, TWO, TWO]), share.room([TWO]), share.room([])) == (3, 1, 0)


def test_refuses_an_address_without_a_port() -> None:
    with pytest.raises(UsageError, match=r"--cluster.*'head'"):
        Cluster("head")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"])
def test_names_a_cluster_that_does_not_answer(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(RunError, match=rf"'{address}'.*ray start --head"):
        Cluster(address)


def test_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "ray\[client\]"'):
        Cluster("local")


def test_refuses_gpus_per_trial_without_a_cluster() -> None:
    done = completed(app, "--study", "smoke", "--gpus-per-trial", "0.5")
    assert done.returncode == 2
    mentions(done.stderr, "--gpus-per-trial", "--cluster")


@pytest.mark.service
@pytest.mark.timeout(600)  # a minute on a quiet machine
def test_a_sweep_completes_after_a_node_is_lost(
    two_nodes: Any, tmp_path: Path, easy_csv: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
    before = checkpoints()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps" / "run.py"), "--study", "quick.toml", "--data", str(easy_csv), "--epochs",
         "20", "--device", "cpu", "--cluster", two_nodes.address, "--gpus-per-trial", "0.5"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    await_checkpoints(before, runs=2)  # a trial on each node
    two_nodes.remove_node(two_nodes.lost, allow_graceful=False)
    shown, complaint = process.communicate(timeout=400)
    assert process.returncode == 0, complaint
    assert "its node was lost" in shown
    study = only_study(tmp_path)
    assert study.summary is not None
    states = [trial.state for trial in study.summary.trials]
    assert (len(states), states.count("failed")) == (3, 0)
    assert len([run for run in study.confirms if run.complete]) == 2
    (broken,) = [run for run in study.trials if run.status != "FINISHED"]
    assert (broken.status, broken.reason) == ("KILLED", "its node was lost")
    agreed = completed(app, "--study", "quick.toml", "--data", str(easy_csv), "--epochs", "20", "--check", cwd=tmp_path)
    assert agreed.returncode == 0, agreed.stdout
