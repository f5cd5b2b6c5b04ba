# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which arguments a boot loader's configuration brings to the kernel as they were written. Pure.

A value, so that the plan can judge with it away from the host.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import is_plain, is_plain_in_quotes


def cannot_carry(argument: str, owner: str, reason: str) -> str:
    """The words in which the plan and the writer refuse ``argument``."""
    return f"kernel argument '{argument}' (wanted by {owner}): {reason}"


@dataclasses.dataclass(frozen=True)
class Carriage:
    """``reason`` says why not every argument arrives; ``blanks`` whether those in double quotes do. ``apart`` are
    beginnings of arguments that the loader's tool treats in its own way, each with what to do instead."""

    reason: str
    blanks: bool = False
    apart: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def refuses(self, argument: str) -> str | None:
        """Why ``argument``, which the kernel could read, cannot be carried; ``None`` if it can."""
        for beginning, advice in self.apart.items():
            if argument.startswith(beginning):
                return advice
        return None if (is_plain_in_quotes if self.blanks else is_plain)(argument) else self.reason

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Carriage:
        return cls(**data)
