"""What would block a drain is said before anything is touched: by the survey, by a plan, and by `--explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.midwatch import Midwatch, call, objects, require_reboot
from tests.kit import workloads

if TYPE_CHECKING:
    from tests.kit.api import JsonObject
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODE = "blue-0"
_PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


def _pinned(app: str) -> JsonObject:
    """A pod that the other node does not suit."""
    template = workloads.pod_template(app)
    spec = template["spec"]
    assert isinstance(spec, dict)
    return {**template, "spec": {**spec, "nodeSelector": {"kubernetes.io/hostname": _NODE}}}


def _populate(cluster: Cluster) -> None:
    cluster.cordon("blue-1")
    cluster.deploy_daemons("agent")
    cluster.deploy("greedy", 2, min_available=2)
    cluster.deploy("twice", 1, min_available=0)
    cluster.api.create(_PDBS, {**workloads.budget("twice", min_available=0), "metadata": {"name": "again"}})
    cluster.deploy("home", 2, template=_pinned("home"))
    cluster.deploy("free", 2)
    cluster.create_pod(workloads.bare_pod("alone", _NODE, workloads.pod_template("alone")))
    cluster.cordon("blue-1", on=False)


def test_the_survey_the_plan_and_the_explanation_say_which_pods_would_block_and_why(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    _populate(cluster)
    require_reboot(cluster, _NODE)
    midwatch = Midwatch(fleet)
    flags = midwatch.flags[:4]
    survey = call("survey", *flags, "--output", "json")
    [found] = objects(survey.json["clusters"])
    reason = {str(node["name"]): node["reason"] for node in objects(found["nodes"])}
    assert str(reason[_NODE]).startswith("would-block: ")
    assert reason["blue-1"] is None
    plan = midwatch.patch("--dry-run")
    for text in (str(reason[_NODE]), plan.reason(_NODE)):
        words = ("PodDisruptionBudget default/greedy can never", "default/again, default/twice", "down-meanwhile: Pod ")
        assert [word for word in (*words, "no-place: Pod default/home") if word not in text] == []

    done = call("survey", *flags, "--explain", _NODE, "--output", "json")
    assert (done.code, done.json["outcome"], done.json["dryRun"]) == (0, None, True), done.stderr
    because = {str(pod["name"]).rsplit("-", 2)[0]: str(pod["because"] or "") for pod in objects(done.json["pods"])}
    assert because["greedy"].startswith("budget-never: ")
    assert because["twice"].startswith("two-budgets: ")
    assert "single: it is the only pod of ReplicaSet twice" in because["twice"]
    assert because["home"] == "no-place: it fits on no other node (node selector on 1)"
    assert (because["free"], because["alone"]) == ("", "")
    table = call("survey", *flags, "--explain", _NODE)
    assert "budget-never" in table.stdout
    assert {e.subresource for e in cluster.audit_events("midwatch") if e.verb not in {"get", "list", "watch"}} == {
        "eviction"
    }
    assert [pod.metadata.deletion_timestamp for pod in cluster.pods("greedy")] == [None, None]


def test_pods_that_the_policy_does_not_let_go_are_told_before(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.create_pod(workloads.bare_pod("alone", _NODE, workloads.pod_template("alone")))
    cluster.deploy("scratch", 1, template=workloads.pod_template("scratch", empty_dir=True))
    require_reboot(cluster, _NODE)
    midwatch = Midwatch(fleet, drain={"force": False, "deleteEmptyDirData": False})
    reason = midwatch.patch("--dry-run").reason(_NODE)
    assert "Pod default/alone (unmanaged: " in reason
    assert "(empty-dir: " in reason
