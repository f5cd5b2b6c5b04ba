# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The method ``ids``: vfio-pci is told which models to take, and to be there before their own drivers. Pure text.

vfio-pci reads the option when it is loaded (``vfio_pci_fill_ids`` in drivers/vfio/pci/vfio_pci.c). modprobe hands it
over from modprobe.d; a driver that is built into the kernel has it from the command line only (kernel/params.c).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, kernel_part_length
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    Device,
    Identity,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.early_script import MANAGED

MODPROBE_PATH = "/etc/modprobe.d/virtfleet-vfio.conf"
PARAMETER = "vfio-pci.ids"

# The module of several packagings (nvidia_current, nvidia_open); nvidiafb is a framebuffer of the kernel.
_NVIDIA = re.compile(r"nvidia(_.+)?")


def ids_of(entries: t.Iterable[Identity]) -> tuple[str, ...]:
    """``vendor:device`` of every model, each once, sorted."""
    return tuple(sorted({f"{identity.vendor_id}:{identity.device_id}" for identity in entries}))


def ids_argument(entries: t.Iterable[Identity]) -> str:
    """What the kernel command line needs where vfio-pci is built in."""
    return f"{PARAMETER}={','.join(ids_of(entries))}"


def modprobe_file(entries: t.Iterable[Identity], devices: t.Iterable[Device]) -> OwnedFile:
    """``devices`` are those of ``entries`` that are there, whose own drivers have to come after vfio-pci."""
    lines = [f"# {MANAGED}", f"options vfio-pci ids={','.join(ids_of(entries))}"]
    lines += [f"softdep {module} pre: vfio-pci" for module in sorted(set(_own_modules(devices)))]
    return OwnedFile(MODPROBE_PATH, "".join(f"{line}\n" for line in lines).encode())


def _own_modules(devices: t.Iterable[Device]) -> t.Iterator[str]:
    for device in devices:
        modules = device.candidate_modules or ((device.native_driver,) if device.native_driver else ())
        yield from modules
        if device.class_code.startswith(BASE_CLASS_DISPLAY):
            # NVIDIA's own driver does without drm; every other one is loaded after it.
            yield "nvidia" if any(_NVIDIA.fullmatch(module) for module in modules) else "drm"


def ids_on_line(arguments: t.Sequence[str]) -> tuple[str, ...]:
    """The arguments of a command line that give vfio-pci ids."""
    name = Token(PARAMETER).name
    return tuple(text for text in arguments[: kernel_part_length(arguments)] if Token(text).name == name)
