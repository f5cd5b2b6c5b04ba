# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The menu that ``grub-mkconfig`` generates, wherever a distribution keeps it: read it, generate it anew.

Upstream and Arch say ``grub-mkconfig`` and ``/boot/grub``; SUSE, Fedora and Enterprise Linux ``grub2-mkconfig``
and ``/boot/grub2``. What the arguments are taken from differs, and is in the loaders.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_files import (
    read_menu,
    refuse_another_default,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    GrubMenu,
    parse_environment,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.limits import refuse_init_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.read_back import Generation
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    first_existing,
    remove,
    switch_boot_file,
    sync_boot_filesystem,
)

DEFAULTS = "/etc/default/grub"
DIRECTORIES = ("/boot/grub", "/boot/grub2")
# Where both names are installed, each is the tool of the directory of the same index.
TOOLS = (
    ("/usr/sbin/grub-mkconfig", "/usr/bin/grub-mkconfig"),
    ("/usr/sbin/grub2-mkconfig", "/usr/bin/grub2-mkconfig"),
)
_GENERATED = "### BEGIN /etc/grub.d/"


class GeneratedMenu:
    """``grub.cfg`` in one of :data:`DIRECTORIES`."""

    def __init__(self, root: Root, directory: str) -> None:
        self._root = root
        self.configuration = f"{directory}/grub.cfg"
        self.environment_path = f"{directory}/grubenv"
        self._tools = TOOLS[DIRECTORIES.index(directory)]
        self._text = root.read_text(self.configuration) or ""

    @property
    def tool(self) -> str:
        """Where the generator is; its first usual place when it is not installed."""
        return first_existing(self._root, self._tools) or self._tools[0]

    @property
    def is_generated(self) -> bool:
        """Whether a generator made it; what a person wrote by hand is not replaced."""
        return _GENERATED in self._text or self._root.exists(DEFAULTS)

    @property
    def uses_boot_loader_spec(self) -> bool:
        return self._menu().uses_boot_loader_spec

    @property
    def outside_block(self) -> str | None:
        """Where GRUB keeps its variables besides ``grubenv``: sectors of a file system whose files it cannot write
        (``env_block`` in 00_header.in, since GRUB 2.14). ``None`` where that is nowhere."""
        environment = parse_environment(self._root.read_text(self.environment_path) or "")
        return environment.get("env_block") if "env_block" in self._text else None

    def entries(self) -> tuple[Entry, ...]:
        return to_entries(self._menu())

    def _menu(self) -> GrubMenu:
        return self._parse(self._text)

    def _parse(self, text: str) -> GrubMenu:
        return read_menu(self._root, self.configuration, self.environment_path, text=text)

    def refuse_arguments(self) -> None:
        """Where nothing of ours can be added behind everything else, or what boots next would not have it."""
        refuse_another_default(self._menu())
        refuse_init_arguments(self.entries(), DEFAULTS)

    def generate(self, run: Runner, expected: t.Sequence[Entry], by_hand: str | None = None) -> None:
        """Make the menu anew beside the old one, check that it holds ``expected``, and put it into its place.

        ``by_hand`` is the command with which people do it. On any failure the old menu stays.
        """
        by_hand = by_hand or f"{os.path.basename(self.tool)} -o {self.configuration}"
        if not self._root.exists(self.tool):
            raise HostStateError(f"{self.tool} is not installed: no menu can be generated, and nothing was changed")
        # The name may be a link into another file system, and GRUB reads what it leads to.
        configuration = os.path.realpath(self._root.path(self.configuration))
        generated = f"{configuration}.virtfleet-passthrough"
        try:
            run_checked(run, [self.tool, "-o", generated], "Generating the GRUB configuration")
            self._generation(by_hand).check(to_entries(self._parse(_read(generated))), expected)
            switch_boot_file(generated, configuration)
        finally:
            remove(generated)
            remove(f"{generated}.new")
        sync_boot_filesystem(self._root.path("/boot"))

    def _generation(self, by_hand: str) -> Generation:
        return Generation(
            tool=os.path.basename(self.tool),
            kept=f"{self.configuration} stays as it was.",
            by_hand=by_hand,
            when_missing=f"If that kernel was removed, run {by_hand} by hand once.",
            sources=f"{DEFAULTS} or a file in {DEFAULTS}.d",
        )


def find_generated_menu(root: Root, looked_for: list[str]) -> GeneratedMenu | None:
    """The menu of a generator, or ``None`` after adding why there is none."""
    what = "GRUB with grub-mkconfig"
    directory = next((path for path in DIRECTORIES if root.exists(f"{path}/grub.cfg")), None)
    if directory is None:
        looked_for.append(f"{what}: no {' and no '.join(f'{path}/grub.cfg' for path in DIRECTORIES)}")
        return None
    menu = GeneratedMenu(root, directory)
    if not menu.is_generated:
        looked_for.append(f"{what}: {menu.configuration} was not made by a generator and there is no {DEFAULTS}")
        return None
    if menu.uses_boot_loader_spec:
        looked_for.append(f"{what}: {menu.configuration} reads boot loader specification entries (blscfg)")
        return None
    if not menu.entries():
        looked_for.append(f"{what}: {menu.configuration} cannot be read or has no entry of a Linux kernel")
        return None
    return menu


def reads_drop_ins(root: Root, menu: GeneratedMenu) -> bool:
    """Whether the generator reads ``/etc/default/grub.d``, which is Debian's addition: its text says so.

    Where the tool was not captured together with the configuration, the directory is the sign.
    """
    script = root.read_bytes(menu.tool) or b""
    return b"default/grub.d" in script if script else root.exists(f"{DEFAULTS}.d")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
