# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments through the real u-boot-update of Debian 12 and 13, with two kernels, and back."""

from __future__ import annotations

import dataclasses
import shutil
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import extlinux
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from tests.integration.chroot.conftest import Chroot

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.chroot

OLDER, NEWER, LATER = "6.1.0-1-arm64", "6.12.0-1-arm64", "99.0.0-1-arm64"


@dataclasses.dataclass(frozen=True)
class UBoot:
    chroot: Chroot

    def put(self, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.chroot.root, check_mode) as ledger:
            return set_arguments(self.chroot.root, self.chroot.run, ledger, "iommu", args, check_mode)

    def install_kernel(self, release: str) -> None:
        for name in ("vmlinuz", "initrd.img"):
            (self.chroot.base / f"boot/{name}-{release}").write_bytes(b"")

    def lines(self) -> list[tuple[str, bool, bool, str]]:
        """Kernel, recovery, default, line: in menu order."""
        state = read_boot_state(self.chroot.root, Ledger.read(self.chroot.root))
        assert state["bootloader"] == "extlinux"
        return [(e["kernel"], e["rescue"], e["default"], " ".join(e["args"])) for e in state["entries"]]

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        base = self.chroot.base
        tops = (base / "boot", base / "etc/default", base / "etc/u-boot-menu", (base / LEDGER_PATH.lstrip("/")).parent)
        paths = [path for top in tops for path in (top, *top.rglob("*")) if path.exists()]
        return {
            str(path.relative_to(base)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in paths
        }


@pytest.fixture(params=["debian12_u_boot", "debian13_u_boot"])
def u_boot(request: pytest.FixtureRequest) -> Iterator[UBoot]:
    chroot: Chroot = request.getfixturevalue(request.param)
    base = chroot.base
    defaults = base / "etc/default/u-boot"
    packaged = defaults.read_bytes()
    (base / "etc/fstab").write_text("/dev/mmcblk0p2 / ext4 defaults 0 1\n")
    (base / "proc/cmdline").write_text("root=/dev/mmcblk0p2 ro quiet\n")
    host = UBoot(chroot)
    for release in (OLDER, NEWER):
        host.install_kernel(release)
    yield host
    defaults.write_bytes(packaged)
    for path in [
        *(base / "boot").glob("*-arm64"),
        *(base / "boot").glob("extlinux/*"),
        *(base / "etc/u-boot-menu").rglob("*.conf"),
        base / "etc/kernel/cmdline",
    ]:
        path.unlink(missing_ok=True)
    shutil.rmtree((base / LEDGER_PATH.lstrip("/")).parent, ignore_errors=True)


def _packaged_defaults(_: UBoot) -> tuple[str, str]:
    return "root=/dev/mmcblk0p2", "ro quiet"


def _own_parameters(host: UBoot) -> tuple[str, str]:
    path = host.chroot.base / "etc/default/u-boot"
    path.write_text(path.read_text() + 'U_BOOT_PARAMETERS="rw console=ttyS2,1500000n8 quiet splash"\n')
    return "root=/dev/mmcblk0p2", "rw console=ttyS2,1500000n8 quiet splash"


def _drop_in_of_somebody(host: UBoot) -> tuple[str, str]:
    path = host.chroot.base / "etc/u-boot-menu/conf.d/10-board.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('U_BOOT_PARAMETERS="rw earlycon"\n')
    return "root=/dev/mmcblk0p2", "rw earlycon"


def _kernel_cmdline(host: UBoot) -> tuple[str, str]:
    (host.chroot.base / "etc/kernel").mkdir(exist_ok=True)
    (host.chroot.base / "etc/kernel/cmdline").write_text("root=LABEL=board rw rootwait quiet\n")
    return "root=LABEL=board", "rw rootwait quiet"


SETTINGS = [_packaged_defaults, _own_parameters, _drop_in_of_somebody, _kernel_cmdline]


@pytest.mark.parametrize("configure", SETTINGS)
def test_set_check_again_and_back(u_boot: UBoot, configure: Callable[[UBoot], tuple[str, str]]) -> None:
    device, parameters = configure(u_boot)
    u_boot.chroot.output("u-boot-update")
    before = u_boot.snapshot()
    u_boot.chroot.commands.clear()

    foretold = u_boot.put("intel_iommu=on", "iommu=pt", check_mode=True)
    assert (u_boot.snapshot(), u_boot.chroot.commands) == (before, [])
    done = u_boot.put("intel_iommu=on", "iommu=pt")
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)

    normal = f"{device} {parameters} intel_iommu=on iommu=pt"
    recovery = f"{device} {parameters.replace(' quiet', '')} intel_iommu=on iommu=pt single"
    assert u_boot.lines() == [
        (NEWER, False, True, normal),
        (NEWER, True, False, recovery),
        (OLDER, False, False, normal),
        (OLDER, True, False, recovery),
    ]
    u_boot.chroot.commands.clear()
    assert not u_boot.put("intel_iommu=on", "iommu=pt").changed
    assert u_boot.chroot.commands == []

    assert u_boot.put("intel_iommu=on").changed
    assert u_boot.lines()[1][3].endswith("intel_iommu=on single")
    u_boot.put()
    assert u_boot.snapshot() == before


