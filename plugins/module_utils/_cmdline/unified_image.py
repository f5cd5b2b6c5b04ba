# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Giving a unified kernel image another command line: built anew by ``ukify`` from its own sections, checked, switched.

Kernel and initramfs come out of the image itself, so that it boots what it booted before; ``kernel-install add``
would take whatever lies on the root file system by now. The old image keeps its name and content until the new one
is known to be right. Sources: UAPI.5 "Unified Kernel Image", ukify(1).
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import read_firmware
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.install_conf import install_settings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import PeFile, read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    FileMeta,
    Root,
    copy_private,
    file_meta,
    first_existing,
    remove,
    switch_boot_file,
)

UKIFY: t.Final[tuple[str, ...]] = ("/usr/bin/ukify", "/usr/lib/systemd/ukify")
_CONFIGURATIONS = ("/etc/kernel/uki.conf", "/usr/lib/kernel/uki.conf")
_SBCTL = "/usr/bin/sbctl"
_SBCTL_KEYS = ("/var/lib/sbctl/keys/db/db.key", "/usr/share/secureboot/keys/db/db.key")

# Sections that are handed to ukify as they are, and its option for each.
_CARRIED: t.Final[t.Mapping[str, str]] = {
    ".linux": "--linux",
    ".initrd": "--initrd",
    ".ucode": "--microcode",
    ".osrel": "--os-release",
    ".uname": "--uname",
    ".splash": "--splash",
    ".dtb": "--devicetree",
}
_TEXTS = frozenset({".osrel", ".uname"})
# What ukify makes from keys and from the stub: its content changes, but an image that had it needs it. Without the
# signed measurements a disk that is sealed to them stays locked.
_MADE_ANEW = (".pcrsig", ".pcrpkey", ".sbat")
# One image with several command lines, or made for several machines: not what kernel-install makes.
_NOT_REBUILT = (".profile", ".dtbauto", ".hwids", ".efifw")
_SPARE = 8 << 20


@dataclasses.dataclass(frozen=True)
class NewImage:
    """A finished image at ``built`` (a real path) that is to replace the one at ``path`` (as the host sees it)."""

    path: str
    built: str


def obstacle(root: Root, images: t.Iterable[PeFile]) -> str | None:
    """Why these images cannot be built anew on this host, with what to do about it; ``None`` if they can."""
    if first_existing(root, UKIFY) is None:
        return "unified kernel images are built by ukify, which is not installed: install the package systemd-ukify"
    generator = install_settings(root).get("uki_generator")
    if generator not in (None, "", "ukify"):
        return f"kernel-install builds unified kernel images with uki_generator={generator}: only ukify is supported"
    for image in images:
        packaged = _packaged(root, image.text(".uname"))
        if packaged is not None:
            return (
                f"{image.path} comes ready-made from a package ({packaged}), so that the next kernel would come "
                "without what is changed here. Kernel arguments can go into an addon (ukify build --cmdline '...' "
                "--output NAME.addon.efi, into loader/addons on the EFI system partition)"
            )
        special = next((name for name in _NOT_REBUILT if name in image.names()), None)
        if special is not None:
            return f"{image.path} has a section {special}, so it was not made by kernel-install: rebuild it by hand"
    if read_firmware(root).secure_boot and not (_has_key(root) or _has_sbctl(root)):
        return (
            "Secure Boot is on and a changed unified kernel image must be signed again, but no key was found "
            f"(SecureBootPrivateKey= in {_CONFIGURATIONS[0]}, keys of sbctl): the machine would not start it"
        )
    return None


def _packaged(root: Root, release: str | None) -> str | None:
    """The image that a package brought for this kernel and that ``kernel-install`` only copies (kernel-uki-virt)."""
    directory = f"/usr/lib/modules/{release}"
    directory = directory if root.exists(directory) else f"/lib/modules/{release}"
    name = next((name for name in root.listdir(directory) if release and name.endswith(".efi")), None)
    return None if name is None else f"{directory}/{name}"


def _has_key(root: Root) -> bool:
    keys = ("securebootprivatekey", "securebootcertificatename", "secureboot_private_key")
    for path in _CONFIGURATIONS:
        for line in (root.read_text(path) or "").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and value.strip() and key.strip().lower() in keys:
                return True
    return False


def _has_sbctl(root: Root) -> bool:
    return root.exists(_SBCTL) and first_existing(root, _SBCTL_KEYS) is not None


