"""What Midwatch may do in a cluster."""

from __future__ import annotations

import pytest

from midwatch.domain import lease
from midwatch.domain.permissions import PERMISSIONS, Permission
from tests.unit.deploy.deploy_kit import DEPLOY, built, only

type Grant = tuple[str, str, str, str, str]
"""Namespace ("" for the whole cluster), API group, resource, verb, and the one name that it is limited to, or ""."""

EXPECTED: set[Grant] = {(p.namespace, p.group, p.resource, p.verb, p.name) for p in PERMISSIONS}


def granted() -> set[Grant]:
    return {
        (manifest.metadata.namespace, group, resource, verb, name)
        for manifest in built("rbac")
        for rule in manifest.rules
        for group in rule.api_groups
        for resource in rule.resources
        for verb in rule.verbs
        for name in rule.resource_names or [""]
    }


def test_the_roles_grant_the_table_of_the_code_and_nothing_else() -> None:
    assert granted() == EXPECTED
    assert len(PERMISSIONS) == len(EXPECTED)


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda permission: permission.text)
def test_a_permission_names_the_role_that_grants_it(permission: Permission) -> None:
    kind, _, name = permission.role.partition(" ")
    namespace, _, short = name.rpartition("/")
    [role] = [m for m in built("rbac") if m.rules and (m.kind, m.metadata.name) == (kind, short)]
    assert role.metadata.namespace == namespace == permission.namespace
    assert [r for r in role.rules if permission.resource in r.resources and permission.verb in r.verbs]


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "serviceaccounts/token", "pods/exec", "nodes/proxy"])
def test_what_would_open_the_cluster_is_not_granted(resource: str) -> None:
    assert resource not in {grant[2] for grant in granted()}


def test_there_is_no_wildcard() -> None:
    assert not [grant for grant in granted() if "*" in grant]


def test_pods_are_created_in_our_namespace_alone() -> None:
    places = {place for place, _, resource, verb, _ in granted() if resource == "pods" and verb == "create"}
    assert places == {lease.NAMESPACE}


def test_every_role_is_bound_to_the_group_and_to_the_account() -> None:
    manifests = built("rbac")
    bindings = [manifest for manifest in manifests if manifest.role_ref is not None]
    bound = {
        (binding.role_ref.kind, binding.metadata.namespace, binding.role_ref.name)
        for binding in bindings
        if binding.role_ref is not None
    }
    roles = {(m.kind, m.metadata.namespace, m.metadata.name) for m in manifests if m.rules}
    assert bound == roles
    for binding in bindings:
        subjects = {(subject.kind, subject.name, subject.namespace) for subject in binding.subjects}
        assert subjects == {("Group", "midwatch", ""), ("ServiceAccount", "midwatch", lease.NAMESPACE)}


def test_the_namespace_lets_the_reboot_pod_in() -> None:
    namespace = only(built("rbac"), "Namespace").metadata
    assert namespace.name == lease.NAMESPACE
    assert namespace.labels["pod-security.kubernetes.io/enforce"] == "privileged"


@pytest.mark.parametrize("file", ["clusterrole.yaml", "role.yaml", "events-role.yaml"])
def test_every_rule_says_who_needs_it(file: str) -> None:
    lines = (DEPLOY / "rbac" / file).read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line.lstrip().startswith("- apiGroups:")]
    assert rules
    assert [number for number in rules if not lines[number - 1].lstrip().startswith("#")] == []
