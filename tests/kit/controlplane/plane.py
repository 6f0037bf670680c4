"""One control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, with TLS, RBAC and an audit log."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

import yaml

from tests.kit import background
from tests.kit.api import LOOPBACK, Api
from tests.kit.controlplane import audit, flags, kubeconfig
from tests.kit.controlplane.build import binaries
from tests.kit.controlplane.kubeconfig import Access
from tests.kit.controlplane.pki import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.api import JsonObject, JsonValue

USERS = {"admin": "system:masters", "kit": "system:masters", "midwatch": "midwatch", "npd": "npd", "nobody": "nobody"}
"""Users with a static token, and their group. `kit` is the stand-in kubelets; the audit log leaves it out."""
_READY_SECONDS = 60
_STOP_ORDER = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _EtcdHeader(TypedDict):
    revision: str


class _EtcdAnswer(TypedDict):
    header: _EtcdHeader


class ControlPlane:
    """A control plane of its own, in a temporary folder, on loopback. A context manager: started, then stopped.

    Args:
        name: its name; its own kubeconfigs' context.
        bare_ca: an authority without key usage and key identifiers, which Python 3.13 refuses in strict mode.
        grace_seconds: how long a silent node stays Ready. Below 20 s a restart of the API server alone ends that.
    """

    def __init__(self, name: str, *, bare_ca: bool = False, grace_seconds: int = 20) -> None:
        self.name = name
        self.token_webhook: Path | None = None
        """The kubeconfig of a token webhook; counts from the API server's next start."""
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self._bin = binaries()
        self.folder = background.scratch(name)
        self._grace = grace_seconds
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd = free_port()
        self._authority = Authority.create(self.folder, f"{name}-ca", bare=bare_ca)
        self._prepare()
        self.api = Api(self.server, self.folder / "ca.crt", self.token("kit"))

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    # -- life cycle ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until it is ready (3 to 5 s)."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start etcd and the API server; `wait_ready` does the rest. Several are launched first, then waited for."""
        self._run("etcd", *flags.etcd(self.folder, self._etcd, free_port()))
        self.start_apiserver()

    def start_apiserver(self) -> None:
        """Start the API server (again)."""
        self._run("kube-apiserver", *flags.apiserver(self.folder, self.port, self._etcd, self.token_webhook))

    def wait_apiserver(self) -> None:
        """Wait until the API server is ready."""
        self._until_ready("kube-apiserver", "/readyz")

    def wait_ready(self) -> None:
        """Wait for the API server, start controllers and scheduler, wait for the first namespace's service account."""
        self.wait_apiserver()
        self._run("kube-controller-manager", *flags.controllers(self.folder, free_port(), self._grace))
        self._run("kube-scheduler", *flags.scheduler(self.folder, free_port()))
        self._until_ready("kube-controller-manager", "/api/v1/namespaces/default/serviceaccounts/default")

    def kill_apiserver(self) -> None:
        """End the API server at once."""
        self._stop("kube-apiserver")

    def ensure_apiserver(self) -> None:
        """Start the API server if it is not running."""
        process = self._processes.get("kube-apiserver")
        if process is None or process.poll() is not None:
            self.restart_apiserver()

    def restart_apiserver(self) -> None:
        """End the API server, start it again and wait until it is ready."""
        self.kill_apiserver()
        self.start_apiserver()
        self.wait_apiserver()

    def compact(self) -> None:
        """Have etcd forget all but its newest revision, as the API server does every five minutes."""
        revision = self._etcd_call("kv/range", {"key": "AA=="})["header"]["revision"]
        self._etcd_call("kv/compaction", {"revision": revision})

    def stop(self) -> None:
        """Stop every process, by its id, and remove the folder."""
        for name in _STOP_ORDER:
            self._stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- use ----------------------------------------------------------------------------------------------------------

    def token(self, user: str) -> str:
        """The static token of a user."""
        return f"{user}-token-{self.name}"

    def access(self, user: str, *, context: str | None = None, server: str | None = None) -> Access:
        """How a user reaches this cluster: by token, a user without one by a certificate that is made for it.

        `server` sets another address, such as a proxy's.
        """
        authority = base64.b64encode((self.folder / "ca.crt").read_bytes()).decode()
        credentials = {"token": self.token(user)} if user in USERS else self.certificate(user)
        return Access(
            context=context or self.name, server=server or self.server, authority=authority, credentials=credentials
        )

    def account_access(self, namespace: str, account: str) -> Access:
        """How a service account reaches this cluster: with a token of an hour, as a pod of it would."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        status = self.api.create(path, {"spec": {"expirationSeconds": 3600}})["status"]
        assert isinstance(status, dict)
        token = str(status["token"])
        return self.access("kit").model_copy(update={"credentials": {"token": token}})

    def certificate(self, user: str, group: str | None = None) -> dict[str, str]:
        """A client certificate for a user, as fields of a kubeconfig."""
        self._authority.issue(f"client-{user}", user, group)
        files = {"certificate": f"client-{user}.crt", "key": f"client-{user}.key"}
        return {
            f"client-{kind}-data": base64.b64encode((self.folder / file).read_bytes()).decode()
            for kind, file in files.items()
        }

    def kubeconfig_for(self, user: str, path: Path) -> Path:
        """Write a kubeconfig for a user, its context named after the cluster."""
        return kubeconfig.write(path, self.access(user))

    @property
    def admin_kubeconfig(self) -> Path:
        """A kubeconfig with the admin's client certificate."""
        path = self.folder / "admin.kubeconfig"
        if not path.exists():
            credentials = self.certificate("admin", "system:masters")
            kubeconfig.write(path, self.access("admin").model_copy(update={"credentials": credentials}))
        return path

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as admin; its standard output.

        Raises:
            RuntimeError: it failed; the message is its standard error.
        """
        command = [str(self._bin["kubectl"]), "--kubeconfig", str(self.admin_kubeconfig), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def bind(self, user: str, role: str) -> None:
        """Give a user a ClusterRole, on the whole cluster."""
        body: JsonObject = {
            "metadata": {"name": f"kit-{user}-{role}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        self.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body)

    def create_role(self, name: str, *rules: JsonValue) -> None:
        """Create a ClusterRole."""
        body: JsonObject = {"metadata": {"name": name}, "rules": [*rules]}
        self.api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", body)

    def api_of(self, user: str) -> Api:
        """A client with the static token of a user."""
        return Api(self.server, self.folder / "ca.crt", self.token(user))

    def apply(self, source: Path) -> None:
        """Apply a manifest, or a folder: with Kustomize if it has a kustomization."""
        built = source.is_dir() and (source / "kustomization.yaml").exists()
        self.kubectl("apply", "-k" if built else "-f", str(source))

    @property
    def audit_size(self) -> int:
        """The present length of the audit log, from where `audit_events` may start."""
        return audit.size(self.folder / "audit.log")

    def audit_events(self, user: str, *, start: int = 0) -> list[audit.AuditEvent]:
        """The requests of a user so far, oldest first, also those of tests before (`Cluster.audit_events` has not)."""
        return audit.read(self.folder / "audit.log", user, start=start)

    # -- insides ------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._authority.issue("apiserver", "kube-apiserver", server=True)
        self._authority.signing_pair("sa")
        rows = [f'{self.token(user)},{user},{user},"{group}"' for user, group in USERS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.folder / "audit.yaml").write_text(yaml.safe_dump(audit.POLICY))
        for component in ("kube-controller-manager", "kube-scheduler"):
            kubeconfig.write(self.folder / f"{component}.kubeconfig", self.access(f"system:{component}"))

    def _run(self, name: str, *args: str) -> None:
        log = self.folder / f"{name}.log"
        self._processes[name] = background.spawn([str(self._bin[name]), *args], log=log, cwd=self.folder)

    def _etcd_call(self, path: str, body: dict[str, str]) -> _EtcdAnswer:
        address = f"http://127.0.0.1:{self._etcd}/v3/{path}"
        request = urllib.request.Request(address, json.dumps(body).encode())
        with LOOPBACK.open(request, timeout=10) as response:
            answer: _EtcdAnswer = json.load(response)
        return answer

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            background.end(process, signal.SIGKILL)

    def _until_ready(self, name: str, path: str) -> None:
        def ready() -> bool:
            if self._processes[name].poll() is not None:
                raise RuntimeError(f"{name} of {self.name} ended: {self._tail(name)}")
            return self.api.answers(path)

        try:
            background.until(ready, f"{name} of {self.name}", seconds=_READY_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._tail(name)}") from error

    def _tail(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:])


@contextmanager
def control_planes(*planes: ControlPlane) -> Iterator[None]:
    """Start several side by side, and stop them all."""
    try:
        for plane in planes:
            plane.launch()
        for plane in planes:
            plane.wait_ready()
        yield
    finally:
        for plane in planes:
            plane.stop()
