# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet's plan for machines, from what the hosts have registered."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_document
short_description: The plans of many hosts as one document
version_added: 0.2.0
author: virtfleet.passthrough contributors (@virtfleet)
description:
  - Makes one document for machines from the results of M(virtfleet.passthrough.host_plan) that hosts have registered
    as C(plan_result).
  - A host without such a result gave no answer. It is in the document too, as unreachable.
positional: _input, hostvars
options:
  _input:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Count the hosts that are not in sync
  ansible.builtin.debug:
    msg: "{{ (ansible_play_hosts_all | virtfleet.passthrough.plan_document(hostvars)).hosts.values()
      | rejectattr('status', 'equalto', 'in_sync') | length }}"
"""

RETURN = r"""
_value:
  description:
    - The document. C(schema) is the number of its form, C(hosts) has the plan of each host by its name.
    - C(complete) is false where a host gave no answer, C(status) is the worst of all hosts, and C(exit_code) is the one
      that P(virtfleet.passthrough.plan_report#callback) ends with.
  type: dict
  sample:
    schema: 1
    complete: true
    status: unreachable
    exit_code: 4
    hosts:
      node2: {status: unreachable, msg: "Failed to connect to the host via ssh: Connection refused"}
"""

import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import fleet


def _plain(value: t.Any) -> t.Any:
    """The value without Ansible's tags and lazy containers, asked for every element as those want to be asked."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    return str(value) if isinstance(value, str) else value


def plan_document(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """See the documentation of the filter."""
    found = {str(host): _plain(hostvars[host].get("plan_result")) for host in hosts}
    return fleet.document(found)


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"plan_document": plan_document}
