# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab keeps what: its own files, the cache, the state of the hosts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.errors import LabError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
IMAGES = HERE / "images"
TOPOLOGIES = HERE / "topologies"
STATE = REPOSITORY / ".lab"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "virtfleet-passthrough"


def image_cache() -> Path:
    return cache() / "images"


def key_cache() -> Path:
    return cache() / "keys"


def host_state(name: str) -> Path:
    # The name becomes a directory, a host name and an Ansible inventory name.
    if not _NAME.fullmatch(name):
        raise LabError(
            f"host name {name!r} is not usable",
            cause="only a-z, 0-9 and '-', beginning with a letter or digit, at most 32",
        )
    return STATE / name
