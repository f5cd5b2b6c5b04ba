# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's own ssh keys: one pair to log in with, one that every host shows."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.locking import locked
from lab.paths import key_cache


@dataclass(frozen=True)
class Keys:
    login: Path
    host: Path

    @property
    def login_public(self) -> str:
        return _public(self.login)

    @property
    def host_public(self) -> str:
        return _public(self.host)


def keys() -> Keys:
    """Give the key pairs, made on the first use."""
    place = key_cache()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    pair = Keys(login=place / "login_ed25519", host=place / "host_ed25519")
    with locked(place / "lock", "making the lab's ssh keys", limit=60):
        for path in (pair.login, pair.host):
            if not path.exists():
                _generate(path)
    return pair


def _public(private: Path) -> str:
    return " ".join(private.with_suffix(".pub").read_text(encoding="utf-8").split()[:2])


def _generate(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
    try:
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"making the ssh key {path}: {error}", cause="missing Debian package openssh-client") from None
