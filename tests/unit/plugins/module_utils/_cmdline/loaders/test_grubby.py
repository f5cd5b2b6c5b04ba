# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Enterprise Linux 9 and 10 and Fedora: GRUB with Boot Loader Specification entries, on recorded trees."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import line_file, staged_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import switch_boot_file, write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.grub_trees import GrubbyTree

RECORDED = ["almalinux-9.2", "almalinux-9.4-upgraded", "rhel-10.0", "fedora-41"]
ARGS = ("hugepagesz=2M", "hugepages=64", "hugepagesz=1G", "hugepages=2", "intel_iommu=on")
OLD_ALMALINUX = "AlmaLinux (5.14.0-284.11.1.el9_2.x86_64) 9.2 (Turquoise Kodkod)"


@pytest.fixture(params=RECORDED)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> GrubbyTree:
    return GrubbyTree(tmp_path, f"grub_bls/{request.param}")


@pytest.fixture
def almalinux(tmp_path: Path) -> GrubbyTree:
    return GrubbyTree(tmp_path, "grub_bls/almalinux-9.2")


@pytest.mark.parametrize(
    ("recorded", "kernels", "next_boot", "rescue"),
    [
        ("almalinux-9.2", ["5.14.0-284.30.1", "5.14.0-284.11.1", "0-rescue"], "5.14.0-284.30.1", 1),
        ("almalinux-9.4-upgraded", ["5.14.0-427.24.1", "5.14.0-427.13.1", "0-rescue"], "5.14.0-427.13.1", 1),
        ("rhel-10.0", ["6.12.0-55.12.1", "6.12.0-55.9.1", "0-rescue"], "6.12.0-55.9.1", 1),
        ("fedora-41", ["6.11.10", "6.11.4"], "6.11.10", 0),
    ],
)
def test_what_each_recorded_host_boots(
    tmp_path: Path, recorded: str, kernels: list[str], next_boot: str, rescue: int
) -> None:
    host = GrubbyTree(tmp_path, f"grub_bls/{recorded}")
    entries = host.entries()
    assert len(entries) == len(kernels)
    assert all(entry.kernel.startswith(kernel) for entry, kernel in zip(entries, kernels))
    assert host.next_boot().kernel.startswith(next_boot)
    assert [entry.rescue for entry in entries].count(True) == rescue
    state = read_boot_state(host.root, Ledger())
    assert state["bootloader"] == "grub-bls"
    assert not state["reboot_required"]


def test_bytes_that_are_no_utf_8_are_shown_as_the_running_line_shows_them(tmp_path: Path) -> None:
    host = GrubbyTree(tmp_path, "grub_bls/fedora-41")
    line = b" x=\xff\xfe"
    for path in (tmp_path / "boot/loader/entries").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\nlinux", b"\nlinux", 1).replace(b" ro ", b" ro" + line + b" ", 1))
    running = tmp_path / "proc/cmdline"
    running.write_bytes(running.read_bytes().replace(b" ro ", b" ro" + line + b" ", 1))
    state = read_boot_state(host.root, Ledger())
    assert "x=\ufffd\ufffd" in state["next_boot"]
    assert not state["reboot_required"]
    change = host.put("iommu", "intel_iommu=on", check_mode=True)
    json.dumps([state, change.state, change.diff], ensure_ascii=False).encode()


def test_a_kernel_in_a_directory_of_its_own_has_its_release(tmp_path: Path) -> None:
    """kernel-install with layout=bls where GRUB is the boot loader."""
    host = GrubbyTree(tmp_path, "grub_bls/fedora-41")
    kernels = [entry.kernel for entry in host.entries()]
    for path in (tmp_path / "boot/loader/entries").iterdir():
        path.write_text(re.sub(r"(?m)^linux /vmlinuz-(.*)", r"linux /m/\1/linux", path.read_text()))
    assert [entry.kernel for entry in host.entries()] == kernels


