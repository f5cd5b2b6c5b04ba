# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd-boot with entry files, on recorded trees of several distributions."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import line_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import efi_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import write_atomic
from tests.unit.plugins.boot_trees import BootTree
from tests.unit.plugins.efi_variables import set_loader_variable

DEBIAN, FEDORA_42, FEDORA_43, ARCH = (
    "systemd-boot/debian-13",
    "systemd-boot/fedora-42",
    "systemd-boot/fedora-43",
    "systemd-boot/arch-2025",
)
EVERY_TREE = (DEBIAN, FEDORA_42, FEDORA_43, ARCH)
DEBIAN_ID = "4098b3f648d74c13b1f04ccfba7798e8"
DEBIAN_LINE = (
    f"root=UUID=0a3407de-014b-458b-b5c1-848e92a327a3 ro quiet console=ttyS0,115200n8 systemd.machine_id={DEBIAN_ID}"
)
ARCH_LINE = "root=UUID=7c3f2e11-9a51-4a3f-8f0d-6a2f4f1f2b3c rw"


@pytest.fixture
def tree(tmp_path: Path, request: pytest.FixtureRequest) -> BootTree:
    return BootTree(tmp_path, request.param)


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tree", names, indirect=True)


@pytest.mark.parametrize(
    ("name", "kernels", "following"),
    [
        (DEBIAN, ["6.12.43+deb13-amd64", "6.12.41+deb13-amd64"], "6.12.43+deb13-amd64"),
        # The rescue entry has no sort-key, so it comes last though its name is the greatest.
        (
            FEDORA_42,
            ["6.15.9-201.fc42.x86_64", "6.14.0-63.fc42.x86_64", "6.14.0-63.fc42.x86_64"],
            "6.15.9-201.fc42.x86_64",
        ),
        (
            FEDORA_43,
            ["6.17.10-300.fc43.x86_64", "6.17.1-300.fc43.x86_64", "6.17.1-300.fc43.x86_64"],
            "6.17.10-300.fc43.x86_64",
        ),
        (ARCH, ["vmlinuz", "memtest.efi", "linux", "linux-lts", "linux"], "linux"),
    ],
)
def test_the_menu_as_the_boot_loader_shows_it(tmp_path: Path, name: str, kernels: list[str], following: str) -> None:
    tree = BootTree(tmp_path, name)
    state = tree.state()
    assert state["bootloader"] == "systemd-boot"
    assert [entry["kernel"] for entry in tree.entries()] == kernels
    assert tree.next_kernel() == following
    assert not state["reboot_required"]


@on(*EVERY_TREE)
def test_in_changed_and_out_leaves_every_byte(tree: BootTree) -> None:
    before, lines = tree.snapshot(), tree.lines()

    foretold = tree.put("iommu", "intel_iommu=on", check_mode=True)
    assert tree.snapshot() == before
    done = tree.put("iommu", "intel_iommu=on")
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)
    assert done.state["reboot_required"]
    for name, line in tree.lines().items():
        ours = "Rescue" not in name[1] and "Memtest" not in name[1] and "Other" not in name[1]
        assert line == (f"{lines[name]} intel_iommu=on" if ours else lines[name])

    again = tree.snapshot()
    assert not tree.put("iommu", "intel_iommu=on").changed
    assert tree.snapshot() == again

    tree.put("hugepages", "hugepagesz=1G", "hugepages=4")
    tree.put("iommu")
    tree.put("hugepages")
    assert tree.snapshot() == before


@on(DEBIAN)
def test_only_the_options_of_an_entry_change(tree: BootTree) -> None:
    entry = f"boot/efi/loader/entries/{DEBIAN_ID}-6.12.41+deb13-amd64.conf"
    before = tree.snapshot()[entry]
    tree.put("iommu", "intel_iommu=on")
    old, new = DEBIAN_LINE.encode(), f"{DEBIAN_LINE} intel_iommu=on".encode()
    assert tree.snapshot()[entry] == before.replace(old, new)


