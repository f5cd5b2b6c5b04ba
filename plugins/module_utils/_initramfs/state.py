# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about initramfs images."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.after_commit import images_on_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.encryption import (
    display_modules,
    read_encryption,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.delivered import unified_obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import (
    bootable_images,
    choose_generator,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.examine import known_content
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator, Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.needs import (
    early_binding_modules,
    installed_digests,
    ours_since,
    watchdog_digests,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import need_for
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.record import image_stamp, recall
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import image_size, read_free
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

_NOTHING: t.Final[t.Mapping[str, t.Any]] = {
    "images": [],
    "free": {},
    "obstacle": None,
    "unified_obstacle": None,
    "remarks": [],
}


def read_state(root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``generator`` (``None`` where none is known) and ``images``, one per kernel that can boot:

    ``kernel``, ``path``, ``display_drivers`` (those of this host's displays that are in it, looked up only where the
    root file system is encrypted), ``present``, ``content`` (``files`` with digests and ``modules``; ``None`` where
    it is not known and nothing asks for it), ``modules_needed`` and ``modules_missing`` for early binding,
    ``watchdog_files`` (digests by path on the host) for boots on trial.

    ``recorded`` (whether the ledger knows what is in it), ``size`` in bytes; and ``free`` bytes by directory, which a
    captured tree does not tell.
    ``obstacle`` says why the generator's images would not hold what they must, ``unified_obstacle`` why unified
    images cannot be built anew (``None``: they can), ``remarks`` what others have configured to no effect.

    In a boot on trial, what is said of an image is said of the one that its commit puts there.

    An image that was looked into before costs one ``stat``. Any other that may hold files of ours is unpacked (one
    process): one that came with a new kernel as well. A plan writes nothing, so it would be unpacked by every plan;
    ``recorded`` is for the role to have the module ``initramfs`` remember it once.
    """
    generator = choose_generator(root, wanted.get("generator") or "auto")
    if generator is None:
        return {"generator": None, **_NOTHING}
    digests = installed_digests(root, ledger)
    try:
        found = bootable_images(root, generator)
    except HostStateError as exc:
        return {"generator": generator.name, **_NOTHING, "obstacle": str(exc)}
    displays = display_modules(root) if read_encryption(root)["encrypted"] else {}
    on_trial = images_on_trial(root, ledger)
    starting = watchdog_digests(root, ledger)
    images = [
        {
            **_image(root, run, ledger, generator, image, digests, on_trial.get(image.path, image.path)),
            "display_drivers": _display_drivers(root, run, image, displays),
            "watchdog_files": starting,
        }
        for image in found
    ]
    return {
        "generator": generator.name,
        "images": images,
        "free": read_free(root, [image["path"] for image in images]) if root.is_live else {},
        "obstacle": generator.obstacle(root),
        "unified_obstacle": unified_obstacle(root, found),
        "remarks": generator.remarks(root),
    }


def _display_drivers(root: Root, run: Runner, image: Image, displays: t.Mapping[str, str]) -> list[str]:
    if not displays:
        return []
    try:
        modules = read_image(root, run, image.path).modules
    except ToolError:
        return []
    return sorted(driver for driver, module in displays.items() if module in modules)


def _image(
    root: Root,
    run: Runner,
    ledger: Ledger,
    generator: Generator,
    image: Image,
    digests: t.Mapping[str, str],
    lies_at: str,
) -> dict[str, t.Any]:
    """``lies_at`` is where the image is found until the boot on trial that runs is committed."""
    modules = early_binding_modules(root, image.kernel)
    need = need_for(generator.name, digests, modules.loadable)
    content = known_content(root, run, ledger, lies_at, need, ours_since(root, ledger))
    return {
        "kernel": image.kernel,
        "path": image.path,
        "present": root.exists(lies_at),
        "recorded": recall(ledger, lies_at, image_stamp(root, lies_at)) is not None,
        "size": image_size(root, image.path),
        "content": None if content is None else content.to_json(),
        "modules_needed": list(modules.loadable),
        "modules_missing": list(modules.missing),
    }
