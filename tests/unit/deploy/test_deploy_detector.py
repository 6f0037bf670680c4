"""The detector's configuration, its DaemonSet, and the values for the common Helm chart."""

from __future__ import annotations

import os

import yaml

from midwatch.domain.durations import parse_duration
from midwatch.domain.nodes import HEARTBEAT
from midwatch.domain.policy import REBOOT_REQUIRED
from tests.unit.deploy.deploy_kit import (
    CONFIG,
    DEPLOY,
    HELM_VALUES,
    SCRIPT,
    Container,
    DaemonSetSpec,
    HostPath,
    Mount,
    Part,
    PodSpec,
    Resources,
    SecurityContext,
    Volume,
    built,
    monitor_config,
    only,
)

PLUGIN_BUFFER_BYTES = 4096
"""node-problem-detector reads no more of a plugin's output (maxCustomPluginBufferBytes)."""


class HelmSettings(Part, alias_generator=None):
    """`settings` of the chart, in its own spelling."""

    log_monitors: list[str]
    custom_plugin_monitors: list[str]
    custom_monitor_definitions: dict[str, str]
    heartBeatPeriod: str  # noqa: N815 - the chart's key


class HelmImage(Part):
    """`image` of the chart."""

    repository: str
    tag: str


class HelmValues(Part):
    """The values that the tests look at."""

    settings: HelmSettings
    image: HelmImage
    host_network: bool
    host_pid: bool
    priority_class_name: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, str]]
    security_context: SecurityContext
    resources: Resources
    extra_volumes: list[Volume]
    extra_volume_mounts: list[Mount]


def helm_values() -> HelmValues:
    document = yaml.safe_load(HELM_VALUES.read_text())
    document["hostPid"] = document.pop("hostPID")
    return HelmValues.model_validate(document)


def pod() -> PodSpec:
    return DaemonSetSpec.model_validate(only(built("npd"), "DaemonSet").spec).template.spec


def container() -> Container:
    (found,) = pod().containers
    return found


def test_the_condition_is_the_one_that_the_policy_looks_for_by_default() -> None:
    config = monitor_config(CONFIG.read_text())
    assert [condition.type for condition in config.conditions] == [REBOOT_REQUIRED]
    assert [(rule.type, rule.condition) for rule in config.rules] == [("permanent", REBOOT_REQUIRED)]
    assert config.plugin == "custom"


def test_a_reason_tells_needed_from_everything_else() -> None:
    config = monitor_config(CONFIG.read_text())
    assert config.rules[0].reason != config.conditions[0].reason


def test_a_restarted_detector_says_nothing_before_it_has_looked() -> None:
    assert monitor_config(CONFIG.read_text()).plugin_config.skip_initial_status


def test_a_changed_list_of_packages_reaches_the_condition() -> None:
    assert monitor_config(CONFIG.read_text()).plugin_config.enable_message_change_based_condition_update


def test_a_check_ends_before_the_next_one_begins() -> None:
    config = monitor_config(CONFIG.read_text())
    rule, timeout, interval = (
        parse_duration(text)
        for text in (config.rules[0].timeout, config.plugin_config.timeout, config.plugin_config.invoke_interval)
    )
    assert rule <= timeout < interval


def test_the_script_and_the_detector_agree_on_the_longest_message() -> None:
    config = monitor_config(CONFIG.read_text())
    _, _, limit = config.rules[0].args
    assert int(limit) == config.plugin_config.max_output_length <= PLUGIN_BUFFER_BYTES
    assert f"${{MESSAGE_BYTES:-{limit}}}" in SCRIPT.read_text()


def test_the_script_can_be_run_by_hand() -> None:
    assert os.access(SCRIPT, os.X_OK)


def test_the_check_finds_its_script_and_the_hosts_folder_where_they_are_mounted() -> None:
    config_map = only(built("npd"), "ConfigMap")
    (rule,) = monitor_config(config_map.data["reboot-required.json"]).rules
    script, folder, _ = rule.args
    mounts = {mount.name: mount for mount in container().volume_mounts}
    volumes = {volume.name: volume for volume in pod().volumes}
    assert rule.path == "/bin/sh"
    assert script == f"{mounts['config'].mount_path}/{SCRIPT.name}"
    assert f"--config.custom-plugin-monitor={mounts['config'].mount_path}/{CONFIG.name}" in container().command
    assert folder == mounts["host-var-run"].mount_path
    assert volumes["host-var-run"].host_path == HostPath(path="/var/run", type="Directory")
    assert volumes["config"].config_map is not None
    assert volumes["config"].config_map.name == config_map.metadata.name


