# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""From where ``mkinitcpio`` takes the command line of the unified images that it builds for every new kernel.

``/etc/kernel/cmdline`` and what is in ``/etc/cmdline.d`` behind it, unless a preset says otherwise (``build_uki`` in
mkinitcpio).
"""

from __future__ import annotations

import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.kernel_install import CMDLINE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

_PRESETS = "/etc/mkinitcpio.d"
_DROP_INS = "/etc/cmdline.d"
_IMAGE = re.compile(r"""(?m)^[ \t]*\w+_(?:uki|efi_image)=["']?[^\s"']""")
_OWN_LINE = re.compile(r"""(?m)^[ \t]*(?:\w+_cmdline=["']?[^\s"']|\w+_options=.*--(?:no-)?cmdline\b)""")


def obstacle(root: Root) -> str | None:
    """Why images of later kernels would not get what ``/etc/kernel/cmdline`` has, or would get all else twice."""
    texts = {name: root.read_text(f"{_PRESETS}/{name}") or "" for name in root.listdir(_PRESETS)}
    builders = [name for name, text in texts.items() if name.endswith(".preset") and _IMAGE.search(text)]
    for name in builders:
        if _OWN_LINE.search(texts[name]):
            return (
                f"{_PRESETS}/{name} gives its unified kernel images a command line of its own, so that a new kernel "
                f"would boot without what is added here: take it out, and keep the line in {CMDLINE}"
            )
    if builders and not root.exists(CMDLINE) and any(name.endswith(".conf") for name in root.listdir(_DROP_INS)):
        return (
            f"mkinitcpio takes the command line of its unified kernel images from {_DROP_INS}, and there is no "
            f"{CMDLINE}: move the line there, or make that file with a part of it"
        )
    return None
