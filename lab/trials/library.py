# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's library, run on the host where no module of it does what is needed."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile

from lab.errors import LabError
from lab.machine import Host
from lab.paths import REPOSITORY

_PLACE = "/root/lab-library"
_PACKAGE = "ansible_collections/virtfleet/passthrough/plugins/module_utils"

INSTALL_EARLY_FILES = """
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import install_early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
root = Root()
with locked(root) as ledger:
    for change in install_early_files(root, ledger, installed_generators(root)):
        print(change.path)
"""


def run(host: Host, code: str) -> str:
    """Run Python with the library; it lies on the host afterwards."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(REPOSITORY / "plugins/module_utils", _PACKAGE)
    command = f"rm -rf {_PLACE} && mkdir {_PLACE} && tar -xzf - -C {_PLACE}"
    done = subprocess.run(
        host.ssh_command(command), input=packed.getvalue(), capture_output=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{host.name}: copying the library: {done.stderr.decode(errors='replace')[-300:]}")
    return host.ssh(f"PYTHONPATH={_PLACE} python3 -c {shlex.quote(code)}")
