# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that the host needs is given away without its key, and nothing is kept that nobody needs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import DEVICE_KEYS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import judge
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.planned_host import IOMMU_ON
from tests.unit.plugins.random_host import ROOT_PORT, RandomHost

# Thousands of hosts take minutes; VIRTFLEET_EXAMPLES asks for them.
EXAMPLES = int(os.environ.get("VIRTFLEET_EXAMPLES", "200"))

# A host is hundreds of small files, which memory takes many times faster than a disk.
MEMORY = Path("/dev") / "shm"


def refusals_by_construction(
    host: RandomHost, address: str, selected: set[str], allow: set[str]
) -> set[tuple[str, str | None]]:
    mates = host.mates(address)
    judged = {address} | (mates - selected)
    expected = {(function, key) for function in judged for key in keys(host.needs[function]) if key not in allow}
    takes_the_last = address in host.displays and not host.kept_displays(selected | mates | {address})
    if takes_the_last and "last_display" not in allow:
        expected.add((address, "last_display"))
    return expected


def keys(needs: Collection[str | None]) -> set[str | None]:
    """Without those of lesser uses, where one is permitted by nothing."""
    return set(needs) - ({"storage", "management_nic", "configured_nic"} if None in needs else set())


@settings(
    max_examples=EXAMPLES,
    # Every attempt to make a failing host smaller builds a tree: that takes minutes and says little more.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_exactly_what_the_host_stands_on_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as base:
        tree = HostTree(Path(base))
        host = RandomHost(tree, data)
        devices = read_devices(tree.root, Ledger())
        dependencies = read_dependencies(tree.root, devices)
    selected = set(data.draw(st.lists(st.sampled_from(sorted(host.groups)), unique=True)))
    allow = set(data.draw(st.lists(st.sampled_from(sorted(DEVICE_KEYS)), unique=True)))
    around = Surroundings(devices, dependencies, IOMMU_ON, selected={Address.parse(address) for address in selected})
    for device in devices:
        address = str(device.address)
        found = {(refusal.device, refusal.allow) for refusal in judge(device, around, allow)}
        if address == ROOT_PORT:
            assert found == {(ROOT_PORT, None)}
        else:
            assert found == refusals_by_construction(host, address, selected, allow), dependencies