def test_another_system_as_the_default_is_refused(tmp_path: Path) -> None:
    host = GrubbyTree(tmp_path, "grub_bls/almalinux-9.2")
    configuration = host.read("/boot/grub2/grub.cfg")
    host.write("/boot/grub2/grub.cfg", configuration + "menuentry 'Windows' --id osprober-efi {\n chainloader /w\n}\n")
    host.write("/boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=osprober-efi\n####")
    assert read_boot_state(host.root, Ledger())["next_boot"] == []
    with pytest.raises(RefusedError, match="what boots next is 'Windows'"):
        host.put("iommu", "intel_iommu=on")


def test_variables_of_the_environment_block_and_of_tuned_are_part_of_the_line(tmp_path: Path) -> None:
    host = GrubbyTree(tmp_path, "grub_bls/almalinux-9.4-upgraded")
    assert host.next_boot().args[:3] == ("root=/dev/mapper/cl-root", "ro", "crashkernel=auto")
    assert host.next_boot().args[-2:] == ("isolcpus=managed_irq,2-7", "nohz_full=2-7")
    assert host.next_boot().initrd == "/initramfs-5.14.0-427.13.1.el9_4.x86_64.img"


@pytest.mark.parametrize(
    ("environment", "kernel"),
    [
        ("saved_entry=3c0f6d1b1a7e4f43a0e8a5b1f6f0c9d2-5.14.0-284.11.1.el9_2.x86_64", "5.14.0-284.11.1"),
        (f"saved_entry={OLD_ALMALINUX}", "5.14.0-284.11.1"),
        ("saved_entry=1", "5.14.0-284.11.1"),
        ("saved_entry=", "5.14.0-284.30.1"),
        ("saved_entry=gone", "5.14.0-284.30.1"),
        ("saved_entry=0\nnext_entry=1", "5.14.0-284.11.1"),
        ("saved_entry=0\nboot_success=0\nboot_counter=0", "5.14.0-284.11.1"),
        ("saved_entry=0\nboot_success=0\nboot_counter=2", "5.14.0-284.30.1"),
    ],
)
def test_every_way_to_name_the_entry_that_boots_next(almalinux: GrubbyTree, environment: str, kernel: str) -> None:
    almalinux.write("boot/grub2/grubenv", f"# GRUB Environment Block\n{environment}\n####")
    assert almalinux.next_boot().kernel.startswith(kernel)


def test_positions_count_entries_that_people_put_before(almalinux: GrubbyTree) -> None:
    almalinux.change("boot/grub2/grub.cfg", "insmod blscfg", "menuentry 'Mine' { linux /mine a }\ninsmod blscfg")
    almalinux.write("boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=2\n")
    assert almalinux.next_boot().title == OLD_ALMALINUX


def test_every_entry_but_the_rescue_one_gets_them_behind_what_is_there(host: GrubbyTree) -> None:
    before = host.lines()
    rescue = {path: data for path, data in host.snapshot().items() if "0-rescue" in path}
    change = host.put("hugepages", *ARGS)
    assert change.changed
    assert change.state["reboot_required"]
    for entry in host.entries():
        expected = before[entry.title] + ("" if entry.rescue else " " + " ".join(ARGS))
        assert " ".join(entry.args) == expected
    assert rescue.items() <= host.snapshot().items()


def test_what_was_set_is_taken_away_without_a_trace(host: GrubbyTree) -> None:
    before = host.snapshot()
    host.put("iommu", "intel_iommu=on")
    host.put("hugepages", *ARGS[:4])
    host.put("iommu")
    host.put("hugepages")
    assert host.snapshot() == before


def test_only_options_lines_and_the_two_templates_change(host: GrubbyTree) -> None:
    before = host.snapshot()
    host.put("iommu", "intel_iommu=on")
    after = host.snapshot()
    templates = {"etc/default/grub", "etc/kernel/cmdline", "var/lib/virtfleet-passthrough/ledger.json"}
    changed = {path for path in after if before.get(path) != after[path]} - templates
    assert changed == {path for path in before if path.startswith(host.directory) and "rescue" not in path}
    for path in changed:
        assert after[path].replace(b" intel_iommu=on", b"") == before[path]


def test_the_second_run_changes_nothing_and_starts_no_tool(host: GrubbyTree) -> None:
    host.put("iommu", "intel_iommu=on")
    before, runs = host.snapshot(), host.runs
    assert not host.put("iommu", "intel_iommu=on").changed
    assert (host.snapshot(), host.runs) == (before, runs)


