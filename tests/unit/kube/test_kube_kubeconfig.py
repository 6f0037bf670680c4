"""Kubeconfig files: merging, references, and every defect as one line that names file and key and no secret."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from midwatch.domain.errors import UsageError
from midwatch.kube.connection import ClientCertificate, Exec, Token, TokenFile
from midwatch.kube.kubeconfig import Kubeconfig
from tests.unit.kube.kube_kit import SECRET, Authority, b64, private_pem

CA = Authority("ca").pem
PAIR = Authority("ca").issue("someone")
KEYED = f"client-certificate-data: {b64(PAIR.certificate)}, client-key-data: {b64(PAIR.key)}"


def write(path: Path, user: str, cluster: str = "", name: str = "dev") -> Path:
    path.write_text(
        f"""
apiVersion: v1
kind: Config
preferences: {{}}
clusters: [{{name: {name}, cluster: {{server: "https://{name}.example:6443", {cluster}}}}}]
users: [{{name: {name}, user: {{{user}}}}}]
contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}, namespace: x}}}}]
current-context: {name}
"""
    )
    return path


def refusal(path: Path, context: str = "dev") -> UsageError:
    with pytest.raises(UsageError) as caught:
        Kubeconfig.load([path], {}).connection(context)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "\n" not in caught.value.message
    return caught.value


def test_files_are_merged_and_the_first_that_names_something_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "a", f"token: {SECRET}", name="dev")
    second = write(tmp_path / "b", "token: other", name="dev")
    third = write(tmp_path / "c", "token: third", name="prod")
    listed = os.pathsep.join([str(tmp_path / "missing"), str(first), str(second), str(third)])
    config = Kubeconfig.load(None, {"KUBECONFIG": listed})
    assert config.contexts == ["dev", "prod"]
    assert config.current_context == "dev"
    assert config.connection("dev").credentials == Token(SECRET)
    assert config.connection("prod").server == "https://prod.example:6443"


def test_without_any_name_the_usual_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", "token: x")
    assert Kubeconfig.load(None, {"HOME": str(tmp_path)}).contexts == ["dev"]


def test_references_start_at_the_file_that_holds_them(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "ca.crt").write_text("a comment\n" + CA)
    (other / "c.crt").write_bytes(PAIR.certificate)
    (other / "c.key").write_bytes(PAIR.key)
    user = "client-certificate: c.crt, client-key: c.key, tokenFile: token"
    write(tmp_path / "first", "token: x", name="first")
    write(other / "second", user, "certificate-authority: ca.crt")
    listed = os.pathsep.join([str(tmp_path / "first"), str(other / "second")])
    found = Kubeconfig.load(None, {"KUBECONFIG": listed}).connection("dev")
    assert found.ca == CA
    assert found.credentials == ClientCertificate(PAIR.certificate, PAIR.key, TokenFile(other / "token"))


def test_an_exec_command_with_a_slash_is_relative_to_its_file_and_a_bare_one_is_looked_up(tmp_path: Path) -> None:
    for command, meant in (("./bin/login", str(tmp_path / "bin/login")), ("kubelogin", "kubelogin")):
        spec = f"exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: {command}, args: null, env: null}}"
        path = write(tmp_path / "config", spec, "extensions: null, proxy-url: 'http://proxy:3128'")
        found = Kubeconfig.load([path], {}).connection("dev")
        assert isinstance(found.credentials, Exec)
        assert found.credentials.command == meant
        assert found.proxy == "http://proxy:3128"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param("token: 0123", Token("0123"), id="digits are text"),
        pytest.param("token: 1e5", Token("1e5"), id="so is a float"),
        pytest.param("token: 2026-13-45", Token("2026-13-45"), id="and a date that is none"),
        pytest.param("token: x, tokenFile: /t", TokenFile(Path("/t")), id="a file goes before a token"),
        pytest.param(f"{KEYED}, token: x", ClientCertificate(PAIR.certificate, PAIR.key, Token("x")), id="both"),
        pytest.param(
            "token: x, exec: {apiVersion: client.authentication.k8s.io/v1, command: c}", Token("x"), id="exec"
        ),
    ],
)
def test_credentials_are_chosen_as_kubectl_does(tmp_path: Path, user: str, expected: object) -> None:
    assert Kubeconfig.load([write(tmp_path / "config", user)], {}).connection("dev").credentials == expected


ENCRYPTED = b64(private_pem(ec.generate_private_key(ec.SECP256R1()), b"password"))
DEFECTS = [
    ("no user data", "", "", "no-credentials", "user 'dev'"),
    ("half a pair", f"client-certificate-data: {b64(PAIR.certificate)}", "", "no-credentials", "`client-key`"),
    ("basic", f"username: me, password: {SECRET}", "", "unsupported-credentials", "`username`"),
    ("basic with token", f"username: me, password: {SECRET}, token: x", "", "unsupported-credentials", "`username`"),
    ("provider", f"auth-provider: {{name: azure, config: {{t: {SECRET}}}}}", "", "unsupported-credentials", "'azure'"),
    ("impersonation", f"token: {SECRET}, as: somebody", "", "unsupported-credentials", "`as`"),
    (
        "encrypted",
        f"{KEYED.split(',', maxsplit=1)[0]}, client-key-data: {ENCRYPTED}",
        "",
        "unsupported-credentials",
        "encrypted",
    ),
    (
        "needs a person",
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: c, interactiveMode: Always}",
        "",
        "unsupported-credentials",
        "person",
    ),
    ("old exec", "exec: {apiVersion: v1alpha1, command: c}", "", "kubeconfig-malformed", "exec.apiVersion"),
    ("no base64", f"client-certificate-data: '%{SECRET}', client-key-data: x", "", "kubeconfig-malformed", "base64"),
    ("token in lines", f'token: "{SECRET}\\nx"', "", "kubeconfig-malformed", "`token`"),
    ("token is a list", f"token: [{SECRET}]", "", "kubeconfig-malformed", "users.0.user.token"),
    ("CA is missing", "token: x", "certificate-authority: gone.crt", "kubeconfig-malformed", "gone.crt"),
    ("CA is none", "token: x", f"certificate-authority-data: {b64('nothing')}", "kubeconfig-malformed", "PEM"),
    (
        "CA and insecure",
        "token: x",
        f"insecure-skip-tls-verify: true, certificate-authority-data: {b64(CA)}",
        "kubeconfig-malformed",
        "insecure-skip-tls-verify",
    ),
    ("socks", "token: x", "proxy-url: 'socks5://p:1'", "kubeconfig-malformed", "`proxy-url`"),
]


@pytest.mark.parametrize(
    ("user", "cluster", "code", "named"), [row[1:] for row in DEFECTS], ids=[r[0] for r in DEFECTS]
)
def test_a_defect_is_an_error_that_names_file_and_key(
    tmp_path: Path, user: str, cluster: str, code: str, named: str
) -> None:
    path = write(tmp_path / "config", user, cluster)
    error = refusal(path)
    assert error.code == code
    assert str(path) in error.message
    assert named in error.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("a: b\nc: [d\n", ":3", id="not YAML, with its line"),
        pytest.param(f"users:\n- user: {{token: *{SECRET}}}\n", ":2", id="an alias may be a secret"),
        pytest.param(f"users:\n- user: {{token: !{SECRET} x}}\n", ":2", id="a tag may be one"),
        pytest.param("- a\n", "mapping", id="a list"),
        pytest.param("clusters: {}\n", "`clusters`", id="wrong shape"),
        pytest.param("a: \x00", "UTF-8", id="binary"),
    ],
)
def test_a_malformed_file_says_where(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    error = refusal(path)
    assert error.code == "kubeconfig-malformed"
    assert named in error.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for paths, env in (([tmp_path / "gone"], {}), (None, {"KUBECONFIG": str(tmp_path / "gone")})):
        with pytest.raises(UsageError, match="gone") as caught:
            Kubeconfig.load(paths, env)
        assert caught.value.code == "kubeconfig-not-found"


def test_an_unknown_context_is_answered_with_a_close_match_first(tmp_path: Path) -> None:
    write(tmp_path / "a", "token: x", name="prod-west")
    write(tmp_path / "b", "token: x", name="dev")
    listed = os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(UsageError, match=r"did you mean 'prod-west'\? \(there are dev, prod-west\)") as caught:
        Kubeconfig.load(None, {"KUBECONFIG": listed}).connection("prod-wets")
    assert caught.value.code == "unknown-context"


def test_a_server_with_a_user_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "token: x")
    path.write_text(path.read_text().replace("https://", f"https://me:{SECRET}@"))
    assert refusal(path).code == "unsupported-credentials"


def test_no_representation_holds_a_secret(tmp_path: Path) -> None:
    env = f"env: [{{name: P, value: {SECRET}}}], args: [--password, {SECRET}]"
    users = [
        f"token: {SECRET}",
        f"client-certificate-data: {b64(PAIR.certificate)}, client-key-data: {b64(SECRET)}",
        f"exec: {{apiVersion: client.authentication.k8s.io/v1, command: c, {env}}}",
    ]
    for user in users:
        path = write(tmp_path / "config", user, f"proxy-url: 'http://u:{SECRET}@proxy:1'")
        found = Kubeconfig.load([path], {}).connection("dev")
        assert SECRET not in repr(found)
        assert SECRET not in str(found.credentials)
