"""Every message survives the durable codec, and reads on the wire as the contract says."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAliasType, Union, get_args, get_origin

import pytest
from azure.functions._durable_functions import df_dumps, df_loads
from pydantic import BaseModel, ValidationError

from midwatch.domain import draining, runs, steps
from midwatch.domain.base import Message, wire_name
from midwatch.domain.cluster_sources import KubeconfigCluster
from midwatch.domain.eviction import Waiting
from midwatch.domain.nodes import Needed, NodeView, Verdict
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.policy import Policy
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunPage, RunView, Trigger
from midwatch.domain.steps import Seen, SurveyedCluster, SurveyedNode, SurveyView

TIME = datetime(2026, 11, 24, 3, 0, 1, 250_000, tzinfo=UTC)
POLICY = Policy.model_validate(
    {
        "apiVersion": "midwatch/v1",
        "clusters": [{"kubeconfig": {"context": "kind-dev", "labels": {"env": "dev"}}}],
        "nodes": {"maxUnavailable": "10%", "needs": [{"condition": "A", "status": "False", "for": "10m"}]},
        "drain": {"gracePeriod": "1s"},
    }
)

PLAIN: dict[type, object] = {
    str: "text \u00e4", int: 7, bool: True, datetime: TIME, timedelta: timedelta(minutes=5),
}  # fmt: skip


def below(message: type[Message]) -> Iterator[type[Message]]:
    for child in message.__subclasses__():
        yield child
        yield from below(child)


MESSAGES = sorted(
    {m for m in below(Message) if m.__module__ in {steps.__name__, runs.__name__, draining.__name__}},
    key=lambda m: m.__name__,
)


def filled(annotation: object) -> object:  # noqa: PLR0911 - a table, one row each
    """A value of that type in which nothing is empty; a new kind of field needs a new row here."""
    if isinstance(annotation, TypeAliasType):
        return filled(annotation.__value__)
    arguments = [a for a in get_args(annotation) if a not in {type(None), Ellipsis}]
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return filled(arguments[0])
    if origin in {tuple, frozenset}:
        return [filled(arguments[0])]
    if origin is dict:
        return {"some_key": "b"}
    assert isinstance(annotation, type), annotation
    if annotation is Policy:
        return POLICY
    if issubclass(annotation, BaseModel):
        return whole(annotation)
    if issubclass(annotation, StrEnum):
        return list(annotation)[-1]
    return PLAIN[annotation]


def whole[M: BaseModel](model: type[M]) -> M:
    """A message with every field set."""
    return model.model_validate({name: filled(field.annotation) for name, field in model.model_fields.items()})


def sparse[M: BaseModel](model: type[M]) -> M:
    """A message with its required fields alone, None and empty where that is allowed."""
    values: dict[str, object] = {}
    for name, field in model.model_fields.items():
        if not field.is_required():
            continue
        optional = type(None) in get_args(field.annotation)
        many = get_origin(field.annotation) in {tuple, frozenset}
        values[name] = None if optional else () if many else filled(field.annotation)
    return model.model_validate(values)


def through_the_codec(message: Message) -> object:
    return df_loads(df_dumps(message.to_wire()))


def test_all_messages_of_the_boundary_are_found() -> None:
    assert len(MESSAGES) >= 35
    assert {"FleetRequest", "ClusterRequest", "NodeRequest", "PollRequest", "Surveyed", "Seen"} <= {
        m.__name__ for m in MESSAGES
    }


@pytest.mark.parametrize("model", MESSAGES, ids=lambda m: m.__name__)
def test_a_message_survives_the_durable_codec(model: type[Message]) -> None:
    for message in (whole(model), sparse(model)):
        answer = through_the_codec(message)
        assert isinstance(answer, dict)
        assert model.from_wire(answer) == message


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


@pytest.mark.parametrize("model", MESSAGES, ids=lambda m: m.__name__)
def test_keys_are_camel_case_all_present_and_times_end_in_z(model: type[Message]) -> None:
    full, bare = whole(model).to_wire(), sparse(model).to_wire()
    assert set(full) == set(bare) == {wire_name(name) for name in model.model_fields}
    labels = {"some_key", "kubernetes.io/os"}
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9]*", key) for key in keys(full) if key not in labels)
    assert not [key for key in keys(full) if "bootId" in key]
    times = [text for text in texts(full) if text.startswith("2026-")]
    assert all(text == "2026-11-24T03:00:01.250000Z" for text in times)
    json.dumps(full, allow_nan=False)


@pytest.mark.parametrize("model", MESSAGES, ids=lambda m: m.__name__)
def test_what_an_older_version_wrote_still_reads(model: type[Message]) -> None:
    message = sparse(model)
    written = message.to_wire()
    old = {wire_name(n): written[wire_name(n)] for n, field in model.model_fields.items() if field.is_required()}
    assert model.from_wire({**old, "fieldOfANewerVersion": 1}) == message


def test_a_message_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="node"):
        steps.NodeStep.from_wire({"run": "r", "cluster": {"name": "a", "context": "a"}})


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Seen().done = True  # type: ignore[misc]


def test_the_frozen_policy_keeps_every_figure_through_the_codec() -> None:
    request = whole(runs.FleetRequest)
    answer = through_the_codec(request)
    assert isinstance(answer, dict)
    assert answer["policy"]["nodes"]["needs"] == [{"condition": "A", "status": "False", "for": "10m"}]
    assert answer["policy"]["drain"]["gracePeriod"] == "1s"
    again = runs.FleetRequest.from_wire(answer).policy
    assert again == POLICY
    assert again.clusters[0].kubeconfig == KubeconfigCluster(context="kind-dev", labels={"env": "dev"})


NODE_OF_SURVEY = [
    "name", "pool", "zone", "os", "ready", "schedulable", "needsReboot", "since", "packages", "kernelVersion", "bootID",
    "verdict", "reason",
]  # fmt: skip
RUN = ["id", "status", "outcome", "trigger", "requestedBy", "reason", "dryRun", "startedAt", "endedAt"]
NODE_OF_RUN = [
    "name", "pool", "zone", "phase", "outcome", "reason", "waitingFor", "startedAt", "endedAt", "packages",
    "kernelBefore", "kernelAfter", "bootIDBefore", "bootIDAfter",
]  # fmt: skip
CONTRACT: list[tuple[type[Message], list[str]]] = [
    (SurveyView, ["clusters"]),
    (SurveyedCluster, ["name", "server", "kubernetesVersion", "error", "nodes", "notes"]),
    (SurveyedNode, NODE_OF_SURVEY),
    (steps.Failure, ["code", "message"]),
    (RunView, [*RUN, "clusters", "warnings"]),
    (runs.RunSummary, RUN),
    (RunPage, ["runs", "next"]),
    (ClusterInRun, ["name", "status", "outcome", "error", "nodes"]),
    (NodeInRun, NODE_OF_RUN),
    (Waiting, ["kind", "namespace", "name", "because", "since"]),
]


@pytest.mark.parametrize(("model", "names"), CONTRACT, ids=[m.__name__ for m, _ in CONTRACT])
def test_the_json_that_people_read_has_just_the_keys_of_the_contract(model: type[Message], names: list[str]) -> None:
    assert list(whole(model).to_wire()) == names
    assert list(sparse(model).to_wire()) == names


WORDS: list[tuple[type[StrEnum], list[str]]] = [
    (NodeOutcome, ["rebooted", "still-required", "drain-failed", "reboot-failed", "not-ready", "gone", "taken-over",
                   "skipped", "cancelled"]),
    (ClusterOutcome, ["completed", "completed-with-failures", "halted", "unreachable", "busy", "cancelled",
                      "skipped", "nothing-to-do"]),
    (RunOutcome, ["completed", "completed-with-failures", "halted", "window-closed", "cancelled", "nothing-to-do"]),
    (runs.RunStatus, ["pending", "running", "paused", "ended"]),
    (Trigger, ["timer", "http", "cli"]),
    (Needed, ["True", "False", "Unknown"]),
    (Verdict, ["candidate", "not-needed", "skipped"]),
]  # fmt: skip


@pytest.mark.parametrize(("enum", "words"), WORDS, ids=[enum.__name__ for enum, _ in WORDS])
def test_the_words_are_those_of_the_contract(enum: type[StrEnum], words: list[str]) -> None:
    assert [str(word) for word in enum] == words


def test_boot_ids_are_spelt_as_kubernetes_does() -> None:
    assert [wire_name(n) for n in ("boot_id", "boot_id_before", "boot_id_after")] == [
        "bootID",
        "bootIDBefore",
        "bootIDAfter",
    ]
    assert "bootID" in whole(NodeView).to_wire()
