"""Settings (environment variables, as Azure Functions gives app settings) and the policy file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from midwatch.domain.errors import UsageError
from midwatch.domain.policy import NOT_YET, Policy

POLICY_SETTING = "MIDWATCH_POLICY"
SCHEDULE_SETTING = "MIDWATCH_SCHEDULE"
KUBECONFIG_SETTING = "KUBECONFIG"
LARGEST_POLICY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Attributes:
        policy: the policy file (`MIDWATCH_POLICY`); None: the default policy, without clusters, or `policy_url`.
        policy_url: the policy's blob, where `MIDWATCH_POLICY` is a URL.
    """

    policy: Path | None
    policy_url: str | None = None

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings; an empty value is as good as none.

        Raises:
            UsageError: `setting-invalid`, a URL that is none of a blob, or holds a secret.
        """
        policy = env.get(POLICY_SETTING, "").strip()
        if is_url(policy):
            return cls(policy=None, policy_url=_blob_url(policy))
        return cls(policy=Path(policy) if policy else None)


def is_url(policy: str) -> bool:
    """Whether the name of a policy is a URL, not a file's."""
    return "://" in policy


def _blob_url(url: str) -> str:
    """A blob's URL, without a signature: it would be a secret in a setting, and in every message that names it."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.count("/") < 2:
        form = "https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB"
        raise UsageError("setting-invalid", f"{POLICY_SETTING} is a URL, and not of the form {form}")
    if parts.query or parts.fragment or parts.username:
        text = f"{POLICY_SETTING} holds a signature or a password: leave it out, the blob is read as the identity"
        raise UsageError("setting-invalid", text)
    return url


def load_policy(path: Path | None) -> Policy:
    """Read and check a policy file; None gives the default policy.

    Raises:
        UsageError: `policy-not-found`, `policy-unreadable` or `policy-invalid`; the message names file, line and key.
    """
    if path is None:
        return Policy.default()
    try:
        if path.stat().st_size > LARGEST_POLICY_BYTES:
            raise UsageError("policy-unreadable", f"{path}: a policy file is not larger than a megabyte")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError("policy-not-found", f"there is no policy file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("policy-unreadable", f"the policy file {path} cannot be read: {error}") from error
    return parse_policy(text, str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Check the text of a policy.

    Args:
        text: YAML.
        source: what to call it in errors, such as the file's name.

    Raises:
        UsageError: `policy-invalid`; the message names source, line and key of every defect.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(tree, source)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        raise UsageError("policy-invalid", f"{where}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            "policy-invalid", f"{source}: {' '.join(str(error).split()) or 'nested too deeply'}"
        ) from error
    if not isinstance(data, dict):
        raise UsageError(
            "policy-invalid", f"{source}:1: a policy is a mapping that starts with `apiVersion: midwatch/v1`"
        )
    try:
        return Policy.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [(tuple(e["loc"]), e["type"], e["msg"]) for e in error.errors()]
        defects = [_defect(source, tree, *defect) for defect in found if not _follows(defect[0], defect[1], found)]
        raise UsageError("policy-invalid", "; ".join(dict.fromkeys(defects))) from error


def _refuse_duplicates(tree: yaml.Node | None, source: str) -> None:
    """YAML lets the last of two equal keys win in silence; a guard must not vanish so.

    Aliases share nodes, and each is looked at once: aliases of aliases would otherwise take for ever.
    """
    waiting, known = [tree], {id(tree)}
    while waiting:
        node = waiting.pop()
        if not isinstance(node, yaml.CollectionNode):
            continue
        children = list(node.value)
        if isinstance(node, yaml.MappingNode):
            _refuse_equal_keys([key for key, _ in node.value], source)
            children = [value for _, value in node.value]
        fresh = [child for child in children if id(child) not in known]
        known.update(map(id, fresh))
        waiting += fresh


def _refuse_equal_keys(keys: list[yaml.Node], source: str) -> None:
    seen: set[str] = set()
    for key in keys:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError("policy-invalid", f"{source}:{line}: a key is a plain word")
        if key.value in seen:
            raise UsageError("policy-invalid", f"{source}:{line}: key `{key.value}` is given twice")
        seen.add(key.value)


type _Path = tuple[int | str, ...]


def _follows(where: _Path, kind: str, others: list[tuple[_Path, str, str]]) -> bool:
    """Whether a defect only follows from another: a list whose items are wrong is short, a misspelt key is missing."""
    if kind == "too_short":
        return any(other != where and other[: len(where)] == where for other, _, _ in others)
    if kind == "missing":
        return any(other[:-1] == where[:-1] and other_kind == "extra_forbidden" for other, other_kind, _ in others)
    return False


def _defect(source: str, tree: yaml.Node | None, where: _Path, kind: str, message: str) -> str:
    path = tuple(part for part in where if part not in {"int", "str"})
    line = _line_of(tree, path)
    key = ".".join(str(part) for part in path) or "policy"
    if kind == "extra_forbidden":
        planned = ".".join(part for part in path if isinstance(part, str)) in NOT_YET
        message = "not supported yet" if planned else "no such key"
    elif kind == "missing":
        message = "is missing"
    return f"{source}:{line}: `{key}`: {message.removeprefix('Value error, ')}"


def _line_of(node: yaml.Node | None, path: _Path) -> int:
    """The line of the deepest key on the path that the file has."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
