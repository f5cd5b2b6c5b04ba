# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB with Boot Loader Specification entries, on Fedora and Enterprise Linux 9 and 10.

``grubby`` could write the entries, and must not. What its ``update_args`` does (the script ``grubby-bls`` of
grubby 8.40, the same in Enterprise Linux 9, 10 and Fedora):

- ``--args`` takes away every argument of the same name first, so that somebody else's ``console=tty0`` goes when
  we add ``console=ttyS0``, and of ``hugepagesz=``/``hugepages=`` pairs only ours are left;
- ``--remove-args`` reads its words as regular expressions and without ``=`` takes all that have the name;
- the line is written by ``sed -i`` without sync, its blanks squeezed, ``$kernelopts`` replaced by its value;
- ``--update-kernel=ALL`` changes the rescue entry too, and writes two more files the same way.

So the entries are changed by us, one ``options`` line each, every other byte kept. They are written beside the
live ones first, and grubby, the distribution's own reader, is asked whether it sees in that directory what we
mean (``--bls-directory``, ``--info``). Only then are they renamed into place; on any failure the old ones return.

Kernels that come later get their line from ``/etc/kernel/cmdline``, where that file is missing from the running
line (``20-grub.install`` of grub2). ``grub2-mkconfig`` writes the entries and that file anew from
GRUB_CMDLINE_LINUX in ``/etc/default/grub``: always before Enterprise Linux 9.3, since then only with
``--update-bls-cmdline``. So our run stands in both files and in every entry, and whoever runs what keeps it. They
are written in this order, because ``20-grub.install`` runs ``grub2-mkconfig`` when ``/etc/kernel/cmdline`` is older
than ``/etc/default/grub``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import (
    present_block,
    recorded_blocks,
    without_block,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_bls import (
    is_rescue,
    kernel_arguments,
    menu_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_files import (
    read_menu,
    refuse_another_default,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    GrubMenu,
    MenuEntry,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.staged_entries import staged_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    kernel_part_length,
    replace_block,
    split,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

ENTRIES = "/boot/loader/entries"
CONFIGURATION = "/boot/grub2/grub.cfg"
ENVIRONMENT = "/boot/grub2/grubenv"
GRUBBY = ("/usr/sbin/grubby", "/usr/bin/grubby")
KERNEL_CMDLINE = "/etc/kernel/cmdline"
VENDOR_KERNEL_CMDLINE = "/usr/lib/kernel/cmdline"

_KEPT = "The boot entries stay as they were."


class GrubbyLoader(Loader):
    """See :class:`Loader`."""

    name = "grub-bls"

    def __init__(self, root: Root, configuration: str) -> None:
        self._root = root
        self.configuration: t.Final = configuration
        self._variables = _read_menu(root, configuration, []).variables

    def entries(self) -> tuple[Entry, ...]:
        return self._entries_of(read_entries(self._root))

    def _entries_of(self, files: t.Sequence[BlsEntry]) -> tuple[Entry, ...]:
        return to_entries(self._menu_of(files))

    def _menu_of(self, files: t.Sequence[BlsEntry]) -> GrubMenu:
        return _read_menu(self._root, self.configuration, menu_entries(files, self._variables))

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if arguments:
            refuse_another_default(self._menu_of(read_entries(self._root)))
        for entry in self._managed():
            _check_options(entry)
        return tuple(template.preview(self._root, ledger, arguments) for template in self._templates(ledger))

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        wanted = self._with_run(recorded_blocks(ledger), arguments)
        self._check(wanted, expected)
        changes: list[_owned.FileChange] = []
        with staged_entries(self._root, ENTRIES, wanted) as staged:
            self._ask_grubby(run, staged.directory, wanted)
            with contextlib.ExitStack() as undo:
                for template in self._templates(ledger):
                    changes.append(template.write(self._root, ledger, arguments))
                    undo.callback(template.restore, self._root, ledger, changes[-1])
                undo.callback(staged.put_back)
                staged.put_into_place()
                self._check(read_entries(self._root), expected)
                undo.pop_all()
        return tuple(changes)

    def _managed(self) -> list[BlsEntry]:
        return [entry for entry in read_entries(self._root) if _is_managed(entry)]

    def _with_run(self, blocks: t.Sequence[t.Sequence[str]], new: t.Sequence[str]) -> list[BlsEntry]:
        """All entries, the managed ones with our run."""
        return [_with_run(entry, blocks, new) if _is_managed(entry) else entry for entry in read_entries(self._root)]

    def _templates(self, ledger: Ledger) -> tuple[LineFile, ...]:
        kernel_cmdline = LineFile(KERNEL_CMDLINE, when_missing=self._line_of_new_kernels(ledger))
        if not self._root.exists("/etc/default/grub"):
            return (kernel_cmdline,)
        return (LineFile("/etc/default/grub", "GRUB_CMDLINE_LINUX"), kernel_cmdline)

    def _line_of_new_kernels(self, ledger: Ledger) -> tuple[str, ...]:
        """What others have on the line with which ``/etc/kernel/cmdline`` has to begin where it is missing: the
        vendor's file, else what boots next. TuneD adds its variable to each new entry by itself."""
        vendor = self._root.read_text(VENDOR_KERNEL_CMDLINE)
        if vendor is not None:
            return tuple(split(vendor))
        chosen = next((entry.kernel for entry in self.entries() if entry.default and entry.takes_arguments), None)
        variables = {name: value for name, value in self._variables.items() if not name.startswith("tuned_")}
        lines = [
            kernel_arguments(entry, variables)
            for entry in self._managed()
            if chosen is None or (entry.linux or "").endswith(chosen)
        ]
        return tuple(without_block(lines[0], recorded_blocks(ledger))) if lines else ()

    def _check(self, files: t.Sequence[BlsEntry], expected: t.Sequence[Entry]) -> None:
        """The kernels get what the writer expects, whatever variables the lines hold."""
        found = self._entries_of(files)
        for entry, meant in itertools.zip_longest(found, expected):
            if entry != meant:
                title = (entry or meant).title
                raise ToolError(
                    f"The boot entry '{title}' would give the kernel other arguments than expected. {_KEPT} "
                    f"Expected: {' '.join(meant.args) if meant else 'no such entry'}. "
                    f"Found: {' '.join(entry.args) if entry else 'no such entry'}."
                )

    def _ask_grubby(self, run: Runner, directory: str, wanted: t.Sequence[BlsEntry]) -> None:
        tool = first_existing(self._root, GRUBBY)
        if tool is None:
            raise HostStateError(f"{GRUBBY[0]} is not installed: install the package grubby. Nothing was changed")
        argv = [tool, f"--bls-directory={directory}", "--info=ALL"]
        seen = _parse_info(run_checked(run, argv, "Reading the new boot entries back", cwd="/").stdout)
        for entry in wanted:
            # grubby shows "root=" apart from the others, and $kernelopts by its value.
            kernelopts = {"kernelopts": self._variables.get("kernelopts", "$kernelopts")}
            meant = [token for token in _shown_by_grubby(entry, kernelopts) if not token.startswith("root=")]
            shown = [token for token in split(seen.get(entry.stem, "")) if not token.startswith("root=")]
            if entry.stem not in seen or shown != meant:
                raise ToolError(
                    f"grubby reads the new entry {entry.file_name} otherwise than it was written. {_KEPT} "
                    f"Written: {' '.join(meant)}. grubby's: {' '.join(shown) or 'no such entry'}."
                )


def detect(root: Root, looked_for: list[str]) -> GrubbyLoader | None:
    """GRUB with a configuration that reads entries, and entries that are not made by rpm-ostree."""
    what = "GRUB with boot loader specification entries"
    configuration = _find_configuration(root)
    if configuration is None:
        looked_for.append(f"{what}: neither {CONFIGURATION} nor a grub.cfg in /boot/efi/EFI has the command blscfg")
        return None
    entries = read_entries(root)
    if not entries:
        looked_for.append(f"{what}: {configuration} has the command blscfg and {ENTRIES} holds no entry")
        return None
    if any(token.startswith("ostree=") for entry in entries for token in entry.options):
        looked_for.append(f"{what}: the entries in {ENTRIES} belong to OSTree deployments")
        return None
    return GrubbyLoader(root, configuration)


def read_entries(root: Root) -> list[BlsEntry]:
    """The entry files, sorted by name."""
    found = ((name, root.read_bytes(f"{ENTRIES}/{name}")) for name in root.listdir(ENTRIES) if is_entry_file(name))
    return [BlsEntry(name, data) for name, data in found if data is not None]


def _find_configuration(root: Root) -> str | None:
    """Where GRUB's own file is: on EFI hosts that came from Enterprise Linux 8 it lies on the ESP."""
    vendors = root.listdir("/boot/efi/EFI")
    candidates = (CONFIGURATION, *(f"/boot/efi/EFI/{vendor}/grub.cfg" for vendor in vendors))
    return next((path for path in candidates if _read_menu(root, path, []).uses_boot_loader_spec), None)


def _read_menu(root: Root, configuration: str, listed: t.Sequence[MenuEntry]) -> GrubMenu:
    beside = f"{os.path.dirname(configuration)}/grubenv"
    return read_menu(root, configuration, beside if root.read_text(beside) else ENVIRONMENT, listed)


def _is_managed(entry: BlsEntry) -> bool:
    return entry.linux is not None and not is_rescue(entry)


def _check_options(entry: BlsEntry) -> None:
    if entry.option_lines != 1:
        raise RefusedError(
            f"{ENTRIES}/{entry.file_name} has {entry.option_lines} lines that begin with 'options', and GRUB reads "
            "exactly one: make it one line, or remove the entry if it is not needed"
        )


def _with_run(entry: BlsEntry, blocks: t.Sequence[t.Sequence[str]], new: t.Sequence[str]) -> BlsEntry:
    """The entry with our run where it was, else at the end of the kernel's part: behind what variables hold."""
    options = entry.options
    old = present_block(options, blocks)
    end = kernel_part_length(options)
    return entry.with_options(replace_block(options, old, new) if old else [*options[:end], *new, *options[end:]])


def _shown_by_grubby(entry: BlsEntry, variables: t.Mapping[str, str]) -> list[str]:
    """``$kernelopts`` is the one variable that grubby replaces, and blanks inside quotes it squeezes."""
    words = [variables["kernelopts"] if word == "$kernelopts" else word for word in entry.options]
    return split(" ".join(" ".join(words).split()))


def _parse_info(text: str) -> dict[str, str]:
    """Entry's id to its arguments, of ``grubby --info=ALL``: blocks of ``key=value``, most values in quotes."""
    lines: dict[str, str] = {}
    arguments = ""
    for line in text.splitlines():
        key, _equals, value = line.partition("=")
        if key == "args":
            arguments = value[1:-1]
        elif key == "id":
            lines[value[1:-1]] = arguments
    return lines