def test_the_config_map_has_the_files_as_they_are() -> None:
    data = only(built("npd"), "ConfigMap").data
    assert data == {path.name: path.read_text() for path in (CONFIG, SCRIPT)}


def test_nothing_of_the_node_is_mounted_but_its_run_folder_and_nothing_is_writable() -> None:
    assert [volume.host_path.path for volume in pod().volumes if volume.host_path] == ["/var/run"]
    assert {volume.name for volume in pod().volumes} == {mount.name for mount in container().volume_mounts}
    assert all(mount.read_only for mount in container().volume_mounts)


def test_the_detector_runs_without_any_privilege() -> None:
    security, of_pod = container().security_context, pod().security_context
    assert of_pod.run_as_non_root
    assert of_pod.run_as_user
    assert of_pod.seccomp_profile is not None
    assert of_pod.seccomp_profile.type == "RuntimeDefault"
    assert security.privileged is False
    assert security.allow_privilege_escalation is False
    assert security.read_only_root_filesystem is True
    assert (security.capabilities.drop, security.capabilities.add) == (["ALL"], [])
    assert not any((pod().host_network, pod().host_pid, pod().host_ipc))


def test_it_runs_on_every_linux_node_and_on_no_other() -> None:
    assert pod().node_selector == {"kubernetes.io/os": "linux"}
    assert pod().tolerations == [{"operator": "Exists"}]
    assert pod().priority_class_name == "system-node-critical"


def test_it_has_requests_and_limits() -> None:
    resources = container().resources
    assert set(resources.requests) == set(resources.limits) == {"cpu", "memory"}


def test_it_runs_our_monitor_alone_and_listens_nowhere() -> None:
    command = container().command
    assert command[0] == "/node-problem-detector"
    assert container().args == []
    assert [word.split("=")[0] for word in command if word.startswith("--config")] == ["--config.custom-plugin-monitor"]
    assert {"--port=0", "--prometheus-port=0"} <= set(command)


def test_its_heartbeat_is_the_one_by_which_midwatch_judges_a_condition_stale() -> None:
    assert f"--k8s-exporter-heartbeat-period={HEARTBEAT.seconds // 60}m0s" in container().command
    assert helm_values().settings.heartBeatPeriod == f"{HEARTBEAT.seconds // 60}m0s"


def test_the_detector_may_read_nodes_write_their_status_and_write_events_about_them() -> None:
    granted = {
        (manifest.kind, manifest.metadata.namespace, *rule.resources, *rule.verbs)
        for manifest in built("npd")
        for rule in manifest.rules
    }
    assert granted == {
        ("ClusterRole", "", "nodes", "get"),
        ("ClusterRole", "", "nodes/status", "patch"),
        ("Role", "default", "events", "create", "patch", "update"),
    }


def test_only_the_detectors_own_account_has_these_rights() -> None:
    account = only(built("npd"), "ServiceAccount").metadata
    subjects = [subject for manifest in built("npd") for subject in manifest.subjects]
    assert {(s.kind, s.name, s.namespace) for s in subjects} == {("ServiceAccount", account.name, account.namespace)}
    assert pod().service_account_name == account.name


def test_the_helm_values_embed_the_files_as_they_are() -> None:
    definitions = helm_values().settings.custom_monitor_definitions
    assert definitions == {path.name: path.read_text() for path in (CONFIG, SCRIPT)}


def test_the_helm_values_run_our_monitor_alone() -> None:
    settings = helm_values().settings
    assert settings.log_monitors == []
    assert settings.custom_plugin_monitors == [f"/custom-config/{CONFIG.name}"]


def test_the_helm_values_promise_what_the_daemon_set_does() -> None:
    values, own = helm_values(), container().security_context
    own_pod = pod().security_context
    assert f"{values.image.repository}:{values.image.tag}" == container().image
    assert values.security_context == own.model_copy(
        update={
            "run_as_non_root": own_pod.run_as_non_root,
            "run_as_user": own_pod.run_as_user,
            "seccomp_profile": own_pod.seccomp_profile,
        }
    )
    assert values.resources == container().resources
    assert not any((values.host_network, values.host_pid))
    assert (values.node_selector, values.tolerations) == (pod().node_selector, pod().tolerations)
    assert values.priority_class_name == pod().priority_class_name
    assert values.extra_volumes == [volume for volume in pod().volumes if volume.host_path]
    assert values.extra_volume_mounts == [m for m in container().volume_mounts if m.name == "host-var-run"]


def test_both_kustomizations_make_the_same_namespace() -> None:
    ours = [yaml.safe_load((DEPLOY / folder / "namespace.yaml").read_text()) for folder in ("npd", "rbac")]
    assert ours[0] == ours[1]
    assert only(built("npd"), "Namespace") == only(built("rbac"), "Namespace")
