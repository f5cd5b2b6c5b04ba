# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The deciding half of ``host_plan``: one remote read, then everything else on the controller."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import ARGUMENT_SPEC
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import (
    check_components,
    check_wanted,
    make_plan,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.encryption import host_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import Controller
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.report import host_table, summary
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import running_generation


def plain(value: t.Any) -> t.Any:
    """The value without the controller's tags and lazy containers, as the host and JMESPath shall see it."""
    return json.loads(json.dumps(value))


class ActionModule(ActionBase):
    """Runs the reader on the host and decides here."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The task's result; see the module's documentation for its keys."""
        super().run(tmp, task_vars)
        arguments = self._arguments()
        if self._task.delegate_to:
            raise AnsibleActionFail(
                "host_plan cannot be delegated: what is wanted belongs to the host that it is read on"
            )
        try:
            wanted = plain(arguments["wanted"])
            check_components((*wanted, *(arguments["components"] or ())))
            host_keys(arguments["allow"], "allow")
            check_wanted({name: part for name, part in wanted.items() if part is not None})
            return self._plan(_managed(wanted), arguments, task_vars)
        except PassthroughError as exc:
            raise AnsibleActionFail(str(exc)) from exc

    def _arguments(self) -> dict[str, t.Any]:
        _validation, arguments = self.validate_argument_spec(  # type: ignore[no-untyped-call]  # ansible-core has no types
            {
                "wanted": {"type": "dict", "required": True},
                "components": {"type": "list", "elements": "str"},
                "allow": {"type": "list", "elements": "str"},
                "root": {"type": "path", "default": "/"},
                "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": AUTO},
                "boot": {"type": "dict", "options": ARGUMENT_SPEC},
            }
        )
        return dict(arguments)

    def _plan(
        self, wanted: dict[str, t.Any], arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        read = self._execute_module(
            module_name="virtfleet.passthrough.host_plan",
            module_args={**arguments, "wanted": wanted},
            task_vars=task_vars,
        )
        if read.get("failed") or "state" not in read:
            return dict(read)
        if read["effective_uid"] != 0 and arguments["root"] == "/":
            raise AnsibleActionFail("host_plan needs root on the host: connect as root or set become: true")
        state = plain(read["state"])
        host = HostState.from_json(state)
        plan = make_plan(
            wanted, host, arguments["components"], arguments["allow"], arguments["boot"], _controller()
        ).to_json()
        return {
            **plan,
            "changed": False,
            "owned": host.ledger.summary(),
            "boot_id": host.boot_id,
            "boot_pending": host.boot["reboot_required"],
            "boot_ours": running_generation(host.boot["running"]) is not None,
            "summary": summary(plan),
            "table": [line.text for line in host_table(plan)],
        }


def _controller() -> Controller:
    here = Root()
    uuid = here.read_word("/sys/class/dmi/id/product_uuid")
    return Controller(here.read_word("/proc/sys/kernel/random/boot_id"), uuid)


def _managed(wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    """Null is "unmanaged" for a component and "the default" for one of its options."""
    return {
        name: {option: value for option, value in part.items() if value is not None}
        for name, part in wanted.items()
        if part is not None
    }
