# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which options of ``rpm-ostree kargs`` turn one line into another. Pure.

The daemon takes what is to be deleted first, each time the first argument that is the same, then appends in order
(kernel_arg_apply_patching in rpmostreed-transaction-types.cxx, ostree_kernel_args_delete in ostree-kernel-args.c).
Lines are compared without the argument that names the deployment, which ostree itself puts in.
"""

from __future__ import annotations

import dataclasses
import typing as t

# Names the deployment, stands in every entry, and is replaced by ostree for every new one.
DEPLOYMENT = "ostree="


@dataclasses.dataclass(frozen=True)
class Operations:
    delete: tuple[str, ...]
    append: tuple[str, ...]

    def options(self) -> list[str]:
        return [*(f"--delete={token}" for token in self.delete), *(f"--append={token}" for token in self.append)]

    def apply(self, line: t.Sequence[str]) -> list[str]:
        """What the daemon makes of ``line``."""
        left = list(line)
        for token in self.delete:
            left.remove(token)
        return [*left, *self.append]


def operations(current: t.Sequence[str], wanted: t.Sequence[str]) -> Operations:
    """The fewest deletions that lead from ``current`` to ``wanted``, both without the deployment.

    Only what lies behind a place can be put into another order, so all behind it goes and comes again. Where that
    place is differs: an argument that stands twice is deleted where it stands first.
    """
    shorter = min(len(current), len(wanted))
    same = next((index for index in range(shorter) if current[index] != wanted[index]), shorter)
    removed = len(current) - len(wanted)
    tries = [Operations(tuple(current[same : same + removed]), ())] if removed > 0 else []
    tries.extend(Operations(tuple(current[keep:]), tuple(wanted[keep:])) for keep in range(same, -1, -1))
    return next(attempt for attempt in tries if attempt.apply(current) == list(wanted))


def without_deployment(line: t.Sequence[str]) -> list[str]:
    """What stays the same from one deployment to the next."""
    return [token for token in line if not token.startswith(DEPLOYMENT)]
