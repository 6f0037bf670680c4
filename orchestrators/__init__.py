"""The durable orchestrations: deterministic, replayed, and without a clock or I/O of their own."""

from orchestrators.by_hand import drain_by_hand, uncordon_by_hand
from orchestrators.drains import drain_node
from orchestrators.patch_cluster import patch_cluster
from orchestrators.patch_fleet import patch_fleet
from orchestrators.patch_node import patch_node
from orchestrators.waits import await_node, verify_node

ORCHESTRATORS = (
    patch_fleet, patch_cluster, patch_node, drain_node, await_node, verify_node, drain_by_hand, uncordon_by_hand,
)  # fmt: skip
"""Every orchestrator; each is registered under its function's name, which running instances refer to."""

__all__ = ["ORCHESTRATORS"]
