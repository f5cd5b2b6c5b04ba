# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which boot loader boots this machine: what is configured on it, told apart by what started the running kernel."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import (
    extlinux,
    grub,
    grubby,
    proxmox_boot_tool,
    rpm_ostree,
    systemd_boot,
    unified_kernel,
    unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import (
    Detect,
    Loader,
    Unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import (
    EFI_STUB,
    GRUB,
    LILO,
    LIMINE,
    NETWORK,
    REFIND,
    SYSTEMD_BOOT,
    U_BOOT,
    UNIFIED_KERNEL,
    Started,
    read_started,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Known:
    """A boot loader that can be recognised.

    ``starters`` are the programs that start the kernels of its entries (empty: any). ``drives`` are the names of
    loaders whose files it writes itself: found together, it is the one to talk to. One that is not ``supported`` is
    refused with advice, where a trace does not speak of another.
    """

    name: str
    detect: Detect
    starters: frozenset[str] = frozenset()
    drives: frozenset[str] = frozenset()
    supported: bool = True

    def fits(self, started: Started) -> bool:
        return not self.starters or not started.programs or bool(self.starters & started.programs)


# One line for each loader; which comes first makes no difference.
_BASE: t.Final[tuple[Known, ...]] = (
    Known("grub", grub.detect, frozenset({GRUB})),
    Known("grub-bls", grubby.detect, frozenset({GRUB})),
    Known("extlinux", extlinux.detect, frozenset({U_BOOT})),
    Known(systemd_boot.NAME, systemd_boot.detect, frozenset({SYSTEMD_BOOT})),
    Known(unified_kernel.NAME, unified_kernel.detect, frozenset({UNIFIED_KERNEL})),
)
SUPPORTED: t.Final[tuple[Known, ...]] = (
    *_BASE,
    Known(
        proxmox_boot_tool.NAME,
        proxmox_boot_tool.detect,
        frozenset({GRUB, SYSTEMD_BOOT}),
        drives=frozenset({"grub", systemd_boot.NAME}),
    ),
    Known(rpm_ostree.NAME, rpm_ostree.detect, drives=frozenset(known.name for known in _BASE)),
)
_RECOGNISED: t.Final[tuple[Known, ...]] = (
    Known("rEFInd", unsupported.detect_refind, frozenset({REFIND}), supported=False),
    Known("Limine", unsupported.detect_limine, frozenset({LIMINE}), supported=False),
    Known(
        "sdbootutil",
        unsupported.detect_sdbootutil,
        drives=frozenset({"grub", "grub-bls", systemd_boot.NAME}),
        supported=False,
    ),
    Known("LILO", unsupported.detect_lilo, frozenset({LILO}), supported=False),
    Known("network", unsupported.detect_network, frozenset({NETWORK}), supported=False),
    Known("EFI stub", unsupported.detect_efi_stub, frozenset({EFI_STUB}), supported=False),
)
BOOTLOADERS: t.Final[tuple[str, ...]] = (AUTO, *sorted(known.name for known in SUPPORTED))


def find_loader(root: Root, wanted: str = AUTO) -> Loader:
    """The loader that boots this machine; ``wanted`` decides where that is unclear.

    Raises :class:`HostStateError` with what was looked for, or with advice where the loader is known and not
    supported; :class:`InputError` where ``wanted`` is not what boots this machine.
    """
    looked_for: list[str] = []
    found = {
        known: loader for known in (*SUPPORTED, *_RECOGNISED) if (loader := known.detect(root, looked_for)) is not None
    }
    started = read_started(root)
    candidates = choose(tuple(found), started)
    if wanted != AUTO:
        candidates = [known for known in candidates if known.name == wanted] or _refuse(wanted, candidates, started)
    if not candidates:
        raise HostStateError(_none(started, [known for known in found if known.supported], looked_for))
    if len(candidates) > 1:
        raise HostStateError(_unclear(started, candidates))
    loader = found[candidates[0]]
    if isinstance(loader, Unsupported):
        raise HostStateError(str(loader))
    return loader


def choose(found: t.Sequence[Known], started: Started) -> list[Known]:
    """Those of ``found`` that can be what boots this machine; one where it is clear. Pure."""
    driven = {name for known in found for name in known.drives}
    free = [known for known in found if known.name not in driven]
    fitting = [known for known in free if known.fits(started)]
    return fitting if fitting or started.certain else [known for known in free if known.supported]


def _refuse(wanted: str, candidates: t.Sequence[Known], started: Started) -> t.NoReturn:
    if candidates:
        raise InputError(
            f"bootloader={wanted}, but this machine is booted by {_names(candidates)}: use bootloader={AUTO}"
        )
    raise InputError(f"bootloader={wanted}, but there is no sign of it on this machine; {started.evidence}")


def _none(started: Started, found: t.Sequence[Known], looked_for: t.Sequence[str]) -> str:
    if found:
        return (
            f"The running kernel was started by {_programs(started)} ({started.evidence}), but what is configured on "
            f"this machine is {_names(found)}, so the kernel command line is left alone. Start the machine through "
            f"{_names(found)} once, or look at what its firmware starts first (efibootmgr -v)."
        )
    return (
        "No supported boot loader was recognised, so the kernel command line is left alone. Looked for "
        + "; ".join([*looked_for, started.evidence])
        + "."
    )


def _unclear(started: Started, candidates: t.Sequence[Known]) -> str:
    supported = [f"bootloader: {known.name}" for known in candidates if known.supported]
    hint = (
        f" Say which one it is with {' or '.join(supported)}; of roles: kernel_arguments_bootloader."
        if supported
        else ""
    )
    return (
        f"It is unclear whether {_names(candidates)} boots this machine: each is configured here, and "
        f"{started.evidence}. The kernel command line is left alone.{hint}"
    )


def _names(known: t.Sequence[Known]) -> str:
    return " or ".join(one.name for one in known)


def _programs(started: Started) -> str:
    return " or ".join(sorted(started.programs)) or "an unknown program"
