# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What systemd-boot lists: type 1 entries and unified kernel images, changed together.

Type 1 entries of installed kernels are edited in place: ``kernel-install add`` would build the initramfs anew, and
would leave more than one line changed. Unified images are built anew from their own sections. Kernels to come get
theirs from ``/etc/kernel/cmdline``.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import (
    kernel_install,
    mkinitcpio_presets,
    unified_image,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import recorded_blocks, with_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.systemd_menu import MenuItem, read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    sync_boot_filesystem,
    write_boot_file,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

_KERNELSTUB = "/etc/kernelstub/configuration"
_WORK = os.path.join("/var", "tmp")


class EfiMenuLoader(Loader):
    """See :class:`Loader`; ``name`` says which kind of entry boots next."""

    def __init__(self, root: Root, name: str, points: t.Sequence[str], items: t.Sequence[MenuItem]) -> None:
        self._root = root
        self.name = name
        self._points = points
        self._items = items

    def entries(self) -> tuple[Entry, ...]:
        return tuple(item.entry for item in self._items)

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if arguments:
            self._refuse_another_default()
            self._refuse_kernelstub()
        blocks = recorded_blocks(ledger)
        images = [
            item.image
            for item in self._items
            if item.image is not None
            and item.entry.takes_arguments
            and with_block(item.entry.args, blocks, arguments) != list(item.entry.args)
        ]
        reason = unified_image.obstacle(self._root, images) if images else None
        if reason is None and arguments and any(item.image is not None for item in self._items):
            reason = mkinitcpio_presets.obstacle(self._root)
        if reason is not None:
            raise RefusedError(reason)
        return tuple(file.preview(self._root, ledger, arguments) for file in self._templates(ledger))

    def _refuse_another_default(self) -> None:
        if not any(item.entry.default for item in self._items):
            raise RefusedError(
                "what boots next is another system that systemd-boot found by itself, so this one would not see its "
                "arguments: make an entry of this system the default (bootctl set-default, or 'default' in loader.conf)"
            )
        for item in self._items:
            if item.entry.default and not item.entry.takes_arguments:
                raise RefusedError(
                    f"what boots next is '{item.entry.title}' ({item.path}), which is for recovery or belongs to "
                    "another system, so this one would not see its arguments: make an entry of this system the default "
                    "(bootctl set-default, or 'default' in loader.conf)"
                )

    def _refuse_kernelstub(self) -> None:
        """Pop!_OS: its tool writes the entries anew with every kernel, from a configuration of its own."""
        if self._root.exists(_KERNELSTUB):
            raise RefusedError(
                f"{_KERNELSTUB} is there: kernelstub writes the boot entries anew with every kernel and would drop "
                "what stands in them alone. Add the arguments with 'kernelstub --add-options \"...\"'"
            )

    def _templates(self, ledger: Ledger) -> list[LineFile]:
        """None where every entry was written by a person: a kernel's update then keeps its entry."""
        made = any(item.entry.managed and _made_by_a_tool(item) for item in self._items)
        exists = self._root.exists(kernel_install.CMDLINE)
        return [kernel_install.template(self._root, ledger, self.entries())] if made or exists else []

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        differing = [(item, entry) for item, entry in zip(self._items, expected) if item.entry.args != entry.args]
        work = tempfile.mkdtemp(prefix="virtfleet-passthrough-", dir=_made(self._root.path(_WORK)))
        try:
            return self._write(_Change(self._root, run, work), ledger, arguments, expected, differing)
        finally:
            shutil.rmtree(work)

    def _write(
        self,
        change: _Change,
        ledger: Ledger,
        arguments: t.Sequence[str],
        expected: t.Sequence[Entry],
        differing: t.Sequence[tuple[MenuItem, Entry]],
    ) -> tuple[_owned.FileChange, ...]:
        templates = self._templates(ledger)
        carriers: list[_owned.FileChange] = []
        change.build_images(differing)
        try:
            # One by one: what is written when the next fails must be known.
            carriers.extend(file.write(self._root, ledger, arguments) for file in templates)
            change.switch(differing)
            self._check(expected)
        except BaseException:
            change.put_back()
            for file, carrier in zip(templates, carriers):
                file.restore(self._root, ledger, carrier)
            raise
        for point in self._points:
            sync_boot_filesystem(self._root.path(point))
        return tuple(carriers)

    def _check(self, expected: t.Sequence[Entry]) -> None:
        found = [item.entry for item in read_menu(self._root, self._points)]
        for entry in expected:
            if entry not in found:
                raise ToolError(
                    f"The entry '{entry.title}' ({entry.kernel}) does not read back as it was written: "
                    f"expected '{' '.join(entry.args)}'. All entries were put back; look at the EFI system partition."
                )


def _made(directory: str) -> str:
    os.makedirs(directory, exist_ok=True)
    return directory


def _made_by_a_tool(item: MenuItem) -> bool:
    """kernel-install names entries ``<entry token>-<version>.conf``, sdbootutil of openSUSE puts the snapshot's number
    behind; nobody writes an image by hand."""
    version = item.source.version
    return item.image is not None or (version is not None and version in item.source.identifier)


@dataclasses.dataclass
class _Change:
    """Entries on their way from old to new, with what it takes to go back. ``work`` is a private real directory."""

    root: Root
    run: Runner
    work: str
    images: dict[str, unified_image.NewImage] = dataclasses.field(default_factory=dict)
    switched: list[MenuItem] = dataclasses.field(default_factory=list)

    def build_images(self, differing: t.Sequence[tuple[MenuItem, Entry]]) -> None:
        """All images and a copy of every old one, before the first is switched: what fails here changes nothing."""
        wanted = [(item, item.image, entry) for item, entry in differing if item.image is not None]
        for directory in sorted({os.path.dirname(item.path) for item, _image, _entry in wanted}):
            images = [image for item, image, _entry in wanted if os.path.dirname(item.path) == directory]
            unified_image.check_space(self.root, directory, self.work, images)
        for item, image, entry in wanted:
            self.images[item.path] = unified_image.build(
                self.root, self.run, item.path, image, entry.own_args, self.work
            )
            shutil.copyfile(image.path, self._kept(item))

    def switch(self, differing: t.Sequence[tuple[MenuItem, Entry]]) -> None:
        for item, entry in differing:
            self.switched.append(item)
            if item.image is None:
                self._put(item, item.source.with_options(entry.args).data)
            else:
                unified_image.switch(self.root, self.images[item.path])

    def put_back(self) -> None:
        for item in self.switched:
            if item.image is None:
                self._put(item, item.source.data)
            else:
                unified_image.switch(self.root, unified_image.NewImage(item.path, self._kept(item)))

    def _kept(self, item: MenuItem) -> str:
        return os.path.join(self.work, f"{os.path.basename(item.path)}.before")

    def _put(self, item: MenuItem, data: bytes) -> None:
        """The temporary name does not end in ``.conf``, so no boot loader shows it. On FAT the rename over the old
        name rewrites one directory entry: a power cut leaves the old file or the new one under it."""
        if self.root.read_bytes(item.path) != data:
            write_boot_file(self.root.path(item.path), data)
