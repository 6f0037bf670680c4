"""One kubeconfig file: its shape (client-go's `clientcmd/api/v1`), and what is said of one that has another."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError

from midwatch.domain.errors import UsageError
from midwatch.kube.connection import ExecApiVersion


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class NamedExtension(_Part):
    """An entry of a cluster's `extensions`."""

    name: str
    extension: JsonValue = None


class ClusterSpec(_Part):
    """`clusters[].cluster`."""

    server: str = ""
    ca_data: str | None = Field(default=None, alias="certificate-authority-data")
    ca_file: str | None = Field(default=None, alias="certificate-authority")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")
    tls_server_name: str | None = Field(default=None, alias="tls-server-name")
    proxy: str | None = Field(default=None, alias="proxy-url", repr=False)
    extensions: list[NamedExtension] | None = Field(default=None, repr=False)


class EnvVar(_Part):
    """`users[].user.exec.env[]`."""

    name: str
    value: SecretStr = SecretStr("")


class ExecSpec(_Part):
    """`users[].user.exec`."""

    command: str = Field(min_length=1)
    args: list[str] | None = Field(default=None, repr=False)
    env: list[EnvVar] | None = None
    api_version: ExecApiVersion = Field(alias="apiVersion")
    install_hint: str = Field(default="", alias="installHint")
    provide_cluster_info: bool = Field(default=False, alias="provideClusterInfo")
    interactive_mode: str = Field(default="", alias="interactiveMode")


class AuthProvider(_Part):
    """`users[].user.auth-provider`, which client-go dropped; only its name is read."""

    name: str = ""


class UserSpec(_Part):
    """`users[].user`."""

    certificate_data: str | None = Field(default=None, alias="client-certificate-data", repr=False)
    certificate_file: str | None = Field(default=None, alias="client-certificate")
    key_data: SecretStr | None = Field(default=None, alias="client-key-data")
    key_file: str | None = Field(default=None, alias="client-key")
    token: SecretStr | None = None
    token_file: str | None = Field(default=None, alias="tokenFile")
    exec_: ExecSpec | None = Field(default=None, alias="exec")
    username: str | None = None
    password: SecretStr | None = None
    auth_provider: AuthProvider | None = Field(default=None, alias="auth-provider")
    impersonate: str | None = Field(default=None, alias="as")
    impersonate_uid: str | None = Field(default=None, alias="as-uid")
    impersonate_groups: list[str] | None = Field(default=None, alias="as-groups")
    impersonate_extra: dict[str, list[str]] | None = Field(default=None, alias="as-user-extra")


class ContextSpec(_Part):
    """`contexts[].context`."""

    cluster: str = ""
    user: str = ""


class NamedCluster(_Part):
    """An entry of `clusters`."""

    name: str
    cluster: ClusterSpec | None = None


class NamedUser(_Part):
    """An entry of `users`."""

    name: str
    user: UserSpec | None = None


class NamedContext(_Part):
    """An entry of `contexts`."""

    name: str
    context: ContextSpec | None = None


class KubeconfigFile(_Part):
    """The file."""

    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None
    current_context: str | None = Field(default=None, alias="current-context")


class _Loader(yaml.SafeLoader):
    """YAML in which only true, false and null are more than text.

    A token or a name of digits stays what it is, as with kubectl, which reads by the target's type.
    """


_NOT_TEXT = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _NOT_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_kubeconfig(path: Path) -> KubeconfigFile:
    """Read one file.

    Raises:
        UsageError: as `parse_kubeconfig`, or it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise malformed(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise malformed(f"{path} is not YAML in UTF-8") from None
    return parse_kubeconfig(text, path)


def parse_kubeconfig(text: str, source: Path) -> KubeconfigFile:
    """Check the text of a kubeconfig.

    Args:
        text: YAML.
        source: the file's name, or what to call it in errors.

    Raises:
        UsageError: `kubeconfig-malformed`, with the line or the key. Nothing of the file's values is repeated, and
            the parser's error, which quotes the line, is not chained.
    """
    try:
        data: object = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        # The parser quotes what it met: an alias or a tag may be a token that begins with * or !.
        problem = re.sub(r"'[^']{3,}'", "'...'", error.problem or "not YAML")
        raise malformed(f"{source}{line}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise malformed(f"{source} is not YAML in UTF-8") from None
    if data is None:
        return KubeconfigFile()
    if not isinstance(data, dict):
        raise malformed(f"{source}: a kubeconfig is a mapping of keys, this is none")
    try:
        return KubeconfigFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise malformed(f"{source}: `{key}`: {first['msg']}") from None


def malformed(message: str) -> UsageError:
    """The error for a kubeconfig of another shape."""
    return UsageError("kubeconfig-malformed", message)
