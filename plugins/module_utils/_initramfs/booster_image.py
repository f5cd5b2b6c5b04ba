# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a booster image has made of modprobe.d.

The files themselves are not in it. The build records in one file for its init which modules it loads at once, and the
options of each module that is in the image. Softdeps of modprobe.d count for nothing there, and all modules, those
that devices ask for too, are loaded side by side: a device's own driver must not be in the image at all. Pure, but
for what the host has in modprobe.d. Source: booster(1), the file ``/etc/booster.init.yaml`` of images.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import Directive, read_directives
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generator_files import is_modprobe_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH

INIT_CONFIG = "etc/booster.init.yaml"

_VFIO_PCI = "vfio_pci"
# A library of graphics drivers, which takes no device by itself.
_NO_DRIVER = "drm"

_TOP = re.compile(r"(\w+):(.*)")
_ITEM = re.compile(r"\s*-\s+(.+)")
_PAIR = re.compile(r"(\s+)([\w-]+):(?:\s+(.*))?")


@dataclasses.dataclass(frozen=True)
class InitConfig:
    """``forced`` are the modules that are loaded at once, ``options`` what each module is given; underscores."""

    forced: tuple[str, ...]
    options: t.Mapping[str, str]

    def parameters(self, module: str) -> dict[str, str | None]:
        return Directive("options", module, self.options.get(module, ""), INIT_CONFIG).parameters


def parse_init_config(text: str) -> InitConfig:
    """What booster's own YAML writer makes: blocks, one list item or pair in a line, long values on several lines."""
    forced: list[str] = []
    options: dict[str, str] = {}
    section, indent, name = "", "", ""
    for line in text.splitlines():
        top, item, pair = _TOP.fullmatch(line), _ITEM.fullmatch(line), _PAIR.fullmatch(line)
        if top is not None:
            section, indent = top.group(1), ""
        elif section == "modulesforceload" and item is not None:
            forced.append(_plain(item.group(1)))
        elif section == "modprobeoptions" and pair is not None and indent in ("", pair.group(1)):
            indent, name = pair.group(1), pair.group(2)
            options[name] = pair.group(3) or ""
        elif section == "modprobeoptions" and name in options:
            options[name] += " " + line.strip()
    return InitConfig(tuple(forced), {module: _plain(value) for module, value in options.items()})


def _plain(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"')
    return value


def with_modprobe_files(root: Root, listing: Listing) -> Listing:
    """``listing`` of a booster image as if the files of modprobe.d were in it that it acts on just as the host has
    them now. Any other image is as it was.

    Options of vfio-pci that the host no longer has count as our file with another content.
    """
    recorded = listing.contents.get(INIT_CONFIG)
    if recorded is None:
        return listing
    config = parse_init_config(recorded.decode("utf-8", "replace"))
    directives = read_directives(root)
    files = {path: root.read_bytes(path) for path in {directive.path for directive in directives}}
    held = {
        path.lstrip("/"): content
        for path, content in files.items()
        if content is not None and is_modprobe_file(path) and _acts_on(config, listing.modules, directives, path)
    }
    if _left_over(config, directives):
        held[MODPROBE_PATH.lstrip("/")] = recorded
    return dataclasses.replace(listing, contents={**listing.contents, **held})


def _acts_on(config: InitConfig, modules: t.Collection[str], directives: t.Sequence[Directive], path: str) -> bool:
    if path == MODPROBE_PATH and (_VFIO_PCI not in config.forced or _beside_vfio_pci(modules, directives)):
        return False
    # Modules that are not in the image have their options from the root file system.
    wanted = [directive for directive in directives if directive.path == path and directive.module in modules]
    return all(directive.parameters.items() <= config.parameters(directive.module).items() for directive in wanted)


def _left_over(config: InitConfig, directives: t.Iterable[Directive]) -> bool:
    known = {name for directive in directives if directive.module == _VFIO_PCI for name in directive.parameters}
    return not config.parameters(_VFIO_PCI).keys() <= known


def _beside_vfio_pci(modules: t.Collection[str], directives: t.Iterable[Directive]) -> list[str]:
    own = {line.module for line in directives if line.path == MODPROBE_PATH and line.command == "softdep"}
    return sorted((own - {_NO_DRIVER}).intersection(modules))


def racing_drivers(root: Root, listing: Listing) -> list[str]:
    """What keeps a booster image from holding devices for certain, as short texts."""
    if INIT_CONFIG not in listing.contents:
        return []
    drivers = _beside_vfio_pci(listing.modules, read_directives(root))
    return [
        f"holds {driver}, which booster loads at the same moment as vfio-pci: either may take the device (if the host "
        f"boots without it, put 'modules: -{driver}' into /etc/booster.yaml; else use another generator)"
        for driver in drivers
    ]
