# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""The plan's component ``libvirt_host``: libvirt installed, enabled and running. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool

# What is managed unless it is said otherwise.
DEFAULTS: t.Mapping[str, bool] = {"packages": True, "service": True}

_PARTS: t.Mapping[str, str] = {
    "qemu": "QEMU",
    "libvirt": "libvirt's daemon",
    "firmware": "UEFI firmware for guests",
    "python_libvirt": "libvirt for Ansible's Python",
}
# os-release ID or ID_LIKE → the family whose package names the role has.
_FAMILIES: t.Mapping[str, str] = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "redhat",
    "fedora": "redhat",
    "centos": "redhat",
    "suse": "suse",
    "opensuse": "suse",
    "opensuse-leap": "suse",
    "opensuse-tumbleweed": "suse",
    "sles": "suse",
    "arch": "arch",
}


def decide(wanted: t.Mapping[str, t.Any], host: HostState, _selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: the switches of :data:`DEFAULTS`. ``apply``: ``family`` (a file of the role's package names),
    ``missing`` (parts to install), ``enable`` and ``start`` (units).

    Raises :class:`InputError` for a switch that does not exist or is no boolean.
    """
    switches = {**DEFAULTS, **_checked(wanted)}
    facts = host.facts["libvirt_host"]
    missing: list[str] = list(facts["missing"]) if switches["packages"] else []
    family = _family(facts["os"])
    changes = [Change(_PARTS[part], None, "installed") for part in missing]
    refusals: list[Refusal] = []
    obstacle = _install_obstacle(facts, family) if missing else None
    if obstacle is not None:
        parts = ", ".join(_PARTS[part] for part in missing)
        refusals.append(Refusal(None, f"{obstacle}: install {parts} yourself, or set libvirt_host_packages: false"))
    disabled: list[str] = list(facts["disabled"]) if switches["service"] else []
    inactive: list[str] = list(facts["inactive"]) if switches["service"] else []
    changes += [Change(unit, "disabled", "enabled") for unit in disabled]
    changes += [Change(unit, "inactive", "active") for unit in inactive]
    return Verdict(
        changes=tuple(changes),
        refusals=tuple(refusals),
        apply={
            "family": family,
            "missing": missing,
            "service": switches["service"],
            "enable": disabled,
            "start": inactive,
        },
    )


def _checked(wanted: t.Mapping[str, t.Any]) -> dict[str, bool]:
    for name in wanted:
        if name not in DEFAULTS:
            raise InputError(f"libvirt_host has no option '{name}': expected {', '.join(DEFAULTS)}")
    return {name: as_bool(value, f"libvirt_host {name}") for name, value in wanted.items()}


def _install_obstacle(facts: t.Mapping[str, t.Any], family: str | None) -> str | None:
    """Why packages are not ours to install here."""
    if facts["proxmox"]:
        return "Proxmox VE runs guests with a QEMU of its own, beside which Debian's libvirt was never tested"
    if facts["ostree"]:
        return "on an rpm-ostree host packages are part of the image"
    if family is None:
        return f"no package names are known for the distribution '{facts['os']['id']}'"
    return None


def _family(os_release: t.Mapping[str, t.Any]) -> str | None:
    for name in (os_release["id"], *os_release["id_like"]):
        if name in _FAMILIES:
            return _FAMILIES[name]
    return None
