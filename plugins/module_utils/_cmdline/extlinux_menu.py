# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading ``extlinux.conf`` as U-Boot does (boot/pxe_utils.c): labels, their kernels, which one boots next. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import kernel_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split

# What u-boot-update puts behind the arguments of its entries for recovery.
_RECOVERY = ("single",)
_KERNEL_COMMANDS = frozenset({"kernel", "linux", "fit"})
_GENERATED_LABEL = re.compile(r"l\d+r?")


@dataclasses.dataclass
class _Label:
    name: str
    title: str = ""
    kernel: str = ""
    args: tuple[str, ...] = ()
    initrd: str | None = None


def parse_entries(text: str) -> tuple[Entry, ...]:
    """Entries with a kernel, in the order of the file; exactly one is the default if there are any.

    The last ``default``, ``ontimeout`` or ``menu default`` counts; one that names no label is as if it were not
    there, and then the first label boots.
    """
    labels: list[_Label] = []
    default = ""
    for line in text.splitlines():
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        command, rest = words[0].lower(), words[1].strip() if len(words) > 1 else ""
        if command == "label":
            labels.append(_Label(rest))
        elif command in ("default", "ontimeout"):
            default = rest
        elif labels and command == "menu" and rest.lower() == "default":
            default = labels[-1].name
        elif labels:
            _take(labels[-1], command, rest)
    bootable = [label for label in labels if label.kernel]
    chosen = next((label for label in bootable if label.name == default), bootable[0] if bootable else None)
    return tuple(_to_entry(label, label is chosen) for label in bootable)


def _take(label: _Label, command: str, rest: str) -> None:
    if command in _KERNEL_COMMANDS:
        label.kernel = rest
    elif command == "append":
        label.args = tuple(split(rest))
    elif command == "initrd":
        label.initrd = rest
    elif command == "menu" and rest.lower().startswith("label"):
        label.title = rest[len("label") :].strip()


def _to_entry(label: _Label, default: bool) -> Entry:
    rescue = label.args[-1:] == _RECOVERY
    return Entry(
        kernel=kernel_release(label.kernel),
        title=label.title or label.name,
        args=label.args,
        default=default,
        rescue=rescue,
        managed=_GENERATED_LABEL.fullmatch(label.name) is not None,
        initrd=label.initrd or _initrd_argument(label.args),
        shared_tail=len(_RECOVERY) if rescue else None,
    )


def _initrd_argument(args: t.Sequence[str]) -> str | None:
    """SYSLINUX takes the initramfs from the line as well."""
    return next((token.partition("=")[2] for token in args if token.startswith("initrd=")), None)
