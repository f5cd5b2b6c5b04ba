# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Body of the module ``libvirt_domain``."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import Difference
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import (
    LIBVIRT_IMPORT_ERROR,
    check_uri,
    connection,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import DomainState
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import ABSENT, Request
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.manage import Outcome, apply
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec, parse_name
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _default(option: str) -> t.Any:
    return next(field.default for field in dataclasses.fields(DomainSpec) if field.name == option)


def require_libvirt(module: AnsibleModule) -> None:
    """End the module where libvirt-python is missing."""
    if LIBVIRT_IMPORT_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("libvirt", reason="for libvirt's domains; distributions call it python3-libvirt"),
            exception=LIBVIRT_IMPORT_ERROR,
        )


def request_from(params: t.Mapping[str, t.Any]) -> Request:
    """The module's options as a request. Raises :class:`InputError` for what contradicts itself."""
    name = parse_name(params["name"])
    said = {option: params.get(option) for option in DomainSpec.option_names()}
    further = sorted(
        option for option, value in said.items() if option != "name" and value not in (None, _default(option))
    )
    spec = None
    if params["state"] == ABSENT and further:
        raise InputError(f"domain '{name}' shall be absent: {', '.join(further)} would have no effect")
    if further:
        spec = DomainSpec.from_options(said)
    allow = {
        str(Address.parse(device["address"])): frozenset(device.get("allow") or ())
        for device in params.get("devices") or ()
        if device.get("address")
    }
    return Request(
        name=name,
        state=params["state"],
        spec=spec,
        allow=frozenset(params.get("allow") or ()),
        device_allow=allow,
        force=params["force"],
        shutdown_timeout=params["shutdown_timeout"],
    )


def body(module: AnsibleModule, _run: Runner) -> Result:
    """Run one request against this host's libvirt."""
    require_libvirt(module)
    check_uri(module.params["uri"])
    request = request_from(module.params)
    root = Root()
    with connection(module.params["uri"], readonly=module.check_mode) as conn:
        if module.check_mode:
            outcome = apply(conn, root, Ledger.read(root), request, check_mode=True)
        else:
            with locked(root) as ledger:
                outcome = apply(conn, root, ledger, request, check_mode=False)
    return result_from(request.name, outcome)


def result_from(name: str, outcome: Outcome) -> Result:
    """The return keys of ``libvirt_domain``."""
    diff: list[dict[str, str]] = []
    if outcome.before != outcome.after:
        header = f"domain {name}"
        diff.append({"before_header": header, "after_header": header, "before": outcome.before, "after": outcome.after})
    if outcome.switches:
        header = f"domain {name} (switches)"
        before, after = _lines(outcome.switches, "before"), _lines(outcome.switches, "after")
        diff.append({"before_header": header, "after_header": header, "before": before, "after": after})
    return Result(
        changed=outcome.changed,
        data={
            "restart_required": bool(outcome.pending),
            "pending": differences_json(outcome.pending),
            "differences": differences_json((*outcome.differences, *outcome.switches)),
            "domain": domain_json(name, outcome.domain),
            "xml": outcome.xml,
        },
        diff=tuple(diff),
        warnings=outcome.warnings,
    )


def _lines(switches: t.Iterable[Difference], side: str) -> str:
    return "".join(f"{switch.setting}: {getattr(switch, side) or 'no domain'}\n" for switch in switches)


def differences_json(differences: t.Iterable[Difference]) -> list[dict[str, str | None]]:
    """Differences as users see them."""
    return [
        {"setting": difference.setting, "before": difference.before, "after": difference.after}
        for difference in differences
    ]


def domain_json(name: str, state: DomainState | None) -> dict[str, t.Any]:
    """A domain's short description; ``state`` is ``absent`` where there is none."""
    if state is None:
        return {"name": name, "uuid": None, "state": "absent", "active": False, "persistent": False, "autostart": False}
    return {
        "name": state.name,
        "uuid": state.uuid,
        "state": state.state,
        "active": state.active,
        "persistent": state.persistent,
        "autostart": state.autostart,
    }
