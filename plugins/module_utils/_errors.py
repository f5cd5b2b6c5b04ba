# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The exceptions of this collection: one tree, turned into ``fail_json`` in one place (``_module/runtime.py``).

Every message is written for the person who reads it on a console at night: it names the value or
device, what was expected, and the option that would allow it.
"""

from __future__ import annotations


class PassthroughError(Exception):
    """Base of everything this collection raises on purpose."""


class InputError(PassthroughError):
    """An option's value cannot be meant: wrong form, unknown name, contradiction."""


class RefusedError(PassthroughError):
    """The host could be harmed; nothing was written.

    ``device`` is a BDF address or ``None``, ``allow`` the key that would permit it or ``None`` for never.
    """

    def __init__(self, reason: str, device: str | None = None, allow: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.device = device
        self.allow = allow


class HostStateError(PassthroughError):
    """The host is not in a state in which the request can be carried out."""


class ToolError(PassthroughError):
    """A program of the distribution failed or did not deliver what it said."""


class LedgerError(PassthroughError):
    """The ledger cannot be read, is newer than this collection, or contradicts the host."""


class LedgerDeniedError(LedgerError):
    """The ledger is there and this user may not read it."""
