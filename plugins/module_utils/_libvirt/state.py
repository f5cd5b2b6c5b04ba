# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Readers for the plan: what libvirt has on a host, and which of its parts are installed and running.

They never fail for the state of the host: what cannot be read is said in the answer.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import (
    DEFAULT_URI,
    LIBVIRT_IMPORT_ERROR,
    connection,
    translated,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    all_snapshots,
    claims,
    defined_in_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pages import read_free_pages
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.resolve import (
    Capabilities,
    read_capabilities,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.rom_files import (
    named_rom_files,
    read_rom_file,
)

# Where the distributions put the programs that matter here; the first that exists stands for the package.
_PROGRAMS: t.Mapping[str, tuple[str, ...]] = {
    "qemu": ("/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm", "/usr/bin/kvm"),
    "libvirt": ("/usr/sbin/virtqemud", "/usr/sbin/libvirtd", "/usr/bin/virtqemud", "/usr/bin/libvirtd"),
    "firmware": (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/pve-edk2-firmware/OVMF_CODE_4M.fd",
    ),
}
_UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# What has to be enabled in each of libvirt's two layouts (https://libvirt.org/daemons.html).
_LAYOUTS: t.Mapping[str, tuple[str, ...]] = {
    "modular": ("virtqemud.socket", "virtlogd.socket"),
    "monolithic": ("libvirtd.socket", "virtlogd.socket"),
}
# A daemon that waits at its socket ends when it is idle, and one that runs without needs no socket.
_SERVES_AS_WELL: t.Mapping[str, str] = {
    "libvirtd.socket": "libvirtd.service",
    "virtqemud.socket": "virtqemud.service",
}


def read_domains_state(root: Root, _run: Runner, _ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Definitions of the wanted domains, PCI functions claimed by all, what libvirt can do, free huge pages, and the
    ROM files that are named.

    ``available``: libvirt answered, or there was nothing to ask; else ``reason`` says why not and ``domains`` come
    from libvirt's files. ``running``: names of all running domains, ``None`` where libvirt was not asked.
    """
    names = {str(domain.get("name")) for domain in wanted.get("domains", ()) if isinstance(domain, dict)}
    capabilities: Capabilities | None = None
    reason: str | None = None
    states: tuple[DomainState, ...] = ()
    if not names:
        reason = None
    elif root.is_live:
        try:
            capabilities, states = _ask_libvirt(DEFAULT_URI)
        except PassthroughError as exc:
            reason, states = str(exc), defined_in_files(root)
    else:
        reason, states = f"{root.base} is a captured tree: nothing runs there", defined_in_files(root)
    return {
        "available": reason is None,
        "reason": reason,
        "capabilities": None if capabilities is None else capabilities.to_json(),
        "running": None if capabilities is None else sorted(state.name for state in states if state.active),
        "domains": [state.to_json() for state in states if state.name in names],
        "claims": [claim.to_json() for claim in claims(states)],
        "free_pages": read_free_pages(root),
        "rom_files": {path: read_rom_file(root, path).to_json() for path in named_rom_files(wanted.get("domains"))},
    }


def _ask_libvirt(uri: str) -> tuple[Capabilities, tuple[DomainState, ...]]:
    with connection(uri, readonly=True) as conn, translated("reading domains from libvirt"):
        return read_capabilities(conn), all_snapshots(conn)


def read_host_state(root: Root, run: Runner, _ledger: Ledger, _wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Which parts of libvirt are installed, which units it needs, and which of these are enabled and active."""
    missing = [name for name, paths in _PROGRAMS.items() if first_existing(root, paths) is None]
    if not _has_python_libvirt(root):
        missing.append("python_libvirt")
    units = () if "libvirt" in missing else _LAYOUTS[_layout(root)]
    return {
        "os": _os_release(root),
        "proxmox": root.exists("/usr/bin/pveversion"),
        "ostree": root.exists("/run/ostree-booted"),
        "missing": missing,
        "units": list(units),
        "disabled": [unit for unit in units if not _any_enabled(root, _either(unit))],
        "inactive": _inactive(root, run, units),
    }


def _has_python_libvirt(root: Root) -> bool:
    if root.is_live:
        return LIBVIRT_IMPORT_ERROR is None
    bases = [f"/usr/lib/python3/{kind}-packages" for kind in ("dist", "site")]
    for lib in ("/usr/lib", "/usr/lib64"):
        bases += [f"{lib}/{name}/site-packages" for name in root.listdir(lib) if re.fullmatch(r"python3\.\d+", name)]
    return first_existing(root, [f"{base}/libvirt.py" for base in bases]) is not None


def _layout(root: Root) -> str:
    """Distributions that moved to one daemon per driver still ship the old one; the enabled socket tells them apart."""
    has_modular = any(root.exists(f"{directory}/virtqemud.socket") for directory in _UNIT_DIRECTORIES)
    has_monolithic = any(root.exists(f"{directory}/libvirtd.service") for directory in _UNIT_DIRECTORIES)
    if has_modular and (not has_monolithic or not _any_enabled(root, ("libvirtd.service", "libvirtd.socket"))):
        return "modular"
    return "monolithic"


def _any_enabled(root: Root, units: t.Iterable[str]) -> bool:
    return any(_is_enabled(root, unit) for unit in units)


def _is_enabled(root: Root, unit: str) -> bool:
    """A link in some unit's ``.wants`` or ``.requires`` directory, which is what enabling makes."""
    for directory in _UNIT_DIRECTORIES:
        for name in root.listdir(directory):
            if name.endswith((".wants", ".requires")) and unit in root.listdir(f"{directory}/{name}"):
                return True
    return False


def _inactive(root: Root, run: Runner, units: t.Sequence[str]) -> list[str]:
    """Units that are not active; empty for captured trees and for hosts without systemd."""
    if not units or not root.is_live or not root.exists("/run/systemd/system"):
        return []
    # The exit status only says that some unit is inactive; the lines say which.
    asked = [name for unit in units for name in _either(unit)]
    words = run(["systemctl", "is-active", *asked]).stdout.split()
    if len(words) != len(asked):
        return list(units)
    active = {name for name, word in zip(asked, words) if word in ("active", "activating", "reloading")}
    return [unit for unit in units if active.isdisjoint(_either(unit))]


def _either(unit: str) -> tuple[str, ...]:
    """The unit, and the one that does as well."""
    other = _SERVES_AS_WELL.get(unit)
    return (unit,) if other is None else (unit, other)


def _os_release(root: Root) -> dict[str, t.Any]:
    """``id`` and ``id_like`` of os-release(5)."""
    text = root.read_text("/etc/os-release") or root.read_text("/usr/lib/os-release") or ""
    fields = dict(re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", text, re.MULTILINE))
    return {
        "id": fields.get("ID", ""),
        "id_like": fields.get("ID_LIKE", "").split(),
        "version": fields.get("VERSION_ID", ""),
    }
