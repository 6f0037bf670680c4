"""The manifests under `deploy/`, read as far as the tests look at them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPLOY = Path(__file__).parents[3] / "deploy"
SCRIPT = DEPLOY / "npd" / "check_reboot_required.sh"
CONFIG = DEPLOY / "npd" / "reboot-required.json"
HELM_VALUES = DEPLOY / "npd" / "helm-values.yaml"


class Part(BaseModel):
    """A part of a manifest; what no test looks at is left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class PluginConfig(Part):
    """`pluginConfig`, in node-problem-detector's own spelling."""

    model_config = ConfigDict(alias_generator=None, extra="forbid")

    invoke_interval: str
    timeout: str
    max_output_length: int
    concurrency: int
    skip_initial_status: bool
    enable_message_change_based_condition_update: bool


class DefaultCondition(Part):
    """What the condition says while no reboot is needed."""

    type: str
    reason: str
    message: str


class Rule(Part):
    """A check and the condition that it sets."""

    type: str
    condition: str
    reason: str
    path: str
    args: list[str]
    timeout: str


class MonitorConfig(Part):
    """The custom plugin monitor's file."""

    model_config = ConfigDict(extra="forbid")

    plugin: str
    plugin_config: PluginConfig
    source: str
    conditions: list[DefaultCondition]
    rules: list[Rule]


class Capabilities(Part):
    """Linux capabilities."""

    drop: list[str] = []
    add: list[str] = []


class Seccomp(Part):
    """A seccomp profile."""

    type: str


class SecurityContext(Part):
    """A pod's or a container's."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: Capabilities = Capabilities()
    seccomp_profile: Seccomp | None = None


class Mount(Part):
    """Where a container has a volume."""

    name: str
    mount_path: str
    read_only: bool = False


class HostPath(Part):
    """A path of the node."""

    path: str
    type: str = ""


class ConfigMapSource(Part):
    """A ConfigMap as files."""

    name: str


class Volume(Part):
    """One volume of a pod."""

    name: str
    host_path: HostPath | None = None
    config_map: ConfigMapSource | None = None


class Resources(Part):
    """Requests and limits."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class Container(Part):
    """One container."""

    image: str
    command: list[str] = []
    args: list[str] = []
    resources: Resources = Resources()
    security_context: SecurityContext = SecurityContext()
    volume_mounts: list[Mount] = []


class PodSpec(Part):
    """The pod of a DaemonSet."""

    service_account_name: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, str]]
    priority_class_name: str
    host_network: bool = Field(default=False)
    host_pid: bool = Field(default=False, alias="hostPID")
    host_ipc: bool = Field(default=False, alias="hostIPC")
    security_context: SecurityContext
    containers: list[Container]
    volumes: list[Volume]


class Template(Part):
    """The pod template."""

    spec: PodSpec


class DaemonSetSpec(Part):
    """The part of a DaemonSet that matters."""

    template: Template


class Metadata(Part):
    """Name and place."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = {}


class RbacRule(Part):
    """One rule of a role."""

    api_groups: list[str]
    resources: list[str]
    verbs: list[str]
    resource_names: list[str] = []


class RoleRef(Part):
    """What a binding grants."""

    kind: str
    name: str


class Subject(Part):
    """To whom."""

    kind: str
    name: str
    namespace: str = ""


class Manifest(Part):
    """Any object of the two kustomizations."""

    kind: str
    metadata: Metadata
    data: dict[str, str] = {}
    rules: list[RbacRule] = []
    role_ref: RoleRef | None = None
    subjects: list[Subject] = []
    spec: dict[str, object] = {}


def monitor_config(text: str) -> MonitorConfig:
    """Read the monitor's file."""
    return MonitorConfig.model_validate(json.loads(text))


@functools.cache
def built(folder: str) -> tuple[Manifest, ...]:
    """What `kubectl kustomize deploy/FOLDER` gives; skips the test where there is no kubectl."""
    kubectl = _kubectl(os.environ)
    if kubectl is None:
        pytest.skip("no kubectl on PATH or in KUBEBUILDER_ASSETS")
    done = subprocess.run(
        [kubectl, "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(Manifest.model_validate(document) for document in yaml.safe_load_all(done.stdout))


def only(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    """The one object of that kind."""
    (found,) = [manifest for manifest in manifests if manifest.kind == kind]
    return found


def _kubectl(env: Mapping[str, str]) -> str | None:
    assets = env.get("KUBEBUILDER_ASSETS", "").strip()
    if assets and (Path(assets) / "kubectl").is_file():
        return str(Path(assets) / "kubectl")
    return shutil.which("kubectl")
