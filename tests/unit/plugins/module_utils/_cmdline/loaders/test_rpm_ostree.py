# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rpm-ostree loader on recorded trees, with a stand-in for the tool that stages a deployment as ostree does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.gvariant import Variant
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.unit.plugins import gvariant_writer

TREES = Path(__file__).parents[5] / "fixtures/boot/rpm-ostree"


class OstreeHost:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.failure: str | None = None
        self.commands: list[list[str]] = []

    @property
    def staged(self) -> Path:
        return self.base / "run/ostree/staged-deployment"

    def _pending_line(self) -> list[str]:
        """What ``rpm-ostree kargs`` starts from."""
        if self.staged.exists():
            return Variant("a{sv}", self.staged.read_bytes()).dictionary()["kargs"].strings()
        newest = max(
            (self.base / "boot/loader/entries").iterdir(), key=lambda path: int(path.name.split("-")[1].split(".")[0])
        )
        line = next(line for line in newest.read_text().splitlines() if line.startswith("options "))
        return line.split()[1:]

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        assert list(argv[:2]) == ["/usr/bin/rpm-ostree", "kargs"]
        self.commands.append(list(argv[2:]))
        if self.failure == "exit status":
            return CommandResult(tuple(argv), 1, "", "error: Transaction in progress")
        line = self._pending_line()
        for option in argv[2:]:
            kind, _equals, token = option.partition("=")
            assert kind in ("--delete", "--append")
            if kind == "--append":
                line.append(token)
            elif token in line:
                line.remove(token)
            else:
                return CommandResult(tuple(argv), 1, "", f"error: No karg '{token}' found")
        if self.failure == "other arguments" and len(self.commands) == 1:
            line.remove("rw")
        if self.failure != "no effect":
            self._stage(line)
        if self.failure == "truncated":
            self.staged.write_bytes(self.staged.read_bytes()[:40])
        elif self.failure == "empty":
            self.staged.write_bytes(b"")
        return CommandResult(tuple(argv), 0, "Changes queued for next boot.", "")

    def _stage(self, line: Sequence[str]) -> None:
        target = {"name": "c0ffee.1", "osname": "fedora", "bootcsum": "beef"}
        members = {name: ("s", gvariant_writer.string(value)) for name, value in target.items()}
        content = {
            "target": ("a{sv}", gvariant_writer.dictionary(members)),
            "kargs": ("as", gvariant_writer.strings(line)),
        }
        self.staged.parent.mkdir(parents=True, exist_ok=True)
        self.staged.write_bytes(gvariant_writer.dictionary(content))

    def put(self, *args: str, owner: str = "iommu", check_mode: bool = False) -> ArgumentsChange:
        with locked(self.root, check_mode) as ledger:
            return set_arguments(self.root, self.run, ledger, owner, args, check_mode)

    def next_boot(self) -> list[str]:
        line: list[str] = read_boot_state(self.root, Ledger.read(self.root))["next_boot"]
        return line

    def snapshot(self) -> dict[str, bytes]:
        files = (path for path in self.base.rglob("*") if path.is_file() and path.name != "virtfleet-passthrough.lock")
        return {str(path.relative_to(self.base)): path.read_bytes() for path in files}


def plain(line: list[str]) -> list[str]:
    """Without what names the deployment, wherever it stands."""
    return [token for token in line if not token.startswith("ostree=")]


def copy(tree: str, where: Path) -> OstreeHost:
    shutil.copytree(TREES / tree, where / tree, symlinks=True)
    return OstreeHost(where / tree)


