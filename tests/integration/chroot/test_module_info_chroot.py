# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernels of Debian know of the parameters that options set, asked by their own modinfo."""

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.module_info import read_modules
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import PARAMETERS
from tests.integration.chroot.conftest import Chroot

pytestmark = pytest.mark.chroot

EVERY = [parameter for parameters in PARAMETERS.values() for parameter in parameters]
# gpu_bind came after Linux 6.1.
UNKNOWN = {"6.1": {"snd_hda_core.gpu_bind"}, "6.12": set()}


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_debians_kernels_know_every_parameter(request: pytest.FixtureRequest, name: str) -> None:
    debian: Chroot = request.getfixturevalue(name)
    names = sorted({parameter.module for parameter in EVERY})
    found = read_modules(debian.root, debian.run, names, names)[debian.kernel]
    unknown = {
        parameter.label for parameter in EVERY if parameter.name not in (found[parameter.module].parameters or ())
    }
    version = ".".join(debian.kernel.split(".")[:2])
    assert unknown == UNKNOWN[version]
    assert {info.kind for info in found.values()} == {"module"}
