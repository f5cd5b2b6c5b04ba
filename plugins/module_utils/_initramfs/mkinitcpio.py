# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""mkinitcpio (Arch): images as the presets of each kernel's package name them.

Sources: mkinitcpio(8), mkinitcpio.conf(5); drop-ins in ``mkinitcpio.conf.d`` are read from version 37 on, and not
where a preset names a configuration file of its own.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import MODULES_DIRECTORY, Image

PROGRAM = "/usr/bin/mkinitcpio"
PRESETS = "/etc/mkinitcpio.d"
DROP_INS = "/etc/mkinitcpio.conf.d"

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_SUFFIX = ".preset"


@dataclasses.dataclass(frozen=True)
class _Preset:
    """One file in :data:`PRESETS`; ``values`` are words by variable."""

    path: str
    values: t.Mapping[str, tuple[str, ...]]

    def first(self, *names: str) -> str | None:
        """The value of the first of ``names`` that has one."""
        return next((self.values[name][0] for name in names if self.values.get(name)), None)

    @property
    def variants(self) -> tuple[str, ...]:
        """``default``, ``fallback`` and whatever else is made of one kernel."""
        return self.values.get("PRESETS", ())


class Mkinitcpio:
    name = "mkinitcpio"
    looked_for = PROGRAM

    def detect(self, root: Root) -> bool:
        return root.exists(PROGRAM)

    def serves_kernels(self, root: Root) -> bool:
        # Its package has the hook for pacman always; without presets another generator has taken over.
        return any(name.endswith(_SUFFIX) for name in root.listdir(PRESETS))

    def images(self, root: Root) -> list[Image]:
        found = [image for preset in _presets(root) for image in _images(root, preset)]
        return sorted(found, key=lambda image: (image.kernel, image.delivered, image.path))

    def obstacle(self, root: Root) -> str | None:
        if "mkinitcpio.conf.d" not in (root.read_text(PROGRAM) or ""):
            return f"this mkinitcpio does not read {DROP_INS}: update it to version 37 or later"
        for preset in _presets(root):
            for variant in preset.variants:
                config = preset.first(f"{variant}_config", "ALL_config")
                if config is not None:
                    return (
                        f"{preset.path} makes mkinitcpio read {config} and nothing in {DROP_INS}: take the line with "
                        f"_config out, and move what {config} has of its own to {DROP_INS}"
                    )
        return None

    def remarks(self, _root: Root) -> list[str]:
        return []

    def build(self, run: Runner, image: Image, output: str) -> None:
        argv = [PROGRAM, "-k", image.kernel, "-g", output, *image.options]
        run_checked(run, argv, f"Building the initramfs for {image.kernel} failed")

    def installed(self, _root: Root, _run: Runner, _image: Image) -> None:
        """mkinitcpio runs its post hooks itself."""


def _presets(root: Root) -> list[_Preset]:
    names = [name for name in root.listdir(PRESETS) if name.endswith(_SUFFIX)]
    return [_parse(f"{PRESETS}/{name}", root.read_text(f"{PRESETS}/{name}") or "") for name in names]


def _parse(path: str, text: str) -> _Preset:
    """A preset is a shell script; raises :class:`HostStateError` for more than assignments of plain words."""
    values: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError as exc:
            raise _not_plain(path, line) from exc
        if not words:
            continue
        match = _ASSIGNMENT.fullmatch(" ".join(words))
        if match is None or "$" in line or "`" in line:
            raise _not_plain(path, line)
        name, value = match.groups()
        listed = value.startswith("(")
        if listed and not value.endswith(")"):
            raise _not_plain(path, line)
        values[name] = tuple(value[1:-1].split()) if listed else (value,) if value else ()
    return _Preset(path, values)


def _not_plain(path: str, line: str) -> HostStateError:
    return HostStateError(
        f"{path} has the line '{line.strip()}', which is more than a plain assignment: which images mkinitcpio makes "
        "is unknown. Write its values out"
    )


def _images(root: Root, preset: _Preset) -> t.Iterator[Image]:
    """A kernel's package and its preset have one name; ``pkgbase`` ties it to a release."""
    package = preset.path.rpartition("/")[2][: -len(_SUFFIX)]
    for kernel in root.listdir(MODULES_DIRECTORY):
        if root.read_word(f"{MODULES_DIRECTORY}/{kernel}/pkgbase") != package:
            continue
        for variant in preset.variants:
            options = tuple(" ".join(preset.values.get(f"{variant}_options", ())).split())
            path = preset.first(f"{variant}_image")
            unified = preset.first(f"{variant}_uki", f"{variant}_efi_image")
            if path is not None:
                yield Image(kernel, path, options)
            if unified is not None:
                yield Image(kernel, unified, _for_an_image(options), delivered=True, source=path)


def _for_an_image(options: t.Sequence[str]) -> tuple[str, ...]:
    """``options`` without those that only concern a unified image, whose other sections stay as they are."""
    kept: list[str] = []
    words = iter(options)
    for word in words:
        if word in ("--splash", "--cmdline", "--osrelease", "--uefistub", "--kernelimage", "--ukiconfig"):
            next(words, None)
        elif word not in ("--no-cmdline", "--no-ukify"):
            kept.append(word)
    return tuple(kept)
