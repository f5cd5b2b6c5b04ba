# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which images are not known to hold what they must, judged without looking into any."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import (
    bootable_images,
    choose_generator,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.needs import (
    early_binding_modules,
    ours_since,
    watchdog_digests,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import need_for, shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.record import (
    image_stamp,
    is_known,
    recall,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


def stale_images(root: Root, ledger: Ledger, files: t.Mapping[str, str]) -> list[str]:
    """The images that are not proven to hold ``files`` (digests by path on the host), or may still hold ours."""
    generator = choose_generator(root)
    if generator is None:
        return []
    wanted = {**watchdog_digests(root, ledger), **files}
    stale = []
    for image in bootable_images(root, generator):
        path = image.path
        modules = early_binding_modules(root, image.kernel).loadable if files else ()
        need = need_for(generator.name, wanted, modules)
        found = recall(ledger, path, image_stamp(root, path))
        if shortfalls(need, found) if found is not None else not need.is_empty or is_known(ledger, path):
            stale.append(path)
    return stale


def suspects(root: Root, ledger: Ledger) -> dict[str, str]:
    """Image to kernel, for those that were made since files of ours are there: our hooks may have filled them."""
    generator = choose_generator(root)
    since = ours_since(root, ledger)
    if generator is None or since is None:
        return {}
    found = {}
    for image in bootable_images(root, generator):
        stamp = image_stamp(root, image.path)
        if stamp is not None and stamp["mtime_ns"] >= since:
            found[image.path] = image.kernel
    return found
