# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way of bringing a host to a wanted state with a boot on trial: ``site.yml``, as an operator runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.demo.steps import Playbooks
from lab.machine import Host
from lab.paths import HERE
from lab.trials.resets import Reset, Watch

GROUP_VARS = HERE / "trials/group_vars"
# Of a run that waits for a host until its trial has ended, twice its deadline and more.
LIMIT = 1200.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status and what it said, the resets that the host went through, the seconds from the
    first of them until it let somebody in after the last, 0 without any."""

    status: int
    said: str
    resets: Sequence[Reset]
    away: float

    @property
    def tried(self) -> float:
        """The seconds that the boot on trial had until the next reset, 0 where there was none."""
        return self.resets[1].at - self.resets[0].at if len(self.resets) > 1 else 0.0


def converge(host: Host, arguments: Sequence[str], **variables: object) -> Outcome:
    """Run ``site.yml`` with ``arguments`` on the kernel's line and other ``variables`` than those of ``GROUP_VARS``;
    whatever becomes of it. All that was said lies in ``converge.log`` of the host."""
    wanted = {"kernel_arguments_extra": list(arguments), **variables}
    with Watch(host) as watch:
        status, said = Playbooks(host, GROUP_VARS).attempt("site", limit=LIMIT, **wanted)
        resets = watch.story.resets
        away = watch.wait_until_back(LIMIT) - resets[0].at if resets else 0.0
    (host.directory / "converge.log").write_text(said, encoding="utf-8")
    return Outcome(status, said, tuple(resets), away)


def last_words_of(said: str) -> str:
    """What a run said of its last failure, up to its end, in one line: YAML breaks long texts."""
    return " ".join(said[max(said.rfind("fatal: "), 0) :].split())
