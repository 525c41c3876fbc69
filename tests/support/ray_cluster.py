"""A Ray cluster on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from tests.support.commands import ROOT

ENVIRONMENT = {
    # The only switch that keeps Ray on loopback: it is meant for systems whose firewalls ask.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Start a cluster of two nodes, of one CPU each, that all pretend to have one card; bound to loopback."""
    pytest.importorskip("ray")
    with mock.patch.dict(os.environ, ENVIRONMENT):
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):  # Ray gives each task the card that it pretends
            os.environ.pop(name, None)
        from ray.cluster_utils import Cluster as Nodes

        node: dict[str, Any] = {
            "num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.1"}
        nodes: Any = Nodes(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            nodes.lost = nodes.add_node(**node)
            yield nodes
        finally:
            nodes.shutdown()
