# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kernel's huge pages over a directory: it answers writes as mm/hugetlb.c does, within the limits it is given."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.writer import Kernel

GIB = 1024 * 1024
SIZES = (2048, GIB)


class HugeKernel(Kernel):
    """``memory_kb`` per node; ``limits[(node, size)]`` is how many pages fragmentation leaves possible, and
    ``after_compaction`` how many become possible once caches are dropped and memory is compacted."""

    def __init__(self, base: Path, *memory_kb: int, sizes: tuple[int, ...] = SIZES, boot_id: str = "boot-1") -> None:
        super().__init__(Root(str(base)))
        self.base = base
        self.root = Root(str(base))
        self.nodes = len(memory_kb)
        self.sizes = sizes
        self.limits: dict[tuple[int, int], int] = {}
        self.after_compaction: dict[tuple[int, int], int] = {}
        self.events: list[str] = []
        self._memory = dict(enumerate(memory_kb))
        self._free = dict(self._memory)
        for size in sizes:
            for name in (
                "nr_overcommit_hugepages",
                "resv_hugepages",
                "surplus_hugepages",
                "nr_hugepages",
                "free_hugepages",
            ):
                self._put(f"sys/kernel/mm/hugepages/hugepages-{size}kB/{name}", 0)
            for node in self._memory:
                for name in ("surplus_hugepages", "nr_hugepages", "free_hugepages"):
                    self._put(self._pool(node, size) + "/" + name, 0)
        self._put("proc/meminfo", "MemTotal: 1 kB\nHugepagesize:    2048 kB\n")
        self._put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
        self._meminfo()
        self.reboot(boot_id)

    def pages(self, node: int, size: int) -> int:
        return int((self.base / self._pool(node, size) / "nr_hugepages").read_text())

    def overcommit(self, size: int) -> int:
        return int((self.base / f"sys/kernel/mm/hugepages/hugepages-{size}kB/nr_overcommit_hugepages").read_text())

    def somebody_sets(self, node: int, size: int, number: int) -> None:
        self._set(node, size, number)

    def somebody_uses(self, node: int, size: int, number: int) -> None:
        self._put(f"{self._pool(node, size)}/free_hugepages", self.pages(node, size) - number)

    def occupy(self, node: int, memory_kb: int) -> None:
        """Processes take memory that they do not give back."""
        self._free[node] -= memory_kb
        self._meminfo()

    def reboot(self, boot_id: str, *arguments: str) -> None:
        """Start again; ``hugepagesz=``/``hugepages=`` pairs reserve pages while memory is empty."""
        self.limits = {}
        for size in self.sizes:
            self._put(f"sys/kernel/mm/hugepages/hugepages-{size}kB/nr_overcommit_hugepages", 0)
            for node in self._memory:
                self._set(node, size, 0)
        self._put("proc/sys/kernel/random/boot_id", boot_id)
        self._put("proc/cmdline", " ".join(("ro", *arguments)))
        size = 2048
        for argument in arguments:
            name, value = argument.split("=")
            if name == "hugepagesz":
                size = {"2M": 2048, "1G": GIB}[value]
            elif name == "hugepages":
                for part in value.split(","):
                    place = part.rpartition(":")
                    self._set(int(place[0] or 0), size, int(place[2]))

    def sleep(self, seconds: float) -> None:
        self.events.append(f"sleep {seconds}")

    def write(self, path: str, value: int) -> None:
        self.events.append(f"{path.rpartition('/')[2]} {value}")
        match = re.fullmatch(r"/sys/devices/system/node/node(\d+)/hugepages/hugepages-(\d+)kB/nr_hugepages", path)
        whole = re.fullmatch(r"/sys/kernel/mm/hugepages/hugepages-(\d+)kB/nr_hugepages", path)
        if path.endswith("compact_memory"):
            self.limits.update(self.after_compaction)
        elif match:
            self._set(int(match.group(1)), int(match.group(2)), value)
        elif whole:
            size = int(whole.group(1))
            for node in self._memory:
                share = value // self.nodes + (1 if node < value % self.nodes else 0)
                self._set(node, size, share)
        elif path.endswith("nr_overcommit_hugepages"):
            if f"hugepages-{GIB}kB" in path:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self._put(path.lstrip("/"), value)

    def _set(self, node: int, size: int, number: int) -> None:
        directory = self.base / self._pool(node, size)
        present = int((directory / "nr_hugepages").read_text())
        used = present - int((directory / "free_hugepages").read_text())
        number = max(number, used)
        number = min(number, max(present, self.limits.get((node, size), number)))
        number = min(number, present + self._free[node] // size)
        self._free[node] -= (number - present) * size
        self._put(f"{self._pool(node, size)}/nr_hugepages", number)
        self._put(f"{self._pool(node, size)}/free_hugepages", number - used)
        total = sum(self.pages(each, size) for each in self._memory)
        self._put(f"sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages", total)
        self._meminfo()

    def _meminfo(self) -> None:
        for node, memory in self._memory.items():
            lines = (f"MemTotal:  {memory} kB", f"MemFree:  {self._free[node]} kB", "HugePages_Total: 0")
            text = "\n".join(f"Node {node} {line}" for line in lines)
            self._put(f"sys/devices/system/node/node{node}/meminfo", text)

    @staticmethod
    def _pool(node: int, size: int) -> str:
        return f"sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB"

    def _put(self, path: str, value: object) -> None:
        target = self.base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{value}\n")
