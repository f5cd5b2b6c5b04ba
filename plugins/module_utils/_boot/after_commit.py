# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a host has configured once the boot on trial that runs now is committed.

A trial is judged by the same plan as any other boot, before anything of it is made the default: so the plan is shown
the entries, the arguments and the images that a commit would leave.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import running_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import Record, read_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import in_order, record_blocks
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import running_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


def record_on_trial(root: Root, ledger: Ledger) -> Record | None:
    """The record of the trial that the running boot is, ``None`` in any other boot."""
    record = read_record(ledger)
    running = running_trial(running_arguments(root))
    return record if record is not None and record.identifier == running else None


def images_on_trial(root: Root, ledger: Ledger) -> dict[str, str]:
    """Path of an image to where the file lies that a commit puts there; empty in a boot that is no trial.

    A commit that was cut off has put it there already, and may have removed where it lay.
    """
    record = record_on_trial(root, ledger)
    images = record.images.values() if record is not None else ()
    return {target: image.path for image in images if root.exists(image.path) for target in image.targets}


def committed_line(
    root: Root, run: Runner, ledger: Ledger, record: Record, bootloader: str = AUTO
) -> tuple[dict[str, t.Any], Ledger]:
    """The keys of ``kernel_cmdline_info`` and a ledger as they will be after the commit; writes neither."""
    after = Ledger(ledger.to_json())
    state = set_owners(root, run, after, record.owners, True, bootloader).state
    arguments = after.section("kernel_args")
    arguments.clear()
    arguments.update(state["owners"])
    record_blocks(after, in_order(arguments))
    return dict(state), after
