# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What addons put behind the command line of a unified kernel image: ``*.addon.efi``, see systemd-stub(7).

Sources: ``load_addons`` and ``run`` in systemd's src/boot/stub.c.
"""

from __future__ import annotations

import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import read_firmware
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import PeFile, read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

_SUFFIX = ".addon.efi"
# For all images of a partition, then for one of them.
_FOR_ALL = "loader/addons"
_FOR_ONE = f"{boot_partition.IMAGES}/{{name}}.extra.d"
_COUNTERS = re.compile(r"\+\d+(-\d+)?(?=\.efi$)", re.IGNORECASE)


def added_arguments(root: Root, point: str, name: str, image: PeFile) -> list[str]:
    """The tokens that follow those of ``image``, the file ``name`` in ``EFI/Linux`` of the partition at ``point``.

    With Secure Boot an addon needs a signature; whether the firmware trusts it cannot be told from here.
    """
    # A counter of boot counting may or may not be in the directory's name: newer stubs look without it.
    names = dict.fromkeys((name, _COUNTERS.sub("", name)))
    directories = [_FOR_ALL, *(_FOR_ONE.format(name=one) for one in names)]
    signed_only = read_firmware(root).secure_boot is True
    release = image.text(".uname")
    arguments: list[str] = []
    for directory in directories:
        path, files = boot_partition.listdir_no_case(root, point, directory)
        for file in sorted(files):
            addon = read_pe(root.path(f"{path}/{file}")) if file.lower().endswith(_SUFFIX) else None
            if addon is None or ".linux" in addon.names() or (signed_only and not addon.signed):
                continue
            if release is not None and addon.text(".uname") not in (None, release):
                continue
            arguments += split(addon.text(".cmdline") or "")
    return arguments
