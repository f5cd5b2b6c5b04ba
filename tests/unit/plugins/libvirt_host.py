# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host for libvirt's tests: sysfs below a directory, libvirt's own in-process driver for the domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec

# libvirt's test driver on a file of one's own; its "test:///default" would be shared by all tests of a process.
NODE = """<node><domain type='test'><name>test</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
<memory>8388608</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain></node>"""
FIXTURES = Path(__file__).parents[2] / "fixtures" / "libvirt"

GPU, GPU_AUDIO, NIC, BRIDGE = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:00:01.0"


class LibvirtHost:
    """A directory that stands for ``/``; functions are added one by one."""

    def __init__(self, base: Path, cpus: str = "0-3") -> None:
        self.base = base
        self.root = Root(str(base))
        self.write("sys/devices/system/cpu/online", cpus)

    def write(self, path: str, text: str) -> None:
        target = self.base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")

    def function(
        self, address: str, group: int | None, driver: str | None = "vfio-pci", kind: str = "0x020000"
    ) -> None:
        directory = self.base / "sys/bus/pci/devices" / address
        self.write(f"sys/bus/pci/devices/{address}/class", kind)
        if driver is not None:
            (directory / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
        if group is not None:
            (directory / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
            self.write(f"sys/kernel/iommu_groups/{group}/devices/{address}", "")

    def pages(self, node: int, kib: int, free: int) -> None:
        self.write(f"sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB/free_hugepages", str(free))


def driver_uri(directory: Path) -> str:
    """A libvirt with one running domain, named test, that nobody of us made."""
    node = directory / "node.xml"
    node.write_text(NODE)
    return f"test://{node}"


def usual_host(base: Path) -> LibvirtHost:
    """A graphics card with its audio in one group, a network card in another, both ready for guests."""
    host = LibvirtHost(base)
    host.function(BRIDGE, 1, "pcieport", "0x060400")
    host.function(GPU, 2, kind="0x030000")
    host.function(GPU_AUDIO, 2, kind="0x040300")
    host.function(NIC, 3)
    return host


def spec_of(**options: Any) -> DomainSpec:
    """A small domain, with what the test wants different."""
    usual = {"name": "demo", "memory": "1G", "vcpus": 2, "virt_type": "qemu", "cpu_mode": "maximum", "firmware": "bios"}
    return DomainSpec.from_options({**usual, **options})


def fixture(name: str) -> Any:
    """One of the XMLs that a real libvirt made."""
    return parse_xml((FIXTURES / name).read_text())
