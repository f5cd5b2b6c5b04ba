# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a kernel command line cannot take. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import kernel_part_length
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError

# COMMAND_LINE_SIZE is 2048 with the closing zero byte: arch/x86/include/asm/setup.h and
# arch/arm64/include/uapi/asm/setup.h. The EFI stub cuts at the same size, and says so only on its own console
# (efi_convert_cmdline in drivers/firmware/efi/libstub/efi-stub-helper.c).
MAX_LINE_BYTES: t.Final = 2047

# What a loader puts in front: BOOT_IMAGE= with GRUB's name for the disk, or initrd= with a path on the ESP.
_DISK_AND_DIRECTORY: t.Final = len("BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz- ")


def line_size(args: t.Iterable[str], kernel: str) -> int:
    """How many bytes the kernel is given for ``args``, with an allowance for what the loader adds."""
    return len(" ".join((*args, kernel)).encode("utf-8", "surrogateescape")) - 1 + _DISK_AND_DIRECTORY


def too_long(title: str, kernel: str, before: t.Iterable[str], after: t.Iterable[str]) -> str | None:
    """Why the line of the entry ``title`` cannot become ``after``; ``None`` if it can.

    Only where the line grows: taking something away must always be possible.
    """
    size = line_size(after, kernel)
    if size <= MAX_LINE_BYTES or size <= line_size(before, kernel):
        return None
    return (
        f"the command line of '{title}' would be {size} bytes long with what the boot loader adds; the kernel reads "
        f"{MAX_LINE_BYTES} and drops the rest without a word: shorten it"
    )


def refuse_init_arguments(entries: t.Iterable[Entry], settings: str) -> None:
    """For a generator that puts what we add behind what ``settings`` has, where ``--`` would hand it to init."""
    for entry in entries:
        if entry.takes_arguments and kernel_part_length(entry.args) < len(entry.args):
            raise RefusedError(
                f"the command line of '{entry.title}' has '--', which ends the kernel's arguments, and what this "
                f"collection adds stands behind what {settings} sets: take '--' and what follows away there"
            )
