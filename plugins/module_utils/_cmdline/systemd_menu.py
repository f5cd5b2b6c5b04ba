# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The menu of systemd-boot: type 1 entries and unified kernel images, in its order, with the one that boots next.

Sources: UAPI.1 "Boot Loader Specification", systemd-boot(7), loader.conf(5), https://systemd.io/BOOT_LOADER_INTERFACE.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import running_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.addons import added_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls_order import in_specification_order
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import (
    loader_variable,
    read_boot_current,
    read_boot_next,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    RESCUE_ARGUMENTS,
    kernel_release,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import PeFile, read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

_IMAGE_SUFFIX = ".efi"
# A system that runs from an image, as on a recovery partition (casper(7), live-boot(7)): never the installed one.
_LIVE = frozenset({"boot=casper", "boot=live"})
# How dracut (51-dracut-rescue.install) names the entry that it makes once for rescue.
_RESCUE_NAME = "-0-rescue"
# Other systems' boot loaders for which systemd-boot makes an entry without a file (systemd-boot(7), "Files").
_FOUND_BY_ITSELF: t.Final[t.Mapping[str, str]] = {
    "auto-windows": "EFI/Microsoft/Boot/bootmgfw.efi",
    "auto-osx": "System/Library/CoreServices/boot.efi",
}


@dataclasses.dataclass(frozen=True)
class MenuItem:
    """An entry with the file that it comes from (``path`` as the host sees it) on the partition at ``point``.

    For a unified image, ``image`` is that file, and ``source`` is what its sections say in the form of an entry.
    """

    point: str
    path: str
    source: BlsEntry
    entry: Entry
    image: PeFile | None = None

    @property
    def identifier(self) -> str:
        """What EFI variables and ``loader.conf`` call it: the file's name without the counters of boot counting."""
        return self.source.identifier + (_IMAGE_SUFFIX if self.image else ".conf")


def read_menu(root: Root, points: t.Sequence[str], trial: bool = False) -> tuple[MenuItem, ...]:
    """All entries for Linux on the partitions ``points``, in menu order; one is ``default``, unless what boots next is
    a system that the boot loader found by itself.

    The entry of a boot on trial is only among them with ``trial``: it is nobody's to change, and gone soon.
    """
    machine = _Machine(root.read_word("/etc/machine-id"), _root_argument(split(root.read_text("/proc/cmdline") or "")))
    items = [
        *(item for point in points for item in _type1_items(root, point, machine)),
        *(item for point in points for item in _type2_items(root, point, machine)),
    ]
    if not trial:
        items = [item for item in items if running_trial(item.entry.args) is None]
    by_source = {id(item.source): item for item in items}
    ordered = [by_source[id(source)] for source in in_specification_order(item.source for item in items)]
    chosen = _boots_next(root, ordered)
    return tuple(
        dataclasses.replace(item, entry=dataclasses.replace(item.entry, default=item is chosen)) for item in ordered
    )


@dataclasses.dataclass(frozen=True)
class _Machine:
    """How to tell this system's entries from those of another one on the same partition."""

    machine_id: str | None
    root_argument: tuple[str, str] | None

    def owns(self, machine_id: str | None, args: t.Sequence[str]) -> bool:
        if machine_id is not None and self.machine_id is not None and machine_id != self.machine_id:
            return False
        if not _LIVE.isdisjoint(args):
            return False
        theirs = _root_argument(args)
        if theirs is None or self.root_argument is None:
            return True
        # One file system can be named by UUID, by label or by path: only what is comparable tells them apart.
        return theirs[0] != self.root_argument[0] or theirs[1] == self.root_argument[1]


def _root_argument(args: t.Sequence[str]) -> tuple[str, str] | None:
    """How the root file system is named (``UUID``, ``/dev``, …) and the name, from ``root=``."""
    token = next((token.replace('"', "") for token in reversed(args) if token.strip('"').startswith("root=")), None)
    if token is None:
        return None
    value = token[len("root=") :]
    kind, separator, name = value.partition("=")
    return (kind.upper(), name.lower()) if separator else (os.path.dirname(value), value)


def _type1_items(root: Root, point: str, machine: _Machine) -> t.Iterator[MenuItem]:
    directory, names = boot_partition.listdir_no_case(root, point, boot_partition.ENTRIES)
    for name in filter(is_entry_file, names):
        data = root.read_bytes(f"{directory}/{name}")
        if data is None:
            continue
        source = BlsEntry(name, data)
        program = source.linux or source.first("uki") or source.first("efi")
        if program is None:
            continue
        args = tuple(source.options)
        rescue = _RESCUE_NAME in source.identifier or not RESCUE_ARGUMENTS.isdisjoint(args)
        entry = Entry(
            kernel=_type1_kernel(source, program),
            title=source.title or source.identifier,
            args=args,
            rescue=rescue,
            managed=source.linux is not None and machine.owns(source.machine_id, args),
            initrd=source.initrds[-1] if source.initrds else None,
        )
        yield MenuItem(point, f"{directory}/{name}", source, entry)


def _type1_kernel(source: BlsEntry, program: str) -> str:
    """kernel-install puts the release into ``version`` and names the directory after it (``/token/6.1.0/linux``)."""
    if source.version is not None and source.linux is not None:
        return source.version
    parent = os.path.basename(os.path.dirname(program))
    return parent if os.path.basename(program) == "linux" and parent else kernel_release(program)


def _type2_items(root: Root, point: str, machine: _Machine) -> t.Iterator[MenuItem]:
    directory, names = boot_partition.listdir_no_case(root, point, boot_partition.IMAGES)
    for name in names:
        if not name.lower().endswith(_IMAGE_SUFFIX) or name.startswith("."):
            continue
        image = read_pe(root.path(f"{directory}/{name}"))
        if image is None or not {".linux", ".osrel"} <= set(image.names()):
            continue
        stem = name[: -len(_IMAGE_SUFFIX)]
        release = _parse_os_release(image.text(".osrel") or "")
        own = split(image.text(".cmdline") or "")
        added = added_arguments(root, point, name, image)
        args = (*own, *added)
        entry = Entry(
            kernel=image.text(".uname") or stem,
            title=release.get("PRETTY_NAME") or stem,
            args=args,
            rescue=not RESCUE_ARGUMENTS.isdisjoint(args),
            managed=machine.owns(None, args),
            shared_tail=len(added) or None,
        )
        yield MenuItem(point, f"{directory}/{name}", _as_source(stem, release), entry, image)


def _as_source(stem: str, release: t.Mapping[str, str]) -> BlsEntry:
    """What systemd-boot sorts an image by (bootspec_pick_name_version_sort_key in systemd's bootspec-fundamental.c)."""
    key = release.get("IMAGE_ID") or release.get("ID")
    versions = (release.get(name) for name in ("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"))
    version = next((version for version in versions if version), None)
    lines = [f"sort-key {key}\n" if key else "", f"version {version}\n" if version else ""]
    return BlsEntry(f"{stem}.conf", "".join(lines).encode("utf-8", "surrogateescape"))


def _parse_os_release(text: str) -> dict[str, str]:
    pairs = (line.strip().partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name: value.strip("\"'") for name, equals, value in pairs if equals}


def _boots_next(root: Root, items: t.Sequence[MenuItem]) -> MenuItem | None:
    for option in (read_boot_next(root), read_boot_current(root)):
        direct = ((option.image or option.path) or "").lower() if option is not None else ""
        for item in items:
            # Without a menu in between, the firmware starts what it is told to once, else the same image again.
            if direct and item.image is not None and item.path.lower().endswith(direct):
                return item
    configured = _loader_conf(root)
    patterns = (
        (loader_variable(root, "LoaderEntryOneShot"), True),
        (loader_variable(root, "LoaderEntryPreferred"), False),
        (configured.get("preferred"), False),
        (loader_variable(root, "LoaderEntryDefault"), True),
        (configured.get("default"), True),
    )
    for pattern, even_exhausted in patterns:
        wanted = loader_variable(root, "LoaderEntryLastBooted") if pattern == "@saved" else pattern
        if _is_found_by_itself(root, wanted):
            return None
        chosen = _matching(items, wanted, even_exhausted) if wanted else None
        if chosen is not None:
            return chosen
    return items[0] if items else None


def _is_found_by_itself(root: Root, identifier: str | None) -> bool:
    """Whether it is one of the entries that systemd-boot makes for another system's boot loader on the ESP."""
    path = _FOUND_BY_ITSELF.get((identifier or "").lower())
    if path is None:
        return False
    directory, _slash, name = path.rpartition("/")
    files = (boot_partition.listdir_no_case(root, point, directory)[1] for point in boot_partition.mount_points(root))
    return any(name in (file.lower() for file in names) for names in files)


def _matching(items: t.Sequence[MenuItem], pattern: str, even_exhausted: bool) -> MenuItem | None:
    wanted = pattern.lower()
    for item in items:
        name = item.identifier.lower()
        names = (name, name.rpartition(".")[0])
        usable = even_exhausted or item.source.tries_left != 0
        if usable and any(fnmatch.fnmatchcase(known, wanted) for known in names):
            return item
    return None


def _loader_conf(root: Root) -> dict[str, str]:
    """``loader.conf``, which is read from the EFI system partition even where all entries are on another; of two
    lines with one key the last holds."""
    settings: dict[str, str] = {}
    for point in boot_partition.mount_points(root):
        for line in (root.read_text(f"{point}/{boot_partition.LOADER_CONF}") or "").splitlines():
            key, _blank, value = line.strip().replace("\t", " ").partition(" ")
            if value.strip() and not key.startswith("#"):
                settings[key] = value.strip()
    return settings
