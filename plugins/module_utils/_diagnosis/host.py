# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the checks look at, from the host."""

from __future__ import annotations

import datetime as dt
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.checks import Cpu, Facts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.logs import QEMU_LOGS, tail
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import Finding
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import (
    DEFAULT_URI,
    connection,
    translated,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    all_snapshots,
    defined_in_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.rom_files import read_rom
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.resources import largest_bar

# Portable, laptop, notebook, sub notebook, convertible, detachable (SMBIOS Reference Specification 3.6, 7.4.1).
_PORTABLE = frozenset(("8", "9", "10", "14", "31", "32"))
_NEW_RUN = "starting up libvirt version"
# QEMU, when libvirt ends it; -msg timestamp=on, which libvirt gives, puts the time in front.
_TERMINATING = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S*Z .*terminating on signal \d+")


def read_facts(
    root: Root, devices: t.Sequence[Device], findings: t.Sequence[Finding], kernel_log: bool
) -> tuple[Facts, str | None]:
    """The facts, and why libvirt did not say what runs, ``None`` where it did or where there is nothing to ask for."""
    domains, reason = _read_domains(root)
    msrs = root.read_word("/sys/module/kvm/parameters/ignore_msrs")
    named = [rom.get("file") for domain in domains for rom in domain.tree.findall("devices/hostdev/rom")]
    resizable = [
        device for device in devices if device.resizable_bar and device.class_code.startswith(BASE_CLASS_DISPLAY)
    ]
    facts = Facts(
        devices=tuple(devices),
        domains=domains,
        findings=tuple(findings),
        kernel_log=kernel_log,
        kernel=_version(running_release(root)),
        cpu=_read_cpu(root),
        ignore_msrs=None if msrs is None else msrs in ("Y", "1"),
        iommu_enabled=bool(root.listdir("/sys/kernel/iommu_groups")),
        portable=root.read_word("/sys/class/dmi/id/chassis_type") in _PORTABLE,
        rom_is_uefi={path: _is_uefi(root, path) for path in named if path is not None},
        largest_bars={
            str(device.address): largest_bar(root.read_text(f"/sys/bus/pci/devices/{device.address}/resource") or "")
            for device in resizable
        },
        shutting_down=dict(_shutting_down(root, domains)),
    )
    return facts, reason


def _read_domains(root: Root) -> tuple[tuple[DomainState, ...], str | None]:
    written = defined_in_files(root)
    if not root.is_live:
        return written, None
    try:
        with connection(DEFAULT_URI, readonly=True) as conn, translated("reading domains from libvirt"):
            return all_snapshots(conn), None
    except PassthroughError as exc:
        return written, str(exc) if written else None


def _version(release: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    return tuple(int(part) for part in found.groups("0")) if found else ()


def _read_cpu(root: Root) -> Cpu | None:
    text = root.read_text("/proc/cpuinfo") or ""
    fields = dict(re.findall(r"^(vendor_id|cpu family|model)\s*: (\S+)$", text, re.MULTILINE))
    try:
        return Cpu(fields["vendor_id"], int(fields["cpu family"]), int(fields["model"]))
    except (KeyError, ValueError):
        # Other architectures tell other things.
        return None


def _is_uefi(root: Root, path: str) -> bool | None:
    rom, _problem = read_rom(root, path)
    return None if rom is None else rom.uefi


def _shutting_down(root: Root, domains: t.Iterable[DomainState]) -> t.Iterator[tuple[str, float]]:
    now = dt.datetime.now(dt.timezone.utc)
    for domain in domains:
        if domain.state == "in shutdown":
            since = told_to_end(tail(root, f"{QEMU_LOGS}/{domain.name}.log"))
            if since is not None:
                yield domain.name, (now - since).total_seconds()


def told_to_end(log: str) -> dt.datetime | None:
    """When libvirt last told the domain's QEMU to end, ``None`` where its last run has not been."""
    told: dt.datetime | None = None
    for line in log.splitlines():
        found = _TERMINATING.match(line)
        if _NEW_RUN in line:
            told = None
        elif found is not None:
            told = _time(found.group(1))
    return told


def _time(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(f"{text}+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
