# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading what ``grub-mkconfig`` generates: menu entries, their kernels, which one boots next. Pure."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_script import (
    Interpreter,
    commands,
    plain,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry

LINUX_COMMANDS = frozenset({"linux", "linuxefi", "linux16"})
INITRD_COMMANDS = frozenset({"initrd", "initrdefi", "initrd16"})

# How 10_linux marks the entries that it makes for recovery, on Debian (single) and Ubuntu (recovery).
RESCUE_ARGUMENTS = frozenset({"single", "recovery", "rescue", "systemd.unit=rescue.target"})

# grub-mkconfig names the generator of every part; those that make entries for this system's Linux kernels.
_PART = re.compile(r"(?m)^[ \t]*### (BEGIN|END) (\S+) ###[ \t\r]*$")
# Set by SUSE's menus of snapshots only; nothing in an entry that is booted as it stands.
_EMPTY_VARIABLES = frozenset({"${extra_cmdline}"})
_LINUX_GENERATORS = re.compile(r"\d+_linux(_zfs)?")

ENVIRONMENT_HEADER = "# GRUB Environment Block"


@dataclasses.dataclass(frozen=True)
class MenuEntry:
    """An entry with every way GRUB can name it: ids, titles and positions joined by ``>`` through submenus.

    ``body`` are its commands as words with their quotes; empty for an entry that the command ``blscfg`` makes.
    """

    names: frozenset[str]
    title: str
    kernel_path: str | None
    args: tuple[str, ...]
    initrd: str | None
    managed: bool
    rescue: bool = False
    body: tuple[tuple[str, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class GrubMenu:
    """``default`` names what boots next; ``variables`` are those of the environment block and of the file."""

    entries: tuple[MenuEntry, ...]
    default: str
    uses_boot_loader_spec: bool
    variables: t.Mapping[str, str]


def parse_environment(text: str) -> dict[str, str]:
    """The variables of a GRUB environment block (``grubenv``)."""
    lines = text.splitlines()
    if not lines or lines[0] != ENVIRONMENT_HEADER:
        return {}
    return dict(line.split("=", 1) for line in lines[1:] if "=" in line and not line.startswith("#"))


def parse_menu(text: str, environment: t.Mapping[str, str], listed: t.Sequence[MenuEntry] = ()) -> GrubMenu:
    """Menu entries in order, submenus included. ``listed`` are those that the command ``blscfg`` finds."""
    return _MenuParser(environment, listed).parse(text)


class _MenuParser:
    def __init__(self, environment: t.Mapping[str, str], listed: t.Sequence[MenuEntry]) -> None:
        self._script = Interpreter(environment)
        self._listed = listed
        self._entries: list[MenuEntry] = []
        self._blscfg = False
        # One frame per open menu: the names of the submenu (empty for the top) and the next position in it.
        self._menus: list[tuple[frozenset[str], int]] = [(frozenset(), 0)]
        # What each open brace belongs to.
        self._braces: list[str] = []
        self._entry: dict[str, t.Any] | None = None
        # The generator of the part that we are in; None where the file names none.
        self._generator: str | None = None

    def parse(self, text: str) -> GrubMenu:
        begin = 0
        for mark in _PART.finditer(text):
            self._take_section(text[begin : mark.start()])
            self._generator = os.path.basename(mark.group(2)) if mark.group(1) == "BEGIN" else ""
            begin = mark.end()
        self._take_section(text[begin:])
        variables = self._script.variables
        return GrubMenu(tuple(self._entries), variables.get("default", "0"), self._blscfg, variables)

    def _take_section(self, text: str) -> None:
        for words in commands(text):
            self._take(words)

    def _take(self, words: list[str]) -> None:
        if words == ["}"]:
            self._close()
        elif self._entry is not None or "block" in self._braces:
            # Bodies of functions run when something calls them, and what an entry tests is only known at boot.
            self._inside(words)
        else:
            carried_out = self._script.take(words)
            if carried_out:
                self._at_the_top(carried_out)
            elif words[-1] == "{":
                self._braces.append("block")

    def _inside(self, words: list[str]) -> None:
        if self._entry is not None:
            self._entry["body"].append(tuple(words))
        if words[-1] == "{":
            self._braces.append("block")
        elif self._entry is not None:
            self._entry_command(words)

    def _at_the_top(self, words: list[str]) -> None:
        if words[0] in ("menuentry", "submenu") and words[-1] == "{":
            self._open(words[0], [plain(word) for word in words])
        elif words[-1] == "{":
            self._braces.append("block")
        elif words[0] == "blscfg":
            self._blscfg = True
            for entry in self._listed:
                own = entry.names | {self._next_position()}
                self._entries.append(dataclasses.replace(entry, names=own))

    def _next_position(self) -> str:
        parents, position = self._menus[-1]
        self._menus[-1] = (parents, position + 1)
        return str(position)

    def _open(self, command: str, words: list[str]) -> None:
        parents = self._menus[-1][0]
        own = {words[1], self._next_position(), *_ids(words)}
        names = frozenset(f"{parent}>{name}" for parent in parents for name in own) if parents else frozenset(own)
        self._braces.append(command)
        if command == "submenu":
            self._menus.append((names, 0))
        else:
            self._entry = {"names": names, "title": words[1], "kernel": None, "args": (), "initrd": None, "body": []}

    def _close(self) -> None:
        closed = self._braces.pop() if self._braces else "block"
        if closed == "submenu":
            self._menus.pop()
        elif closed == "menuentry" and self._entry is not None:
            entry = self._entry
            self._entries.append(
                MenuEntry(
                    entry["names"],
                    entry["title"],
                    entry["kernel"],
                    entry["args"],
                    entry["initrd"],
                    managed=self._generator is None or _LINUX_GENERATORS.fullmatch(self._generator) is not None,
                    rescue=bool(RESCUE_ARGUMENTS.intersection(entry["args"])),
                    body=tuple(entry["body"]),
                )
            )
            self._entry = None
        elif self._entry is not None:
            self._entry["body"].append(("}",))

    def _entry_command(self, words: list[str]) -> None:
        if self._entry is None:
            return
        command, *values = (plain(word) for word in words)
        if command in LINUX_COMMANDS and values:
            self._entry["kernel"] = values[0]
            self._entry["args"] = tuple(requote(value) for value in values[1:] if value not in _EMPTY_VARIABLES)
        elif command in INITRD_COMMANDS and values:
            self._entry["initrd"] = values[-1]


def requote(word: str) -> str:
    # GRUB hands a word with blanks to the kernel inside double quotes (grub-core/lib/cmdline.c).
    return f'"{word}"' if any(character.isspace() for character in word) else word


def _ids(words: list[str]) -> set[str]:
    markers = ("$menuentry_id_option", "--id")
    return {words[index + 1] for index, word in enumerate(words[:-1]) if word in markers}


def kernel_release(kernel_path: str) -> str:
    """``6.1.0-28-amd64`` of ``/boot/vmlinuz-6.1.0-28-amd64``; the file's name where it has no release."""
    name = os.path.basename(kernel_path)
    prefix, dash, release = name.partition("-")
    return release if dash and prefix in ("vmlinuz", "vmlinux", "bzImage", "kernel") else name


def default_entry(menu: GrubMenu) -> MenuEntry | None:
    """The Linux entry that boots next: the default, else the first; ``None`` where there is none."""
    linux = [entry for entry in menu.entries if entry.kernel_path]
    # A submenu as the default boots its own first entry.
    for name in (menu.default, f"{menu.default}>0"):
        chosen = next((entry for entry in linux if name in entry.names), None)
        if chosen is not None:
            return chosen
    return linux[0] if linux else None


def to_entries(menu: GrubMenu) -> tuple[Entry, ...]:
    """Linux entries with the one marked that boots next."""
    linux = [entry for entry in menu.entries if entry.kernel_path]
    chosen = default_entry(menu)
    return tuple(
        Entry(
            kernel=kernel_release(entry.kernel_path or ""),
            title=entry.title,
            args=entry.args,
            default=entry is chosen,
            rescue=entry.rescue,
            managed=entry.managed,
            initrd=entry.initrd,
        )
        for entry in linux
    )
