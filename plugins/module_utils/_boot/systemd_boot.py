# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A trial with systemd-boot: an entry file of its own, chosen for one boot by the EFI variable LoaderEntryOneShot.

systemd-boot deletes the variable before it starts the entry (https://systemd.io/BOOT_LOADER_INTERFACE).
"""

from __future__ import annotations

import os
import posixpath
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME, Base, TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls_order import in_specification_order
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import (
    EFI_VARIABLES,
    loader_variable,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.systemd_menu import MenuItem, read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    first_existing,
    sync_boot_filesystem,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

# Menus are sorted downwards by name, digits before letters: of all that have no sort key, this one comes last.
_FILE_NAME = f"a-{ENTRY_NAME}.conf"
_ONE_SHOT = "LoaderEntryOneShot"
_BOOTCTL = ("/usr/bin/bootctl", "/bin/bootctl")
# Without a sort key the entry stands behind all that have one.
_OWN_KEYS = frozenset({"title", "version", "sort-key", "options", "initrd", "machine-id"})
_HEAD = "# Written by virtfleet.passthrough (module boot_trial); gone when the trial is committed or rolled back.\n"


class SystemdBootTrial(TrialLoader):
    """See :class:`TrialLoader`; ``points`` are the mounted partitions with entries."""

    entry_name = _FILE_NAME
    not_covered = ("a file of the trial that systemd-boot cannot load is not covered: it stops at its menu",)

    def __init__(self, root: Root, name: str, points: t.Sequence[str]) -> None:
        self._root = root
        self.name = name
        self._points = points

    def obstacle(self, _run: Runner) -> str | None:
        if first_existing(self._root, _BOOTCTL) is None:
            return "bootctl is not installed"
        if not (loader_variable(self._root, "LoaderInfo") or "").startswith("systemd-boot"):
            return "the running system was not started by systemd-boot, and may not be the next time either"
        if not self._root.listdir(EFI_VARIABLES):
            return f"{EFI_VARIABLES} is not mounted, so nothing can be chosen for one boot"
        return None

    def _items(self) -> tuple[MenuItem, ...]:
        return read_menu(self._root, self._points)

    def _default(self) -> MenuItem:
        item = next((item for item in self._items() if item.entry.default), None)
        if item is None:
            # Ours is the default only where it is the only one left.
            raise HostStateError("systemd-boot has no entry besides the one on trial")
        if not item.entry.takes_arguments:
            raise HostStateError(
                f"what boots next is '{item.entry.title}' ({item.path}), which is for recovery or belongs to another "
                "system: make another entry the default"
            )
        if item.image is not None or item.source.linux is None:
            raise RefusedError(
                f"what boots next is the unified image {item.path}: kernel, line and initramfs are one file there, and "
                "a trial of its own kind is not supported yet. Boot without a trial"
            )
        return item

    def base(self) -> Base:
        item = self._default()
        paths = [f"{item.point}/{path.lstrip('/')}" for path in (item.source.linux or "", *item.source.initrds)]
        for path in paths:
            if not self._root.exists(path):
                raise HostStateError(f"the entry '{item.entry.title}' loads {path}, which is not there")
        initrd = paths[-1] if item.source.initrds else None
        return Base(item.entry, paths[0], initrd, os.path.dirname(initrd or paths[0]))

    def images_of(self, kernel: str) -> tuple[str, ...]:
        """The one on the partition, and the one that kernel-install copies from there the next time."""
        found = [
            f"{item.point}/{item.source.initrds[-1].lstrip('/')}"
            for item in self._items()
            if item.entry.kernel == kernel and item.entry.takes_arguments and item.source.initrds
        ][:1]
        source = first_existing(self._root, (f"/boot/initrd.img-{kernel}", f"/boot/initramfs-{kernel}.img"))
        return tuple(dict.fromkeys([*found, *([source] if found and source else [])]))

    def render(self, line: t.Sequence[str], image: str | None, title: str) -> OwnedFile:
        item = self._default()
        images = list(item.source.initrds)
        if image is not None and images:
            images[-1] = posixpath.join("/", os.path.relpath(image, item.point))
        kept = [text for text in item.source.data.decode("utf-8", "surrogateescape").split("\n") if _is_kept(text)]
        lines = [
            f"title {title}",
            *(text.rstrip("\r") for text in kept),
            *(f"initrd {path}" for path in images),
            f"options {' '.join(line)}",
        ]
        file = OwnedFile(
            f"{item.point}/{boot_partition.ENTRIES}/{_FILE_NAME}",
            (_HEAD + "\n".join(lines) + "\n").encode("utf-8", "surrogateescape"),
        )
        self._refuse_first_place(file)
        return file

    def _refuse_first_place(self, file: OwnedFile) -> None:
        """An entry that sorts before all others would be what boots by default."""
        own = BlsEntry(_FILE_NAME, file.content)
        others = [item.source for item in self._items()]
        first = next(iter(in_specification_order([*others, own])))
        if first is own:
            raise HostStateError(
                f"{_FILE_NAME} would stand first in the menu of systemd-boot: give the entries of the kernels a "
                "sort-key. Nothing was changed"
            )

    def check(self, _run: Runner, file: OwnedFile) -> None:
        items = read_menu(self._root, self._points, trial=True)
        if not any(posixpath.basename(item.path) == _FILE_NAME for item in items):
            raise ToolError(f"{file.path} does not read back as a boot entry")
        default = next((item for item in items if item.entry.default), None)
        if default is None or posixpath.basename(default.path) == _FILE_NAME:
            raise ToolError(f"{file.path} became the default entry: it was taken away again")

    def one_shot(self) -> str | None:
        return loader_variable(self._root, _ONE_SHOT)

    def set_one_shot(self, run: Runner) -> None:
        run_checked(run, ["bootctl", "set-oneshot", _FILE_NAME], "Choosing the entry on trial for one boot")
        found = self.one_shot()
        if found != _FILE_NAME:
            raise ToolError(f"bootctl set-oneshot ended well, but the EFI variable {_ONE_SHOT} holds {found!r}")

    def clear_one_shot(self, run: Runner) -> None:
        if self.one_shot() == _FILE_NAME:
            run_checked(run, ["bootctl", "set-oneshot", ""], "Taking back the choice for one boot")

    def sync(self) -> None:
        for point in self._points:
            sync_boot_filesystem(self._root.path(point))


def _is_kept(text: str) -> bool:
    words = text.split()
    return bool(words) and not words[0].startswith("#") and words[0] not in _OWN_KEYS
