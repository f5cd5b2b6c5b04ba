# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The files that act during boot: thin wrappers around the one script, for every generator, and the hot-plug rule.

Each wrapper runs the script before udev starts, because udev's coldplug loads the native drivers. With the method
``ids`` there is no script: the same wrappers then only load vfio-pci at that moment. Pure text.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.early_script import (
    EARLY_SCRIPT,
    MANAGED,
    PREAMBLE,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generator_files import (
    MKINITCPIO,
    MODPROBE_FILES,
    mkinitcpio_files,
    mkinitcpio_in_image,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH, modprobe_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    GENERATION_PARAMETER,
    TABLE_PATH,
    Table,
)

OWNER = "vfio"

SCRIPT_PATH = "/etc/virtfleet-passthrough/vfio-early"
UDEV_RULE_PATH = "/etc/udev/rules.d/70-virtfleet-vfio.rules"

INITRAMFS_TOOLS = "initramfs-tools"
DRACUT = "dracut"
BOOSTER = "booster"

# Scripts in init-top run in the order of their names, and Debian's own is called "udev".
INIT_TOP_PATH = "/etc/initramfs-tools/scripts/init-top/00-virtfleet-vfio"
HOOK_PATH = "/etc/initramfs-tools/hooks/virtfleet-vfio"

DRACUT_MODULE = "/usr/lib/dracut/modules.d/90virtfleet-vfio"
DRACUT_SETUP_PATH = f"{DRACUT_MODULE}/module-setup.sh"
DRACUT_HOOK_PATH = f"{DRACUT_MODULE}/virtfleet-vfio.sh"

# Needed in the image unless built into the kernel. vfio_virqfd, below Linux 6.2, comes as a dependency
# where modules.dep names it and nowhere else.
MODULES = ("vfio-pci", "vfio_iommu_type1")

_RUN_SCRIPT = f"sh {SCRIPT_PATH} || :"
# Its ids come with it from modprobe.d.
_LOAD = "modprobe -q vfio-pci || :"


def _init_top(command: str) -> str:
    return f"""\
#!/bin/sh
{PREAMBLE}
case "${{1:-}}" in
  prereqs) exit 0 ;;
esac

# Whatever it meets, the boot goes on.
{command}
"""


def _hook(lines: t.Sequence[str]) -> str:
    listed = "\n".join((f"manual_add_modules {' '.join(MODULES)}", *lines))
    return f"""\
#!/bin/sh
{PREAMBLE}
case "${{1:-}}" in
  prereqs) exit 0 ;;
esac

. /usr/share/initramfs-tools/hook-functions

{listed}
"""


def _dracut_setup(programs: str, paths: t.Sequence[str]) -> str:
    listed = "".join(f"\n  inst_simple {path}" for path in paths)
    return f"""\
#!/bin/bash
{PREAMBLE}
# In every image, also where dracut leaves out what this machine does not seem to need.
check() {{
  return 0
}}

depends() {{
  return 0
}}

installkernel() {{
  hostonly='' instmods {" ".join(MODULES)}
}}

install() {{
  inst_multiple {programs}{listed}
  inst_multiple -o {MODPROBE_FILES}
  inst_hook pre-udev 10 "$moddir/{DRACUT_HOOK_PATH.rpartition("/")[2]}"
}}
"""


def _dracut_hook(command: str) -> str:
    return f"""\
#!/bin/sh
{PREAMBLE}
# dracut reads this into its own shell, which must neither end nor keep our settings.
{command}
"""


def udev_rule(table: Table) -> str:
    """For a device that appears later: the override stands before udev loads a driver for it.

    The kernel looks for drivers before udev hears of a device, and does so again only when a driver is loaded: with
    vfio-pci there already, as it is from the second device on, somebody has to ask for a probe. udev carries out the
    assignments of a line in their order, and what is run after them; a device that has a driver is left alone.

    The command line decides here as in the early script, so that an old boot entry brings old behaviour back.
    """
    lines = [
        f"# {MANAGED}",
        'ACTION!="add", GOTO="virtfleet_vfio_end"',
        'SUBSYSTEM!="pci", GOTO="virtfleet_vfio_end"',
        f'IMPORT{{cmdline}}="{GENERATION_PARAMETER}"',
        *_udev_lines(table),
        'LABEL="virtfleet_vfio_end"',
    ]
    return "\n".join(lines) + "\n"


def _udev_lines(table: Table) -> t.Iterator[str]:
    for address, identity in sorted(table.entries.items()):
        ids = (
            ("vendor", identity.vendor_id),
            ("device", identity.device_id),
            ("subsystem_vendor", identity.subsystem_vendor_id),
            ("subsystem_device", identity.subsystem_device_id),
        )
        conditions = "".join(f', ATTR{{{name}}}=="0x{digits}"' for name, digits in ids)
        boot = f'ENV{{{GENERATION_PARAMETER}}}=="{table.generation}"'
        condition = f'{boot}, KERNEL=="{address}"{conditions}, TEST=="iommu_group"'
        held = 'ATTR{driver_override}="vfio-pci", ATTR{[subsystem/pci]drivers_probe}="$kernel"'
        yield f'{condition}, {held}, RUN{{builtin}}+="kmod load vfio-pci"'
    if table.earlier is not None:
        yield from _udev_lines(table.earlier)


def boot_files(table: Table, generators: t.Iterable[str]) -> tuple[OwnedFile, ...]:
    """Every file that ``table`` needs on a host that has these initramfs generators, the table last: without
    it the others do nothing."""
    files = [OwnedFile(SCRIPT_PATH, EARLY_SCRIPT.encode(), 0o755)]
    for generator in generators:
        files.extend(_GENERATOR_FILES[generator])
    files.append(OwnedFile(UDEV_RULE_PATH, udev_rule(table).encode()))
    files.append(OwnedFile(TABLE_PATH, str(table).encode()))
    return tuple(files)


def ids_files(
    identities: t.Iterable[Identity], devices: t.Iterable[Device], generators: t.Iterable[str]
) -> tuple[OwnedFile, ...]:
    """Every file of the method ``ids`` where vfio-pci is a module; the arguments are those of ``modprobe_file``."""
    files = [file for generator in generators for file in _IDS_FILES[generator]]
    return (*files, modprobe_file(identities, devices))


def _initramfs_tools(command: str, lines: t.Sequence[str]) -> tuple[OwnedFile, ...]:
    return (
        OwnedFile(HOOK_PATH, _hook(lines).encode(), 0o755),
        OwnedFile(INIT_TOP_PATH, _init_top(command).encode(), 0o755),
    )


def _dracut(command: str, programs: str, paths: t.Sequence[str]) -> tuple[OwnedFile, ...]:
    return (
        OwnedFile(DRACUT_HOOK_PATH, _dracut_hook(command).encode(), 0o755),
        OwnedFile(DRACUT_SETUP_PATH, _dracut_setup(programs, paths).encode(), 0o755),
    )


_GENERATOR_FILES: t.Mapping[str, tuple[OwnedFile, ...]] = {
    INITRAMFS_TOOLS: _initramfs_tools(
        _RUN_SCRIPT,
        ("copy_exec /usr/bin/readlink", f"copy_file script {SCRIPT_PATH}", f"copy_file table {TABLE_PATH}"),
    ),
    DRACUT: _dracut(_RUN_SCRIPT, "sh readlink modprobe", (SCRIPT_PATH, TABLE_PATH)),
    MKINITCPIO: mkinitcpio_files(SCRIPT_PATH),
    # Refused before anything is written: its images run no scripts.
    BOOSTER: (),
}

# mkinitramfs takes all of modprobe.d along by itself, dracut only for images that are made for one host.
_IDS_FILES: t.Mapping[str, tuple[OwnedFile, ...]] = {
    INITRAMFS_TOOLS: _initramfs_tools(_LOAD, ()),
    DRACUT: _dracut(_LOAD, "sh modprobe", ()),
    MKINITCPIO: mkinitcpio_files(SCRIPT_PATH),
    # It reads modprobe.d itself; what else it needs stands in a file that is not ours.
    BOOSTER: (),
}

# initramfs-tools takes every rule of the administrator's along; whether it does is its own business, but an
# old one must not stay in an image.
TAKEN_ALONG: t.Mapping[str, str] = {UDEV_RULE_PATH: f"*/udev/rules.d/{UDEV_RULE_PATH.rpartition('/')[2]}"}

# Where the files of the host stand in an image, as patterns: dracut's hook directory has moved over the years.
IN_IMAGE: t.Mapping[str, t.Mapping[str, str]] = {
    INITRAMFS_TOOLS: {
        SCRIPT_PATH: SCRIPT_PATH.lstrip("/"),
        TABLE_PATH: TABLE_PATH.lstrip("/"),
        MODPROBE_PATH: MODPROBE_PATH.lstrip("/"),
        INIT_TOP_PATH: "scripts/init-top/00-virtfleet-vfio",
    },
    DRACUT: {
        SCRIPT_PATH: SCRIPT_PATH.lstrip("/"),
        TABLE_PATH: TABLE_PATH.lstrip("/"),
        MODPROBE_PATH: MODPROBE_PATH.lstrip("/"),
        DRACUT_HOOK_PATH: "*/dracut/hooks/pre-udev/10-virtfleet-vfio.sh",
    },
    MKINITCPIO: {**mkinitcpio_in_image(SCRIPT_PATH), MODPROBE_PATH: MODPROBE_PATH.lstrip("/")},
    # Not as a file: see _initramfs/booster_image.py.
    BOOSTER: {MODPROBE_PATH: MODPROBE_PATH.lstrip("/")},
}


def may_be_in_images(paths: t.Iterable[str]) -> bool:
    """Whether an image may hold any of these files, or what they make the generator put there."""
    fill = {file.path for files in _GENERATOR_FILES.values() for file in files}
    known = fill.union(TAKEN_ALONG, *IN_IMAGE.values())
    return any(path in known for path in paths)
