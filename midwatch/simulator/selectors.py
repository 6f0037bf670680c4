"""Label selectors (as text and as objects) and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from midwatch.simulator.documents import JsonObject, JsonValue, labels_of, objects, strings, text, texts, value
from midwatch.simulator.refusals import bad_request
from midwatch.simulator.resources import Resource

type LabelTest = Callable[[Mapping[str, str]], bool]
type Test = Callable[[JsonObject], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<how>==|=|!=)\s*(?P<value>[^=!\s]*)$")
_EXISTS = re.compile(r"^(?P<how>!?)\s*(?P<key>[^=!\s()]+)$")
_COMMA = re.compile(r",(?![^(]*\))")
"""A comma that is not inside of parentheses."""


def everything(_: object) -> bool:
    """The test that all pass."""
    return True


def parse_labels(selector: str) -> LabelTest:
    """The test of a `labelSelector`.

    Raises:
        Refusal: 400, when it cannot be read.
    """
    tests = [_label_term(term.strip()) for term in _COMMA.split(selector) if selector.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _label_term(term: str) -> LabelTest:
    if found := _SET.match(term):
        values = frozenset(item.strip() for item in found["values"].split(","))
        return _among(found["key"], values, wanted=found["how"] == "in")
    if found := _EQUAL.match(term):
        return _among(found["key"], frozenset({found["value"]}), wanted=found["how"] != "!=")
    if found := _EXISTS.match(term):
        return _present(found["key"], wanted=not found["how"])
    raise bad_request(f'unable to parse requirement: found "{term}"')


def _among(key: str, values: frozenset[str], *, wanted: bool) -> LabelTest:
    """`in`, `notin` and equality; an absent label is in no set, so `notin` and `!=` hold."""
    return lambda labels: (labels.get(key) in values) == wanted


def _present(key: str, *, wanted: bool) -> LabelTest:
    return lambda labels: (key in labels) == wanted


def read_labels(selector: JsonValue) -> LabelTest:
    """The test of a LabelSelector object: none matches nothing, an empty one everything."""
    if not isinstance(selector, dict):
        return lambda _: False
    wanted = strings(selector, "matchLabels").items()
    tests = [_expression(item) for item in objects(selector, "matchExpressions")]
    return lambda labels: wanted <= labels.items() and all(test(labels) for test in tests)


def _expression(item: JsonObject) -> LabelTest:
    key, operator = text(item, "key"), text(item, "operator")
    if operator in {"Exists", "DoesNotExist"}:
        return _present(key, wanted=operator == "Exists")
    return _among(key, frozenset(texts(item, "values")), wanted=operator == "In")


def parse_fields(resource: Resource, selector: str) -> list[tuple[str, str, bool]]:
    """The terms of a `fieldSelector`: (field, value, whether it has to be equal).

    Raises:
        Refusal: 400, for a term that cannot be read or a field that this resource cannot be selected by.
    """
    terms = []
    for term in filter(None, selector.split(",")):
        found = _EQUAL.match(term.strip())
        if found is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        if found["key"] not in resource.selectable:
            raise bad_request(f"field label not supported: {found['key']}")
        terms.append((found["key"], found["value"], found["how"] != "!="))
    return terms


def field_value(doc: JsonObject, field: str) -> str:
    """A field as selectors compare it."""
    found = value(doc, *(("source", "component") if field == "source" else field.split(".")))
    return str(found).lower() if isinstance(found, bool) else "" if found is None else str(found)


def compile_test(resource: Resource, namespace: str, label_selector: str, field_selector: str) -> Test:
    """One test of an object for a namespace (empty: all) and both selectors."""
    tests: list[Test] = []
    if namespace:
        tests.append(lambda doc: text(doc, "metadata", "namespace") == namespace)
    for field, wanted, equal in parse_fields(resource, field_selector):
        tests.append(_field_test(resource, field, wanted, equal=equal))
    if label_selector:
        labels = parse_labels(label_selector)
        tests.append(lambda doc: labels(labels_of(doc)))
    if not tests:
        return everything
    if len(tests) == 1:
        return tests[0]
    return lambda doc: all(test(doc) for test in tests)


def _field_test(resource: Resource, field: str, wanted: str, *, equal: bool) -> Test:
    default = resource.field_defaults.get(field, "")
    return lambda doc: ((field_value(doc, field) or default) == wanted) == equal
