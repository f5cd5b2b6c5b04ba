# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a booted topology said about itself: from the frames on its serial port to a case of the tests' data file."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.errors import LabError

_BEGIN = re.compile(r"@begin ([0-9a-f]{64})")
_DATA = re.compile(r"@ ([A-Za-z0-9+/=]+)")
_END = "@end"


@dataclass(frozen=True)
class Function:
    """A PCI function as sysfs shows it; missing attributes are empty.

    ``group`` is the number of its IOMMU group, ``path`` its directory below ``/sys/devices``, ``physfn`` the address
    of a VF's PF. ``config`` is the whole configuration space.
    """

    config: bytes
    path: str
    group: str = ""
    physfn: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Capture:
    """One boot: the kernel, its command line, and its PCI functions by address."""

    kernel: str
    cmdline: str
    functions: Mapping[str, Function]

    def groups(self) -> frozenset[frozenset[str]]:
        """The kernel's IOMMU groups as sets of addresses."""
        members: dict[str, set[str]] = {}
        for address, function in self.functions.items():
            if function.group:
                members.setdefault(function.group, set()).add(address)
        return frozenset(frozenset(group) for group in members.values())

    def without_group(self) -> frozenset[str]:
        """Functions that the IOMMU does not cover."""
        return frozenset(address for address, function in self.functions.items() if not function.group)


# Of the attributes, those that the data file has always had; the others are left out where they are missing.
_ALWAYS = ("class", "reset_method")
_OWN = ("config", "config_len", "group", "path", "physfn")


def to_json(capture: Capture) -> dict[str, object]:
    """A case of the data file: hexadecimal ``config`` without the zeros at its end, ``config_len`` bytes with them."""
    devices: dict[str, dict[str, object]] = {}
    for address, function in sorted(capture.functions.items()):
        devices[address] = {
            **dict.fromkeys(_ALWAYS, ""),
            **function.attributes,
            "config": function.config.rstrip(b"\0").hex(),
            "config_len": len(function.config),
            "group": function.group,
            "path": function.path,
            "physfn": function.physfn,
        }
    return {"cmdline": capture.cmdline, "kernel": capture.kernel, "devices": devices}


def from_json(data: Mapping[str, Any]) -> Capture:
    """Take back what :func:`to_json` gave."""
    functions: dict[str, Function] = {}
    for address, device in data["devices"].items():
        functions[address] = Function(
            config=bytes.fromhex(device["config"]).ljust(device["config_len"], b"\0"),
            path=device["path"],
            group=device["group"],
            physfn=device["physfn"],
            attributes={name: value for name, value in device.items() if name not in _OWN and value},
        )
    return Capture(data["kernel"], data["cmdline"], functions)


def parse(text: str) -> Capture:
    """Read what the guest wrote, whatever else is on the lines between.

    :class:`LabError` where it is incomplete or damaged: never a capture with less in it.
    """
    try:
        return _unpack(_payload(text))
    except (tarfile.TarError, gzip.BadGzipFile, KeyError) as error:
        raise LabError(f"the guest's capture is incomplete: {error}", cause="an error in the guest's script") from None


def _payload(text: str) -> bytes:
    digest, ended = "", False
    words: list[str] = []
    for line in text.replace("\r", "\n").split("\n"):
        if begun := _BEGIN.fullmatch(line):
            digest, words, ended = begun[1], [], False
        elif line == _END:
            ended = True
        elif digest and not ended and (data := _DATA.fullmatch(line)):
            words.append(data[1])
    if not digest:
        raise LabError("the guest said nothing", cause="its kernel did not come up")
    if not ended:
        raise LabError(f"the guest's capture stops after {len(words)} lines", cause="it died or ran out of time")
    try:
        payload = base64.b64decode("".join(words), validate=True)
    except binascii.Error as error:
        raise LabError(f"the guest's capture is damaged: {error}") from None
    if hashlib.sha256(payload).hexdigest() != digest:
        raise LabError("the guest's capture is damaged: its checksum differs")
    return payload


def _unpack(payload: bytes) -> Capture:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(payload), mode="r:gz") as archive:
        for entry in archive:
            source = archive.extractfile(entry) if entry.isfile() else None
            if source is not None:
                files[entry.name.removeprefix("./")] = source.read()
    paths = [line for line in _text(files, "paths").splitlines() if line]
    links = _links(_text(files, "links"))
    attributes = _attributes(_text(files, "attributes"))
    functions: dict[str, Function] = {}
    for path in paths:
        address = path.rpartition("/")[2]
        functions[address] = Function(
            config=files[f"config/{address}"],
            path=path,
            group=links.get((address, "iommu_group"), ""),
            physfn=links.get((address, "physfn"), ""),
            attributes=attributes.get(address, {}),
        )
    if not functions:
        raise LabError("the guest's capture names no PCI function", cause="sysfs was not there")
    return Capture(_text(files, "release").strip(), _text(files, "cmdline").strip(), functions)


def _text(files: Mapping[str, bytes], name: str) -> str:
    if name not in files:
        raise LabError(f"the guest's capture has no {name}", cause="an error in the guest's script")
    return files[name].decode("utf-8", errors="replace")


def _links(text: str) -> dict[tuple[str, str], str]:
    """From lines of ``ls -l``: (address, name of the link) to the last part of what it points to."""
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        left, arrow, target = line.partition(" -> ")
        address, slash, name = left.rpartition(" ")[2].partition("/")
        if arrow and slash:
            found[address, name] = target.rpartition("/")[2]
    return found


def _attributes(text: str) -> dict[str, dict[str, str]]:
    """From lines of ``grep``: address to its attributes."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        address, _slash, rest = line.partition("/")
        name, _colon, value = rest.partition(":")
        found.setdefault(address, {})[name] = value
    return found
