# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.dracut import Dracut


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("etc/dracut.conf", 'add_drivers+=" vfio vfio_iommu_type1 vfio_pci "', "loads none of them early"),
        ("etc/dracut.conf.d/vfio.conf", "add_drivers+=' vfio-pci ' # for the guests", "loads none of them early"),
        ("usr/lib/dracut/dracut.conf.d/v.conf", 'force_drivers+="vfio_pci"', "without a blank at both ends"),
        ("etc/dracut.conf.d/vfio.conf", 'force_drivers+=" vfio_pci "', None),
        ("etc/dracut.conf.d/vfio.conf", '#add_drivers+=" vfio_pci "', None),
        ("etc/dracut.conf.d/vfio.conf", 'add_drivers+=" nvme "', None),
        ("etc/dracut.conf.d/vfio.conf.bak", 'add_drivers+=" vfio_pci "', None),
    ],
)
def test_drivers_that_somebody_else_has_added(tmp_path: Path, path: str, line: str, said: str | None) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(f"hostonly=no\n{line}\n")
    remarks = Dracut().remarks(Root(str(tmp_path)))
    assert [said in remark and f"/{path}" in remark for remark in remarks if said] == ([True] if said else [])
    assert bool(remarks) == (said is not None)


def test_an_ostree_system_is_refused_with_what_to_do(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    assert Dracut().obstacle(root) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run/ostree-booted").write_text("")
    assert "rpm-ostree initramfs --enable" in (Dracut().obstacle(root) or "")
