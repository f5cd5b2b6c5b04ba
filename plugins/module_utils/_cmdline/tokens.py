# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The kernel command line as the kernel reads it: tokens, their keys, and blocks of them. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

# What a POSIX shell (GRUB's configuration), GRUB's own script language and the kernel all read as written.
_PLAIN_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=@%+/\-]+")

# Parameters that mean something several times: Documentation/admin-guide/kernel-parameters.txt, dracut.cmdline(7),
# kernel-command-line(7) of systemd. Names have "_" for "-" here.
_REPEATABLE = re.compile(
    r"console|earlycon|video|hugepages|hugepagesz|memmap|pci|dyndbg|initcall_blacklist|modprobe\.blacklist"
    r"|module_blacklist|ip|ifname|nameserver|bond|bridge|vlan|team|rd\..*|systemd\..*|udev\..*"
)


def split(line: str) -> list[str]:
    """Tokens as they stand, double quotes kept: blanks inside quotes do not separate (``next_arg`` in
    lib/cmdline.c)."""
    tokens: list[str] = []
    current = ""
    quoted = False
    for character in line:
        if character.isspace() and not quoted:
            if current:
                tokens.append(current)
            current = ""
            continue
        if character == '"':
            quoted = not quoted
        current += character
    if current:
        tokens.append(current)
    return tokens


def key(token: str) -> str:
    """The parameter's name with ``-`` read as ``_``, as kernel/params.c does."""
    return token.strip('"').partition("=")[0].replace("-", "_")


def check_argument(argument: str) -> str:
    """Give back a token that every layer on its way to the kernel reads as written; refuse others."""
    if not _PLAIN_ARGUMENT.fullmatch(argument):
        raise InputError(
            f"kernel argument '{argument}': expected one token of letters, digits and _ . , : = @ % + / -; "
            "blanks and quotes are not supported in this version"
        )
    return argument


def find_block(line: t.Sequence[str], block: t.Sequence[str]) -> int | None:
    """Where ``block`` stands in ``line`` as one contiguous run (the last such place), or ``None``."""
    size = len(block)
    for start in range(len(line) - size, -1, -1):
        if list(line[start : start + size]) == list(block):
            return start
    return None


def replace_block(line: t.Sequence[str], old: t.Sequence[str], new: t.Sequence[str]) -> list[str]:
    """``line`` with the run ``old`` replaced in place; ``new`` goes to the end where ``old`` is not there."""
    start = find_block(line, old) if old else None
    if start is None:
        return [*line, *new]
    return [*line[:start], *new, *line[start + len(old) :]]


def conflicts(foreign: t.Sequence[str], wanted: t.Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (somebody else's token, ours) that set one single-valued parameter differently."""
    return [
        (theirs, ours)
        for ours in wanted
        for theirs in foreign
        if key(theirs) == key(ours) and theirs != ours and not _REPEATABLE.fullmatch(key(ours))
    ]