def check_space(root: Root, directory: str, work: str, images: t.Sequence[PeFile]) -> None:
    """Before anything is written: one new image beside the old ones, and on the disk of ``work`` all of them with
    the old ones and the pieces of one. ``work`` is a real path. Raises :class:`HostStateError` with the numbers."""
    sizes = [os.path.getsize(image.path) for image in images]
    needs = ((root.path(directory), max(sizes)), (work, 2 * sum(sizes) + max(sizes)))
    for path, size in needs:
        free = shutil.disk_usage(path).free
        if free < size + _SPARE:
            raise HostStateError(
                f"{path} has {free >> 20} MiB free, rebuilding unified kernel images needs {(size + _SPARE) >> 20} "
                "MiB: make room there. Nothing was changed"
            )


def build(
    root: Root,
    run: Runner,
    path: str,
    old: PeFile,
    args: t.Sequence[str],
    work: str,
    initrd: bytes | None = None,
) -> NewImage:
    """A signed and checked image for ``path`` in a directory of its own below ``work`` (a real path), with the old
    initramfs unless ``initrd`` is a new one."""
    carried = {section: old.read(section) for section in _CARRIED}
    if initrd is not None:
        carried[".initrd"] = initrd
    directory = os.path.join(work, os.path.basename(path))
    os.mkdir(directory, 0o700)
    _write(os.path.join(directory, "cmdline"), " ".join(args).encode("utf-8", "surrogateescape"))
    argv = [first_existing(root, UKIFY) or UKIFY[0], "build", "--output", "image.efi", "--cmdline", "@cmdline"]
    configuration = first_existing(root, _CONFIGURATIONS)
    argv += ["--config", configuration] if configuration else []
    for section, option in _CARRIED.items():
        content = carried[section]
        if content is None:
            continue
        name = section.lstrip(".")
        if section == ".uname":
            argv += [option, content.decode("utf-8", "surrogateescape").rstrip("\0")]
            continue
        _write(os.path.join(directory, name), content)
        argv += [option, f"@{name}" if section in _TEXTS else name]
    purpose = f"Building {path} anew"
    run_checked(run, argv, purpose, cwd=directory)
    signed = read_firmware(root).secure_boot is True
    if signed and not _has_key(root):
        run_checked(run, [_SBCTL, "sign", "image.efi"], f"Signing {path}", cwd=directory)
    built = os.path.join(directory, "image.efi")
    _compare(path, old, carried, read_pe(built), args, signed)
    return NewImage(path, built)


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)


def _compare(
    path: str,
    old: PeFile,
    carried: t.Mapping[str, bytes | None],
    new: PeFile | None,
    args: t.Sequence[str],
    signed: bool,
) -> None:
    kept = f"{path} stays as it was."
    if new is None:
        raise ToolError(f"ukify ended well and left no complete image. {kept}")
    found = split(new.text(".cmdline") or "")
    if found != list(args):
        raise ToolError(
            f"ukify made an image with another command line than asked for. {kept} Expected: {' '.join(args)}. "
            f"Found: {' '.join(found)}."
        )
    for section, content in carried.items():
        if new.read(section) != content:
            raise ToolError(
                f"ukify made an image with another content of {section}. {kept} Look for settings in "
                f"{' or '.join(_CONFIGURATIONS)} that add to it."
            )
    lost = [section for section in _MADE_ANEW if section in old.names() and section not in new.names()]
    if lost:
        raise ToolError(
            f"ukify made an image without {', '.join(lost)}, which the present one has. {kept} Name the keys it was "
            f"made with in {_CONFIGURATIONS[0]}."
        )
    if signed and not new.signed:
        raise ToolError(f"Secure Boot is on and ukify made an image without a signature. {kept}")


def switch(root: Root, new: NewImage) -> None:
    """Put the image into its place: copied beside it under a name that no boot loader lists, read back, renamed.

    On FAT the rename rewrites one directory entry: a power cut leaves the old image or the new one under the name.
    """
    path = root.path(new.path)
    if _same(new.built, path):
        return
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.virtfleet-passthrough")
    try:
        copy_private(new.built, beside)
        if not _same(new.built, beside):
            raise ToolError(f"{new.path} could not be written: what was read back differs. It stays as it was.")
        switch_boot_file(beside, path, _meta(new.built, path))
    finally:
        remove(beside)


def _meta(built: str, path: str) -> FileMeta | None:
    """As the image is that goes, and no more open than the one that comes: that may be the first to hold keys."""
    present, new = file_meta(path), file_meta(built)
    if present is None or new is None:
        return new
    return dataclasses.replace(present, mode=present.mode & new.mode)


def _same(one: str, other: str) -> bool:
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            chunk = first.read(1 << 20)
            if chunk != second.read(1 << 20):
                return False
            if not chunk:
                return True
