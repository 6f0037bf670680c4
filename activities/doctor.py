"""Everything that a run needs of a cluster, looked at without touching it: for people, before they start a run.

It reads, asks the API server about our own rights, and sends one server-side dry run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from midwatch.domain.clusters import ClusterRef
from midwatch.domain.doctor import cluster as cluster_rules
from midwatch.domain.doctor import settings
from midwatch.domain.doctor.azure import azure_checks
from midwatch.domain.doctor.checks import Check, CheckedCluster, CheckId, Health, Unread, checked, not_looked_at
from midwatch.domain.doctor.detector import condition_checks, detector_checks
from midwatch.domain.doctor.network import clock_check, network_checks
from midwatch.domain.doctor.rights import Answered, WhoAmI, identity_check, permission_checks
from midwatch.domain.errors import MidwatchError
from midwatch.domain.permissions import Permission, needed_by
from midwatch.domain.policy import Policy
from midwatch.kube import leases, nodes, prerequisites, reviews, version
from midwatch.kube.client import KubeClient
from midwatch.kube.connection import Connection, source_of
from midwatch.kube.pool import ClientPool
from midwatch.kube.probe import probe

_CLUSTERS_AT_ONCE = 10
_QUESTIONS_AT_ONCE = 8
_OF_THE_NETWORK = (CheckId.DNS, CheckId.TCP, CheckId.TLS, CheckId.HTTP, CheckId.CLOCK)
_OF_THE_CLUSTER = (
    CheckId.PERMISSION,
    CheckId.VERSION,
    CheckId.NAMESPACE,
    CheckId.REBOOT_POD,
    CheckId.CONDITION,
    CheckId.DETECTOR,
    CheckId.LEASE,
    CheckId.LEFTOVERS,
)
_CREATES_PODS = ("midwatch", "pods", "create")


async def examine_fleet(
    pool: ClientPool,
    clusters: Sequence[ClusterRef],
    policy: Policy,
    seen: Callable[[CheckedCluster], None],
) -> tuple[CheckedCluster, ...]:
    """Every cluster, several side by side; one that cannot be reached stops no other.

    Args:
        pool: the clients.
        clusters: which.
        policy: what a run would do.
        seen: called with each cluster that has been looked at.
    """
    places = asyncio.Semaphore(_CLUSTERS_AT_ONCE)

    async def examine(ref: ClusterRef) -> CheckedCluster:
        async with places:
            own = await _examine(pool, ref, policy)
        found = checked(ref.name, ref.server or None, (*azure_checks(ref), *own))
        seen(found)
        return found

    return tuple(await asyncio.gather(*(examine(ref) for ref in clusters)))


async def _examine(pool: ClientPool, ref: ClusterRef, policy: Policy) -> tuple[Check, ...]:
    if ref.skip:
        inside = (CheckId.CREDENTIALS, CheckId.IDENTITY, *_OF_THE_CLUSTER)
        return not_looked_at((CheckId.CONTEXT, *_OF_THE_NETWORK, *inside), CheckId.AZURE)
    known_as = ref.aks or ref.context
    try:
        connection = await pool.connection(ref)
        client = await pool.client(ref)
        reached = await probe(connection)
    except MidwatchError as error:
        context = settings.context_check(known_as, Unread.because(error), in_azure=bool(ref.aks))
        rest = (*_OF_THE_NETWORK, CheckId.CREDENTIALS, CheckId.IDENTITY, *_OF_THE_CLUSTER)
        return (context, *not_looked_at(rest, CheckId.CONTEXT))
    found = [settings.context_check(known_as, connection.server), *network_checks(reached)]
    if reached.stopped_at is not None:
        later = (CheckId.CLOCK, CheckId.CREDENTIALS, CheckId.IDENTITY, *_OF_THE_CLUSTER)
        return (*found, *not_looked_at(later, CheckId(reached.stopped_at)))
    return (*found, clock_check(reached), *await _examine_inside(client, connection, policy))


async def _examine_inside(client: KubeClient, connection: Connection, policy: Policy) -> tuple[Check, ...]:
    """What can be seen with credentials alone."""
    source = source_of(connection.credentials)
    problem = await _try(client.identify())
    credentials = settings.credentials_check(source, problem)
    if problem is not None:
        rest = (CheckId.IDENTITY, *_OF_THE_CLUSTER)
        return (credentials, *not_looked_at(rest, CheckId.CREDENTIALS))
    who = await _try(reviews.who_am_i(client))
    identity = identity_check(who, source)
    if identity.verdict is Health.FAILED:
        return (credentials, identity, *not_looked_at(_OF_THE_CLUSTER, CheckId.IDENTITY))
    answers = await _ask_rights(client, needed_by(policy))
    name = who.username if isinstance(who, WhoAmI) else "these credentials"
    rights = permission_checks(answers, name)
    return (credentials, identity, *rights, *await _examine_state(client, policy, answers))


async def _ask_rights(client: KubeClient, wanted: Sequence[Permission]) -> list[Answered]:
    places = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def ask(permission: Permission) -> Answered:
        async with places:
            found = await _try(reviews.may(client, permission))
        return Answered(permission=permission, allowed=found) if isinstance(found, Unread) else found

    return list(await asyncio.gather(*(ask(permission) for permission in wanted)))


async def _examine_state(client: KubeClient, policy: Policy, answers: Sequence[Answered]) -> tuple[Check, ...]:
    found, lease, space, number, detector, pods = await asyncio.gather(
        _try(nodes.list_nodes(client)),
        _try(leases.read_lease(client)),
        _try(prerequisites.read_namespace(client)),
        _try(version.server_version(client)),
        _try(prerequisites.read_detector(client)),
        _try(prerequisites.list_reboot_pods(client)),
    )
    linux = [] if isinstance(found, Unread) else [node.name for node in found if node.os != "windows"]
    admission = await _try(prerequisites.try_reboot_pod(client, policy.reboot, next(iter(linux), None)))
    allowed = _creates_pods(answers)
    now = datetime.now(UTC)
    conditions = condition_checks(found, policy, now)
    return (
        cluster_rules.version_check(number, policy.reboot.method),
        cluster_rules.namespace_check(space, admission, allowed=allowed),
        cluster_rules.reboot_pod_check(admission, policy.reboot.method, allowed=allowed),
        *conditions,
        *detector_checks(detector, conditions, policy),
        cluster_rules.lease_check(lease, now),
        cluster_rules.leftovers_check(found, pods, lease, now),
    )


def _creates_pods(answers: Sequence[Answered]) -> bool:
    return any(
        answer.allowed is True
        and (answer.permission.namespace, answer.permission.resource, answer.permission.verb) == _CREATES_PODS
        for answer in answers
    )


async def _try[T](work: Awaitable[T]) -> T | Unread:
    try:
        return await work
    except MidwatchError as error:
        return Unread.because(error)
