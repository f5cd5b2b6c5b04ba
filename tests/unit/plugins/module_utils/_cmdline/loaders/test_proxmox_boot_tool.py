# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""proxmox-boot-tool on recorded trees, with a stand-in that copies to partitions as the real one does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError, ToolError
from tests.unit.plugins.boot_trees import BootTree

PVE_7, PVE_8, PVE_9 = (
    "proxmox-boot-tool/pve-7-zfs",
    "proxmox-boot-tool/pve-8-zfs",
    "proxmox-boot-tool/pve-9-grub",
)
LINE = "root=ZFS=rpool/ROOT/pve-1 boot=zfs"
GRUB_LINE = f"root=ZFS=/ROOT/pve-1 ro {LINE} quiet"


class ProxmoxHost(BootTree):
    """``esps/<uuid>`` stands for the partitions; an initramfs that is missing makes the tool skip a kernel."""

    def __init__(self, base: Path, name: str) -> None:
        self.failure: str | None = None
        self.mounted: Path | None = None
        super().__init__(base / "host", name, self._tool)
        self.partitions = base / "esps"
        self._refresh()
        self.start = self.esps()

    def _tool(self, argv: Sequence[str], cwd: str | None) -> tuple[int, str]:
        if argv[0] == "/usr/bin/mount":
            assert list(argv[1:5]) == ["-t", "vfat", "-o", "ro,nosuid,nodev,noexec"]
            assert self.mounted is None
            self.mounted = Path(argv[6])
            shutil.copytree(self.partitions / Path(argv[5]).name, self.mounted, dirs_exist_ok=True)
            return 0, ""
        if argv[0] == "/usr/bin/umount":
            assert Path(argv[1]) == self.mounted
            for path in self.mounted.iterdir():
                shutil.rmtree(path)
            self.mounted = None
            return 0, ""
        if argv[0] == "/usr/sbin/grub-mkconfig":
            Path(argv[2]).write_text(self._grub_cfg())
            return 0, ""
        assert list(argv) == ["/usr/sbin/proxmox-boot-tool", "refresh"]
        if self.failure == "exit status":
            return 1, "E: cannot mount"
        self._refresh()
        return 0, ""

    def _grub_cfg(self) -> str:
        text = (self.base / "boot/grub/grub.cfg").read_text()
        drop_in = self.base / "etc/default/grub.d/zz-virtfleet-passthrough.cfg"
        ours = drop_in.read_text().split("} ")[1].rstrip('"\n') if drop_in.exists() else ""
        return re.sub(r"quiet.*", f"quiet {ours}".strip(), text)

    def _refresh(self) -> None:
        present = [path.name for path in (self.base / "dev/disk/by-uuid").iterdir()]
        for uuid in (self.base / "etc/kernel/proxmox-boot-uuids").read_text().split():
            if uuid in present:
                shutil.rmtree(self.partitions / uuid, ignore_errors=True)
                self._fill(self.partitions / uuid)

    def _fill(self, partition: Path) -> None:
        if (self.base / "boot/grub/grub.cfg").exists():
            (partition / "grub").mkdir(parents=True)
            text = self._grub_cfg()
            wrong = {"stale": "", "once wrong": " a=2"}.get(self.failure or "", " a=1")
            (partition / "grub/grub.cfg").write_text(text.replace(" a=1", wrong))
            return
        line = (self.base / "etc/kernel/cmdline").read_text().split("\n")[0]
        (partition / "loader/entries").mkdir(parents=True)
        if self.failure == "no entries":
            return
        if self.failure == "stale":
            line = LINE
        if self.failure == "once wrong" and line != LINE:
            line += " more"
        for image in (self.base / "boot").glob("initrd.img-*"):
            release = image.name.removeprefix("initrd.img-")
            (partition / f"loader/entries/proxmox-{release}.conf").write_text(
                f"title    {'Proxmox Virtual Environment'}\nversion  {release}\noptions  {line}\n"
                f"linux    /EFI/proxmox/{release}/vmlinuz-{release}\n"
                f"initrd   /EFI/proxmox/{release}/initrd.img-{release}\n"
            )

    def esps(self) -> dict[str, bytes]:
        files = (path for path in self.partitions.rglob("*") if path.is_file())
        return {str(path.relative_to(self.partitions)): path.read_bytes() for path in files}


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> ProxmoxHost:
    return ProxmoxHost(tmp_path, request.param)


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("host", names, indirect=True)


@pytest.mark.parametrize(
    ("name", "kernels", "following", "line"),
    [
        (PVE_7, ["5.15.131-2-pve", "5.15.108-1-pve"], "5.15.131-2-pve", LINE),
        # Pinned; "10" is newer than "9".
        (PVE_8, ["6.8.12-10-pve", "6.8.12-9-pve", "6.5.13-6-pve"], "6.8.12-9-pve", LINE),
        (PVE_9, ["6.17.2-1-pve", "6.17.2-1-pve", "6.14.11-4-pve"], "6.17.2-1-pve", GRUB_LINE),
    ],
)
def test_read(tmp_path: Path, name: str, kernels: list[str], following: str, line: str) -> None:
    host = ProxmoxHost(tmp_path, name)
    state = host.state()
    assert (state["bootloader"], state["reboot_required"]) == ("proxmox-boot-tool", False)
    assert [entry["kernel"] for entry in host.entries()] == kernels
    assert host.next_kernel() == following
    assert set(host.lines().values()) == {line}


