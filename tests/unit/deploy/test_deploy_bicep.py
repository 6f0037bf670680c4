"""The Bicep files, as far as they can be judged without its compiler: grammar, names, roles, settings and queries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
import tree_sitter
import tree_sitter_bicep
import yaml

from midwatch.domain.permissions import PERMISSIONS
from tools.workbook import queries, workbook

ROOT = Path(__file__).parents[3]
BICEP = ROOT / "deploy" / "bicep"
FILES = sorted(BICEP.glob("*.bicep"))
_WRITES = {"create", "update", "patch"}
_PARAM = re.compile(r"^param (\w+)", re.MULTILINE)
_DESCRIBED = re.compile(r"@description\('[^\n]+'\)\n(?:@[^\n]+\n)*param (\w+)")


def text_of(name: str) -> str:
    return (BICEP / name).read_text()


def nodes(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_bicep_by_its_grammar(path: Path) -> None:
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
    wrong = [n for n in nodes(parser.parse(path.read_bytes()).root_node) if n.type == "ERROR" or n.is_missing]
    assert [(n.start_point.row + 1, n.text) for n in wrong] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_is_described_and_every_module_is_given_all_that_has_no_default(path: Path) -> None:
    text = path.read_text()
    assert _PARAM.findall(text) == _DESCRIBED.findall(text)
    for file, block in re.findall(r"module \w+ '([\w-]+\.bicep)' = .*?params: \{(.*?)\n\s*\}", text, re.DOTALL):
        given = set(re.findall(r"^\s+(\w+):", block, re.MULTILINE))
        wanted = re.findall(r"^param (\w+) \w+( =)?", text_of(file), re.MULTILINE)
        assert {name for name, default in wanted if not default} <= given <= {name for name, _ in wanted}, file


def test_what_is_declared_is_used_and_outputs_that_are_read_are_there() -> None:
    for path in FILES:
        text = path.read_text()
        for name in re.findall(r"^(?:param|var) (\w+)", text, re.MULTILINE):
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{path.name}: {name} is not used"
    read = dict.fromkeys(re.findall(r"\b(app|role)\.outputs\.(\w+)", text_of("main.bicep")))
    for module, output in read:
        assert f"output {output} " in text_of(f"{module}.bicep")


def test_the_role_has_what_the_table_of_permissions_needs_and_no_more() -> None:
    granted = set(re.findall(r"'\$\{prefix\}/([\w./]+/(?:read|write|delete))'", text_of("role.bicep")))
    needed = set()
    for one in PERMISSIONS:
        resource = "/".join(filter(None, (one.group, one.resource.removesuffix("/eviction"))))
        verb = "write" if one.verb in _WRITES else "delete" if one.verb == "delete" else "read"
        needed.add(f"{resource}/{verb}")
    assert granted == needed


def test_the_permissions_in_resource_manager_are_documented() -> None:
    page = (ROOT / "docs" / "azure.md").read_text()
    text = text_of("role.bicep").replace("${prefix}", "Microsoft.ContainerService/managedClusters")
    actions = re.search(r"actions: \[(.*?)\]", text, re.DOTALL)
    assert actions is not None
    for action in re.findall(r"'([^']+)'", actions[1]):
        assert f"`{action}`" in page


def test_every_app_setting_is_in_the_table_of_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    settings = re.search(r"var settings = \{(.*?)\n\}", text_of("app.bicep"), re.DOTALL)
    assert settings is not None
    names = re.findall(r"^  (\w+):", settings[1], re.MULTILINE)
    assert len(names) == 8
    for name in names:
        account, _, part = name.partition("__")
        assert (f"`{name}`" in page) or (f"`{account}__" in page and f"__{part}`" in page), name


def test_the_parameters_file_names_parameters_of_the_template() -> None:
    given = json.loads(text_of("main.parameters.json"))["parameters"]
    assert set(given) <= set(_PARAM.findall(text_of("main.bicep")))


def test_the_workbook_has_the_queries_of_the_docs() -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text()
    assert len(queries(page)) == page.count("```kusto")
    assert json.loads(text_of("workbook.json")) == workbook(page), "run `make reference`"


def test_azd_finds_template_and_service() -> None:
    config = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert (ROOT / config["infra"]["path"] / f"{config['infra']['module']}.bicep").exists()
    assert [f"'azd-service-name': '{name}'" in text_of("app.bicep") for name in config["services"]] == [True]


def test_the_package_that_is_deployed_holds_all_that_the_app_imports(tmp_path: Path) -> None:
    ignored = (ROOT / ".funcignore").read_text().split()

    def left_out(folder: str, names: list[str]) -> set[str]:
        here = Path(folder).relative_to(ROOT)
        return {name for name in names if any(fnmatch(str(here / name), p) or fnmatch(name, p) for p in ignored)}

    package = copytree(ROOT, tmp_path / "app", ignore=lambda f, n: left_out(f, n) | ignore_patterns("venv")(f, n))
    assert {"host.json", "function_app.py", "requirements.txt", "midwatch", "orchestrators", "activities"} <= {
        path.name for path in package.iterdir()
    }
    code = "import sys; sys.path.insert(0, '.'); import function_app; print(function_app.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=package, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == str(package / "function_app.py"), done.stderr
