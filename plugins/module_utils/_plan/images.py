# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What an initramfs image lacks of what it is to hold. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, need_for, shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState


def image_shortfalls(image: t.Mapping[str, t.Any], generator: str, files: t.Mapping[str, str]) -> tuple[str, ...]:
    """``image`` as the reader of ``initramfs`` describes it, ``files`` (path to SHA-256) as they are to be."""
    need = need_for(generator, {**image["watchdog_files"], **files}, image["modules_needed"])
    content = image["content"]
    if content is None and need.is_empty:
        return ()
    return tuple(shortfalls(need, Found.from_json(content) if content is not None else Found({}, ())))


def boots_without(host: HostState, files: t.Mapping[str, str]) -> bool:
    """Whether the running kernel's image lacks any of ``files``; where images were not looked at nobody knows."""
    facts = host.facts.get("initramfs")
    if facts is None or facts["generator"] is None:
        return False
    return any(
        image["kernel"] == host.kernel_release and image_shortfalls(image, facts["generator"], files)
        for image in facts["images"]
    )
