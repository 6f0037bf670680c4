"""The policy file: its defaults, and what it refuses, with file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from midwatch.config import Settings, load_policy, parse_policy
from midwatch.domain.drain_policy import DrainRule, OnTimeout, PodAction
from midwatch.domain.errors import UsageError
from midwatch.domain.policy import NOT_YET, NeedStatus, NodeOrder, Policy, RebootMethod

HEAD = "apiVersion: midwatch/v1\n"
WHOLE = """\
apiVersion: midwatch/v1
clusters:
  - kubeconfig: {context: kind-dev, labels: {env: dev}}
  - kubeconfig: {context: kind-prod}
nodes:
  needs: [{condition: RebootRequired, status: "True", for: 10m}, {condition: Healthy, status: "False"}]
  select: {kubernetes.io/os: linux, team: a}
  maxUnavailable: "10%"
  countCordoned: true
  order: zone-then-age
  settle: 90s
drain:
  {timeout: 1h30m, gracePeriod: 20s, deleteEmptyDirData: false, force: false, onTimeout: delete, podSelector: "app!=db",
   rules: [{namespace: jobs, select: {kind: batch}, action: wait, order: -1}], ignoreDaemonSets: false,
   skipWaitForDeleteTimeout: 1m, budgetTimeout: 10m, misconfiguredTimeout: null, terminationTimeout: 2m,
   deleteGracePeriod: 5s, minimumTime: 10s, detachTimeout: 0s, excludeFromLoadBalancers: true, loadBalancerWait: 20s}
