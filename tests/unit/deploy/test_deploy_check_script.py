"""The plugin script, run by every shell of this machine that a node or an image may have."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from midwatch.domain.packages import packages_in
from tests.unit.deploy.deploy_kit import SCRIPT

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = {"sh": ["sh"], "dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
NOT_NEEDED, NEEDED, UNKNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What node-problem-detector sees of one run."""

    code: int
    message: str


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return command


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def check(shell: list[str], folder: Path, *args: str, env: dict[str, str] | None = None) -> Answer:
    command = [*shell, str(SCRIPT), str(folder), *args]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False, env={**os.environ, **(env or {})})
    assert not done.stderr, done.stderr
    return Answer(done.returncode, done.stdout.decode("ascii").rstrip("\n"))


def ask_for_reboot(folder: Path, packages: bytes | None = None) -> None:
    (folder / "reboot-required").write_text("*** System restart required ***\n")
    if packages is not None:
        (folder / "reboot-required.pkgs").write_bytes(packages)


def test_a_node_without_a_sentinel_needs_no_reboot(shell: list[str], run_folder: Path) -> None:
    assert check(shell, run_folder) == Answer(NOT_NEEDED, "No reboot required")


def test_a_list_without_a_sentinel_asks_for_nothing(shell: list[str], run_folder: Path) -> None:
    (run_folder / "reboot-required.pkgs").write_text("libssl3\n")
    assert check(shell, run_folder).code == NOT_NEEDED


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        pytest.param(None, "Reboot required", id="azure-linux-has-no-list"),
        pytest.param(b"", "Reboot required", id="empty-list"),
        pytest.param(b"\n \n\t\n\r\n", "Reboot required", id="blank-lines-only"),
        pytest.param(b"libssl3\n", "Reboot required by: libssl3", id="one"),
        pytest.param(b"libssl3\ndbus\nlibssl3\n", "Reboot required by: dbus, libssl3", id="sorted-and-unique"),
        pytest.param(b"libssl3\ndbus", "Reboot required by: dbus, libssl3", id="no-newline-at-the-end"),
        pytest.param(b"libssl3\r\ndbus\r\nlibssl3\n", "Reboot required by: dbus, libssl3", id="crlf"),
        pytest.param(b"  dbus\t\n\n\ndbus\n", "Reboot required by: dbus", id="blanks-around-a-name"),
        pytest.param(b"libstdc++6\npython3.12\n", "Reboot required by: libstdc++6, python3.12", id="debian-names"),
        pytest.param(b"libc6:amd64\na_b~c\n", "Reboot required by: a_b~c, libc6:amd64", id="other-legal-bytes"),
        pytest.param(b"b\nB\na\n", "Reboot required by: B, a, b", id="byte-order-in-every-locale"),
        pytest.param(b"dbus\nnot a name\n", "Reboot required by: dbus and 1 more", id="blank-inside-is-counted"),
        pytest.param(b"dbus\na,b\n$(id)\n`id`\n", "Reboot required by: dbus and 3 more", id="no-expansion"),
        pytest.param(b"*\n/*\n", "Reboot required by: 2 packages", id="no-globbing"),
        pytest.param(b"-n\n-e\n", "Reboot required by: -e, -n", id="names-like-options"),
        pytest.param(b"%s%n\n", "Reboot required by: 1 package", id="no-format"),
        pytest.param(b"\xff\xfe\ndb\xc3\xbcs\ndbus\n", "Reboot required by: dbus and 2 more", id="bytes-above-ascii"),
        pytest.param(b"dbus\x00libssl3\x00", "Reboot required by: dbus, libssl3", id="nul-bytes-end-lines"),
        pytest.param(b"\x1b[31mred\ndbus\n", "Reboot required by: dbus and 1 more", id="control-bytes"),
    ],
)
def test_the_message_names_the_packages(
    shell: list[str], run_folder: Path, packages: bytes | None, message: str
) -> None:
    ask_for_reboot(run_folder, packages)
    assert check(shell, run_folder) == Answer(NEEDED, message)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        pytest.param(58, "Reboot required by: linux-image-6.8, linux-tools-6.8, zlib", id="all-fit-exactly"),
        pytest.param(57, "Reboot required by: linux-image-6.8 and 2 more", id="one-byte-short"),
        pytest.param(46, "Reboot required by: linux-image-6.8 and 2 more", id="one-fits-exactly"),
        pytest.param(45, "Reboot required by: 3 packages", id="not-even-one-fits"),
        pytest.param(40, "Reboot required by: 3 packages", id="smallest-limit"),
    ],
)
def test_a_name_is_never_cut(shell: list[str], run_folder: Path, limit: int, message: str) -> None:
    ask_for_reboot(run_folder, b"zlib\nlinux-tools-6.8\nlinux-image-6.8\n")
    assert check(shell, run_folder, str(limit)) == Answer(NEEDED, message)
    assert len(message) <= limit


def test_the_last_name_is_preferred_to_a_longer_and_one_more(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"aaaaaaaaaaaaaaaaa\nb\n")
    assert check(shell, run_folder, "40").message == "Reboot required by: aaaaaaaaaaaaaaaaa, b"


