"""What is wrong only where a cluster is: unknown nodes, credentials that are refused, bad requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.midwatch import Midwatch, Run, hosted, require_reboot
from tests.kit.controlplane import kubeconfig

if TYPE_CHECKING:
    from tests.kit.fleet import Fleet

_BODIES: dict[str, tuple[bytes, int, str]] = {
    "not JSON": (b"{", 400, "JSON"),
    "not an object": (b"[]", 422, "object"),
    "wrong type": (b'{"clusters": "blue"}', 422, "/clusters"),
    "wrong type inside": (b'{"nodes": [7]}', 422, "/nodes/0"),
    "word for a truth value": (b'{"dryRun": "yes"}', 422, "/dryRun"),
    "unknown field": (b'{"cluster": ["blue"]}', 422, "/cluster"),
    "unknown cluster": (b'{"clusters": ["bule"]}', 422, "did you mean 'blue'"),
    "cluster named twice": (b'{"clusters": ["blue", "blue"]}', 422, "twice"),
    "unknown node": (b'{"nodes": ["blue-7"]}', 422, "did you mean 'blue-0'"),
}
"""What is sent -> body, status, and what the problem document names."""


def test_bad_requests_get_a_problem_document_that_names_what_is_wrong(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    require_reboot(cluster, "blue-0")
    with hosted(Midwatch(fleet)) as host:
        answers = {name: host.ask("POST", "runs", raw=body) for name, (body, _, _) in _BODIES.items()}
        lost = {path: host.ask("GET", path)[0] for path in ("runs/none", "runs/a:b", "nothing", "runs?limit=0")}
        assert host.ask("POST", "runs/none/cancel")[0] == 404
        assert host.ask("DELETE", "runs")[0] == 405
        assert host.get("runs")["runs"] == []
    assert {name: answer[0] for name, answer in answers.items()} == {n: want for n, (_, want, _) in _BODIES.items()}
    assert {n: (a[1]["status"], bool(a[1]["code"])) for n, a in answers.items()} == {
        name: (status, True) for name, (_, status, _) in _BODIES.items()
    }
    assert [(n, answers[n][1]["detail"]) for n, (_, _, word) in _BODIES.items() if word not in str(answers[n][1])] == []
    assert lost == {"runs/none": 404, "runs/a:b": 404, "nothing": 404, "runs?limit=0": 422}
    assert cluster.boots == {}


def test_an_unknown_node_is_refused_before_anything_starts(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    require_reboot(cluster, "blue-0")
    done = Midwatch(fleet).run("--node", "blue-0", "--node", "bleu-1")
    assert (done.code, done.stdout) == (2, "")
    assert "bleu-1" in done.stderr
    assert "did you mean 'blue-1'" in done.stderr
    assert cluster.boots == {}


@pytest.mark.parametrize("others", [False, True], ids=["the only cluster", "one of two"])
def test_expired_credentials_are_named_and_stop_no_other_cluster(fleet: Fleet, *, others: bool) -> None:
    names = ("old", "blue") if others else ("old",)
    old, *rest = fleet.create(*names, nodes=1)
    for cluster in (old, *rest):
        require_reboot(cluster, *cluster.machines)
    midwatch = Midwatch(fleet)
    expired = old.access("midwatch").model_copy(update={"credentials": {"token": "expired"}})
    kubeconfig.write(midwatch.kubeconfig, expired, *(cluster.access("midwatch") for cluster in rest))
    done = midwatch.run()
    assert old.boots == {}
    if not others:
        assert (done.code, done.stdout) == (2, "")
        assert "cluster old: " in done.stderr
        assert "Unauthorized" in done.stderr
        return
    run = Run(done.json)
    assert done.code == 1
    assert run.clusters["old"]["outcome"] == "unreachable"
    assert run.error("old").startswith("unauthorized: ")
    assert run.outcomes == {"blue-0": "rebooted"}
