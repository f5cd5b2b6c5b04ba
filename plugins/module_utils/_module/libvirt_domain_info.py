# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Body of the module ``libvirt_domain_info``."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import (
    check_uri,
    connection,
    translated,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.describe import describe_domain
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    all_snapshots,
    defined_in_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import read_function
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import recorded
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pending import pending_differences
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain import (
    differences_json,
    domain_json,
    require_libvirt,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def body(module: AnsibleModule, _run: Runner) -> Result:
    """Read the domains asked for; writes nothing."""
    root = Root(module.params["root"])
    if root.is_live:
        require_libvirt(module)
        check_uri(module.params["uri"])
        with connection(module.params["uri"], readonly=True) as conn, translated("reading domains from libvirt"):
            states = all_snapshots(conn)
    else:
        states = defined_in_files(root)
    names = module.params["names"]
    ledger = Ledger.read(root)
    found = [domain_info(root, ledger, state) for state in states if names is None or state.name in names]
    known = {state.name for state in states}
    return Result(data={"domains": found, "missing": [name for name in names or () if name not in known]})


def domain_info(root: Root, ledger: Ledger, state: DomainState) -> dict[str, t.Any]:
    """One domain with its definition taken apart."""
    described = describe_domain(state.tree)
    for device in described["hostdevs"]:
        function = read_function(root, device["address"]) if device["type"] == "pci" else None
        device["driver"] = None if function is None else function.driver
    pending = () if state.active_xml is None else pending_differences(parse_xml(state.active_xml), state.tree)
    return {
        **domain_json(state.name, state),
        **described,
        "managed_here": recorded(ledger, state) is not None,
        "restart_required": bool(pending),
        "pending": differences_json(pending),
        "xml": state.xml,
        "active_xml": state.active_xml,
    }