@on(DEBIAN)
def test_kernels_to_come_get_the_line_of_the_present_ones_and_ours(tree: BootTree) -> None:
    tree.put("iommu", "intel_iommu=on")
    template = tree.base / "etc/kernel/cmdline"
    assert template.read_text() == f"{DEBIAN_LINE} intel_iommu=on\n"
    # What kernel-install makes of it for the next kernel.
    entries = tree.base / "boot/efi/loader/entries"
    present = (entries / f"{DEBIAN_ID}-6.12.43+deb13-amd64.conf").read_text()
    newer = entries / f"{DEBIAN_ID}-6.12.57+deb13-amd64.conf"
    newer.write_text(present.replace("6.12.43", "6.12.57"))

    assert not tree.put("iommu", "intel_iommu=on").changed
    assert tree.next_kernel() == "6.12.57+deb13-amd64"
    tree.put("iommu")
    assert not template.exists()
    assert set(tree.lines().values()) == {DEBIAN_LINE}


@on(DEBIAN)
def test_the_line_of_the_distribution_comes_first(tree: BootTree) -> None:
    vendor = tree.base / "usr/lib/kernel/cmdline"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("rw\nquiet\n")
    tree.put("iommu", "intel_iommu=on")
    assert (tree.base / "etc/kernel/cmdline").read_text() == "rw quiet intel_iommu=on\n"
    assert vendor.read_text() == "rw\nquiet\n"


@on(FEDORA_42)
def test_what_somebody_changes_in_between_stays(tree: BootTree) -> None:
    tree.put("iommu", "intel_iommu=on")
    template = tree.base / "etc/kernel/cmdline"
    template.write_text(template.read_text().replace("\n", " nosmt\n"))
    tree.put("iommu")
    assert template.read_text().endswith("rhgb quiet nosmt\n")


@on(ARCH)
def test_no_template_where_people_write_the_entries(tree: BootTree) -> None:
    tree.put("iommu", "intel_iommu=on")
    assert not (tree.base / "etc/kernel").exists()


@on(DEBIAN)
def test_a_missing_template_is_drift(tree: BootTree) -> None:
    tree.put("iommu", "intel_iommu=on")
    (tree.base / "etc/kernel/cmdline").unlink()
    assert tree.state()["intact"] is False
    assert tree.put("iommu", "intel_iommu=on").changed
    assert tree.state()["intact"] is True


@pytest.mark.parametrize(
    ("variables", "configuration", "title"),
    [
        ({}, "", "Arch Linux"),
        ({}, "default arch\n", "Arch Linux"),
        ({}, "default ARCH-FALL*\n", "Arch Linux (fallback initramfs)"),
        ({}, "#default arch.conf\ndefault\tarch-fallback.conf\n", "Arch Linux (fallback initramfs)"),
        ({}, "default windows.conf\n", "Arch Linux"),
        ({}, "default auto-windows\n", "Arch Linux"),
        ({}, "default @saved\n", "Arch Linux"),
        ({"LoaderEntryLastBooted": "arch-lts.conf"}, "default @saved\n", "Arch Linux LTS"),
        ({"LoaderEntryLastBooted": "arch.conf"}, "default @saved\n", "Arch Linux"),
        ({"LoaderEntryDefault": "arch-fallback.conf"}, "default arch.conf\n", "Arch Linux (fallback initramfs)"),
        (
            {"LoaderEntryDefault": "arch-fallback.conf", "LoaderEntryPreferred": "arch-lts.conf"},
            "preferred arch.conf\n",
            "Arch Linux LTS",
        ),
        (
            {"LoaderEntryDefault": "arch-fallback.conf", "LoaderEntryOneShot": "arch.conf"},
            "default arch-lts.conf\n",
            "Arch Linux",
        ),
    ],
)
def test_what_boots_next(tmp_path: Path, variables: dict[str, str], configuration: str, title: str) -> None:
    tree = BootTree(tmp_path, ARCH)
    for name in ("memtest.conf", "other.conf"):
        (tmp_path / "boot/loader/entries" / name).unlink()
    (tmp_path / "boot/loader/loader.conf").write_text(configuration)
    for name, value in variables.items():
        set_loader_variable(tmp_path, name, value)
    assert [entry["title"] for entry in tree.entries() if entry["default"]] == [title]


