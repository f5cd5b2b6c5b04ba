# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether what a boot loader's tool generated is what was meant. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError


@dataclasses.dataclass(frozen=True)
class Generation:
    """A run of ``tool``, in the words of messages: ``kept`` says what stays after a failure, ``by_hand`` what people
    run, ``when_missing`` what to do where an entry is missing, ``sources`` what the tool reads."""

    tool: str
    kept: str
    by_hand: str
    when_missing: str
    sources: str

    def check(self, found: t.Sequence[Entry], expected: t.Sequence[Entry]) -> None:
        """Every expected entry must have been found with its arguments; new kernels may have joined. Entries may share
        a title: people copy one into a file of their own.

        Raises :class:`ToolError` for the first that is not.
        """
        if not found:
            raise ToolError(f"{self.tool} ended well and generated no boot entry. {self.kept}")
        left = list(found)
        for entry in expected:
            same = [other for other in left if (other.title, other.kernel) == (entry.title, entry.kernel)]
            generated = next((other for other in same if other.args == entry.args), next(iter(same), None))
            if generated is None:
                raise ToolError(
                    f"{self.tool} generated no entry '{entry.title}' for kernel {entry.kernel}. {self.kept} "
                    f"{self.when_missing}"
                )
            if generated.args != entry.args:
                raise ToolError(
                    f"{self.tool} gave the entry '{entry.title}' other arguments than expected. {self.kept} "
                    f"Expected: {' '.join(entry.args)}. Generated: {' '.join(generated.args)}. "
                    f"Most likely {self.sources} was edited and {self.by_hand} not run since."
                )
            left.remove(generated)
