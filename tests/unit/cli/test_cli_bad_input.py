"""What people type wrong: one line on stderr that names it, exit code 2, nothing on stdout, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from midwatch.cli import main
from tests.forked import call

PROGRAM = str(Path(sys.executable).with_name("midwatch"))
NOWHERE = "https://127.0.0.1:9"
KUBECONFIG = f"""\
apiVersion: v1
kind: Config
current-context: gone
clusters: [{{name: gone, cluster: {{server: "{NOWHERE}"}}}}]
users:
  - {{name: token, user: {{token: a-token}}}}
  - {{name: plugin, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin}}}}}}
  - {{name: nothing, user: {{}}}}
contexts:
  - {{name: gone, context: {{cluster: gone, user: token}}}}
  - {{name: plugin, context: {{cluster: gone, user: plugin}}}}
  - {{name: anonymous, context: {{cluster: gone, user: nothing}}}}
"""
HEAD = "apiVersion: midwatch/v1\n"


@dataclass(frozen=True)
class Case:
    """A command line, the files that it finds, and what its error must name."""

    args: str
    names: tuple[str, ...]
    kubeconfig: str = KUBECONFIG
    policy: str = HEAD
    starts_host: bool = False
    """Whether it is found only after the embedded host has started, which loads the app once per process."""


CASES = {
    "unknown flag": Case("run --nope", ("--nope",)),
    "unknown command": Case("frobnicate", ("frobnicate",)),
    "unknown output": Case("survey --output xml", ("--output", "xml", "json")),
    "unknown context": Case("run --context gome", ("'gome'", "did you mean 'gone'"), starts_host=True),
    "no such kubeconfig": Case("run --kubeconfig none.yaml", ("none.yaml",)),
    "no such policy": Case("run --policy none.yaml", ("none.yaml",)),
    "malformed kubeconfig": Case("run", ("kubeconfig.yaml:2",), kubeconfig="clusters: [\n}"),
    "kubeconfig of other types": Case("run --context gone", ("kubeconfig.yaml", "clusters"),
                                      kubeconfig="clusters: 7", starts_host=True),
    "unreachable cluster": Case("run --context gone", (NOWHERE, "cannot connect"), starts_host=True),
    "unreachable cluster, survey": Case("survey --context gone", (NOWHERE, "cannot connect")),
    "missing exec plugin": Case("survey --context plugin", ("no-such-plugin",)),
    "no credentials": Case("survey --context anonymous", ("anonymous", "kubeconfig.yaml")),
    "unknown key": Case("run", ("policy.yaml:2", "nodes.maxUnavailble", "no such key"),
                        policy=HEAD + "nodes: {maxUnavailble: 2}"),
    "key of a later version": Case("run", ("policy.yaml:2", "windows", "not supported yet"),
                                   policy=HEAD + "windows: []"),
    "duration without unit": Case("up", ("policy.yaml:3", "drain.timeout", "unit"),
                                  policy=HEAD + "drain:\n  timeout: 15"),
    "policy without version": Case("up", ("policy.yaml", "apiVersion", "missing"), policy="nodes: {}"),
    "nothing to simulate": Case("simulate", ("--like", "--snapshot")),
    "no such snapshot": Case("simulate --snapshot none.json", ("none.json",)),
    "snapshot that is none": Case("simulate --snapshot policy.yaml", ("policy.yaml", "no snapshot")),
    "time without unit": Case("simulate --like gone --boot-time 90", ("--boot-time", "unit")),
    "unknown context, simulate": Case("simulate --like gome", ("'gome'",)),
    "state directory that cannot be": Case("status --state /proc/nope", ("/proc/nope",)),
    "no run yet": Case("status", ("no run",), starts_host=True),
    "unknown run": Case("status no-such-run", ("'no-such-run'",), starts_host=True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kubeconfig.yaml").write_text(case.kubeconfig)
    (tmp_path / "policy.yaml").write_text(case.policy)
    settings = {"KUBECONFIG": "kubeconfig.yaml", "MIDWATCH_POLICY": "policy.yaml", "XDG_STATE_HOME": str(tmp_path)}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **settings}
    monkeypatch.chdir(tmp_path)
    if case.starts_host:
        done = call(*case.args.split(), env=env)
        code: object = done.code
        out, err = done.stdout, done.stderr
    else:
        monkeypatch.setattr(sys, "argv", [PROGRAM, *case.args.split()])
        with patch.dict(os.environ, env, clear=True), pytest.raises(SystemExit) as left:
            main()
        code = left.value.code
        out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert [name for name in case.names if name not in err] == [], err


def test_without_arguments_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [PROGRAM])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert "survey" in capsys.readouterr().out


def test_control_c_during_the_imports_is_no_traceback() -> None:
    code = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from midwatch.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
