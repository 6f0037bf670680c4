"""The command lines of the four servers of a control plane. Files are those that `ControlPlane` lays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def etcd(folder: Path, port: int, peer_port: int) -> list[str]:
    """One member; without fsync, for its data lives no longer than the test."""
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def apiserver(folder: Path, port: int, etcd_port: int, token_webhook: Path | None) -> list[str]:
    """TLS, tokens, certificates, RBAC, audit log. Privileged pods are allowed: one reboot method needs them.

    `token_webhook` is the kubeconfig of whom to ask about tokens that are not static, as AKS does.
    """
    webhook = [
        f"--authentication-token-webhook-config-file={token_webhook}",
        "--authentication-token-webhook-version=v1",
        "--authentication-token-webhook-cache-ttl=1s",
    ]
    return [
        *(webhook if token_webhook is not None else ()),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--service-account-issuer=https://127.0.0.1:{port}",
        f"--service-account-key-file={folder / 'sa.pub'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--audit-policy-file={folder / 'audit.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]


def controllers(folder: Path, port: int, grace_seconds: int) -> list[str]:
    """The controller manager; `grace_seconds`: how long a silent node stays Ready."""
    return [
        *_component(folder, "kube-controller-manager", port),
        f"--service-account-private-key-file={folder / 'sa.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
        "--use-service-account-credentials=true",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={grace_seconds}s",
    ]


def scheduler(folder: Path, port: int) -> list[str]:
    """The scheduler."""
    return _component(folder, "kube-scheduler", port)


def _component(folder: Path, name: str, port: int) -> list[str]:
    identities = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{flag}={folder / f'{name}.kubeconfig'}" for flag in identities),
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / name}",
        "--leader-elect=false",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--profiling=false",
    ]