@on(ARCH)
def test_another_system_that_the_loader_found_by_itself_may_boot_next(tree: BootTree) -> None:
    (tree.base / "boot/loader/loader.conf").write_text("default auto-windows\n")
    manager = tree.base / "boot/EFI/Microsoft/Boot/bootmgfw.efi"
    manager.parent.mkdir(parents=True)
    manager.write_text("MZ")
    state = tree.state()
    assert (state["bootloader"], state["next_boot"]) == ("systemd-boot", [])
    assert not any(entry["default"] for entry in state["entries"])
    with pytest.raises(RefusedError, match="another system that systemd-boot found by itself"):
        tree.put("iommu", "intel_iommu=on")


@on(FEDORA_43)
def test_an_entry_without_tries_left_comes_last_but_boots_when_it_is_asked_for(tree: BootTree) -> None:
    entries = tree.base / "boot/loader/entries"
    (counted,) = entries.glob("*+3.conf")
    counted.rename(entries / counted.name.replace("+3", "+0-3"))
    assert tree.next_kernel() == "6.17.1-300.fc43.x86_64"
    configuration = tree.base / "boot/efi/loader/loader.conf"
    configuration.write_text("preferred *6.17.10*\n")
    assert tree.next_kernel() == "6.17.1-300.fc43.x86_64"
    configuration.write_text("default *6.17.10*\n")
    assert tree.next_kernel() == "6.17.10-300.fc43.x86_64"


@on(ARCH)
def test_a_default_that_is_not_ours_is_refused(tree: BootTree) -> None:
    (tree.base / "boot/loader/loader.conf").write_text("default other.conf\n")
    before = tree.snapshot()
    with pytest.raises(RefusedError, match=r"what boots next is 'Other Linux' \(/boot/loader/entries/other.conf\)"):
        tree.put("iommu", "intel_iommu=on")
    assert tree.snapshot() == before


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("root=UUID=7C3F2E11-9a51-4a3f-8f0d-6a2f4f1f2b3c", True),
        ("root=UUID=00000000-9a51-4a3f-8f0d-6a2f4f1f2b3c", False),
        ("root=PARTUUID=00000000-9a51-4a3f-8f0d-6a2f4f1f2b3c", True),
        ('root="LABEL=arch"', True),
        ("root=/dev/sda2", True),
        ("quiet", True),
    ],
)
def test_entries_of_another_system_are_told_by_their_root(tmp_path: Path, theirs: str, ours: bool) -> None:
    tree = BootTree(tmp_path, ARCH)
    entry = tmp_path / "boot/loader/entries/arch-lts.conf"
    entry.write_text(f"title Arch Linux LTS\nlinux /vmlinuz-linux-lts\noptions {theirs}\n")
    tree.put("iommu", "intel_iommu=on")
    assert entry.read_text().endswith("intel_iommu=on\n") is ours


@on(DEBIAN)
def test_entries_for_grub_beside_an_unmounted_partition_are_not_taken(tree: BootTree) -> None:
    """Fedora's GRUB reads ``/boot/loader/entries`` as well; without a trace of systemd-boot they are not its."""
    (tree.base / "boot/efi").rename(tree.base / "elsewhere")
    entries = tree.base / "boot/loader/entries"
    entries.mkdir(parents=True)
    (entries / "a.conf").write_text("title A\nlinux /vmlinuz-6.1\noptions root=/dev/sda2\n")
    with pytest.raises(HostStateError, match=r"systemd-boot: below /boot no loader/loader.conf"):
        tree.put("iommu", "intel_iommu=on")


