# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Very many power cuts of one recording, none of them booted: is there always a menu, a kernel and an initramfs?"""

from __future__ import annotations

import time
from collections.abc import Sequence

from lab.power import menu
from lab.power.draw import Phase, Point, phase_of
from lab.power.recording import Recording
from lab.power.run import rolling
from lab.power.write_log import WriteLog


def look(recording: Recording, log: WriteLog, found: Sequence[Phase], points: Sequence[Point]) -> int:
    """Print what keeps GRUB from booting, and give the number of points with such a thing."""
    begun = time.monotonic()
    failed = 0
    end = len(log.entries)
    with rolling(recording, "first", log) as disk, disk.at(Point(0, 0, (), 0)) as image:
        known = menu.contents(image)
    with rolling(recording, "last", log) as disk, disk.at(Point(end - 1, end, (), 0)) as image:
        known |= menu.contents(image)
    with rolling(recording, "looks", log) as disk:
        for point in points:
            with disk.at(point) as image:
                faults = menu.look(image, known)
            if faults:
                failed += 1
                where = f"entry {point.index} ({phase_of(point.index, found).name}), {point.told}"
                print(f"GRUB after {where}: {'; '.join(faults)}", flush=True)
    took = time.monotonic() - begun
    print(f"GRUB finds all it needs after {len(points) - failed} of {len(points)} cuts, {took:.0f} s", flush=True)
    return failed