def test_check_mode_writes_nothing_and_predicts_exactly(host: GrubbyTree) -> None:
    before = host.snapshot()
    predicted = host.put("iommu", "intel_iommu=on", check_mode=True)
    assert (host.snapshot(), host.runs) == (before, 0)
    done = host.put("iommu", "intel_iommu=on")
    assert (predicted.changed, predicted.diff, predicted.state) == (done.changed, done.diff, done.state)


def test_a_kernel_that_comes_before_the_reboot_carries_them(host: GrubbyTree) -> None:
    line = " ".join(host.next_boot().args).replace(" isolcpus=managed_irq,2-7 nohz_full=2-7", "")
    host.put("iommu", "intel_iommu=on")
    assert host.install_kernel("9.0.0") == f"{line} intel_iommu=on"
    assert not host.put("iommu", "intel_iommu=on").changed


def test_where_the_vendor_gives_new_kernels_their_line_ours_goes_behind_it(almalinux: GrubbyTree) -> None:
    (almalinux.base / "etc/kernel/cmdline").unlink()
    almalinux.write("usr/lib/kernel/cmdline", "root=LABEL=vendor ro\n")
    before = almalinux.snapshot()
    almalinux.put("iommu", "intel_iommu=on")
    assert almalinux.install_kernel("9.0.0") == "root=LABEL=vendor ro intel_iommu=on"
    next((almalinux.base / almalinux.directory).glob("*-9.0.0.conf")).unlink()
    almalinux.put("iommu")
    assert almalinux.snapshot() == before


def test_what_belongs_to_init_stays_behind_ours(almalinux: GrubbyTree) -> None:
    for path in (almalinux.base / almalinux.directory).iterdir():
        path.write_text(path.read_text().replace("console=ttyS0,115200n8", "console=ttyS0,115200n8 -- splash"))
    almalinux.put("iommu", "intel_iommu=on")
    assert almalinux.lines()[OLD_ALMALINUX].endswith("console=ttyS0,115200n8 intel_iommu=on -- splash")


def test_lesson_13_a_menu_that_is_generated_anew_keeps_them_in_the_entries(host: GrubbyTree) -> None:
    host.put("iommu", "intel_iommu=on")
    host.mkconfig_before_9_3()
    assert all("intel_iommu=on" in line.split() for line in host.lines().values())
    assert "intel_iommu=on" in host.install_kernel("9.0.0").split()


def test_the_file_for_new_kernels_is_never_older_than_grubs(host: GrubbyTree) -> None:
    """20-grub.install takes an older one for a sign to write all entries anew."""
    host.put("iommu", "intel_iommu=on")
    written = [os.stat(host.base / path).st_mtime_ns for path in ("etc/default/grub", "etc/kernel/cmdline")]
    assert written == sorted(written)


def test_arguments_of_others_with_the_same_name_stay(almalinux: GrubbyTree) -> None:
    before = almalinux.snapshot()
    almalinux.put("user", "console=ttyS1", "video=efifb:off")
    line = almalinux.lines()[OLD_ALMALINUX]
    assert line.endswith("console=tty0 console=ttyS0,115200n8 console=ttyS1 video=efifb:off")
    almalinux.put("user")
    assert almalinux.snapshot() == before


def test_what_somebody_adds_with_grubby_later_stays_when_ours_goes(almalinux: GrubbyTree) -> None:
    almalinux.put("iommu", "intel_iommu=on", "iommu=pt")
    almalinux.update_all("mitigations=off")
    almalinux.put("iommu")
    line = almalinux.lines()[OLD_ALMALINUX].split()
    assert line[-1] == "mitigations=off"
    assert not {"intel_iommu=on", "iommu=pt"} & set(line)


@pytest.mark.parametrize("failure", ["exit status", "empty", "truncated", "other arguments"])
def test_lesson_3_a_grubby_that_fails_or_reads_otherwise_changes_nothing(host: GrubbyTree, failure: str) -> None:
    for args in ((), ("intel_iommu=on",)):
        host.failure = None
        host.put("iommu", *args)
        before = host.snapshot()
        host.failure = failure
        with pytest.raises(ToolError):
            host.put("iommu", "intel_iommu=on", "iommu=pt")
        assert host.snapshot() == before


