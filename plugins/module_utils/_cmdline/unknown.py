# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which parameters the running kernel said it does not know. Pure.

``print_unknown_bootoptions`` in init/main.c names them once, since Linux 5.14: without their quotes, flags first. Not
among them are names with a dot, which the kernel takes for those of a module that is still to come.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import CommandLine, Token

# In quotes since 5.15. Too long a list is cut off by the log's own limit, and its end with it.
_REPORT = re.compile(
    r'Unknown (?:kernel command line parameters "|command line parameters: )(.*?)(?:", will be passed|$)', re.MULTILINE
)

# BOOT_IMAGE is from GRUB, and no kernel has ever known it.
_FROM_LOADERS = frozenset({"BOOT_IMAGE"})

# Linux 5.14 heeds it and reports it all the same (its handler returned "not mine" until 5.15).
REPORTED_THOUGH_KNOWN: t.Final = frozenset({"intel_iommu"})


def reported_unknown(log: str) -> str:
    """The kernel's list as it stands in its log; empty where there is none."""
    found = _REPORT.findall(log)
    return found[-1] if found else ""


def unknown_parameters(log: str, running: t.Sequence[str]) -> list[str]:
    """Those tokens of the running line that the kernel reported as unknown, in the line's order."""
    report = f" {reported_unknown(log)} "
    tokens = CommandLine.parse(" ".join(running)).kernel_part
    named: set[Token] = set()
    # The longest first: a value with blanks, out of its quotes, could be taken for several arguments.
    for token in sorted(set(tokens), key=lambda token: len(token.unquoted), reverse=True):
        if f" {token.unquoted} " in report:
            named.add(token)
            report = report.replace(f" {token.unquoted} ", " ")
    return [token.text for token in tokens if token in named and token.name not in _FROM_LOADERS]


def without_effect(unknown: t.Iterable[str], ours: t.Collection[str]) -> list[str]:
    """Which of our arguments a kernel does not heed that reported ``unknown``."""
    reported = {Token(token).meaning for token in unknown}
    return [
        argument
        for argument in ours
        if Token(argument).meaning in reported and Token(argument).name not in REPORTED_THOUGH_KNOWN
    ]