reboot: {method: command, timeout: 20m, image: registry.example/busybox:1}
verify: {stableFor: 0s, conditionClears: 10m}
failure: {maxFailedNodes: 0, keepCordoned: true}
"""


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def test_the_defaults_are_those_of_the_design() -> None:
    p = parse_policy(HEAD, "p.yaml")
    assert p == Policy.default()
    assert p.clusters == ()
    assert [(n.condition, n.status, n.for_) for n in p.nodes.needs] == [
        ("RebootRequired", NeedStatus.TRUE, timedelta(0))
    ]
    assert (p.nodes.select, p.nodes.max_unavailable, p.nodes.count_cordoned) == (
        {"kubernetes.io/os": "linux"},
        1,
        False,
    )
    assert (p.nodes.order, p.nodes.settle) == (NodeOrder.LONGEST_WAITING, minutes(1))
    assert (p.drain.timeout, p.drain.grace_period, p.drain.on_timeout) == (minutes(15), None, "fail")
    assert (p.drain.delete_empty_dir_data, p.drain.force, p.drain.ignore_daemon_sets) == (True, True, True)
    assert (p.drain.budget_timeout, p.drain.misconfigured_timeout) == (None, minutes(2))
    assert (p.drain.rules, p.drain.pod_selector, p.drain.exclude_from_load_balancers) == ((), None, False)
    assert (p.reboot.method, p.reboot.timeout) == (RebootMethod.SIGNAL, minutes(15))
    assert p.reboot.image == "mcr.microsoft.com/azurelinux/busybox:1.36"
    assert (p.verify.stable_for, p.verify.condition_clears) == (minutes(0.5), minutes(5))
    assert (p.failure.max_failed_nodes, p.failure.keep_cordoned) == (1, False)


def test_every_key_of_the_contract_is_read() -> None:
    p = parse_policy(WHOLE, "p.yaml")
    assert [(c.kubeconfig.context, c.kubeconfig.labels) for c in p.clusters if c.kubeconfig] == [
        ("kind-dev", {"env": "dev"}),
        ("kind-prod", {}),
    ]
    assert [(n.condition, n.status, n.for_) for n in p.nodes.needs] == [
        ("RebootRequired", NeedStatus.TRUE, minutes(10)),
        ("Healthy", NeedStatus.FALSE, timedelta(0)),
    ]
    assert (p.nodes.max_unavailable, p.nodes.count_cordoned, p.nodes.order) == ("10%", True, NodeOrder.ZONE_THEN_AGE)
    assert (p.nodes.select["team"], p.nodes.settle) == ("a", minutes(1.5))
    assert (p.drain.timeout, p.drain.grace_period) == (minutes(90), timedelta(seconds=20))
    assert (p.drain.delete_empty_dir_data, p.drain.force, p.drain.ignore_daemon_sets) == (False, False, False)
    assert (p.drain.on_timeout, p.drain.pod_selector) == (OnTimeout.DELETE, "app!=db")
    assert p.drain.rules == (DrainRule(namespace="jobs", select={"kind": "batch"}, action=PodAction.WAIT, order=-1),)
    assert (p.drain.budget_timeout, p.drain.misconfigured_timeout) == (minutes(10), None)
    assert (p.drain.termination_timeout, p.drain.skip_wait_for_delete_timeout) == (minutes(2), minutes(1))
    assert (p.drain.delete_grace_period, p.drain.minimum_time) == (timedelta(seconds=5), timedelta(seconds=10))
    assert (p.drain.detach_timeout, p.drain.load_balancer_wait) == (timedelta(0), timedelta(seconds=20))
    assert p.drain.exclude_from_load_balancers
    assert (p.reboot.method, p.reboot.timeout, p.reboot.image) == (
        RebootMethod.COMMAND, minutes(20), "registry.example/busybox:1",
    )  # fmt: skip
    assert (p.verify.stable_for, p.verify.condition_clears) == (timedelta(0), minutes(10))
    assert (p.failure.max_failed_nodes, p.failure.keep_cordoned) == (0, True)


def test_a_policy_that_was_frozen_into_a_run_reads_back_the_same() -> None:
    p = parse_policy(WHOLE, "p.yaml")
    assert Policy.model_validate(p.model_dump(mode="json", by_alias=True)) == p


NOT_SUPPORTED = {
    "stages": ("\nstages:\n  - {name: dev}\n", 3, "stages"),
    "windows": ("windows: [{days: [sat]}]\n", 2, "windows"),
    "blackouts": ("blackouts: []\n", 2, "blackouts"),
    "cutoff": ("cutoff: 30m\n", 2, "cutoff"),
    "nodes.maxUnavailablePerZone": (
        "nodes:\n  settle: 5s\n  maxUnavailablePerZone: 1\n",
        4,
        "nodes.maxUnavailablePerZone",
    ),
    "nodes.maxUnavailablePerPool": ("nodes: {maxUnavailablePerPool: null}\n", 2, "nodes.maxUnavailablePerPool"),
    "gates": ("gates:\n  - pods: {selector: a=b}\n", 2, "gates"),
    "notify": ("notify: [MIDWATCH_NOTIFY_URL]\n", 2, "notify"),
    "overrides": ("overrides: []\n", 2, "overrides"),
}


def refused(text: str) -> str:
    with pytest.raises(UsageError) as error:
        parse_policy(text, "p.yaml")
    assert error.value.code == "policy-invalid"
    assert "\n" not in error.value.message
    return error.value.message


@pytest.mark.parametrize("key", sorted(NOT_YET))
def test_a_key_of_a_later_version_is_refused_by_name_and_line(key: str) -> None:
    text, line, path = NOT_SUPPORTED[key]
    assert refused(HEAD + text) == f"p.yaml:{line}: `{path}`: not supported yet"


DEFECTS: list[tuple[str, str, str]] = [
    ("a misspelt key", "nodes:\n  maxUnavailible: 1\n", "p.yaml:3: `nodes.maxUnavailible`: no such key"),
    ("a key in snake case", "nodes:\n  max_unavailable: 1\n", "p.yaml:3: `nodes.max_unavailable`: no such key"),
    ("a key in another section", "force: true\n", "p.yaml:2: `force`: no such key"),
    ("a later key in another section", "drain: {notify: []}\n", "p.yaml:2: `drain.notify`: no such key"),
    ("a step of more than a night", "reboot: {timeout: 13h}\n",
     "p.yaml:2: `reboot.timeout`: 13h is longer than 12h: a node in work is not kept longer"),
    ("a key that is a number", "1: x\n", "p.yaml:2: `1`: Keys should be strings"),
    ("a key that is a mapping", "? {a: b}\n: c\n", "p.yaml:2: a key is a plain word"),
    ("a key twice", "drain:\n  force: true\n  force: false\n", "p.yaml:4: key `force` is given twice"),
    ("a key twice at the top", "drain: {}\nverify: {}\ndrain: {}\n", "p.yaml:4: key `drain` is given twice"),
    ("a key twice in a list", "clusters:\n  - kubeconfig: {context: a, context: b}\n",
     "p.yaml:3: key `context` is given twice"),
    ("a section without content", "nodes:\n", "p.yaml:2: `nodes`: Input should be a valid dictionary"),
    ("a text for a switch", "drain: {force: 'no'}\n", "p.yaml:2: `drain.force`: Input should be a valid boolean"),
    ("a number for a switch", "drain: {force: 1}\n", "p.yaml:2: `drain.force`: Input should be a valid boolean"),
    ("a text for a number", "failure: {maxFailedNodes: '1'}\n",
     "`failure.maxFailedNodes`: Input should be a valid integer"),
    ("less than none", "failure: {maxFailedNodes: -1}\n",
     "`failure.maxFailedNodes`: Input should be greater than or equal to 0"),
    ("a number for a duration", "nodes: {settle: 60}\n", "`nodes.settle`: 60 is not a duration"),
    ("a duration with another unit", "drain: {timeout: 1d}\n", "`drain.timeout`: '1d' is not a duration"),
    ("a negative duration", "nodes: {settle: -5s}\n", "`nodes.settle`: '-5s' is not a duration"),
    ("no time for the drain", "drain: {timeout: 0s}\n", "`drain.timeout`: it must be at least 1s"),
    ("no grace", "drain: {gracePeriod: 0s}\n", "`drain.gracePeriod`: it must be at least 1s"),
    ("no time for the reboot", "reboot: {timeout: 999ms}\n", "`reboot.timeout`: it must be at least 1s"),
    ("no node at all", "nodes: {maxUnavailable: 0}\n", "`nodes.maxUnavailable`: 0 would never let a node be rebooted"),
    ("a switch for a number", "nodes: {maxUnavailable: true}\n", "`nodes.maxUnavailable`: Input should be a valid"),
    ("a number in quotes", "nodes: {maxUnavailable: '1'}\n",
     "`nodes.maxUnavailable`: '1' is neither a number nor a percentage"),
    ("no percent", "nodes: {maxUnavailable: 0%}\n", "`nodes.maxUnavailable`: '0%' is neither"),
    ("more than all", "nodes: {maxUnavailable: 101%}\n", "`nodes.maxUnavailable`: '101%' is neither"),
    ("half a percent", "nodes: {maxUnavailable: 0.5%}\n", "`nodes.maxUnavailable`: '0.5%' is neither"),
    ("another order", "nodes: {order: random}\n",
     "`nodes.order`: Input should be 'longest-waiting', 'zone-then-age' or 'name'"),
    ("another method", "reboot: {method: kexec}\n", "`reboot.method`: Input should be 'signal' or 'command'"),
    ("no need", "nodes: {needs: []}\n", "`nodes.needs`: "),
    ("a need without quotes", "nodes: {needs: [{status: true}]}\n",
     '`nodes.needs.0.status`: write it in quotes: "True"'),
    ("a need for Unknown", "nodes: {needs: [{status: Unknown}]}\n",
     "`nodes.needs.0.status`: Input should be 'True' or 'False'"),
    ("a label that is no text", "nodes:\n  select:\n    gpu: true\n",
     "p.yaml:4: `nodes.select.gpu`: Input should be a valid string"),
    ("another end at the deadline", "drain: {onTimeout: kill}\n",
     "`drain.onTimeout`: Input should be 'fail', 'delete' or 'reboot-anyway'"),
    ("a selector that nobody can read", "drain:\n  podSelector: 'app in web'\n",
     "p.yaml:3: `drain.podSelector`: 'app in web' is no label selector"),
    ("an action that there is not", "drain:\n  rules: [{action: keep}]\n",
     "p.yaml:3: `drain.rules.0.action`: Input should be 'drain', 'skip' or 'wait'"),
    ("an order without end", "drain: {rules: [{order: 1001}]}\n", "`drain.rules.0.order`: "),
    ("no grace for deletion", "drain: {deleteGracePeriod: 0s}\n", "`drain.deleteGracePeriod`: it must be at least 1s"),
    ("a cluster twice", "clusters: [{kubeconfig: {context: a}}, {kubeconfig: {context: a}}]\n",
     "context 'a' is listed twice"),
    ("a cluster without context", "clusters:\n  - kubeconfig: {}\n",
     "p.yaml:3: `clusters.0.kubeconfig.context`: is missing"),
    ("an empty context", "clusters:\n  - kubeconfig: {context: ''}\n", "p.yaml:3: `clusters.0.kubeconfig.context`: "),
    ("a mapping for a list", "clusters: {kubeconfig: {context: a}}\n", "p.yaml:2: `clusters`: "),
    ("an alias that holds itself", "nodes: &n\n  select: *n\n", "p.yaml:3: `nodes.select"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [r[1:] for r in DEFECTS], ids=[r[0] for r in DEFECTS])
def test_a_defect_is_told_with_its_line_and_key(text: str, message: str) -> None:
    line = refused(HEAD + text)
    assert message in line
    assert line.startswith("p.yaml:")


def test_every_defect_of_a_file_is_told_at_once() -> None:
    line = refused(HEAD + "nodes:\n  settle: 1\n  maxUnavailable: 0\nstages: []\n")
    assert [part.split("`")[:2] for part in line.split("; ")] == [
        ["p.yaml:4: ", "nodes.maxUnavailable"], ["p.yaml:3: ", "nodes.settle"], ["p.yaml:5: ", "stages"],
    ]  # fmt: skip


NOT_POLICIES: list[tuple[str, str, str]] = [
    ("an empty file", "", "p.yaml:1: a policy is a mapping"),
    ("a comment", "# nothing\n", "p.yaml:1: a policy is a mapping"),
    ("a list", "- a\n", "p.yaml:1: a policy is a mapping"),
    ("a word", "midwatch\n", "p.yaml:1: a policy is a mapping"),
    ("no version", "nodes: {}\n", "p.yaml:1: `apiVersion`: is missing"),
    ("another version", "apiVersion: midwatch/v2\n", "p.yaml:1: `apiVersion`: Input should be 'midwatch/v1'"),
    ("an open bracket", HEAD + "nodes: {settle: 5s\n", "p.yaml:3: "),
    ("a tab", HEAD + "nodes:\n\tsettle: 5s\n", "p.yaml:3: found character '\\t'"),
    ("two documents", HEAD + "---\n" + HEAD, "p.yaml:2: "),
    ("a control character", "a: \x00\n", "p.yaml: not YAML"),
    ("an unknown alias", HEAD + "nodes: *x\n", "p.yaml:2: found undefined alias"),
    ("a Python object", HEAD + "nodes: !!python/object/apply:os.getcwd []\n", "p.yaml:2: could not determine"),
    ("an impossible date", "apiVersion: 2026-13-45\n", "p.yaml: month must be in 1..12"),
    ("brackets without end", "[" * 2000, "p.yaml"),
]


@pytest.mark.parametrize(("text", "message"), [r[1:] for r in NOT_POLICIES], ids=[r[0] for r in NOT_POLICIES])
def test_what_is_no_policy_is_refused(text: str, message: str) -> None:
    assert message in refused(text)


def test_aliases_of_aliases_are_refused_in_no_time() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert "`l39`: no such key" in refused(HEAD + "\n".join(["l0: &l0 [x]", *levels]))


def test_a_file_that_is_not_there_a_folder_and_bytes_are_each_told(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge.yaml").write_text("#" * 1_000_001)
    (tmp_path / "bad.yaml").write_text(HEAD + "nodez: {}\n")
    codes = {}
    for name in ("none.yaml", ".", "bytes.yaml", "huge.yaml", "bad.yaml"):
        with pytest.raises(UsageError) as error:
            load_policy(tmp_path / name)
        assert str(tmp_path) in error.value.message
        codes[name] = error.value.code
    assert list(codes.values()) == ["policy-not-found", *["policy-unreadable"] * 3, "policy-invalid"]


def test_a_policy_file_is_read_and_without_one_the_defaults_hold(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    assert load_policy(path) == parse_policy(WHOLE, "p.yaml")
    assert load_policy(None) == Policy.default()


def test_an_empty_setting_is_as_good_as_none() -> None:
    assert Settings.read({}).policy is None
    assert Settings.read({"MIDWATCH_POLICY": "  "}).policy is None
    assert Settings.read({"MIDWATCH_POLICY": "/etc/p.yaml"}).policy == Path("/etc/p.yaml")


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from sections(inner)


def test_every_field_says_what_it_means() -> None:
    found = list(sections(Policy))
    assert len(found) == 14
    silent = [f"{s.__name__}.{n}" for s in found for n, field in s.model_fields.items() if not field.description]
    assert silent == []
    assert all("  " not in (field.description or "") for s in found for field in s.model_fields.values())


def test_the_schema_names_the_keys_as_the_file_does() -> None:
    schema = Policy.model_json_schema(by_alias=True)
    assert list(schema["properties"]) == ["apiVersion", "clusters", "nodes", "drain", "reboot", "verify", "failure"]
    assert "for" in schema["$defs"]["Need"]["properties"]
    sections = [part for part in schema["$defs"].values() if part.get("type") == "object"]
    assert all(part["additionalProperties"] is False for part in sections)
