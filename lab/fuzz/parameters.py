# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel of a random machine is told: ACS taken away from some ports, ARI from all, a share of the VFs."""

from __future__ import annotations

import random
from collections.abc import Sequence

# The kernel takes the address of a port or its ids; these are those of pcie-root-port and ioh3420.
_ALL_OF_A_KIND = ("pci:1b36:000c", "pci:8086:3420")
_FLAGS = 7


def vf_share(rng: random.Random) -> int:
    """Percent of its VFs that each PF gets."""
    return rng.choice((100, 100, 100, 50, 0))


def kernel_parameters(rng: random.Random, ports: Sequence[str], share: int, *, config_acs: bool) -> tuple[str, ...]:
    """``ports`` are addresses of ports with ACS (Documentation/admin-guide/kernel-parameters.txt, ``pci=``)."""
    pci = [*_acs(rng, ports, config_acs=config_acs), *(["noari"] if rng.random() < 0.1 else [])]
    # The last is not the kernel's: what it does not know it passes to init, which finds it in its environment.
    return (*([f"pci={','.join(pci)}"] if pci else []), f"VFS={share}")


def _acs(rng: random.Random, ports: Sequence[str], *, config_acs: bool) -> list[str]:
    way = rng.choices(("none", "disable_acs_redir", "config_acs"), (5, 2, 2))[0]
    targets = rng.sample(ports, min(len(ports), rng.randint(1, 3)))
    if rng.random() < 0.25:
        targets.append(rng.choice(_ALL_OF_A_KIND))
    # One digit for each control bit, the highest first; x leaves a bit as it is.
    flags = "".join(rng.choices("01xx", k=_FLAGS))
    if targets and way == "disable_acs_redir":
        return [f"disable_acs_redir={';'.join(targets)}"]
    if targets and way == "config_acs" and config_acs:
        return [f"config_acs={flags}@{';'.join(targets)}"]
    return []
