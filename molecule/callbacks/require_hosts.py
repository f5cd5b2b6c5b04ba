# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""End the run when a play has no host.

Ansible skips such a play and calls the run a success, so a broken inventory would turn every scenario green.
"""

from __future__ import annotations

import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: require_hosts
type: aggregate
short_description: Fail when a play has no host
description:
  - Ends the run when a play matches no host.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "require_hosts"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_no_hosts_matched(self) -> t.NoReturn:
        self._display.error("A play matched no host. Is its group empty, or the host's inventory missing?")
        # Ansible turns every Exception of a callback into a warning, but lets this one through.
        raise SystemExit(1)
