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

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import running_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_script import (
    Interpreter,
    Reader,
    commands,
    fields,
    plain,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry

LINUX_COMMANDS = frozenset({"linux", "linuxefi", "linux16"})
INITRD_COMMANDS = frozenset({"initrd", "initrdefi", "initrd16"})

# How 10_linux marks the entries that it makes for recovery, on Debian (single) and Ubuntu (recovery).
RESCUE_ARGUMENTS = frozenset({"single", "recovery", "rescue", "systemd.unit=rescue.target"})
# How it names them, whatever GRUB_CMDLINE_LINUX_RECOVERY gives them.
_RECOVERY_ID = re.compile(r"gnulinux-.+-recovery(-.+)?")

# grub-mkconfig names the generator of every part; those that make entries for this system's Linux kernels.
_PART = re.compile(r"(?m)^[ \t]*### (BEGIN|END) (\S+) ###[ \t\r]*$")
# Set by SUSE's menus of snapshots only; nothing in an entry that is booted as it stands.
_EMPTY_VARIABLES = frozenset({"${extra_cmdline}"})
_LINUX_GENERATORS = re.compile(r"\d+_linux(_zfs)?")

ENVIRONMENT_HEADER = "# GRUB Environment Block"
_ESCAPED = re.compile(r"\\(.)")

# Options of menuentry and submenu that are followed by a value (grub-core/commands/menuentry.c); the variable holds
# "--id" where GRUB has it.
_ID_OPTIONS = frozenset({"$menuentry_id_option", "${menuentry_id_option}", "--id"})
_VALUE_OPTIONS = frozenset({"--class", "--users", "--hotkey", "--source"}) | _ID_OPTIONS
# A file that names itself is read no deeper than this.
_MAX_DEPTH = 8


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
    """The variables of a GRUB environment block (``grubenv``). A backslash in a value stands before the character
    that is meant (grub-core/lib/envblk.c)."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if lines[0] != ENVIRONMENT_HEADER:
        return {}
    pairs = (line.split("=", 1) for line in lines[1:] if "=" in line and not line.startswith("#"))
    return {name: _ESCAPED.sub(r"\1", value) for name, value in pairs}


def parse_menu(
    text: str,
    environment: t.Mapping[str, str],
    listed: t.Sequence[MenuEntry] = (),
    read: Reader | None = None,
) -> GrubMenu:
    """Menu entries in order, submenus included. ``listed`` are those that the command ``blscfg`` finds; ``read``
    gives the files that ``source`` names."""
    return _MenuParser(environment, listed, read).parse(text)


@dataclasses.dataclass
class _OpenEntry:
    """An entry whose end is still to come. ``loads`` is what its commands boot; where a condition that cannot be
    known here hides it, ``mentions`` is the last that it could boot."""

    names: frozenset[str]
    title: str
    recovery: bool
    script: Interpreter
    body: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    loads: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    mentions: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def take(self, words: list[str]) -> None:
        carried_out = self.script.take(words)
        if carried_out:
            self._note(self.loads, carried_out)
        self._note(self.mentions, [word for word in words if word not in ("then", "else")])

    def _note(self, found: dict[str, t.Any], words: t.Sequence[str]) -> None:
        command = plain(words[0]) if words else ""
        values = [word for raw in words[1:] for word in fields(raw, self.script.variables)]
        if command in LINUX_COMMANDS and values:
            found["kernel_path"] = values[0]
            found["args"] = tuple(requote(value) for value in values[1:] if value not in _EMPTY_VARIABLES)
        elif command in INITRD_COMMANDS and values:
            found["initrd"] = next((path for path in reversed(values) if not path.startswith("$")), None)

    def close(self, managed: bool) -> MenuEntry:
        found = self.loads if "kernel_path" in self.loads else self.mentions
        args = found.get("args", ())
        return MenuEntry(
            self.names,
            self.title,
            found.get("kernel_path"),
            args,
            found.get("initrd"),
            managed=managed,
            rescue=self.recovery or bool(RESCUE_ARGUMENTS.intersection(args)),
            body=tuple(self.body),
        )


class _MenuParser:
    def __init__(
        self, environment: t.Mapping[str, str], listed: t.Sequence[MenuEntry], read: Reader | None = None
    ) -> None:
        self._script = Interpreter(environment, read)
        self._depth = 0
        self._listed = listed
        self._entries: list[MenuEntry] = []
        self._blscfg = False
        # One frame per open menu: the names of the submenu (empty for the top) and the next position in it.
        self._menus: list[tuple[frozenset[str], int]] = [(frozenset(), 0)]
        # What each open brace belongs to.
        self._braces: list[str] = []
        self._entry: _OpenEntry | None = None
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
            self._entry.body.append(tuple(words))
        if words[-1] == "{":
            self._braces.append("block")
        elif self._entry is not None:
            self._entry.take(words)

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
        elif words[0] in ("source", ".") and len(words) > 1:
            self._source(words[1])

    def _source(self, word: str) -> None:
        text = self._script.source(word)
        if text is None or self._depth == _MAX_DEPTH:
            return
        self._depth += 1
        # What stands there no generator made.
        generator, self._generator = self._generator, ""
        for words in commands(text):
            self._take(words)
        self._generator = generator
        self._depth -= 1

    def _next_position(self) -> str:
        parents, position = self._menus[-1]
        self._menus[-1] = (parents, position + 1)
        return str(position)

    def _open(self, command: str, words: list[str]) -> None:
        parents = self._menus[-1][0]
        title, ids = _title_and_ids(words[1:-1])
        own = {title, self._next_position(), *ids}
        names = frozenset(f"{parent}>{name}" for parent in parents for name in own) if parents else frozenset(own)
        self._braces.append(command)
        if command == "submenu":
            self._menus.append((names, 0))
        else:
            recovery = any(_RECOVERY_ID.fullmatch(identifier) for identifier in ids)
            self._entry = _OpenEntry(names, title, recovery, self._script.copy())

    def _close(self) -> None:
        closed = self._braces.pop() if self._braces else "block"
        if closed == "submenu":
            self._menus.pop()
        elif closed == "menuentry" and self._entry is not None:
            managed = self._generator is None or _LINUX_GENERATORS.fullmatch(self._generator) is not None
            self._entries.append(self._entry.close(managed))
            self._entry = None
        elif self._entry is not None:
            self._entry.body.append(("}",))


def requote(word: str) -> str:
    # GRUB hands a word with blanks to the kernel inside double quotes (grub-core/lib/cmdline.c).
    return f'"{word}"' if any(character.isspace() for character in word) else word


def _title_and_ids(words: t.Sequence[str]) -> tuple[str, set[str]]:
    """The title is the first word that belongs to no option, wherever it stands."""
    titles: list[str] = []
    ids: set[str] = set()
    option = ""
    for word in words:
        if option:
            ids.update([word] if option in _ID_OPTIONS else [])
            option = ""
        elif word in _VALUE_OPTIONS:
            option = word
        elif word.startswith("--id="):
            ids.add(word.partition("=")[2])
        elif not word.startswith("--"):
            titles.append(word)
    return (titles or [""])[0], ids


def kernel_release(kernel_path: str) -> str:
    """``6.1.0-28-amd64`` of ``/boot/vmlinuz-6.1.0-28-amd64`` and, as kernel-install puts it, of
    ``/token/6.1.0-28-amd64/linux``; the file's name where it has no release."""
    name = os.path.basename(kernel_path)
    directory = os.path.basename(os.path.dirname(kernel_path))
    if name == "linux" and directory[:1].isdigit():
        return directory
    prefix, dash, release = name.partition("-")
    return release if dash and prefix in ("vmlinuz", "vmlinux", "bzImage", "kernel") else name


def default_entry(menu: GrubMenu) -> MenuEntry | None:
    """The entry that boots next, which may be no Linux; ``None`` of an empty menu.

    A submenu as the default boots its own first entry, as it does where what is named in it is gone. Where nothing is
    found the first entry of all boots (get_entry_number and run_menu in grub-core/normal/menu.c).
    """
    name = menu.default
    while name:
        inside = f"{name}>"
        for entry in menu.entries:
            if name in entry.names or any(known.startswith(inside) for known in entry.names):
                return entry
        name = name.rpartition(">")[0]
    return next(iter(menu.entries), None)


def to_entries(menu: GrubMenu) -> tuple[Entry, ...]:
    """Linux entries with the one marked that boots next; none is where something else does. The entry of a boot on
    trial is left out: it is nobody's to change, and gone soon."""
    linux = [entry for entry in menu.entries if entry.kernel_path and running_trial(entry.args) is None]
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
