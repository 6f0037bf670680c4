"""Instance IDs and object names, and the rules of the lease."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from midwatch.domain import ids, lease
from midwatch.domain.lease import LeaseMove, LeaseView
from tests.unit.domain.domain_kit import NOW

RUN = ids.run_id(NOW, "abc123")
LONGEST_NODE = "a" * 253
"""The longest name that a Kubernetes object has."""
NASTY = [
    "aks-nodepool1-12345678-vmss000000",
    "arn:aws:eks:eu-central-1:123456789012:cluster/shop",
    "kind/dev", "kind-dev", "kind\\dev", "kind#dev", "kind?dev", "kind dev", "kind:dev", "kind@dev", "@kind", "-", "/",
    ":", "",
    "ÄÖÜ", "\u540d\u524d", "a\nb", "\x00", "..", "A" * 30, "A" * 31, "A" * 39, "A" * 40, "-a-", "_a", "%2f",
    "x" * 252 + "a", "x" * 252 + "b", LONGEST_NODE,
]  # fmt: skip
INSTANCES = (ids.drain_instance, ids.wait_instance, ids.verify_instance)


def test_the_longest_names_fit_into_a_hundred_characters() -> None:
    node = ids.node_instance(RUN, "c" * 500, LONGEST_NODE)
    assert max(len(suffix(node)) for suffix in INSTANCES) <= 100


@pytest.mark.parametrize("name", NASTY)
def test_no_name_brings_a_forbidden_character_or_another_separator_into_an_instance_id(name: str) -> None:
    for instance in (ids.cluster_instance(RUN, name), ids.node_instance(RUN, name, name)):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", instance)
    assert ids.verify_instance(ids.node_instance(RUN, name, name)).count(":") == 3


def test_different_names_get_different_ids() -> None:
    clusters = {ids.cluster_instance(RUN, name) for name in NASTY}
    nodes = {ids.node_instance(RUN, cluster, node) for cluster in NASTY for node in NASTY}
    waits = {suffix(node) for node in nodes for suffix in INSTANCES}
    assert (len(clusters), len(nodes), len(waits)) == (len(NASTY), len(NASTY) ** 2, 3 * len(NASTY) ** 2)
    assert not clusters & nodes
    assert not nodes & waits


def test_a_plain_name_is_kept_so_that_people_find_it() -> None:
    node = ids.node_instance(RUN, "kind-dev", "aks-nodepool1-12345678-vmss00000a")
    assert node == f"{RUN}:kind-dev:aks-nodepool1-12345678-vmss00000a"


def test_the_same_names_get_the_same_id_on_every_call() -> None:
    assert ids.node_instance(RUN, "a/b", LONGEST_NODE) == ids.node_instance(RUN, "a/b", LONGEST_NODE)
    assert ids.cluster_instance(RUN, "a/b") == f"{RUN}:a-b-c14cddc0"


def test_run_ids_sort_by_time_in_utc() -> None:
    berlin = datetime(2026, 11, 24, 3, 30, tzinfo=timezone(timedelta(hours=1)))
    assert ids.run_id(berlin, "aaaaaa") == "20261124-023000-aaaaaa"
    assert ids.run_id(berlin, "zzzzzz") < ids.run_id(NOW, "aaaaaa")


def test_runs_of_one_second_differ_by_their_entropy() -> None:
    assert ids.run_id(NOW, "abc123") != ids.run_id(NOW, "abc124")
    assert len(ids.run_id(NOW, "abcdefghij")) == len(RUN) == 22


def test_pod_and_event_names_are_kubernetes_names_and_differ_by_run_node_and_reason() -> None:
    pods = {ids.reboot_pod(run, node) for run in ("r1", "r2") for node in ("n1", LONGEST_NODE)}
    events = {ids.event_name(run, node, reason) for run in ("r1", "r2") for node in ("n1", "n2") for reason in "AB"}
    assert (len(pods), len(events)) == (4, 8)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for name in pods | events)


def test_parts_that_read_alike_when_joined_are_told_apart() -> None:
    assert ids.reboot_pod("run1", "2") != ids.reboot_pod("run", "12")


def held(holder: str, ago: timedelta | None) -> LeaseView:
    return LeaseView(holder=holder, renewed=None if ago is None else NOW - ago, duration=lease.DURATION)


LONG_AGO, SECOND = timedelta(hours=1), timedelta(seconds=1)
MOVES: list[tuple[str, LeaseView | None, LeaseMove]] = [
    ("no lease is created", None, LeaseMove.CREATE),
    ("ours is renewed", held("me", SECOND), LeaseMove.RENEW),
    ("ours is renewed also when it has expired", held("me", LONG_AGO), LeaseMove.RENEW),
    ("ours is renewed though its time is not known", held("me", None), LeaseMove.RENEW),
    ("another's fresh one is busy", held("other", SECOND), LeaseMove.BUSY),
    ("another's is busy to its last moment", held("other", lease.DURATION), LeaseMove.BUSY),
    ("another's expired one is taken", held("other", lease.DURATION + SECOND), LeaseMove.TAKE),
    ("a released one is taken at once", held("", SECOND), LeaseMove.TAKE),
    ("one that was never renewed is taken", held("other", None), LeaseMove.TAKE),
    ("a holder whose clock is ahead is busy", held("other", -SECOND), LeaseMove.BUSY),
    ("its own duration counts, not ours", held("other", SECOND).model_copy(update={"duration": timedelta(0)}),
     LeaseMove.TAKE),
]  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), [r[1:] for r in MOVES], ids=[r[0] for r in MOVES])
def test_a_lease_is_held_by_one_run_until_it_lets_go_or_expires(found: LeaseView | None, expected: LeaseMove) -> None:
    assert lease.move(found, "me", NOW) is expected


def test_a_lease_is_renewed_three_times_in_its_life() -> None:
    assert 3 * lease.RENEW_EVERY <= lease.DURATION
