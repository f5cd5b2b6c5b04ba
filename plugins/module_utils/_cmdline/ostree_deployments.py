# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The deployments of an ostree system and the lines that they boot with, as files tell them.

A finished deployment has a boot loader specification entry. One that is staged has none before the shutdown: its
line is in ``/run/ostree/staged-deployment``, a serialised GVariant (ostree_sysroot_stage_tree_with_options in
ostree-sysroot-deploy.c), and it becomes the first entry unless its finalisation is locked. The first entry boots,
unless GRUB's environment block names another: greenboot's countdown of failed boots and people do.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_bls import menu_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_files import read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    default_entry,
    kernel_release,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.gvariant import Variant
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_line import DEPLOYMENT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

ENTRIES = "/boot/loader/entries"
_TARGETS = ("/boot/loader.0/entries", "/boot/loader.1/entries")
GRUB_CONFIGURATION = "/boot/grub2/grub.cfg"
GRUB_ENVIRONMENT = "/boot/grub2/grubenv"
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
    directory = _directory(root)
    files = [name for name in root.listdir(directory) if is_entry_file(name)]
    entries = [BlsEntry(name, root.read_bytes(f"{directory}/{name}") or b"") for name in files]
    ostree = [entry for entry in entries if any(token.startswith(DEPLOYMENT) for token in entry.options)]
    return sorted(ostree, key=_position, reverse=True)


def _directory(root: Root) -> str:
    """:data:`ENTRIES` leads to one of two; a captured tree without the link tells which where it holds only one."""
    there = [path for path in _TARGETS if root.listdir(path)]
    return there[0] if len(there) == 1 and not root.listdir(ENTRIES) else ENTRIES


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
    """In the order in which they will stand in the menu. Only the first takes arguments, where it boots next: a new
    deployment is made from it, and those behind it are what one falls back to."""
    position = _boots_next(root, deployed, staged)
    entries = [_deployed_entry(entry, index, position) for index, entry in enumerate(deployed)]
    if staged is None:
        return tuple(entries)
    line = staged.line if staged.line is not None else entries[0].args if entries else ()
    first = Entry(
        kernel=_staged_kernel(root, staged),
        title=f"staged deployment {staged.name}",
        args=line,
        default=not staged.locked and position == 0,
        managed=not staged.locked and position == 0,
    )
    if staged.locked:
        return (first, *entries)
    later = (_deployed_entry(entry, index, position) for index, entry in enumerate(deployed, start=1))
    return (first, *later)


def _boots_next(root: Root, deployed: t.Sequence[BlsEntry], staged: Staged | None) -> int:
    """Its place among the entries at the next boot, where a staged deployment has become the first of them."""
    files = list(deployed)
    if staged is not None and not staged.locked:
        files.insert(0, BlsEntry(_name_after(deployed), b"linux /staged\n"))
    menu = read_menu(root, GRUB_CONFIGURATION, GRUB_ENVIRONMENT, menu_entries(files, {}))
    chosen = default_entry(menu) if menu.uses_boot_loader_spec else None
    return next((index for index, file in enumerate(files) if chosen is not None and file.stem in chosen.names), 0)


def _name_after(deployed: t.Sequence[BlsEntry]) -> str:
    """What ostree will call the file of a new first entry."""
    named = _FILE_NAME.fullmatch(deployed[0].identifier) if deployed else None
    return f"ostree-{int(named.group(1)) + 1}{named.group(2) or ''}.conf" if named else "ostree-1.conf"


def _deployed_entry(entry: BlsEntry, index: int, boots_next: int) -> Entry:
    return Entry(
        kernel=kernel_release(entry.linux or ""),
        title=entry.title or entry.identifier,
        args=tuple(entry.options),
        default=index == boots_next,
        managed=index == boots_next == 0,
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
