# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading what ``grub-mkconfig`` generates: menu entries, their kernels, which one boots next. Pure."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry

_LINUX_COMMANDS = frozenset({"linux", "linuxefi", "linux16"})
_INITRD_COMMANDS = frozenset({"initrd", "initrdefi", "initrd16"})

# How 10_linux marks the entries that it makes for recovery, on Debian (single) and Ubuntu (recovery).
RESCUE_ARGUMENTS = frozenset({"single", "recovery", "rescue", "systemd.unit=rescue.target"})

# grub-mkconfig names the generator of every part; those that make entries for this system's Linux kernels.
_PART = re.compile(r"### (BEGIN|END) (\S+) ###")
_LINUX_GENERATORS = re.compile(r"\d+_linux(_zfs)?")

ENVIRONMENT_HEADER = "# GRUB Environment Block"


@dataclasses.dataclass(frozen=True)
class MenuEntry:
    """An entry with every way GRUB can name it: ids, titles and positions joined by ``>`` through submenus."""

    names: frozenset[str]
    title: str
    kernel_path: str | None
    args: tuple[str, ...]
    initrd: str | None
    managed: bool


@dataclasses.dataclass(frozen=True)
class GrubMenu:
    entries: tuple[MenuEntry, ...]
    default: str
    uses_boot_loader_spec: bool


def parse_environment(text: str) -> dict[str, str]:
    """The variables of a GRUB environment block (``grubenv``)."""
    lines = text.splitlines()
    if not lines or lines[0] != ENVIRONMENT_HEADER:
        return {}
    return dict(line.split("=", 1) for line in lines[1:] if "=" in line and not line.startswith("#"))


def parse_menu(text: str) -> GrubMenu:
    """Menu entries in order, submenus included. Text outside of entries is only looked at for ``default``."""
    return _MenuParser().parse(text)


class _MenuParser:
    def __init__(self) -> None:
        self._entries: list[MenuEntry] = []
        self._default = "0"
        self._blscfg = False
        # One frame per open menu: the names of the submenu (empty for the top) and the next position in it.
        self._menus: list[tuple[frozenset[str], int]] = [(frozenset(), 0)]
        # What each open brace belongs to.
        self._braces: list[str] = []
        self._entry: dict[str, t.Any] | None = None
        # The generator of the part that we are in; None where the file names none.
        self._generator: str | None = None

    def parse(self, text: str) -> GrubMenu:
        for line in text.splitlines():
            part = _PART.fullmatch(line.strip())
            if part is not None:
                self._generator = os.path.basename(part.group(2)) if part.group(1) == "BEGIN" else ""
            words = _words(line)
            if words:
                self._take(words)
        return GrubMenu(tuple(self._entries), self._default, self._blscfg)

    def _take(self, words: list[str]) -> None:
        command = words[0]
        if command in ("menuentry", "submenu") and words[-1] == "{":
            self._open(command, words)
        elif command == "}":
            self._close()
        elif words[-1] == "{":
            self._braces.append("block")
        elif self._entry is not None:
            self._entry_command(command, words)
        elif command == "set" and len(words) > 1 and words[1].startswith("default="):
            self._take_default(words[1].partition("=")[2])
        elif command == "blscfg":
            self._blscfg = True

    def _take_default(self, default: str) -> None:
        # 00_header first tries next_entry, which the environment block answers for; the rest is GRUB_DEFAULT.
        if default != "${next_entry}":
            self._default = default

    def _open(self, command: str, words: list[str]) -> None:
        parents, position = self._menus[-1]
        self._menus[-1] = (parents, position + 1)
        own = {words[1], str(position), *_ids(words)}
        names = frozenset(f"{parent}>{name}" for parent in parents for name in own) if parents else frozenset(own)
        self._braces.append(command)
        if command == "submenu":
            self._menus.append((names, 0))
        else:
            self._entry = {"names": names, "title": words[1], "kernel": None, "args": (), "initrd": None}

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
                )
            )
            self._entry = None

    def _entry_command(self, command: str, words: list[str]) -> None:
        if self._entry is None:
            return
        if command in _LINUX_COMMANDS and len(words) > 1:
            self._entry["kernel"] = words[1]
            self._entry["args"] = tuple(_requote(word) for word in words[2:])
        elif command in _INITRD_COMMANDS and len(words) > 1:
            self._entry["initrd"] = words[-1]


def _words(line: str) -> list[str]:
    """GRUB's quoting follows the shell's (manual, 6.2 "Writing full configuration files directly")."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def _requote(word: str) -> str:
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


def to_entries(menu: GrubMenu, environment: t.Mapping[str, str]) -> tuple[Entry, ...]:
    """Linux entries with the one marked that boots next: ``next_entry``, else the default, else the first."""
    wanted = environment.get("next_entry") or menu.default
    if wanted == "${saved_entry}":
        wanted = environment.get("saved_entry") or "0"
    linux = [entry for entry in menu.entries if entry.kernel_path]
    chosen = next((entry for entry in linux if wanted in entry.names), None)
    if chosen is None:
        # A submenu as the default boots its own first entry.
        chosen = next((entry for entry in linux if f"{wanted}>0" in entry.names), linux[0] if linux else None)
    return tuple(
        Entry(
            kernel=kernel_release(entry.kernel_path or ""),
            title=entry.title,
            args=entry.args,
            default=entry is chosen,
            rescue=bool(RESCUE_ARGUMENTS.intersection(entry.args)),
            managed=entry.managed,
            initrd=entry.initrd,
        )
        for entry in linux
    )