@pytest.mark.parametrize("limit", [40, 64, 80, 200, 512, 4096])
def test_no_message_is_longer_than_the_limit_and_every_package_is_accounted_for(run_folder: Path, limit: int) -> None:
    names = [f"package-{number}" for number in range(150)]
    ask_for_reboot(run_folder, "\n".join(names).encode())
    answer = check(["sh"], run_folder, str(limit))
    assert len(answer.message) <= limit
    read = packages_in(answer.message)
    shown = [name for name in read if name in names]
    more = sum(int(word) for name in read if name not in names for word in name.split() if word.isdecimal())
    assert shown == sorted(names)[: len(shown)]
    assert len(shown) + more == len(names)


def test_of_a_huge_list_the_beginning_is_enough(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"".join(b"package-%07d\n" % number for number in range(500_000)))
    answer = check(shell, run_folder, "80")
    assert answer.code == NEEDED
    assert answer.message.startswith("Reboot required by: package-0000000, package-0000001")
    assert answer.message.endswith(" and 4093 more")


def test_one_endless_line_is_no_name(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"x" * 5_000_000)
    assert check(shell, run_folder) == Answer(NEEDED, "Reboot required")


def test_a_long_name_that_ends_within_the_limit_of_the_read_is_counted(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"x" * 600 + b"\n")
    assert check(shell, run_folder) == Answer(NEEDED, "Reboot required by: 1 package")


def test_a_list_that_is_a_pipe_is_not_opened(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder)
    os.mkfifo(run_folder / "reboot-required.pkgs")
    assert check(shell, run_folder) == Answer(NEEDED, "Reboot required")


def test_a_sentinel_that_goes_away_clears_the_next_check(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"dbus\n")
    assert check(shell, run_folder).code == NEEDED
    (run_folder / "reboot-required").unlink()
    assert check(shell, run_folder) == Answer(NOT_NEEDED, "No reboot required")


def test_a_list_that_is_gone_when_it_is_read_costs_only_the_names(shell: list[str], run_folder: Path) -> None:
    ask_for_reboot(run_folder)
    (run_folder / "reboot-required.pkgs").symlink_to("gone")
    assert check(shell, run_folder) == Answer(NEEDED, "Reboot required")


def test_a_host_folder_that_is_not_mounted_is_unknown(shell: list[str], tmp_path: Path) -> None:
    answer = check(shell, tmp_path / "absent")
    assert answer == Answer(UNKNOWN, f"Unknown: the host's /var/run is not mounted at {tmp_path / 'absent'}")


def test_a_file_in_place_of_the_host_folder_is_unknown(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    assert check(shell, tmp_path / "run").code == UNKNOWN


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100], ids=["nothing", "no-search", "no-list"])
def test_a_folder_that_cannot_be_read_is_unknown(run_folder: Path, mode: int) -> None:
    ask_for_reboot(run_folder)
    without_privilege = ["sh"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads every folder, and there is no setpriv to be somebody else")
        without_privilege = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sh"]
    run_folder.chmod(mode)
    try:
        assert check(without_privilege, run_folder) == Answer(UNKNOWN, f"Unknown: {run_folder} cannot be read")
    finally:
        run_folder.chmod(0o700)


def _make_folder(path: Path) -> None:
    path.mkdir()


def _make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [_make_folder, _make_dangling, os.mkfifo], ids=["folder", "dangling-link", "pipe"])
def test_a_sentinel_that_is_no_file_is_unknown(shell: list[str], run_folder: Path, make: object) -> None:
    assert callable(make)
    make(run_folder / "reboot-required")
    assert check(shell, run_folder).code == UNKNOWN


@pytest.mark.parametrize("limit", ["39", "0", "-80", "4097", "10000", "80x", " ", "99999999999999999999"])
def test_a_limit_that_makes_no_sense_is_unknown(shell: list[str], run_folder: Path, limit: str) -> None:
    assert check(shell, run_folder, limit).code == UNKNOWN


def test_the_environment_gives_what_the_arguments_do_not(run_folder: Path) -> None:
    ask_for_reboot(run_folder, b"linux-image-6.8\nlinux-tools-6.8\n")
    env = {**os.environ, "HOST_RUN_DIRECTORY": str(run_folder), "MESSAGE_BYTES": "46"}
    done = subprocess.run(["sh", str(SCRIPT)], capture_output=True, text=True, timeout=20, check=False, env=env)
    assert done.stdout == "Reboot required by: linux-image-6.8 and 1 more\n"


@pytest.mark.parametrize("tool", ["dd", "tr", "sed", "sort"])
def test_an_image_that_lacks_a_tool_costs_only_the_names(run_folder: Path, tmp_path: Path, tool: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in {"dd", "tr", "sed", "sort"} - {tool}:
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    shell = shutil.which("sh")
    assert shell is not None
    ask_for_reboot(run_folder, b"dbus\n")
    assert check([shell], run_folder, env={"PATH": str(tools)}) == Answer(NEEDED, "Reboot required")


@pytest.mark.parametrize(
    "message", ["Reboot required", "Reboot required by: 5 packages", "Reboot required by: dbus, libssl3 and 3 more"]
)
def test_the_brain_reads_back_what_the_script_writes(message: str) -> None:
    expected = {
        "Reboot required": (),
        "Reboot required by: 5 packages": ("5 packages",),
        "Reboot required by: dbus, libssl3 and 3 more": ("dbus", "libssl3", "and 3 more"),
    }
    assert packages_in(message) == expected[message]
