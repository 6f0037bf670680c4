"""The wait for volumes: bounded, and not for those of pods that stay."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.e2e.midwatch import Midwatch, hosted, leftovers, objects, require_reboot
from tests.kit import workloads
from tests.kit.api import MERGE_PATCH
from tests.kit.background import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODE = "blue-0"
_ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


@contextmanager
def attached(cluster: Cluster, *volumes: str, node: str = _NODE) -> Iterator[None]:
    """Volumes that the attach-detach controller says are attached to a node."""
    names: list[JsonValue] = [{"name": f"kubernetes.io/csi/kit^{volume}", "devicePath": ""} for volume in volumes]
    cluster.api.patch(f"/api/v1/nodes/{node}/status", {"status": {"volumesAttached": names}}, MERGE_PATCH)
    for volume in volumes:
        spec: JsonObject = {"attacher": "kit", "nodeName": node, "source": {"persistentVolumeName": volume}}
        cluster.api.create(_ATTACHMENTS, {"metadata": {"name": f"at-{volume}"}, "spec": spec})
    try:
        yield
    finally:
        for volume in volumes:
            cluster.api.delete(f"{_ATTACHMENTS}/at-{volume}")


def keeper(cluster: Cluster, volume: str, node: str = _NODE) -> None:
    """A pod that stays on the node, with a volume."""
    claim: JsonObject = {
        "metadata": {"name": volume},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeName": volume,
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.api.create("/api/v1/namespaces/default/persistentvolumeclaims", claim)
    pod = workloads.bare_pod("keeper", node, workloads.pod_template("keeper"))
    meta, spec = pod["metadata"], pod["spec"]
    assert isinstance(meta, dict)
    assert isinstance(spec, dict)
    meta["labels"] = {"midwatch.dev/drain": "skip"}
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": volume}}]
    cluster.create_pod(pod)


def forget(cluster: Cluster, volume: str) -> None:
    """Remove the keeper's claim, which waits for the keeper's end otherwise."""
    path = f"/api/v1/namespaces/default/persistentvolumeclaims/{volume}"
    cluster.api.patch(path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
    cluster.api.delete(path)


def test_the_reboot_waits_until_the_volumes_of_evicted_pods_are_detached_but_not_for_those_of_pods_that_stay(
    fleet: Fleet,
) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    keeper(cluster, "kept")
    require_reboot(cluster, _NODE)
    with attached(cluster, "kept", "moving"), hosted(Midwatch(fleet, drain={"timeout": "1m"})) as host:
        run = host.start_run()

        def waits() -> bool:
            [*left] = objects(host.view(run).nodes.get(_NODE, {"waitingFor": []})["waitingFor"])
            assert "kept" not in [one["name"] for one in left]
            return [(one["kind"], one["name"]) for one in left] == [("PersistentVolume", "moving")]

        until(waits, "the volume in the run's view")
        assert cluster.boots == {}
        cluster.api.delete(f"{_ATTACHMENTS}/at-moving")
        assert host.wait_end(run).outcomes == {_NODE: "rebooted"}
    forget(cluster, "kept")
    assert leftovers(cluster) == []


def test_the_wait_for_volumes_is_bounded_and_the_volume_is_named(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    require_reboot(cluster, _NODE)
    with attached(cluster, "stuck"):
        run = Midwatch(fleet, drain={"timeout": "1m", "detachTimeout": "2s"}).patch()
    assert run.outcomes == {_NODE: "rebooted"}
    assert "stayed on the node: PersistentVolume stuck (attached: " in run.reason(_NODE)
