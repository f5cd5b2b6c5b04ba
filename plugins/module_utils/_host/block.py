# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a block device stands on: PCI functions, or another machine."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.remote import (
    Remote,
    fibre_channel_function,
    remote_disk,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path

BLOCK = "/sys/class/block"

# Block devices that live in memory.
_IN_MEMORY = re.compile(r"zram\d+|ram\d+|pmem\d+")

# The kernel's directory for devices that hang on no bus.
_VIRTUAL = f"{os.sep}devices{os.sep}virtual{os.sep}"
_NVME_SUBSYSTEM = re.compile(r"nvme-subsys\d+")
_NVME_CONTROLLER = re.compile(r"nvme\d+")


@dataclasses.dataclass(frozen=True)
class Carriers:
    """The PCI functions and other machines that something stands on; ``known`` is false where that cannot be told
    of a part of it."""

    functions: tuple[Address, ...] = ()
    remotes: tuple[Remote, ...] = ()
    known: bool = True


UNKNOWN = Carriers(known=False)


def together(parts: t.Iterable[Carriers]) -> Carriers:
    """What stands on all of ``parts``, each carrier once."""
    found = list(parts)
    return Carriers(
        tuple(dict.fromkeys(address for part in found for address in part.functions)),
        tuple(dict.fromkeys(remote for part in found for remote in part.remotes)),
        all(part.known for part in found),
    )


class BlockDevices:
    """The block devices of one host. Every device is resolved once, however many others are built on it."""

    def __init__(self, root: Root, endpoints: t.Collection[Address]) -> None:
        self._root = root
        self._endpoints = endpoints
        self._resolved: dict[str, Carriers] = {}
        # Following a link through sysfs is what costs time: arrays of many disks carry
        # many volumes, and volumes many mounts.
        self._by_name: dict[str, Carriers] = {}
        self._by_number: dict[str, Carriers] = {}
        self.names: t.Final[t.Sequence[str]] = root.listdir(BLOCK)

    def holders(self, name: str) -> list[str]:
        """The block devices that are built on this one."""
        return self._root.listdir(f"{BLOCK}/{name}/holders")

    def below_name(self, name: str) -> Carriers:
        """What ``name``, as in ``/sys/class/block``, stands on."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = self._below(self._real(f"{BLOCK}/{name}"))
        return found

    def below_number(self, number: str) -> Carriers:
        """What the device with the number ``major:minor`` stands on."""
        found = self._by_number.get(number)
        if found is None:
            found = self._by_number[number] = self._below(self._real(f"/sys/dev/block/{number}"))
        return found

    def name_of(self, path: str) -> str | None:
        """The kernel's name of the device at ``path`` (``/dev/…``), ``None`` where there is none."""
        if not path.startswith("/dev/"):
            return None
        # The kernel shows a slash in a name as an exclamation mark in sysfs.
        real = os.path.realpath(path) if self._root.is_live else path
        for name in (os.path.basename(real), real[len("/dev/") :].replace("/", "!")):
            if self._root.exists(f"{BLOCK}/{name}"):
                return name
        # In a captured tree nothing leads from /dev/mapper/NAME to its device but the name in sysfs.
        return self._mapped.get(os.path.basename(real))

    @functools.cached_property
    def _mapped(self) -> dict[str, str]:
        names = ((self._root.read_word(f"{BLOCK}/{name}/dm/name"), name) for name in self.names)
        return {mapped: name for mapped, name in names if mapped is not None}

    def _real(self, path: str) -> str:
        return os.path.realpath(self._root.path(path))

    def _below(self, directory: str) -> Carriers:
        found = self._resolved.get(directory)
        if found is None:
            found = self._resolved[directory] = self._resolve(directory)
        return found

    def _resolve(self, directory: str) -> Carriers:
        functions = functions_on_path(directory)
        if functions:
            # Between root port and disk there may be another endpoint (a Volume Management Device) that goes with both.
            between = (address for address in functions[:-1] if address in self._endpoints)
            return Carriers((functions[-1], *between))
        if not os.path.isdir(directory):
            return UNKNOWN
        if os.path.exists(os.path.join(directory, "partition")):
            return self._below(os.path.dirname(directory))
        subsystem = _nvme_subsystem(directory)
        if subsystem is not None:
            # The disk of a subsystem hangs on no bus; its controllers are links beside it (drivers/nvme/host/core.c).
            controllers = [name for name in sorted(os.listdir(subsystem)) if _NVME_CONTROLLER.fullmatch(name)]
            links = (os.path.realpath(os.path.join(subsystem, name)) for name in controllers)
            return together(self._below(link) for link in links) if controllers else UNKNOWN
        slaves = os.path.join(directory, "slaves")
        names = sorted(os.listdir(slaves)) if os.path.isdir(slaves) else []
        return together(self.below_name(name) for name in names) if names else self._lowest(directory)

    def _lowest(self, directory: str) -> Carriers:
        adapter = fibre_channel_function(self._root, directory)
        if adapter is not None:
            return Carriers((adapter,))
        remote = remote_disk(self._root, directory)
        if remote is not None:
            return Carriers(remotes=(remote,))
        # On another bus than PCI (VMBus, a controller of the platform), or in memory.
        if _VIRTUAL not in directory or _IN_MEMORY.fullmatch(os.path.basename(directory)):
            return Carriers()
        return UNKNOWN


def _nvme_subsystem(directory: str) -> str | None:
    while directory != os.path.dirname(directory):
        if _NVME_SUBSYSTEM.fullmatch(os.path.basename(directory)):
            return directory
        directory = os.path.dirname(directory)
    return None