@on(PVE_7, PVE_8, PVE_9)
def test_in_changed_and_out_on_every_partition(host: ProxmoxHost) -> None:
    before = host.snapshot()
    foretold = host.put("iommu", "a=1", check_mode=True)
    assert (host.snapshot(), host.esps(), host.commands) == (before, host.start, [])
    done = host.put("iommu", "a=1")
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)
    assert all(b" a=1\n" in data for data in host.esps().values())
    assert all(line.endswith(" a=1") for line in host.lines().values())

    host.commands.clear()
    assert not host.put("iommu", "a=1").changed
    assert host.commands == []
    host.put("iommu", "a=2", "b")
    host.put("iommu")
    assert (host.snapshot(), host.esps()) == (before, host.start)


@on(PVE_7, PVE_8, PVE_9)
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("exit status", "cannot mount"),
        ("stale", "has other arguments"),
        ("once wrong", "has other arguments"),
    ],
)
def test_what_fails_is_put_back(host: ProxmoxHost, failure: str, reason: str) -> None:
    before = host.snapshot()
    host.failure = failure
    with pytest.raises(ToolError, match=reason):
        host.put("iommu", "a=1")
    assert (host.snapshot(), host.esps(), host.mounted) == (before, host.start, None)


@on(PVE_7)
def test_no_entries_is_a_failure(host: ProxmoxHost) -> None:
    host.failure = "no entries"
    with pytest.raises(ToolError, match="left no boot entry on the EFI system partition"):
        host.put("iommu", "a=1")
    assert host.lines().keys() == {
        (release, f"Proxmox Virtual Environment ({release})") for release in ("5.15.131-2-pve", "5.15.108-1-pve")
    }


@on(PVE_7)
def test_a_disk_that_is_gone_does_not_stop_the_other(host: ProxmoxHost) -> None:
    (host.base / "dev/disk/by-uuid/C4D6-9F00").unlink()
    host.put("iommu", "a=1")
    assert {name.split("/")[0] for name, data in host.esps().items() if b"a=1" in data} == {"C4D5-1A2B"}
    (host.base / "dev/disk/by-uuid/C4D5-1A2B").unlink()
    with pytest.raises(ToolError, match="none of the EFI system partitions"):
        host.put("iommu", "a=2")


@on(PVE_7)
def test_without_the_line_the_running_one_counts(host: ProxmoxHost) -> None:
    template = host.base / "etc/kernel/cmdline"
    template.unlink()
    assert set(host.lines().values()) == {LINE}
    host.put("iommu", "a=1")
    assert template.read_text() == f"{LINE} a=1\n"


@on(PVE_7, PVE_8)
def test_the_tool_reads_one_line_of_the_file_and_no_more(host: ProxmoxHost) -> None:
    template = host.base / "etc/kernel/cmdline"
    template.write_text(f"{LINE}\nquiet # what is here was never read\n")
    assert set(host.lines().values()) == {LINE}
    host.put("iommu", "a=1")
    assert template.read_text() == f"{LINE} a=1\nquiet # what is here was never read\n"
    host.put("iommu")
    assert template.read_text() == f"{LINE}\nquiet # what is here was never read\n"


@on(PVE_7)
def test_a_first_line_that_the_tool_stops_at(host: ProxmoxHost) -> None:
    (host.base / "etc/kernel/cmdline").write_text(f"# our line\n{LINE}\n")
    # The partitions keep what they had.
    assert set(host.lines().values()) == {LINE}
    with pytest.raises(RefusedError, match="first line of /etc/kernel/cmdline has no root="):
        host.put("iommu", "a=1")


@on(PVE_7)
def test_a_kernel_of_others_is_not_copied_unless_it_is_asked_for(host: ProxmoxHost) -> None:
    debian = "6.12.43+deb13-amd64"
    for name in ("vmlinuz", "initrd.img"):
        (host.base / f"boot/{name}-{debian}").write_text("")
    assert host.next_kernel() == "5.15.131-2-pve"
    assert debian not in {entry["kernel"] for entry in host.entries()}
    (host.base / "etc/kernel/proxmox-boot-manual-kernels").write_text(f"{debian}\n")
    assert host.next_kernel() == debian


@on(PVE_7)
def test_the_title_is_that_of_the_product(host: ProxmoxHost) -> None:
    (host.base / "usr/share/doc/proxmox-backup").mkdir(parents=True)
    assert {entry["title"].partition(" (")[0] for entry in host.entries()} == {"Proxmox Backup Server"}
    (host.base / "etc/pve").mkdir()
    assert {entry["title"].partition(" (")[0] for entry in host.entries()} == {"Proxmox Virtual Environment"}


@on(PVE_8)
def test_the_pin_for_one_boot_comes_first(host: ProxmoxHost) -> None:
    (host.base / "etc/kernel/next-boot-pin").write_text("6.5.13-6-pve\n")
    assert host.next_kernel() == "6.5.13-6-pve"


@on(PVE_9)
def test_without_partitions_it_is_plain_grub(host: ProxmoxHost) -> None:
    (host.base / "etc/kernel/proxmox-boot-uuids").unlink()
    assert host.state()["bootloader"] == "grub"
