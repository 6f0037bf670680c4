"""The pods on the machines: start, run, end, and what a boot does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from midwatch.simulator import pod_status
from midwatch.simulator.documents import JsonObject, number, text, uid_of
from midwatch.simulator.host_commands import Effect, effect_of
from midwatch.simulator.machines import Machine
from midwatch.simulator.registry import Registry
from midwatch.simulator.resources import PODS
from midwatch.simulator.store import Change, ChangeType, Record

_FINISHED = frozenset({"Succeeded", "Failed"})
_BACK_OFF_SECONDS = 10.0


class PodRunners:
    """Runs the pods of all machines of a cluster.

    Args:
        registry: of the cluster.
        machines: by node name.
        tell_reboot: tells a machine to reboot; whether it does.
    """

    def __init__(
        self, registry: Registry, machines: Mapping[str, Machine], tell_reboot: Callable[[Machine], bool]
    ) -> None:
        self._world = registry.world
        self._store = registry.store
        self._machines = machines
        self._tell_reboot = tell_reboot
        self._addresses = 0
        self._store.observe(self._take)

    def machine_up(self, machine: Machine) -> None:
        """Start the pods of a machine again after a boot, as their restart policies say; end those that are to end."""
        for pod in self._store.pods_on(machine.name):
            phase = text(pod.doc, "status", "phase")
            if pod.deleting:
                self._end(pod, machine)
            elif phase == "Running" and text(pod.doc, "spec", "restartPolicy") == "Never":
                self._put(pod_status.finished(pod.doc, self._world.now(), pod_status.DIED_WITH_MACHINE))
            elif phase not in _FINISHED:
                self._begin(pod, machine, restarted=phase == "Running")

    # -- what the API server tells ------------------------------------------------------------------------------------

    def _take(self, change: Change) -> None:
        if change.resource is not PODS or change.type is ChangeType.DELETED:
            return
        pod, before = change.record, change.before
        machine = self._machines.get(text(pod.doc, "spec", "nodeName"))
        if machine is None or not machine.up:
            return
        bound_before = before is not None and text(before.doc, "spec", "nodeName") != ""
        if pod.deleting:
            if before is None or not before.deleting or _grace(before.doc) > _grace(pod.doc):
                self._end(pod, machine)
        elif not bound_before and text(pod.doc, "status", "phase") == "Pending":
            self._begin(pod, machine, restarted=False)

    # -- the steps ----------------------------------------------------------------------------------------------------

    def _begin(self, pod: Record, machine: Machine, *, restarted: bool) -> None:
        count = pod_status.restarts(pod.doc) + restarted
        self._later(pod, machine, self._world.timings.pod_start, lambda now: self._start(now, machine, count))

    def _start(self, pod: Record, machine: Machine, restart_count: int) -> None:
        if pod.deleting:
            return
        now, doc = self._world.now(), pod.doc
        if pod_status.note(doc, pod_status.BAD_IMAGE) is not None:
            self._put(pod_status.waiting(doc, now, "ImagePullBackOff", "Back-off pulling image"))
            return
        ready = pod_status.note(doc, pod_status.NEVER_READY) is None
        address = text(doc, "status", "podIP") or self._address()
        self._put(pod_status.running(doc, now, ready=ready, restart_count=restart_count, address=address))
        effect = effect_of(doc, machine.boot_id)
        if effect is not None:
            self._later(pod, machine, 0.0, lambda now: self._act(now, machine, effect))
        elif (seconds := pod_status.note(doc, pod_status.RUN_SECONDS)) is not None:
            self._later(pod, machine, float(seconds), lambda now: self._put_finished(now, 0))

    def _act(self, pod: Record, machine: Machine, effect: Effect) -> None:
        """The command of a host-PID pod. On a machine that goes down its end is reported before that, or not at all."""
        goes_down = effect.reboots and self._tell_reboot(machine)
        if goes_down and self._world.dice.random() < 0.5:
            return
        policy = text(pod.doc, "spec", "restartPolicy")
        if policy == "Never" or (policy == "OnFailure" and effect.exit_code == 0):
            self._put_finished(pod, effect.exit_code)
        elif not goes_down:
            reason = f"back-off restarting a container that ended with {effect.exit_code}"
            self._put(pod_status.waiting(pod.doc, self._world.now(), "CrashLoopBackOff", reason))
            count = pod_status.restarts(pod.doc) + 1
            self._later(pod, machine, _BACK_OFF_SECONDS, lambda now: self._start(now, machine, count))

    def _end(self, pod: Record, machine: Machine) -> None:
        asked = pod_status.note(pod.doc, pod_status.STOP_SECONDS)
        seconds = float(asked) if asked is not None else self._world.timings.pod_stop
        self._later(pod, machine, min(seconds, _grace(pod.doc)), self._remove)

    def _remove(self, pod: Record) -> None:
        self._store.remove(pod)

    def _put_finished(self, pod: Record, exit_code: int) -> None:
        if not pod.deleting:
            self._put(pod_status.finished(pod.doc, self._world.now(), exit_code))

    def _put(self, doc: JsonObject) -> None:
        self._store.put(PODS, doc)

    def _later(self, pod: Record, machine: Machine, seconds: float, act: Callable[[Record], None]) -> None:
        """Do something to a pod as it is then, unless it is gone, or its machine had another boot meanwhile."""
        life, key, uid = machine.life, pod.key, uid_of(pod.doc)

        def still() -> None:
            now = self._store.get(PODS, *key)
            if now is not None and uid_of(now.doc) == uid and machine.life == life:
                act(now)

        self._world.agenda.after(seconds, still)

    def _address(self) -> str:
        self._addresses += 1
        return f"10.244.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"


def _grace(pod: JsonObject) -> int:
    return number(pod, "metadata", "deletionGracePeriodSeconds")