@pytest.mark.parametrize("renames", [0, 1])
def test_a_switch_that_breaks_off_brings_every_entry_back(
    host: GrubbyTree, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.snapshot()
    moved: list[str] = []

    def break_off(temporary: str, path: str, *args: Any) -> None:
        moved.append(path)
        if len(moved) == renames + 1:
            raise OSError(errno.EIO, "Input/output error", path)
        switch_boot_file(temporary, path, *args)

    monkeypatch.setattr(staged_entries, "switch_boot_file", break_off)
    with pytest.raises(OSError, match="Input/output error"):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_a_disk_that_is_full_changes_nothing(host: GrubbyTree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.snapshot()
    room = 0

    def run_full(path: str, data: bytes) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write_atomic(path, data)

    monkeypatch.setattr(staged_entries, "write_atomic", run_full)
    for files in range(4):
        room = files
        with pytest.raises(OSError, match="No space left"):
            host.put("iommu", "intel_iommu=on")
        assert host.snapshot() == before


def test_a_template_that_cannot_be_written_changes_nothing(
    almalinux: GrubbyTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = almalinux.snapshot()

    def refuse(path: str, data: bytes) -> None:
        if path.endswith("kernel/cmdline"):
            raise OSError(errno.EROFS, "Read-only file system", path)
        write_atomic(path, data)

    monkeypatch.setattr(line_file, "write_atomic", refuse)
    with pytest.raises(OSError, match="Read-only"):
        almalinux.put("iommu", "intel_iommu=on")
    assert almalinux.snapshot() == before


def test_what_a_run_left_that_was_cut_off_is_cleared_away(almalinux: GrubbyTree) -> None:
    almalinux.write(f"{almalinux.directory}.virtfleet-passthrough/left.conf", "title Left\nlinux /x\n")
    almalinux.put("iommu", "intel_iommu=on")
    assert not list((almalinux.base / "boot/loader").glob("entries.*"))
    assert len(almalinux.entries()) == 3


def test_entries_keep_owner_and_mode(almalinux: GrubbyTree) -> None:
    for path in (almalinux.base / almalinux.directory).iterdir():
        path.chmod(0o600)
    almalinux.put("iommu", "intel_iommu=on")
    assert {path.stat().st_mode & 0o777 for path in (almalinux.base / almalinux.directory).iterdir()} == {0o600}


@pytest.mark.parametrize("options", ["", "options a\noptions b\n"])
def test_an_entry_that_grub_would_read_otherwise_is_refused_by_name(almalinux: GrubbyTree, options: str) -> None:
    almalinux.write(f"{almalinux.directory}/odd-1.conf", f"title Odd\nlinux /vmlinuz-1\n{options}")
    with pytest.raises(RefusedError, match=r"odd-1\.conf has \d lines"):
        almalinux.put("iommu", "intel_iommu=on")


def test_without_grubby_entries_are_read_and_not_written(almalinux: GrubbyTree) -> None:
    (almalinux.base / almalinux.tool).unlink()
    before = almalinux.snapshot()
    with pytest.raises(HostStateError, match="install the package grubby"):
        almalinux.put("iommu", "intel_iommu=on")
    assert almalinux.snapshot() == before


def test_a_menu_that_reads_no_entries_is_not_grubbys(almalinux: GrubbyTree) -> None:
    almalinux.change("boot/grub2/grub.cfg", "\nblscfg\n", "\n")
    almalinux.change("boot/grub2/grub.cfg", "### BEGIN /etc/grub.d/", "### ")
    (almalinux.base / "etc/default/grub").unlink()
    with pytest.raises(HostStateError, match="has the command blscfg"):
        find_loader(almalinux.root)


def test_entries_of_ostree_are_left_to_its_own_tool(almalinux: GrubbyTree) -> None:
    rescue = f"{GrubbyTree.directory}/3c0f6d1b1a7e4f43a0e8a5b1f6f0c9d2-0-rescue.conf"
    almalinux.change(rescue, " ro", " ostree=/o ro")
    assert find_loader(almalinux.root).name == "rpm-ostree"
