# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""booster (Arch): images whose init is one program, which runs no scripts and reads what the build has recorded for it.

What it loads without being asked by a device stands in its one configuration file, which has no drop-ins and belongs
to the administrator: it is read here and never written. Source: booster(1).
"""

from __future__ import annotations

import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import MODULES_DIRECTORY, Image

PROGRAM = "/usr/bin/booster"
CONFIG = "/etc/booster.yaml"

_HOOKS = ("/usr/share/libalpm/hooks/90-booster-install.hook", "/etc/pacman.d/hooks/90-booster-install.hook")
_KEY = "modules_force_load"
_LOADED = ("vfio_pci", "vfio", "vfio_iommu_type1")

_LINE = re.compile(rf"^(?:{_KEY}|'{_KEY}'|\"{_KEY}\")\s*:(?P<value>.*)$", re.MULTILINE)
_LIST = re.compile(r"\s*(?P<quote>[\"']?)(?P<names>[\w ,-]*)(?P=quote)\s*(?:(?<=\s)#.*)?")


class Booster:
    name = "booster"
    looked_for = PROGRAM

    def detect(self, root: Root) -> bool:
        return root.exists(PROGRAM)

    def serves_kernels(self, root: Root) -> bool:
        return any(root.exists(path) for path in _HOOKS)

    def images(self, root: Root) -> list[Image]:
        kernels = root.listdir(MODULES_DIRECTORY)
        packages = ((kernel, root.read_word(f"{MODULES_DIRECTORY}/{kernel}/pkgbase")) for kernel in kernels)
        return [Image(kernel, f"/boot/booster-{package}.img") for kernel, package in packages if package]

    def obstacle(self, root: Root) -> str | None:
        forced = _forced_modules(root.read_text(CONFIG) or "")
        if forced is None:
            return f"{CONFIG} does not have {_KEY} on one line, as names with commas between them: write it so"
        missing = [name for name in _LOADED if name not in forced]
        if not missing:
            return None
        line = ",".join([*_LOADED, *(name for name in forced if name not in _LOADED)])
        return (
            f"{CONFIG} does not have {', '.join(missing)} in {_KEY}, so its images would not load vfio-pci early. That "
            f"file has no drop-ins and is yours: write the line '{_KEY}: {line}' into it, then run this again"
        )

    def remarks(self, _root: Root) -> list[str]:
        return []

    def build(self, run: Runner, image: Image, output: str) -> None:
        argv = [PROGRAM, "build", "--force", "--kernel-version", image.kernel, output]
        run_checked(run, argv, f"Building the initramfs for {image.kernel} failed")

    def installed(self, _root: Root, _run: Runner, _image: Image) -> None:
        """Nothing more to do: copies for a boot loader's partition are made and proven by us."""


def _forced_modules(text: str) -> tuple[str, ...] | None:
    """The modules that ``/etc/booster.yaml`` has loaded in every boot, ``None`` where it is written in another form.

    A host without Python's yaml has to read it too, so only the form of the manual is understood.
    """
    lines = list(_LINE.finditer(text))
    if not lines:
        return ()
    match = _LIST.fullmatch(lines[-1]["value"]) if len(lines) == 1 else None
    # A value that goes on: the next line that says something is indented.
    rest = re.search(r"^[^\S\n]*[^\s#].*$", text[lines[-1].end() + 1 :], re.MULTILINE)
    if match is None or (rest is not None and rest.group().startswith((" ", "\t", "-"))):
        return None
    return tuple(name.strip().replace("-", "_") for name in match["names"].split(",") if name.strip())
