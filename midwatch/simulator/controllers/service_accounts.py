"""Every namespace has a service account `default`."""

from __future__ import annotations

from midwatch.simulator.agenda import Dirty
from midwatch.simulator.documents import name_of
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import NAMESPACES, SERVICE_ACCOUNTS
from midwatch.simulator.store import Change

_NAME = "default"


class ServiceAccounts:
    """The controller that creates it. Pods do not wait for it here, and have no token."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        world = registry.world
        self._dirty: Dirty[str] = Dirty(world.agenda, world.timings.controller, self._reconcile)
        self._store.observe(self._take)

    def _take(self, change: Change) -> None:
        if change.resource is NAMESPACES and change.before is None:
            self._dirty.mark(name_of(change.record.doc))

    def _reconcile(self, namespace: str) -> None:
        space = self._store.get(NAMESPACES, "", namespace)
        if space is not None and not space.deleting and self._store.get(SERVICE_ACCOUNTS, namespace, _NAME) is None:
            self._registry.create(SERVICE_ACCOUNTS, namespace, {"metadata": {"name": _NAME}})
