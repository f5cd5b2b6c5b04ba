# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The extlinux loader on recorded trees, with a stand-in for u-boot-update that sources the settings in a real shell
and can fail in every way that a tool fails. The real tool runs in the chroot tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import extlinux
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked

TREES = Path(__file__).parents[5] / "fixtures/boot/extlinux"


class UBootHost:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.failure: str | None = None
        self.runs = 0

    @property
    def configuration(self) -> Path:
        return self.base / "boot/extlinux/extlinux.conf"

    @property
    def defaults(self) -> Path:
        return self.base / "etc/default/u-boot"

    def _parameters(self) -> str:
        drop_ins = sorted((self.base / "etc/u-boot-menu/conf.d").glob("*.conf"))
        files = [self.defaults, *(drop_ins if self.base.name != "debian-11" else [])]
        script = "set -e\n" + "".join(f". {file}\n" for file in files)
        script += 'printf %s "${U_BOOT_PARAMETERS:-ro quiet}"'
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    def _generated(self, line: str) -> str:
        command, _blank, rest = line.strip().partition(" ")
        if command != "append":
            return line
        parameters = self._parameters()
        if rest.endswith(" single"):
            parameters = parameters.replace(" quiet", "", 1) + " single"
        return f"\tappend {rest.split()[0]} {parameters}"

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        assert list(argv) == ["/usr/sbin/u-boot-update"]
        self.runs += 1
        if self.failure == "exit status":
            (self.base / "boot/extlinux/extlinux.conf.tmp").write_text("half")
            return CommandResult(tuple(argv), 1, "", "no space left on device")
        lines = [self._generated(line) for line in self.configuration.read_text().split("\n")]
        text = "\n".join(lines)
        if self.failure == "empty":
            text = ""
        elif self.failure == "truncated":
            text = text[: len(text) // 2]
        elif self.failure == "other arguments":
            text = text.replace(" ro ", " rw ")
        self.configuration.write_text(text)
        return CommandResult(tuple(argv), 0, "", "")

    def put(self, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.root, check_mode) as ledger:
            return set_arguments(self.root, self.run, ledger, "iommu", args, check_mode)

    def lines(self) -> list[str]:
        entries = read_boot_state(self.root, Ledger.read(self.root))["entries"]
        return [" ".join(entry["args"]) for entry in entries]

    def snapshot(self) -> dict[str, bytes]:
        files = (path for path in self.base.rglob("*") if path.is_file() and path.name != "virtfleet-passthrough.lock")
        return {str(path.relative_to(self.base)): path.read_bytes() for path in files}


@pytest.fixture(params=["debian-11", "debian-12"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> UBootHost:
    shutil.copytree(TREES / request.param, tmp_path / request.param)
    return UBootHost(tmp_path / request.param)


@pytest.mark.parametrize(
    ("tree", "entries", "default", "recovery"),
    [("debian-11", 2, "5.10.0-28-arm64", 1), ("debian-12", 4, "6.1.0-27-arm64", 2)],
)
def test_recorded_trees(tree: str, entries: int, default: str, recovery: int) -> None:
    root = Root(str(TREES / tree))
    state = read_boot_state(root, Ledger())
    assert (state["bootloader"], state["reboot_required"]) == ("extlinux", False)
    assert len(state["entries"]) == entries
    assert [entry["kernel"] for entry in state["entries"] if entry["default"]] == [default]
    assert sum(entry["rescue"] for entry in state["entries"]) == recovery
    assert state["next_boot"] == state["running"]


def test_set_predict_again_and_back(host: UBootHost) -> None:
    before = host.snapshot()
    foretold = host.put("intel_iommu=on", check_mode=True)
    assert host.snapshot() == before
    done = host.put("intel_iommu=on")
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)
    assert all("intel_iommu=on" in line for line in host.lines())
    assert host.lines()[1].endswith("intel_iommu=on single")
    runs = host.runs
    assert not host.put("intel_iommu=on").changed
    assert host.runs == runs
    host.put("intel_iommu=on", "iommu=pt")
    assert host.lines()[0].endswith("quiet intel_iommu=on iommu=pt")
    host.put()
    assert host.snapshot() == before


@pytest.mark.parametrize("failure", ["exit status", "empty", "truncated", "other arguments"])
def test_lesson_3_a_tool_that_fails_leaves_everything_as_it_was(host: UBootHost, failure: str) -> None:
    for arguments in ([], ["vfio.x=1"]):
        if arguments:
            host.put(*arguments)
        before = host.snapshot()
        host.failure = failure
        with pytest.raises(ToolError):
            host.put("intel_iommu=on")
        assert host.snapshot() == before
        host.failure = None


def test_a_version_without_drop_ins_needs_its_parameters_set(host: UBootHost) -> None:
    host.defaults.write_text("#U_BOOT_PARAMETERS=\n")
    if host.base.name == "debian-12":
        assert host.put("intel_iommu=on", check_mode=True).changed
        return
    with pytest.raises(RefusedError, match=r"sets no U_BOOT_PARAMETERS.*before 4\.2"):
        host.put("intel_iommu=on")


def test_quiet_is_not_ours_to_set(host: UBootHost) -> None:
    with pytest.raises(RefusedError, match=r"'quiet'.*recovery entries"):
        host.put("quiet")


def test_an_entry_of_a_person_would_be_dropped_and_is_named(host: UBootHost) -> None:
    with host.configuration.open("a") as stream:
        stream.write("\nlabel mine\n\tlinux /vmlinuz-mine\n")
    with pytest.raises(RefusedError, match="entry 'mine', which u-boot-update did not write"):
        host.put("intel_iommu=on")


def test_a_line_with_arguments_for_init_is_refused(host: UBootHost) -> None:
    text = host.configuration.read_text()
    host.configuration.write_text(text.replace(" quiet", " quiet -- 3"))
    with pytest.raises(RefusedError, match="'--'"):
        host.put("intel_iommu=on")


def test_without_its_tool_nothing_is_written(host: UBootHost) -> None:
    (host.base / "usr/sbin/u-boot-update").unlink()
    before = host.snapshot()
    with pytest.raises((HostStateError, RefusedError), match="u-boot"):
        host.put("intel_iommu=on")
    assert host.snapshot() == before


def test_a_menu_that_a_person_wrote_is_refused_with_advice() -> None:
    state = read_boot_state(Root(str(TREES / "jetson")), Ledger())
    assert state["bootloader"] is None
    assert "by hand to the 'append' line" in state["reason"]


def test_both_versions_of_the_tool_are_told_apart(host: UBootHost) -> None:
    host.put("intel_iommu=on")
    drop_in = host.base / extlinux.DROP_IN.lstrip("/")
    assert drop_in.exists() == (host.base.name == "debian-12")
    assert ("intel_iommu=on" in host.defaults.read_text()) == (host.base.name == "debian-11")