@on(DEBIAN, FEDORA_42)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_puts_everything_back(tree: BootTree, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever write fails: template, first entry or second."""
    tree.put("vfio", "vfio=1")
    before = tree.snapshot()
    left = [after]

    def write(path: str, data: bytes, meta: object = None) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        Path(path).write_bytes(data)

    monkeypatch.setattr(efi_menu, "write_boot_file", write)
    monkeypatch.setattr(line_file, "write_atomic", write)
    monkeypatch.setattr(_owned, "write_atomic", write)
    with pytest.raises(OSError, match="No space left"):
        tree.put("iommu", "intel_iommu=on")
    monkeypatch.undo()
    assert tree.snapshot() == before


@on(DEBIAN)
def test_what_does_not_read_back_is_put_back(tree: BootTree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree.snapshot()
    real = write_atomic
    damaged: list[str] = []

    def truncating(path: str, data: bytes) -> None:
        first = not damaged
        damaged.append(path)
        real(path, data[: len(data) // 3] if first else data)

    monkeypatch.setattr(efi_menu, "write_boot_file", truncating)
    with pytest.raises(ToolError, match="does not read back as it was written"):
        tree.put("iommu", "intel_iommu=on")
    assert tree.snapshot() == before


@on(DEBIAN)
def test_a_run_that_was_cut_off_is_finished(tree: BootTree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree.snapshot()
    real = write_atomic
    written: list[str] = []

    def one(path: str, data: bytes) -> None:
        if written:
            os._exit(0)
        written.append(path)
        real(path, data)

    monkeypatch.setattr(efi_menu, "write_boot_file", one)
    child = os.fork()
    if child == 0:
        try:
            tree.put("iommu", "intel_iommu=on")
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    monkeypatch.undo()
    assert len(set(tree.lines().values())) == 2

    assert tree.put("iommu", "intel_iommu=on").changed
    assert set(tree.lines().values()) == {f"{DEBIAN_LINE} intel_iommu=on"}
    tree.put("iommu")
    assert tree.snapshot() == before


def test_entries_of_kernelstub_are_read_and_left_to_it(tmp_path: Path) -> None:
    tree = BootTree(tmp_path, "systemd-boot/pop-os-22.04")
    state = tree.state()
    assert (state["bootloader"], state["reboot_required"], state["next_boot"][-1]) == ("systemd-boot", False, "splash")
    managed = {entry["title"]: entry["managed"] for entry in tree.entries()}
    # What the recovery partition boots is another system, though no root= says so.
    assert managed == {"Pop!_OS": True, "Pop!_OS Recovery": False}
    before = tree.snapshot()
    with pytest.raises(RefusedError, match="kernelstub --add-options"):
        tree.put("iommu", "intel_iommu=on")
    assert "kernelstub" in state["obstacle"]
    assert tree.snapshot() == before


@on(FEDORA_42)
@pytest.mark.parametrize(
    ("default", "saved", "following"),
    [
        ("*-6.14.0-*", None, "6.14.0-63.fc42.x86_64"),
        ("9d0bd1a8a7d44b1b8c4a5d2b3b0c1f77-6.14.0-63.fc42.x86_64.conf", None, "6.14.0-63.fc42.x86_64"),
        ("@saved", "9d0bd1a8a7d44b1b8c4a5d2b3b0c1f77-6.14.0-63.fc42.x86_64.conf", "6.14.0-63.fc42.x86_64"),
        ("@saved", None, "6.15.9-201.fc42.x86_64"),
        ("nothing-like-it*", None, "6.15.9-201.fc42.x86_64"),
    ],
)
def test_what_loader_conf_chooses(tree: BootTree, default: str, saved: str | None, following: str) -> None:
    (tree.base / "boot/efi/loader/loader.conf").write_text(f"timeout 5\ndefault {default}\n")
    if saved is not None:
        set_loader_variable(tree.base, "LoaderEntryLastBooted", saved)
    assert tree.next_kernel() == following
