# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image that a host of a flavour starts from: as it was built, or encrypted."""

from __future__ import annotations

from pathlib import Path

from lab import encrypted_image, image, recipe
from lab.keys import keys
from lab.locking import locked
from lab.paths import image_cache


def ensure(flavour: str) -> Path:
    """Give the image, made if the recipe has changed or it is the first time."""
    pair = keys()
    wanted = recipe.load(flavour, f"{pair.login_public}\n{pair.host_public}\n")
    if not wanted.encrypted_root:
        return image.ensure(flavour)
    target = image_cache() / f"{flavour}-{wanted.digest}.encrypted.qcow2"
    if target.exists():
        return target
    plain = image.ensure(flavour)
    with locked(image_cache() / f"{flavour}.lock", f"encrypting image {flavour}", limit=1200):
        if not target.exists():
            encrypted_image.encrypt(wanted, plain, target)
    # No host starts from it.
    plain.unlink(missing_ok=True)
    return target
