"""Names that must be the same on every call: instance IDs, pod and event names.

Durable instance IDs hold 1 to 100 characters, without `/ \\ # ?` and not starting with `@`
(https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-instance-management). Context names on
laptops hold anything (`arn:aws:eks:...`), so a name that does not fit is shortened and told apart by a hash.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CLUSTER_CHARS = 30
_NODE_CHARS = 39
_HASH_CHARS = 8
HAND_PREFIX = "hand:"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _segment(name: str, longest: int) -> str:
    if len(name) <= longest and _PLAIN.fullmatch(name):
        return name
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[: longest - _HASH_CHARS - 1] or "x"
    return f"{slug}-{_digest(name)[:_HASH_CHARS]}"


def run_id(now: datetime, entropy: str) -> str:
    """The ID of a new run: it sorts by time.

    Args:
        now: when the run was asked for, aware.
        entropy: at least six random characters of `[a-z0-9]`. The run ID is also the lease's holder, so two hosts that
            start in the same second must not draw the same.
    """
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{entropy[:6]}"


def cluster_instance(run: str, cluster: str) -> str:
    """The `patch_cluster` instance of a cluster in a run: `{run}:{cluster}`."""
    return f"{run}:{_segment(cluster, _CLUSTER_CHARS)}"


def node_instance(run: str, cluster: str, node: str) -> str:
    """The `patch_node` instance of a node in a run: `{run}:{cluster}:{node}`."""
    return f"{cluster_instance(run, cluster)}:{_segment(node, _NODE_CHARS)}"


def hand_instance(drain: str) -> str:
    """The instance of a drain, or an uncordon, by hand. Unlike a run's ID it has a colon."""
    return f"{HAND_PREFIX}{drain}"


def drain_instance(node_instance_id: str) -> str:
    """The polling sub-orchestration that drains the node."""
    return f"{node_instance_id}:drain"


def wait_instance(node_instance_id: str) -> str:
    """The polling sub-orchestration that waits until the node is back."""
    return f"{node_instance_id}:wait"


def verify_instance(node_instance_id: str) -> str:
    """The polling sub-orchestration that waits for the proof."""
    return f"{node_instance_id}:verify"


def reboot_pod(run: str, node: str) -> str:
    """The name of the reboot pod: the same on every call for one node in one run."""
    return f"midwatch-reboot-{_digest(run, node)[:12]}"


def event_name(run: str, node: str, reason: str, what: str = "") -> str:
    """The name of an event on a node: the same on every call, so that a second call adds none.

    `what` tells events of one reason apart.
    """
    parts = (run, node, reason, what) if what else (run, node, reason)
    return f"midwatch-{_digest(*parts)[:16]}"
