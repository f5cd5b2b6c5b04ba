# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Proxmox VE's ``proxmox-boot-tool``: kernels and boot configuration copied to EFI system partitions, one per disk.

The partitions are not mounted normally. What they hold is made from ``/etc/kernel/cmdline`` (systemd-boot) or from
``/etc/default/grub`` (GRUB), so before a refresh these say what will boot; after it every partition is mounted for
reading and looked at. Of ``/etc/kernel/cmdline`` the tool reads the first line only, comments included. Source: the
manual's chapter "Host Bootloader" and the package proxmox-kernel-helper (``zz-proxmox-boot``, ``functions``).
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import present_block, recorded_blocks
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls_order import compare_versions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.boot_partition import ENTRIES
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import parse_menu, to_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.kernel_install import CMDLINE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import grub
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import (
    Entry,
    Loader,
    Unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import GRUB, read_started
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    PassthroughError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release

NAME: t.Final = "proxmox-boot-tool"
TOOL = "/usr/sbin/proxmox-boot-tool"
PARTITIONS = "/etc/kernel/proxmox-boot-uuids"
_BY_UUID = "/dev/disk/by-uuid"
_PINS = ("/etc/kernel/next-boot-pin", "/etc/kernel/proxmox-boot-pin")
_KERNEL = "vmlinuz-"
# Proxmox's products by a directory that only they have; the first is the one without any.
_TITLES: t.Final[t.Mapping[str, str]] = {
    "/etc/pve": "Proxmox Virtual Environment",
    "/usr/share/doc/proxmox-mailgateway": "Proxmox Mailgateway",
    "/usr/share/doc/proxmox-backup": "Proxmox Backup Server",
}
_OWN_KERNEL = "-pve"
_MANUAL = "/etc/kernel/proxmox-boot-manual-kernels"
_ADDED_BY_LOADERS = ("BOOT_IMAGE=", "initrd=")


class ProxmoxBootToolLoader(Loader):
    """See :class:`Loader`. ``grub`` is the GRUB configuration of the root file system, where GRUB boots this
    machine; without, systemd-boot does."""

    name = NAME

    def __init__(self, root: Root, grub: Loader | None) -> None:
        self._root = root
        self._grub = grub

    def entries(self) -> tuple[Entry, ...]:
        """For systemd-boot one per kernel in ``/boot``: the tool leaves out old ones, which only it can tell."""
        if self._grub is not None:
            return self._grub.entries()
        args = tuple(self._line())
        kernels = _kernels(self._root)
        pinned = next((pin for path in _PINS if (pin := self._root.read_word(path)) in kernels), None)
        chosen = pinned or next(iter(kernels), None)
        title = next((title for path, title in _TITLES.items() if self._root.exists(path)), _TITLES["/etc/pve"])
        return tuple(
            Entry(kernel, f"{title} ({kernel})", args, default=kernel == chosen, initrd=f"/boot/initrd.img-{kernel}")
            for kernel in kernels
        )

    def _line(self) -> list[str]:
        """The tool falls back to the running line, which is that of the entry that it made before. It stops, and the
        entries stay, where the file's line names no root file system."""
        tokens = LineFile(CMDLINE, first_line=True).tokens(self._root)
        if tokens is not None and _names_root(tokens):
            return tokens
        running = split(self._root.read_text("/proc/cmdline") or "")
        return [token for token in running if not token.startswith(_ADDED_BY_LOADERS)]

    def _template(self) -> LineFile:
        return LineFile(CMDLINE, when_missing=tuple(self._line()), first_line=True)

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if self._grub is not None:
            return self._grub.preview(ledger, arguments)
        present = LineFile(CMDLINE, first_line=True).tokens(self._root)
        if arguments and present is not None and not _names_root(present):
            raise RefusedError(
                f"the first line of {CMDLINE} has no root=, and proxmox-boot-tool reads no other: make it the whole "
                "command line"
            )
        return (self._template().preview(self._root, ledger, arguments),)

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        if self._grub is not None:
            return self._write_grub(run, ledger, arguments, expected, self._grub)
        template = self._template()
        change = template.write(self._root, ledger, arguments)
        try:
            self._refresh(run, expected)
        except BaseException:
            template.restore(self._root, ledger, change)
            self._refresh_as_before(run)
            raise
        return (change,)

    def _write_grub(
        self,
        run: Runner,
        ledger: Ledger,
        arguments: t.Sequence[str],
        expected: t.Sequence[Entry],
        grub: Loader,
    ) -> tuple[_owned.FileChange, ...]:
        """The configuration on the root file system first, which is compared before it counts: the partitions get
        theirs from the same files."""
        before = grub.entries()
        blocks = recorded_blocks(ledger)
        was = next((block for entry in before if (block := present_block(entry.args, blocks))), [])
        changes: tuple[_owned.FileChange, ...] = ()
        try:
            changes = grub.write(run, ledger, arguments, expected)
            self._refresh(run, expected)
        except BaseException:
            if changes:
                with contextlib.suppress(PassthroughError):
                    grub.write(run, ledger, was, before)
            # A hook of Proxmox's in grub-mkconfig refreshes the partitions by itself, before we have compared.
            self._refresh_as_before(run)
            raise
        return changes

    def _refresh(self, run: Runner, expected: t.Sequence[Entry]) -> None:
        run_checked(run, [TOOL, "refresh"], "Copying the boot configuration to the EFI system partitions")
        present = [uuid for uuid in _partitions(self._root) if self._root.exists(f"{_BY_UUID}/{uuid}")]
        if not present:
            raise ToolError(
                f"none of the EFI system partitions in {PARTITIONS} exists (looked for in {_BY_UUID}): "
                "nothing could be proven. Repair with 'proxmox-boot-tool clean' and 'proxmox-boot-tool init'"
            )
        for uuid in present:
            self._prove(run, uuid, expected)

    def _refresh_as_before(self, run: Runner) -> None:
        """What was reported first is what the operator needs to see, so a second failure is not."""
        with contextlib.suppress(PassthroughError):
            run_checked(run, [TOOL, "refresh"], "Copying the boot configuration of before back")

    def _prove(self, run: Runner, uuid: str, expected: t.Sequence[Entry]) -> None:
        """Every entry on the partition has the line that its kernel shall have."""
        directory = tempfile.mkdtemp(prefix="virtfleet-esp-")
        try:
            options = "ro,nosuid,nodev,noexec"
            argv = ["/usr/bin/mount", "-t", "vfat", "-o", options, f"{_BY_UUID}/{uuid}", directory]
            run_checked(run, argv, f"Looking at the EFI system partition {uuid}")
            try:
                found = _entries_on(directory)
            finally:
                run_checked(run, ["/usr/bin/umount", directory], f"Leaving the EFI system partition {uuid}")
        finally:
            os.rmdir(directory)
        _compare(uuid, found, expected)


def _names_root(line: t.Iterable[str]) -> bool:
    return any("root=" in token for token in line)


def _entries_on(directory: str) -> list[tuple[str, tuple[str, ...]]]:
    """Kernel and arguments of every entry for normal use on a mounted partition."""
    partition = Root(directory)
    found = []
    for name in filter(is_entry_file, partition.listdir(ENTRIES)):
        source = BlsEntry(name, partition.read_bytes(f"{ENTRIES}/{name}") or b"")
        found.append((source.version or source.identifier, tuple(source.options)))
    menu = parse_menu(partition.read_text("grub/grub.cfg") or "", {})
    found += [(entry.kernel, entry.args) for entry in to_entries(menu) if entry.takes_arguments]
    return found


def _compare(uuid: str, found: t.Sequence[tuple[str, tuple[str, ...]]], expected: t.Sequence[Entry]) -> None:
    wanted = {entry.kernel: entry.args for entry in expected if entry.takes_arguments}
    if not found:
        raise ToolError(f"{NAME} ended well and left no boot entry on the EFI system partition {uuid}")
    for kernel, args in found:
        if kernel in wanted and args != wanted[kernel]:
            raise ToolError(
                f"{NAME} ended well, but on the EFI system partition {uuid} the entry of {kernel} has other arguments. "
                f"Expected: {' '.join(wanted[kernel])}. Found: {' '.join(args)}."
            )
    chosen = next((entry.kernel for entry in expected if entry.default), None)
    if chosen not in {kernel for kernel, _args in found}:
        raise ToolError(f"{NAME} ended well and left no entry of {chosen}, which boots next, on the partition {uuid}")


def _partitions(root: Root) -> list[str]:
    lines = (root.read_text(PARTITIONS) or "").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _kernels(root: Root) -> list[str]:
    """Releases in ``/boot`` with their initramfs, newest first; the tool skips a kernel without one, and takes those
    of others only where it is told to, or while they run."""
    told = {running_release(root), *(root.read_text(_MANUAL) or "").split(), *map(root.read_word, _PINS)}
    names = root.listdir("/boot")
    releases = [name[len(_KERNEL) :] for name in names if name.startswith(_KERNEL)]
    complete = [
        release
        for release in releases
        if f"initrd.img-{release}" in names and (release.endswith(_OWN_KERNEL) or release in told)
    ]
    return sorted(complete, key=functools.cmp_to_key(compare_versions), reverse=True)


def detect(root: Root, looked_for: list[str]) -> ProxmoxBootToolLoader | Unsupported | None:
    """A list of partitions that the tool keeps, and kernels to put there."""
    if not _partitions(root):
        looked_for.append(f"{NAME}: no partition in {PARTITIONS}")
        return None
    started = read_started(root)
    by_grub = started.by(GRUB) or (not started.programs and not root.exists(CMDLINE))
    by_menu = grub.detect(root, looked_for) if by_grub else None
    if isinstance(by_menu, Unsupported):
        return by_menu
    if by_grub and by_menu is None:
        looked_for.append(f"{NAME}: GRUB starts this machine, but its configuration is not there")
        return None
    loader = ProxmoxBootToolLoader(root, by_menu)
    if not loader.entries():
        looked_for.append(f"{NAME}: no kernel with an initramfs in /boot")
        return None
    return loader
