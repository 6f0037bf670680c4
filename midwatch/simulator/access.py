"""Who may do what: a token per user, and rules as RBAC has them for those who may not do everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from midwatch.simulator.calls import Call
from midwatch.simulator.documents import JsonObject, text, texts
from midwatch.simulator.refusals import forbidden, unauthorized

ANONYMOUS = "system:anonymous"
_ALL = frozenset({"*"})
_RULE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")


@dataclass(frozen=True)
class Rule:
    """One permission. `*` stands for all; no names means any, and so does no namespace."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str] = frozenset()
    namespace: str = ""

    def allows(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """Whether it covers a request. `resource` may have a subresource: `pods/eviction`."""
        return (
            bool(self.verbs & {verb, "*"})
            and bool(self.groups & {group, "*"})
            and bool(self.resources & {resource, "*"})
            and (not self.names or name in self.names)
            and self.namespace in {"", namespace}
        )


EVERYTHING = (Rule(_ALL, _ALL, _ALL),)


def read_rules(roles: Iterable[JsonObject]) -> tuple[Rule, ...]:
    """The rules of ClusterRoles and Roles, such as those of a manifest; a Role's hold in its namespace."""
    found = []
    for role in roles:
        rules = role.get("rules")
        for rule in rules if isinstance(rules, list) else ():
            if isinstance(rule, dict):
                verbs, groups, resources, names = (frozenset(texts(rule, key)) for key in _RULE_FIELDS)
                found.append(Rule(verbs, groups, resources, names, text(role, "metadata", "namespace")))
    return tuple(found)


class Access:
    """The users of a cluster. Who was never restricted may do everything."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._users: dict[str, str] = {}
        self._rules: dict[str, tuple[Rule, ...]] = {ANONYMOUS: ()}
        self._review: Callable[[str], str | None] = lambda _: None

    def token(self, user: str) -> str:
        """The user's token; the first call makes the user known."""
        token = f"{user}-token-of-{self._cluster}"
        self._users[token] = user
        return token

    def restrict(self, user: str, rules: Iterable[Rule]) -> None:
        """From now on a user may do just this."""
        self._rules[user] = tuple(rules)

    def revoke(self, user: str) -> None:
        """From now on the user's token is unknown (401), until `token` is called again."""
        self._users = {token: known for token, known in self._users.items() if known != user}

    def review(self, who: Callable[[str], str | None]) -> None:
        """From now on ask `who` whose a token is that we do not know, as a token webhook is asked; None: nobody's."""
        self._review = who

    def identify(self, headers: Mapping[str, str]) -> str:
        """Who sends a request with these headers; nobody in particular without a token.

        Raises:
            Refusal: 401, for an unknown token.
        """
        given = headers.get("Authorization", "")
        if not given:
            return ANONYMOUS
        kind, _, token = given.partition(" ")
        user = self._users.get(token.strip()) or self._review(token.strip())
        if kind.lower() != "bearer" or user is None:
            raise unauthorized()
        return user

    def allows(self, user: str, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a user may do something."""
        rules = self._rules.get(user, EVERYTHING)
        return any(rule.allows(verb, group, resource, namespace, name) for rule in rules)

    def check(self, call: Call) -> None:
        """Let a call pass.

        Raises:
            Refusal: 403.
        """
        group = call.resource.group
        if self.allows(call.user, call.verb, group, call.what, call.namespace, call.name):
            return
        where = f'in the namespace "{call.namespace}"' if call.namespace else "at the cluster scope"
        what = f'resource "{call.what}" in API group "{group}" {where}'
        raise forbidden(call.resource, call.name, f'User "{call.user}" cannot {call.verb} {what}')
