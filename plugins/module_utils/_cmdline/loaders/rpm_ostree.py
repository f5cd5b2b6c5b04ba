# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""rpm-ostree systems (Fedora CoreOS, Silverblue, RHEL for Edge): ``rpm-ostree kargs``.

The tool makes a new deployment out of the one that boots next, with other arguments; the older ones stay as they are
to fall back to, and later ones inherit its line. It is one transaction of a daemon: it happens as a whole or not.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import recorded_blocks
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import (
    Entry,
    Loader,
    Unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_deployments import (
    ENTRIES,
    GRUB_ENVIRONMENT,
    STAGED_LOCKED,
    origin,
    read_entries,
    read_staged,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_line import (
    operations,
    without_deployment,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

NAME = "rpm-ostree"
RPM_OSTREE = "/usr/bin/rpm-ostree"
BOOTED = "/run/ostree-booted"
_BOOTC = ("/usr/bin/bootc", "/usr/lib/bootc")
# The update agent of CoreOS, which works through rpm-ostree although its images are containers and bring bootc.
_ZINCATI = "/usr/libexec/zincati"
# The key of an origin file whose content comes from a container image.
_CONTAINER = "container-image-reference"


class RpmOstreeLoader(Loader):
    """See :class:`Loader`. No file carries our part: what boots next hands its line on."""

    name = NAME

    def __init__(self, root: Root) -> None:
        self._root = root

    def entries(self) -> tuple[Entry, ...]:
        return to_entries(self._root, read_entries(self._root), read_staged(self._root))

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        chosen = next((entry for entry in self.entries() if entry.default), None)
        if chosen is not None and not chosen.managed and (arguments or recorded_blocks(ledger)):
            raise RefusedError(
                f"GRUB boots '{chosen.title}' next, which is not the first deployment, and 'rpm-ostree kargs' builds "
                f"on the first. Take the choice out of {GRUB_ENVIRONMENT} (next_entry, saved_entry, boot_counter), or "
                "make that deployment the first ('rpm-ostree rollback')"
            )
        staged = read_staged(self._root)
        if staged is not None and staged.locked and arguments:
            raise RefusedError(
                f"the staged deployment {staged.name} is locked ({STAGED_LOCKED}): 'rpm-ostree kargs' would build on "
                "it, and it does not boot before it is released. Run 'rpm-ostree finalize-deployment' or 'rpm-ostree "
                "cleanup --pending' first"
            )
        return ()

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        # What is expected of the entry says it all.
        del ledger, arguments
        before, wanted = _next(self.entries()), _next(expected)
        if before == wanted:
            return ()
        if not self._root.exists(RPM_OSTREE):
            raise HostStateError(f"{RPM_OSTREE} is missing, and only it makes deployments with other arguments")
        try:
            self._change(run, before, wanted)
            self._check(wanted)
        except BaseException:
            self._bring_back(run, before)
            raise
        return ()

    def _change(self, run: Runner, before: t.Sequence[str], wanted: t.Sequence[str]) -> None:
        options = operations(before, wanted).options()
        run_checked(run, [RPM_OSTREE, "kargs", *options], "Making a deployment with other arguments")

    def _check(self, wanted: t.Sequence[str]) -> None:
        found = _next(self.entries())
        if found != wanted:
            raise ToolError(
                "rpm-ostree kargs ended well, but the deployment that boots next has other arguments than expected. "
                f"Expected: {' '.join(wanted)}. Found: {' '.join(found)}."
            )

    def _bring_back(self, run: Runner, before: t.Sequence[str]) -> None:
        """The same line as before boots next; it may take one more deployment to get there."""
        found = _next(self.entries())
        if found != before:
            try:
                self._change(run, found, before)
                self._check(before)
            except PassthroughError as exc:
                raise ToolError(
                    "rpm-ostree made a deployment with unexpected arguments and could not be made to take them back. "
                    "Run 'rpm-ostree cleanup --pending' before the next reboot. " + str(exc)
                ) from exc


def _next(entries: t.Sequence[Entry]) -> list[str]:
    return without_deployment(next((entry.args for entry in entries if entry.default), ()))


def detect(root: Root, looked_for: list[str]) -> RpmOstreeLoader | Unsupported | None:
    """Entries that name an ostree deployment, on a system that is not updated as a container image."""
    deployed, staged = read_entries(root), read_staged(root)
    if not deployed and not root.exists(BOOTED):
        looked_for.append(f"rpm-ostree: no {BOOTED}, no entry with ostree= in {ENTRIES}")
        return None
    bootc = next((path for path in _BOOTC if root.exists(path)), None)
    text = origin(root, deployed, staged)
    # Fedora's classic images bring the program bootc as well; then the origin decides.
    by_rpm_ostree = root.exists(_ZINCATI) and root.exists(RPM_OSTREE)
    if bootc is not None and not by_rpm_ostree and (text is None or _CONTAINER in text):
        return Unsupported(
            "bootc",
            f"{bootc} and {'an origin that is a container image' if text else BOOTED} are there",
            'Set the arguments when the image is built: a line kargs = ["intel_iommu=on"] in a file '
            "/usr/lib/bootc/kargs.d/*.toml of the image, then 'bootc upgrade' on this machine",
        )
    if not deployed:
        looked_for.append(f"rpm-ostree: {BOOTED} is there, but {ENTRIES} has no entry with ostree=")
        return None
    return RpmOstreeLoader(root)