def test_a_kernel_that_is_installed_in_between(u_boot: UBoot) -> None:
    u_boot.chroot.output("u-boot-update")
    u_boot.put("intel_iommu=on")
    u_boot.install_kernel(LATER)
    u_boot.chroot.output("/etc/kernel/postinst.d/zz-u-boot-menu", LATER)
    assert u_boot.lines()[0] == (LATER, False, True, "root=/dev/mmcblk0p2 ro quiet intel_iommu=on")
    assert not u_boot.put("intel_iommu=on").changed


def _edit_fstab(host: UBoot) -> None:
    (host.chroot.base / "etc/fstab").write_text("/dev/mmcblk0p3 / ext4 defaults 0 1\n")


def _switch_off(host: UBoot) -> None:
    path = host.chroot.base / "etc/default/u-boot"
    path.write_text(path.read_text() + 'U_BOOT_UPDATE="false"\n')


def _break_defaults(host: UBoot) -> None:
    path = host.chroot.base / "etc/default/u-boot"
    path.write_text(path.read_text() + 'U_BOOT_TIMEOUT="never closed\n')


def _remove_kernels(host: UBoot) -> None:
    for path in (host.chroot.base / "boot").glob("vmlinuz-*"):
        path.unlink()


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (_edit_fstab, "u-boot-update not run since"),
        (_switch_off, "other arguments than expected"),
        (_break_defaults, "ended with exit status"),
        (_remove_kernels, "generated no boot entry"),
    ],
)
def test_what_fails_leaves_every_byte(u_boot: UBoot, disturb: Callable[[UBoot], None], reason: str) -> None:
    u_boot.chroot.output("u-boot-update")
    disturb(u_boot)
    before = u_boot.snapshot()
    with pytest.raises(ToolError, match=reason):
        u_boot.put("intel_iommu=on")
    assert u_boot.snapshot() == before


def test_a_full_disk_leaves_the_old_menu(u_boot: UBoot) -> None:
    """The tool's own temporary file is a device that is always full."""
    u_boot.chroot.output("u-boot-update")
    before = u_boot.snapshot()
    rm = u_boot.chroot.base / "usr/bin/rm"
    kept = rm.read_bytes()
    full = "/boot/extlinux/extlinux.conf.tmp"
    rm.write_text(f'#!/bin/sh\n[ "$2" != {full} ] || ln -sf /dev/full {full}\n')
    device = u_boot.chroot.base / "dev/full"
    made = not device.exists()
    if made:
        u_boot.chroot.output("mknod", "/dev/full", "c", "1", "7")
    try:
        with pytest.raises(ToolError, match="ended with exit status"):
            u_boot.put("intel_iommu=on")
    finally:
        rm.write_bytes(kept)
        if made:
            device.unlink()
    assert u_boot.snapshot() == before


def test_the_tool_is_the_distributions(u_boot: UBoot) -> None:
    changed = u_boot.chroot.run(["dpkg", "--verify", "u-boot-menu", "linux-base"]).stdout.splitlines()
    assert [line for line in changed if "/usr/share/doc" not in line and "/usr/share/man" not in line] == []
    assert (u_boot.chroot.base / extlinux.U_BOOT_UPDATE.lstrip("/")).is_file()
