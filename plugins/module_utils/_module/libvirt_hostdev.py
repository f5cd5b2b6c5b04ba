# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Body of the module ``libvirt_hostdev``."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import check_uri, connection
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdev_change import (
    HostdevRequest,
    apply_hostdev,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev, parse_name
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain import (
    differences_json,
    require_libvirt,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def body(module: AnsibleModule, _run: Runner) -> Result:
    """Change one device of one domain on this host."""
    params = module.params
    require_libvirt(module)
    check_uri(params["uri"])
    request = HostdevRequest(
        domain=parse_name(params["domain"]),
        device=PciHostdev.from_options(params["device"], "device"),
        present=params["state"] == "present",
        live=params["live"],
        allow=frozenset(params["device"].get("allow") or ()),
    )
    root = Root()
    with connection(params["uri"], readonly=module.check_mode) as conn:
        if module.check_mode:
            outcome = apply_hostdev(conn, root, Ledger.read(root), request, check_mode=True)
        else:
            with locked(root) as ledger:
                outcome = apply_hostdev(conn, root, ledger, request, check_mode=False)
    diff: list[dict[str, str]] = []
    if outcome.before != outcome.after:
        header = f"domain {request.domain}"
        diff.append({"before_header": header, "after_header": header, "before": outcome.before, "after": outcome.after})
    return Result(
        changed=outcome.changed,
        data={
            "restart_required": bool(outcome.pending),
            "pending": differences_json(outcome.pending),
            "differences": differences_json(outcome.differences),
            "live_changed": outcome.live_changed,
            "xml": outcome.xml,
        },
        diff=tuple(diff),
        warnings=outcome.warnings,
    )
