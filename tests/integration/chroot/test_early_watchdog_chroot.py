# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hardware watchdog's files through the real mkinitramfs and the real dracut, from an untouched image and back."""

from __future__ import annotations

import fnmatch

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import (
    install_early_files,
    release_early_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.watchdog import KINDS, NAMES
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from tests.integration.chroot.conftest import DEBIAN_12, DEBIAN_13, Chroot

pytestmark = pytest.mark.chroot

RECIPES = {recipe.name: recipe for recipe in (DEBIAN_12, DEBIAN_13)}
SCRIPT = early_files.SCRIPT_PATH.lstrip("/")
TRIED = "/var/lib/trial.img"


def build(chroot: Chroot) -> Listing:
    command = RECIPES[chroot.base.name].build.format(image=TRIED, kernel=chroot.kernel)
    chroot.output(*command.split())
    return read_image(chroot.root, chroot.run, TRIED, [SCRIPT, "scripts/init-top/ORDER"])


def missing(listing: Listing, kind: int = 0) -> str | None:
    argument = KINDS[kind].argument(600)
    assert argument is not None
    return early_files.missing_in_image(listing.names, listing.contents, argument)


@pytest.fixture(params=list(RECIPES))
def chroot(request: pytest.FixtureRequest) -> Chroot:
    chosen: Chroot = request.getfixturevalue(request.param)
    for number, kind in enumerate(KINDS):
        chosen.write(f"/sys/class/watchdog/watchdog{number}/identity", f"{kind.identity}\n")
    return chosen


def test_the_image_can_start_the_watchdog_and_forgets_it_again(chroot: Chroot) -> None:
    generators = installed_generators(chroot.root)
    before = build(chroot)
    assert "does not hold" in (missing(before) or "")

    with locked(chroot.root) as ledger:
        assert install_early_files(chroot.root, ledger, generators)
    held = build(chroot)
    assert [missing(held, kind) for kind in range(len(KINDS))] == [None] * len(KINDS)
    assert {name.replace("-", "_") for name in NAMES} <= held.modules
    (hook,) = (place for path, place in early_files.IN_IMAGE[generators[0]].items() if path != early_files.SCRIPT_PATH)
    assert fnmatch.filter(held.names, hook)
    if chroot.base.name == "debian12":
        order = held.contents["scripts/init-top/ORDER"].decode()
        assert order.index("00-virtfleet-trial") < order.index("init-top/udev")
    programs = {name.rpartition("/")[2] for name in held.names if name.rpartition("/")[0].endswith("bin")}
    assert {"sh", "sleep", "modprobe"} <= programs

    with locked(chroot.root) as ledger:
        assert release_early_files(chroot.root, ledger)
    assert build(chroot).names == before.names


def test_a_script_that_nothing_runs_does_not_count(chroot: Chroot) -> None:
    generators = installed_generators(chroot.root)
    with locked(chroot.root) as ledger:
        install_early_files(chroot.root, ledger, generators)
    try:
        held = build(chroot)
        names = [name for name in held.names if "virtfleet-trial" not in name]
        assert "nothing that runs it" in (missing(Listing(tuple(names), held.contents)) or "")
    finally:
        with locked(chroot.root) as ledger:
            release_early_files(chroot.root, ledger)
