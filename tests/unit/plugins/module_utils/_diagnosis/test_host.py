# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.checks import Cpu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.host import read_facts, told_to_end
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.rescan import rescan_advice
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.libvirt_host import FIXTURES
from tests.unit.plugins.option_roms import rom_image

PORT, GPU, AUDIO, NVME = "0000:00:01.0", "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"
STARTING = "2024-05-01 10:00:00.000+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.0"
TERMINATING = (
    "2024-05-01T12:30:05.123456Z qemu-system-x86_64: terminating on signal 15 from pid 812 (/usr/sbin/libvirtd)"
)


def test_a_captured_host(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "5.8.1-arch1-1\n")
    tree.write(
        "/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 23\nmodel\t\t: 113\nmodel name\t: X\n",
    )
    tree.write("/sys/module/kvm/parameters/ignore_msrs", "Y\n")
    tree.write("/sys/class/dmi/id/chassis_type", "10\n")
    tree.write("/sys/kernel/iommu_groups/0/type", "DMA\n")
    xml = (FIXTURES / "hostdevs-inactive.xml").read_text(encoding="utf-8")
    tree.write("/etc/libvirt/qemu/gpu.xml", xml.replace("</source>", "</source><rom file='/srv/gpu.rom'/>"))
    tree.write("/srv/gpu.rom", "").write_bytes(rom_image(0, "10de", "13c2", last=True))
    facts, reason = read_facts(tree.root, [], [], kernel_log=True)
    assert (facts.kernel, facts.cpu, facts.ignore_msrs) == ((5, 8, 1), Cpu("AuthenticAMD", 23, 113), True)
    assert (facts.portable, facts.iommu_enabled, facts.rom_is_uefi) == (True, True, {"/srv/gpu.rom": False})
    assert ([domain.name for domain in facts.domains], reason) == (["gpu"], None)


def test_a_host_that_tells_nothing(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "next\n")
    facts, _reason = read_facts(tree.root, [], [], kernel_log=False)
    assert (facts.kernel, facts.cpu, facts.ignore_msrs, facts.domains) == ((), None, None, ())


def test_since_when_a_domain_was_told_to_end() -> None:
    told = told_to_end(f"{STARTING}\nchar device redirected\n{TERMINATING}\n")
    assert told is not None
    assert told.isoformat() == "2024-05-01T12:30:05+00:00"
    assert told_to_end(f"{TERMINATING}\n{STARTING}\n") is None
    assert told_to_end(TERMINATING.replace("2024-05-01", "2024-13-41")) is None
    assert told_to_end("") is None


def test_a_bridge_is_rescanned_only_where_nothing_else_in_use_is_below(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    tree.function(PORT, bridge=True, class_code="060400", driver="pcieport")
    tree.function(GPU, under=PORT, driver="vfio-pci")
    tree.function(AUDIO, under=PORT, driver="vfio-pci")
    advice = rescan_advice(GPU, read_devices(tree.root, Ledger()))
    assert advice is not None
    assert f"/sys/bus/pci/devices/{PORT}/remove" in advice
    tree.function(NVME, under=PORT, driver="nvme")
    advice = rescan_advice(GPU, read_devices(tree.root, Ledger()))
    assert advice is not None
    assert "echo" not in advice
    assert f"{NVME} (nvme)" in advice
    other = HostTree(tmp_path / "other")
    other.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    other.function(GPU, under=PORT, driver="vfio-pci")
    other.function(AUDIO, under=PORT, driver="snd_hda_intel")
    assert f"{AUDIO} (snd_hda_intel)" in str(rescan_advice(GPU, read_devices(other.root, Ledger())))
    assert rescan_advice(PORT, read_devices(tree.root, Ledger())) is None
    assert rescan_advice("0000:09:00.0", read_devices(tree.root, Ledger())) is None
