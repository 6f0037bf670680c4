"""Durations, package lists and cluster names, as people write them."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from midwatch.domain.clusters import resolve
from midwatch.domain.durations import format_duration, parse_duration
from midwatch.domain.errors import UsageError
from midwatch.domain.packages import packages_in
from midwatch.domain.policy import Policy

DURATIONS = {
    "0s": timedelta(0),
    "1ms": timedelta(milliseconds=1),
    "90s": timedelta(seconds=90),
    "15m": timedelta(minutes=15),
    "6h": timedelta(hours=6),
    "1h30m": timedelta(minutes=90),
    "30m1h": timedelta(minutes=90),
    "1h1m1s1ms": timedelta(hours=1, minutes=1, seconds=1, milliseconds=1),
    "168h": timedelta(days=7),
}


@pytest.mark.parametrize(("text", "value"), DURATIONS.items())
def test_a_duration_is_a_number_with_a_unit(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


NOT_DURATIONS = [
    "", " ", "90", "s", "-5s", "+5s", "1.5h", "5 s", " 5s", "5s ", "5s\n", "5S", "1d", "1w", "5sec", "1h-5m",
    "\u0663s", 90, 1.5, 0,
    True, None, ["5s"],
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_DURATIONS, ids=repr)
def test_anything_else_is_refused_and_named(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write a number with a unit") as error:
        parse_duration(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", ["169h", "168h1ms", "604800001ms", "9" * 60 + "h", "9999999999h" * 40])
def test_a_duration_beyond_seven_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than seven days"):
        parse_duration(text)


def test_what_is_written_reads_back_the_same() -> None:
    rng = random.Random(3)
    for value in (*DURATIONS.values(), *(timedelta(milliseconds=rng.randrange(604_800_000)) for _ in range(500))):
        assert parse_duration(format_duration(value)) == value


MESSAGES: list[tuple[str, str, tuple[str, ...]]] = [
    ("one", "Reboot required by: linux-base", ("linux-base",)),
    ("several", "Reboot required by: libc6, linux-image-6.8.0-2", ("libc6", "linux-image-6.8.0-2")),
    ("a cut list", "Reboot required by: a, b and 3 more", ("a", "b", "and 3 more")),
    ("only a number", "Reboot required by: 3 packages", ("3 packages",)),
    ("no names", "Reboot required by: ", ()),
    ("blanks and empty parts", "Reboot required by:  a,, b ,", ("a", "b")),
    ("no list (Azure Linux)", "Reboot required", ()),
    ("another plugin's message", "kernel has no deadlock", ()),
    ("no message", "", ()),
]


@pytest.mark.parametrize(("message", "packages"), [r[1:] for r in MESSAGES], ids=[r[0] for r in MESSAGES])
def test_the_packages_are_read_from_our_plugins_message(message: str, packages: tuple[str, ...]) -> None:
    assert packages_in(message) == packages


CONTEXTS = ("kind-dev", "kind-prod", "kind-test")
NONE_LISTED = Policy.default()
LISTED = Policy.model_validate(
    {
        "apiVersion": "midwatch/v1",
        "clusters": [
            {"kubeconfig": {"context": "kind-prod", "labels": {"env": "prod"}}},
            {"kubeconfig": {"context": "kind-dev"}},
        ],
    }
)
RESOLVED: list[tuple[str, Policy, tuple[str, ...], tuple[str, ...]]] = [
    ("all that the policy lists, in its order", LISTED, (), ("kind-prod", "kind-dev")),
    ("those that are named, in their order", LISTED, ("kind-dev", "kind-prod"), ("kind-dev", "kind-prod")),
    ("one of them", LISTED, ("kind-dev",), ("kind-dev",)),
    ("any context where the policy lists none", NONE_LISTED, ("kind-test", "kind-dev"), ("kind-test", "kind-dev")),
]


@pytest.mark.parametrize(("policy", "wanted", "names"), [r[1:] for r in RESOLVED], ids=[r[0] for r in RESOLVED])
def test_a_run_works_on(policy: Policy, wanted: tuple[str, ...], names: tuple[str, ...]) -> None:
    found = resolve(policy, wanted, CONTEXTS)
    assert tuple(c.name for c in found) == tuple(c.context for c in found) == names


def test_a_cluster_carries_the_labels_of_the_policy() -> None:
    assert [c.labels for c in resolve(LISTED, (), CONTEXTS)] == [{"env": "prod"}, {}]


UNRESOLVED: list[tuple[str, Policy, tuple[str, ...], tuple[str, ...], str, str]] = [
    ("nothing", NONE_LISTED, (), CONTEXTS, "no-clusters", "the policy lists none and none was named"),
    ("a cluster that the policy lacks", LISTED, ("kind-test",), CONTEXTS, "unknown-cluster",
     "the policy has no cluster 'kind-test'"),
    ("a misspelt context", NONE_LISTED, ("kind-dve",), CONTEXTS, "unknown-context", "did you mean 'kind-dev'?"),
    ("a context that nothing resembles", NONE_LISTED, ("zzz",), CONTEXTS, "unknown-context",
     "there are kind-dev, kind-prod, kind-test"),
    ("an empty kubeconfig", NONE_LISTED, ("kind-dev",), (), "unknown-context", "there is none"),
    ("a listed cluster without context", LISTED, (), ("kind-dev",), "unknown-context", "no context 'kind-prod'"),
    ("the same twice", LISTED, ("kind-dev", "kind-dev"), CONTEXTS, "duplicate-cluster", "'kind-dev' is named twice"),
    ("the empty name", NONE_LISTED, ("",), CONTEXTS, "unknown-context", "''"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "wanted", "contexts", "code", "text"), [r[1:] for r in UNRESOLVED], ids=[r[0] for r in UNRESOLVED]
)
def test_it_cannot_work_on(
    policy: Policy, wanted: tuple[str, ...], contexts: tuple[str, ...], code: str, text: str
) -> None:
    with pytest.raises(UsageError) as error:
        resolve(policy, wanted, contexts)
    assert error.value.code == code
    assert text in error.value.message
