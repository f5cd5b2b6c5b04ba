# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The text of GRUB's entry on trial: the default entry's own commands with another line and another image. Pure."""

from __future__ import annotations

import posixpath
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.grub_environment import BOOT_SUCCESS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_bls import expand
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    INITRD_COMMANDS,
    LINUX_COMMANDS,
    GrubMenu,
    MenuEntry,
    parse_menu,
    requote,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_script import plain
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError

_HEAD = "# Written by virtfleet.passthrough (module boot_trial); gone when the trial is committed or rolled back.\n"
_SAFE = re.compile(r"[A-Za-z0-9_.,:=@%+/\-]+")
# Somebody who chooses the trial in the menu would make it the default for good (GRUB_SAVEDEFAULT).
_REMEMBERING = ("savedefault",)
# The part of the menu before the entries has taken the mark away, for this boot to earn it.
_CALLED_GOOD = (["set", f"{BOOT_SUCCESS}=1"], ["save_env", BOOT_SUCCESS])
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


def render(
    base: MenuEntry, fallback: str, line: t.Sequence[str], image: str | None, title: str, *, success: bool = False
) -> str:
    """A ``custom.cfg`` with one entry. ``image`` is a file's name beside the initramfs of ``base``, ``None`` for that
    one itself; ``fallback`` the number of the entry to start where a file of this one cannot be loaded. ``success``
    lets the boot after this one find the last one called good.

    Raises :class:`HostStateError` where the text does not read back as meant.
    """
    body = [_command(words, line, image) for words in base.body if plain(words[0]) not in _REMEMBERING]
    commands = [*(_CALLED_GOOD if success else ()), *body]
    text = (
        f"{_HEAD}set fallback={_word(fallback)}\n"
        f"menuentry {_word(title)} --unrestricted --id {_word(ENTRY_NAME)} {{\n"
        + "".join(f"\t{' '.join(words)}\n" for words in commands)
        + "}\n"
    )
    _check(text, base, line, image)
    return text


def _command(words: t.Sequence[str], line: t.Sequence[str], image: str | None) -> list[str]:
    command = plain(words[0])
    if command in LINUX_COMMANDS and len(words) > 1:
        # What stays is kept as its author quoted it.
        known = {requote(plain(word)): word for word in words[2:]}
        return [words[0], words[1], *(known.get(token) or _word(token) for token in line)]
    if command in INITRD_COMMANDS and image is not None and len(words) > 1:
        return [*words[:-1], _word(_beside(plain(words[-1]), image))]
    return list(words)


def _beside(path: str, name: str) -> str:
    return posixpath.join(posixpath.dirname(path), name)


def _word(token: str) -> str:
    if _VARIABLE.fullmatch(token):
        return token
    # GRUB itself puts the quotes around a word with blanks (grub-core/lib/cmdline.c).
    inner = token[1:-1] if len(token) > 1 and requote(token[1:-1]) == token else token
    return inner if _SAFE.fullmatch(inner) else "'" + inner.replace("'", "'\\''") + "'"


def _check(text: str, base: MenuEntry, line: t.Sequence[str], image: str | None) -> None:
    found = parse_menu(text, {}).entries
    initrd = base.initrd if image is None or base.initrd is None else _beside(base.initrd, image)
    if len(found) != 1 or (found[0].kernel_path, found[0].args, found[0].initrd) != (
        base.kernel_path,
        tuple(line),
        initrd,
    ):
        raise HostStateError(
            f"the entry '{base.title}' of GRUB cannot be given another line without changing its meaning: "
            f"{' '.join(line)}. Nothing was changed"
        )


def last_path(body: t.Iterable[t.Sequence[str]], names: t.Collection[str]) -> str | None:
    """The file that the last command of ``names`` loads: the kernel, or the last of several initramfs files."""
    found = None
    for words in body:
        command, *paths = (plain(word) for word in words)
        if command in names and paths:
            found = paths[-1] if names is INITRD_COMMANDS else paths[0]
    return found


def fallback_number(menu: GrubMenu, base: MenuEntry) -> str | None:
    """The number at the top of the menu of ``base``, or of the first entry that boots this system: GRUB reads
    ``fallback`` as a number, and not into submenus. ``None`` where there is no such entry."""
    usable = [base, *(entry for entry in menu.entries if entry.kernel_path and entry.managed and not entry.rescue)]
    return next((name for entry in usable for name in sorted(entry.names) if name.isdigit()), None)


def blscfg_body(entry: BlsEntry, args: t.Sequence[str], variables: t.Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The commands that ``blscfg`` makes of an entry file (create_entry in grub-core/commands/blscfg.c); ``args`` is
    its line with variables replaced."""
    images = [f"($root){path}" for value in entry.all("initrd") for path in expand(value, variables).split()]
    tree = entry.first("devicetree")
    return (
        ("load_video",),
        ("set", "gfxpayload=keep"),
        ("insmod", "gzio"),
        ("linux", f"($root){entry.linux}", *(_word(token) for token in args)),
        *([("initrd", *images)] if images else []),
        *([("devicetree", f"($root){tree}")] if tree else []),
    )
