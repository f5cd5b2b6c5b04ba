# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import connection
from tests.unit.plugins.libvirt_host import LibvirtHost, driver_uri, usual_host


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Any]:
    """libvirt's in-process driver, with one running domain, named test, that nobody of us made."""
    with connection(driver_uri(tmp_path), readonly=False) as opened:
        yield opened


@pytest.fixture
def host(tmp_path: Path) -> LibvirtHost:
    return usual_host(tmp_path)


@pytest.fixture
def ledger(host: LibvirtHost) -> Ledger:
    return Ledger({"schema": 1, "domains": {}}, host.root)