@pytest.fixture(params=["fedora-coreos-39", "silverblue-42", "rhel-9-edge"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> OstreeHost:
    return copy(request.param, tmp_path)


@pytest.mark.parametrize(
    ("tree", "kernels", "reboot"),
    [
        ("fedora-coreos-39", ["6.5.11-300.fc39.x86_64", "6.5.8-200.fc38.x86_64"], False),
        ("silverblue-42", ["6.16.3-200.fc42.x86_64", "6.15.10-200.fc42.x86_64", "6.15.9-201.fc42.x86_64"], True),
        ("rhel-9-edge", ["5.14.0-427.13.1.el9_4.x86_64"], False),
    ],
)
def test_recorded_trees(tree: str, kernels: list[str], reboot: bool) -> None:
    state = read_boot_state(Root(str(TREES / tree)), Ledger())
    assert (state["bootloader"], state["reboot_required"]) == ("rpm-ostree", reboot)
    assert [entry["kernel"] for entry in state["entries"]] == kernels
    assert [entry["default"] for entry in state["entries"]] == [True, *[False] * (len(kernels) - 1)]
    assert state["next_boot"] == state["entries"][0]["args"]


GRUB_CFG = """if [ "${next_entry}" ]; then
  set default="${next_entry}"
else
  set default="${saved_entry}"
fi
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  if [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
  fi
fi
blscfg
"""


@pytest.mark.parametrize(
    ("environment", "position"),
    [
        ("", 0),
        ("boot_success=1\nboot_counter=0", 0),
        ("boot_success=0\nboot_counter=2", 0),
        ("boot_success=0\nboot_counter=0", 1),
        ("next_entry=1", 1),
        ("saved_entry=ostree-1-fedora-coreos", 1),
    ],
)
def test_grub_may_boot_another_deployment_than_the_first(tmp_path: Path, environment: str, position: int) -> None:
    """A countdown of failed boots that has ended (greenboot), or somebody's choice."""
    host = copy("fedora-coreos-39", tmp_path)
    (host.base / "boot/grub2/grub.cfg").write_text(GRUB_CFG)
    (host.base / "boot/grub2/grubenv").write_text(f"# GRUB Environment Block\n{environment}\n{'#' * 900}")
    state = read_boot_state(host.root, Ledger())
    assert [index for index, entry in enumerate(state["entries"]) if entry["default"]] == [position]
    assert state["next_boot"] == state["entries"][position]["args"]
    if position:
        with pytest.raises(RefusedError, match=r"GRUB boots .* next, which is not the first deployment"):
            host.put("iommu=pt")
        assert host.commands == []
    else:
        host.put("iommu=pt")
        assert host.next_boot()[-1] == "iommu=pt"


def test_a_captured_tree_that_lost_its_links(tmp_path: Path) -> None:
    host = copy("fedora-coreos-39", tmp_path)
    expected = read_boot_state(host.root, Ledger())
    (host.base / "boot/loader").unlink()
    assert read_boot_state(host.root, Ledger()) == expected
    (host.base / "boot/loader.0/entries").mkdir(parents=True)
    assert read_boot_state(host.root, Ledger()) == expected
    (host.base / "boot/loader.0/entries/ostree-1.conf").write_text("")
    assert read_boot_state(host.root, Ledger())["bootloader"] is None


def test_a_staged_deployment_counts_among_the_entries_of_the_next_boot(tmp_path: Path) -> None:
    host = copy("silverblue-42", tmp_path)
    (host.base / "boot/grub2").mkdir()
    (host.base / "boot/grub2/grub.cfg").write_text(GRUB_CFG)
    (host.base / "boot/grub2/grubenv").write_text("# GRUB Environment Block\nnext_entry=1\n####")
    state = read_boot_state(host.root, Ledger())
    assert [entry["default"] for entry in state["entries"]] == [False, True, False]


def test_set_again_change_and_back(host: OstreeHost) -> None:
    line = host.next_boot()
    before = host.snapshot()
    assert host.put("iommu=pt", check_mode=True).changed
    assert host.snapshot() == before
    assert host.put("hugepagesz=2M", "hugepages=8", "hugepagesz=1G", "hugepages=2").changed
    assert host.next_boot()[-4:] == ["hugepagesz=2M", "hugepages=8", "hugepagesz=1G", "hugepages=2"]
    done = len(host.commands)
    assert not host.put("hugepagesz=2M", "hugepages=8", "hugepagesz=1G", "hugepages=2").changed
    assert len(host.commands) == done
    host.put("hugepagesz=1G", "hugepages=2")
    assert host.next_boot()[-2:] == ["hugepagesz=1G", "hugepages=2"]
    host.put()
    assert host.next_boot() == line


def test_what_one_falls_back_to_keeps_its_line(host: OstreeHost) -> None:
    entries = host.base / "boot/loader/entries"
    before = {path.name: path.read_bytes() for path in entries.iterdir()}
    host.put("iommu=pt")
    assert {path.name: path.read_bytes() for path in entries.iterdir()} == before


def test_somebody_elses_equal_argument_stays_where_it_is(tmp_path: Path) -> None:
    host = copy("rhel-9-edge", tmp_path)
    line = host.next_boot()
    host.put("nosmt", "console=tty0", "nohz=on")
    assert host.next_boot() == [*line, "nosmt", "console=tty0", "nohz=on"]
    host.put("nosmt", "nohz=on")
    assert plain(host.next_boot()) == plain([*line, "nosmt", "nohz=on"])
    assert not any(option.startswith("--delete=ostree=") for command in host.commands for option in command)


@pytest.mark.parametrize("failure", ["exit status", "no effect", "empty"])
def test_lesson_3_a_tool_that_fails_leaves_everything_as_it_was(tmp_path: Path, failure: str) -> None:
    host = copy("fedora-coreos-39", tmp_path)
    line, ledger = host.next_boot(), Ledger.read(host.root).to_json()
    host.failure = failure
    with pytest.raises(ToolError):
        host.put("iommu=pt")
    assert (host.next_boot(), Ledger.read(host.root).to_json()) == (line, ledger)


def test_a_deployment_with_other_arguments_than_asked_for_is_replaced(host: OstreeHost) -> None:
    line = host.next_boot()
    host.failure = "other arguments"
    with pytest.raises(ToolError, match="other arguments than expected"):
        host.put("iommu=pt")
    assert plain(host.next_boot()) == plain(line)
    assert len(host.commands) == 2


def test_a_staged_deployment_that_cannot_be_read_is_never_taken_for_none(tmp_path: Path) -> None:
    host = copy("fedora-coreos-39", tmp_path)
    host.failure = "truncated"
    with pytest.raises(HostStateError, match="cleanup --pending"):
        host.put("iommu=pt")
    assert "cannot be read" in read_boot_state(host.root, Ledger())["reason"]


def test_a_locked_deployment_does_not_boot_and_nothing_is_built_on_it(tmp_path: Path) -> None:
    host = copy("silverblue-42", tmp_path)
    (host.base / "run/ostree/staged-deployment-locked").touch()
    state = read_boot_state(host.root, Ledger())
    assert [entry["default"] for entry in state["entries"]] == [False, True, False]
    with pytest.raises(RefusedError, match="locked"):
        host.put("iommu=pt")


def test_without_its_tool_nothing_is_written(host: OstreeHost) -> None:
    (host.base / "usr/bin/rpm-ostree").unlink()
    before = host.snapshot()
    with pytest.raises(PassthroughError, match="rpm-ostree is missing"):
        host.put("iommu=pt")
    assert host.snapshot() == before


@pytest.mark.parametrize("remove", [[], ["ostree"], ["usr/lib/bootc"], ["boot", "ostree"]])
def test_an_image_that_bootc_updates_is_refused_with_advice(tmp_path: Path, remove: list[str]) -> None:
    host = copy("centos-10-bootc", tmp_path)
    for path in remove:
        shutil.rmtree(host.base / path)
    state = read_boot_state(host.root, Ledger())
    assert state["bootloader"] is None
    assert "/usr/lib/bootc/kargs.d" in state["reason"]
    with pytest.raises(HostStateError, match="when the image is built"):
        host.put("iommu=pt")
    assert host.commands == []


def test_coreos_is_changed_by_rpm_ostree_though_its_images_bring_bootc(tmp_path: Path) -> None:
    host = copy("centos-10-bootc", tmp_path)
    (host.base / "usr/libexec").mkdir(exist_ok=True)
    (host.base / "usr/libexec/zincati").write_text("")
    assert read_boot_state(host.root, Ledger())["bootloader"] == "rpm-ostree"
    assert host.put("iommu=pt").changed
    (host.base / "usr/bin/rpm-ostree").unlink()
    assert read_boot_state(host.root, Ledger())["bootloader"] is None


def test_a_container_image_without_bootc_is_changed_by_rpm_ostree(tmp_path: Path) -> None:
    host = copy("centos-10-bootc", tmp_path)
    shutil.rmtree(host.base / "usr/lib/bootc")
    (host.base / "usr/bin/bootc").unlink()
    assert host.put("iommu=pt").changed
