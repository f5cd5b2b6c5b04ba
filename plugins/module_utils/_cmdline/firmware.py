# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the firmware started and what the programs that it started left behind: EFI variables.

Sources: UEFI Specification 2.10, 3.1.3 (load options), 3.3 (variables), 10.3 (device paths); the Boot Loader
Interface of systemd (https://systemd.io/BOOT_LOADER_INTERFACE); Documentation/filesystems/efivarfs.rst.
"""

from __future__ import annotations

import dataclasses
import struct
import typing as t
import uuid

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

EFI = "/sys/firmware/efi"
EFI_VARIABLES = f"{EFI}/efivars"
# The vendor GUID of the variables that the specification itself defines, and that of the Boot Loader Interface.
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
# efivarfs puts the variable's attributes in front of its value.
_ATTRIBUTES_SIZE = 4

_MESSAGING, _MEDIA = 3, 4
# MAC address, IPv4, IPv6, URI (HTTP boot).
_NETWORK_SUBTYPES = frozenset({11, 12, 13, 24})
_HARD_DRIVE, _FILE_PATH = 1, 4
_GUID_SIGNATURE = 2


@dataclasses.dataclass(frozen=True)
class BootOption:
    """A ``Boot####`` variable: ``path`` with ``/`` for ``\\``, ``partition`` the GPT GUID as udev writes it.

    ``image`` is the program that ``path`` is told to start, as shim is in front of a unified kernel image."""

    number: int
    description: str
    path: str | None
    partition: str | None
    network: bool
    image: str | None = None


@dataclasses.dataclass(frozen=True)
class Firmware:
    """``efi`` is false on a BIOS, a device tree machine and a captured tree without ``/sys/firmware/efi``.

    ``current`` is what the firmware started. The rest is what a boot loader wrote about itself: ``loader`` and
    ``stub`` as ``systemd-boot 257.8``, ``entry`` the name of the entry that it started.
    """

    efi: bool = False
    secure_boot: bool | None = None
    current: BootOption | None = None
    loader: str | None = None
    entry: str | None = None
    stub: str | None = None


def read_firmware(root: Root) -> Firmware:
    return Firmware(
        efi=root.exists(EFI),
        secure_boot=_secure_boot(root),
        current=read_boot_current(root),
        loader=loader_variable(root, "LoaderInfo"),
        entry=loader_variable(root, "LoaderEntrySelected"),
        stub=loader_variable(root, "StubInfo"),
    )


def loader_variable(root: Root, name: str) -> str | None:
    """A text variable of the Boot Loader Interface (``LoaderEntryDefault``, …); ``None`` where unset or empty."""
    value = _value(root, name, _LOADER)
    return None if value is None else (_text(value) or None)


def read_boot_current(root: Root) -> BootOption | None:
    """What the firmware started this time, or ``None`` where it does not say or the entry is gone since."""
    return _named_option(root, "BootCurrent")


def read_boot_next(root: Root) -> BootOption | None:
    """What the firmware is told to start the next time only, ``None`` where that is nothing."""
    return _named_option(root, "BootNext")


def _named_option(root: Root, variable: str) -> BootOption | None:
    value = _value(root, variable, _GLOBAL)
    if value is None or len(value) < 2:
        return None
    number = struct.unpack_from("<H", value)[0]
    option = _value(root, f"Boot{number:04X}", _GLOBAL)
    return None if option is None else parse_boot_option(number, option)


def _value(root: Root, name: str, vendor: str) -> bytes | None:
    data = root.read_bytes(f"{EFI_VARIABLES}/{name}-{vendor}")
    return None if data is None else data[_ATTRIBUTES_SIZE:]


def _secure_boot(root: Root) -> bool | None:
    value = _value(root, "SecureBoot", _GLOBAL)
    return None if not value else value[0] == 1


def parse_boot_option(number: int, option: bytes) -> BootOption | None:
    """An EFI_LOAD_OPTION: attributes, length of the device path, description, device path, what the program is given.
    ``None`` if cut off."""
    if len(option) < 6:
        return None
    length = struct.unpack_from("<H", option, 4)[0]
    end = 6
    while end + 2 <= len(option) and option[end : end + 2] != b"\0\0":
        end += 2
    path, partition, network = None, None, False
    for kind, subtype, data in _nodes(option[end + 2 : end + 2 + length]):
        if kind == _MESSAGING and subtype in _NETWORK_SUBTYPES:
            network = True
        elif (kind, subtype) == (_MEDIA, _HARD_DRIVE):
            partition = _partition(data) or partition
        elif (kind, subtype) == (_MEDIA, _FILE_PATH):
            # A path may be spread over several nodes (10.3.5.4).
            path = (path or "").rstrip("/") + "/" + _text(data).replace("\\", "/").strip("/")
    given = _text(option[end + 2 + length :]).replace("\\", "/").strip()
    image = given if given.lower().endswith(".efi") and given.isascii() else None
    return BootOption(number, _text(option[6:end]), path, partition, network, image)


def _nodes(path: bytes) -> t.Iterator[tuple[int, int, bytes]]:
    while len(path) >= 4:
        kind, subtype, size = struct.unpack_from("<BBH", path)
        if size < 4:
            return
        yield kind, subtype, path[4:size]
        path = path[size:]


def _partition(data: bytes) -> str | None:
    """Of a hard drive node: partition number, start, size, signature of 16 bytes, format, signature type."""
    if len(data) < 38 or data[37] != _GUID_SIGNATURE:
        return None
    return str(uuid.UUID(bytes_le=data[20:36]))


def _text(data: bytes) -> str:
    """UTF-16 up to its terminating zero."""
    return data[: len(data) // 2 * 2].decode("utf-16-le", "replace").partition("\0")[0]
