# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The deployments of an ostree system and the lines that they boot with, as files tell them.

A finished deployment has a boot loader specification entry. One that is staged has none before the shutdown: its
line is in ``/run/ostree/staged-deployment``, a serialised GVariant (ostree_sysroot_stage_tree_with_options in
ostree-sysroot-deploy.c), and it becomes the first entry unless its finalisation is locked.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import kernel_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.gvariant import Variant
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_line import DEPLOYMENT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

ENTRIES = "/boot/loader/entries"
STAGED = "/run/ostree/staged-deployment"
STAGED_LOCKED = "/run/ostree/staged-deployment-locked"
# The second is where the first leads on a running system; a captured tree may have lost the link.
_SYSROOTS = ("/ostree", "/sysroot/ostree")
# "ostree-2-fedora-coreos.conf", from ostree 2024.5 on "ostree-2.conf": the highest number boots first.
_FILE_NAME = re.compile(r"ostree-(\d+)(-.*)?")


@dataclasses.dataclass(frozen=True)
class Staged:
    """A deployment that becomes the first entry at the shutdown; ``line`` is ``None`` where it takes the old one."""

    os_name: str
    name: str
    line: tuple[str, ...] | None
    locked: bool


def read_entries(root: Root) -> list[BlsEntry]:
    """Entries of deployments, the one that boots first in front."""
    files = [name for name in root.listdir(ENTRIES) if is_entry_file(name)]
    entries = [BlsEntry(name, root.read_bytes(f"{ENTRIES}/{name}") or b"") for name in files]
    ostree = [entry for entry in entries if any(token.startswith(DEPLOYMENT) for token in entry.options)]
    return sorted(ostree, key=_position, reverse=True)


def _position(entry: BlsEntry) -> tuple[int, str]:
    named = _FILE_NAME.fullmatch(entry.identifier)
    number = named.group(1) if named else entry.version or ""
    return (int(number) if number.isdecimal() else 0), entry.identifier


def read_staged(root: Root) -> Staged | None:
    """Raises :class:`HostStateError` where the file is not what ostree writes."""
    data = root.read_bytes(STAGED)
    if not data:
        return None
    try:
        content = Variant("a{sv}", data).dictionary()
        target = content["target"].dictionary()
        kargs = content.get("kargs")
        return Staged(
            target["osname"].string(),
            target["name"].string(),
            None if kargs is None else tuple(kargs.strings()),
            root.exists(STAGED_LOCKED) or "locked" in content,
        )
    except (ValueError, KeyError) as exc:
        raise HostStateError(
            f"{STAGED} cannot be read ({exc}), so what boots next is unknown and the kernel command line is left "
            "alone. 'rpm-ostree status' shows the staged deployment, 'rpm-ostree cleanup --pending' drops it"
        ) from exc


def to_entries(root: Root, deployed: t.Sequence[BlsEntry], staged: Staged | None) -> tuple[Entry, ...]:
    """In the order in which they will stand in the menu. Only the one that boots next takes arguments: a new
    deployment is made from it, and those before it are what one falls back to."""
    entries = [_deployed_entry(entry, default=index == 0) for index, entry in enumerate(deployed)]
    if staged is None:
        return tuple(entries)
    line = staged.line if staged.line is not None else entries[0].args if entries else ()
    first = Entry(
        kernel=_staged_kernel(root, staged),
        title=f"staged deployment {staged.name}",
        args=line,
        default=not staged.locked,
        managed=not staged.locked,
    )
    if staged.locked:
        return (first, *entries)
    return (first, *(dataclasses.replace(entry, default=False, managed=False) for entry in entries))


def _deployed_entry(entry: BlsEntry, default: bool) -> Entry:
    return Entry(
        kernel=kernel_release(entry.linux or ""),
        title=entry.title or entry.identifier,
        args=tuple(entry.options),
        default=default,
        managed=default,
        initrd=next(iter(entry.initrds), None),
    )


def _staged_kernel(root: Root, staged: Staged) -> str:
    directories = (f"{sysroot}/deploy/{staged.os_name}/deploy/{staged.name}/usr/lib/modules" for sysroot in _SYSROOTS)
    return next((name for path in directories for name in root.listdir(path)), "")


def origin(root: Root, deployed: t.Sequence[BlsEntry], staged: Staged | None) -> str | None:
    """The origin file of the deployment that boots next: where its content comes from. ``None`` where it is missing."""
    if staged is not None:
        text = _first_text(root, f"deploy/{staged.os_name}/deploy/{staged.name}.origin")
        if text is not None:
            return text
    if not deployed:
        return None
    link = next(token for token in deployed[0].options if token.startswith(DEPLOYMENT)).removeprefix(DEPLOYMENT)
    # ostree=/ostree/boot.1/OS/CHECKSUM/0 is a link to the deployment, whose name is its commit and a number.
    parts = link.strip("/").split("/")
    name = root.link_name(link) or root.link_name(f"/sysroot{link}")
    if len(parts) < 3 or name is None:
        return None
    return _first_text(root, f"deploy/{parts[2]}/deploy/{name}.origin")


def _first_text(root: Root, path: str) -> str | None:
    texts = (root.read_text(os.path.join(sysroot, path)) for sysroot in _SYSROOTS)
    return next((text for text in texts if text is not None), None)
