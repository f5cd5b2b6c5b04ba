# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the role ``boot`` is told, as far as the plan has to know it. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

TRIAL_AUTO: t.Final = "auto"
TRIAL_OFF: t.Final = "off"
TRIAL_MODES: t.Final[tuple[str, ...]] = (TRIAL_AUTO, TRIAL_OFF)

DOMAINS_REFUSE: t.Final = "refuse"
DOMAINS_SHUTDOWN: t.Final = "shutdown"
DOMAINS_IGNORE: t.Final = "ignore"
RUNNING_DOMAINS: t.Final[tuple[str, ...]] = (DOMAINS_REFUSE, DOMAINS_SHUTDOWN, DOMAINS_IGNORE)

# Seconds. Below, hosts with much memory or slow firmware would not even reach user space.
MIN_DEADLINE: t.Final = 60

# ``deadline`` is in seconds.
DEFAULTS: t.Final[t.Mapping[str, t.Any]] = {
    "reboot": False,
    "trial_mode": TRIAL_AUTO,
    "running_domains": DOMAINS_REFUSE,
    "deadline": 600,
}

# For both halves of ``host_plan``.
ARGUMENT_SPEC: t.Final[dict[str, t.Any]] = {
    "reboot": {"type": "bool", "default": DEFAULTS["reboot"]},
    "trial_mode": {"type": "str", "choices": list(TRIAL_MODES), "default": DEFAULTS["trial_mode"]},
    "running_domains": {"type": "str", "choices": list(RUNNING_DOMAINS), "default": DEFAULTS["running_domains"]},
    "deadline": {"type": "int", "default": DEFAULTS["deadline"]},
}


def with_defaults(options: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """``options`` with what is missing or ``None`` as in :data:`DEFAULTS`."""
    return {**DEFAULTS, **{name: value for name, value in (options or {}).items() if value is not None}}


def trial_deadline(options: t.Mapping[str, t.Any] | None) -> int | None:
    """The seconds that a boot on trial would have; ``None`` where none would be made. Raises :class:`InputError` for
    fewer than any boot takes."""
    chosen = with_defaults(options)
    if not chosen["reboot"] or chosen["trial_mode"] != TRIAL_AUTO:
        return None
    deadline = int(chosen["deadline"])
    if deadline < MIN_DEADLINE:
        raise InputError(f"the deadline of a boot on trial is {deadline}: expected at least {MIN_DEADLINE} seconds")
    return deadline
