# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A trial with GRUB: an entry of its own in ``custom.cfg``, chosen for one boot by ``next_entry``.

The same for menus that ``grub-mkconfig`` generates and for Boot Loader Specification entries: an entry file beside
the others would be a kernel to every tool of the distribution. The default entry, and the file that it stands in,
are only read.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import grub_entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.grub_environment import (
    NEXT_ENTRY,
    Environment,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME, Base, TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_bls import menu_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    INITRD_COMMANDS,
    LINUX_COMMANDS,
    GrubMenu,
    MenuEntry,
    default_entry,
    parse_environment,
    parse_menu,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_script import plain
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    first_existing,
    sync_boot_filesystem,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

_BOOT = "/boot"
_CUSTOM = "custom.cfg"
_CHECKERS = ("/usr/bin/grub-script-check", "/usr/bin/grub2-script-check")
_SOURCED = re.compile(r"(?m)^\s*source\s+\S*/custom\.cfg\s*$")


class GrubTrial(TrialLoader):
    """See :class:`TrialLoader`; ``configuration`` and ``environment`` are paths as the host sees them, ``entries`` the
    Boot Loader Specification entries that ``blscfg`` lists."""

    not_covered = ()
    entry_name = ENTRY_NAME

    def __init__(
        self, root: Root, name: str, configuration: str, environment: str, entries: t.Sequence[BlsEntry] = ()
    ) -> None:
        self._root = root
        self.name = name
        self._configuration = configuration
        self._custom = f"{os.path.dirname(configuration)}/{_CUSTOM}"
        self._text = root.read_text(configuration) or ""
        self._environment_path = environment
        self._environment = Environment(root, environment, self._text)
        self._files = entries

    def obstacle(self, run: Runner) -> str | None:
        if _SOURCED.search(self._text) is None:
            return f"{self._configuration} does not read {self._custom}, as /etc/grub.d/41_custom makes it"
        if not self._root.exists(self._environment_path):
            return f"there is no {self._environment_path}: make one with 'grub-editenv {self._environment_path} create'"
        if self._menu().variables.get("timeout") == "-1":
            return f"GRUB waits at its menu for ever ({self._configuration} sets timeout=-1): nothing boots by itself"
        return self._environment.obstacle(run)

    def _menu(self) -> GrubMenu:
        variables = parse_environment(self._root.read_text(self._environment_path) or "")
        # What is chosen for one boot is not the default.
        variables.pop(NEXT_ENTRY, None)
        if not self._files:
            return parse_menu(self._text, variables)
        known = parse_menu(self._text, variables).variables
        listed = [
            dataclasses.replace(entry, body=self._body(entry, known)) for entry in menu_entries(self._files, known)
        ]
        return parse_menu(self._text, variables, listed)

    def _body(self, entry: MenuEntry, variables: t.Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        file = next(file for file in self._files if file.stem in entry.names)
        return grub_entry.blscfg_body(file, entry.args, variables)

    def _default(self) -> tuple[MenuEntry, Entry]:
        menu = self._menu()
        source = default_entry(menu)
        entry = next((entry for entry in to_entries(menu) if entry.default), None)
        if source is None or entry is None:
            raise HostStateError(
                f"{self._configuration} has no entry that boots a Linux kernel, or its default is another system"
            )
        if not entry.takes_arguments:
            raise HostStateError(
                f"what boots next is '{entry.title}', which is for recovery or was not made for this system's kernels: "
                "make another entry the default"
            )
        if source.kernel_path is None or not source.body:
            raise HostStateError(f"the commands of the entry '{entry.title}' are not in {self._configuration}")
        if sum(plain(words[0]) in LINUX_COMMANDS for words in source.body) > 1:
            raise HostStateError(
                f"the entry '{entry.title}' tries several ways to boot, as with GRUB_FORCE_PARTUUID of Ubuntu's cloud "
                "images, whose first has no initramfs: take that out of /etc/default/grub.d and run update-grub"
            )
        # An entry file names its files without the disk, the commands made of it with it.
        paths = [grub_entry.last_path(source.body, names) for names in (LINUX_COMMANDS, INITRD_COMMANDS)]
        return dataclasses.replace(source, kernel_path=paths[0], initrd=paths[1]), entry

    def base(self) -> Base:
        source, entry = self._default()
        kernel = self._on_host(source.kernel_path or "")
        initrd = None if source.initrd is None else self._on_host(source.initrd)
        for path in filter(None, (kernel, initrd)):
            if not self._root.exists(path):
                raise HostStateError(f"the entry '{entry.title}' loads {path}, which is not there")
        return Base(entry, kernel, initrd, _BOOT)

    def _on_host(self, path: str) -> str:
        """GRUB names files from the root of their file system, or of a Btrfs volume; all of them are in ``/boot``."""
        return f"{_BOOT}/{posixpath.basename(path)}"

    def images_of(self, kernel: str) -> tuple[str, ...]:
        named = (
            self._on_host(entry.initrd)
            for entry in to_entries(self._menu())
            if entry.kernel == kernel and entry.takes_arguments and entry.initrd
        )
        return tuple(dict.fromkeys(named))[:1]

    def render(self, line: t.Sequence[str], image: str | None, title: str) -> OwnedFile:
        source, _entry = self._default()
        fallback = grub_entry.fallback_number(self._menu(), source)
        if fallback is None:
            raise HostStateError(
                f"{self._configuration} has no entry at the top of its menu to fall back to when the trial cannot be "
                "loaded"
            )
        name = None if image is None else posixpath.basename(image)
        # A trial that fails says nothing against the entry that boots after it.
        good = self._environment.called_good()
        text = grub_entry.render(source, fallback, line, name, title, success=good)
        return OwnedFile(self._custom, text.encode(), 0o600)

    def check(self, run: Runner, file: OwnedFile) -> None:
        tool = first_existing(self._root, _CHECKERS)
        if tool is not None:
            run_checked(run, [tool, self._root.path(file.path)], f"{file.path} is not what GRUB understands")

    def one_shot(self) -> str | None:
        return self._environment.next_entry()

    def set_one_shot(self, run: Runner) -> None:
        self._environment.choose(run, self.entry_name)
        self.sync()

    def clear_one_shot(self, run: Runner) -> None:
        if self.one_shot() in (self.entry_name, None):
            self._environment.clear(run)

    def sync(self) -> None:
        sync_boot_filesystem(self._root.path(_BOOT))
