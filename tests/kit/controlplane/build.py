"""Builds the control plane and node-problem-detector from the Go modules beside this file, once, into a cache folder.

`python -m tests.kit.controlplane.build` prints the folder. `KUBEBUILDER_ASSETS` (the envtest convention) is taken
instead where it is set; what it lacks is built.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_KUBERNETES = "v1.36.3"
_STAMPS = [
    f"-X k8s.io/component-base/version.gitVersion={_KUBERNETES}",
    "-X k8s.io/component-base/version.gitMajor=1",
    "-X k8s.io/component-base/version.gitMinor=36",
]
"""Without these the server calls itself v0.0.0-master."""
_NPD_TAGS = "disable_system_log_monitor,disable_system_stats_monitor,disable_stackdriver_exporter"
"""The monitors that would need cgo or a cloud account; ours is the custom plugin monitor."""
_FLAGS = ["-trimpath", "-buildvcs=false"]
_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
NPD = "node-problem-detector"
_NPD_PACKAGE = "k8s.io/node-problem-detector/cmd/nodeproblemdetector"
_NO_GO = "the end-to-end suite builds {}: install Go 1.26 or newer, or put them into the folder of KUBEBUILDER_ASSETS"


@functools.cache
def binaries() -> dict[str, Path]:
    """Every binary by name, built if need be; a second call, also of another process at once, builds nothing twice.

    Raises:
        SystemExit: Go is needed and missing, or a build failed.
    """
    names = [*_PACKAGES, NPD]
    assets = os.environ.get("KUBEBUILDER_ASSETS", "").strip()
    found = {name: Path(assets) / name for name in names if assets and (Path(assets) / name).is_file()}
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    go = shutil.which("go")
    if go is None:
        sys.exit(_NO_GO.format(", ".join(missing)))
    folder = _cache(go)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        for name in missing:
            target = folder / name
            if not target.is_file():
                _build(go, name, target)
            found[name] = target
    return found


def _cache(go: str) -> Path:
    """The folder of just these sources, flags and this compiler."""
    home = os.environ.get("XDG_CACHE_HOME", "").strip()
    chosen = os.environ.get("MIDWATCH_CACHE", "").strip()
    base = Path(chosen) if chosen else (Path(home) if home else Path.home() / ".cache") / "midwatch"
    version = subprocess.run([go, "env", "GOVERSION"], cwd=_HERE, capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(" ".join([version.strip(), *_FLAGS, *_STAMPS, _NPD_TAGS]).encode())
    for name in ("go.mod", "go.sum", "npd/go.mod", "npd/go.sum"):
        digest.update((_HERE / name).read_bytes())
    return base / "controlplane" / digest.hexdigest()[:16]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(go: str, name: str, target: Path) -> None:
    began = time.monotonic()
    print(f"building {name} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        draft = Path(folder) / name
        flags = [*_FLAGS, "-o", str(draft), "-ldflags", " ".join(["-s", "-w", *_STAMPS])]
        package, where = _PACKAGES.get(name, _NPD_PACKAGE), _HERE
        if name == NPD:
            flags, where = [*flags, "-tags", _NPD_TAGS], _HERE / "npd"
        done = subprocess.run(
            [go, "build", *flags, package], cwd=where, env={**os.environ, "CGO_ENABLED": "0"}, check=False
        )
        if done.returncode != 0:
            sys.exit(f"building {name} failed, see above")
        draft.rename(target)
    print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(binaries()["kube-apiserver"].parent)
