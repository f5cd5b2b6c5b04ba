# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_files import SCRIPT_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import install_early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import read_held
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.boot_trial import try_boot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.modules import boot_trial
from tests.unit.plugins.module_utils._boot.trial_host import ARGS, TrialHost


class Module:
    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        defaults = {"owners": None, "images": None, "deadline": 900, "panic": 15, "watchdog": "off"}
        self.params = {**defaults, **params}
        self.check_mode = check_mode


@pytest.fixture
def host(tmp_path: Path) -> TrialHost:
    return TrialHost(tmp_path)


def _do(host: TrialHost, state: str, *, check_mode: bool = False, **params: Any) -> Result:
    return try_boot(cast("Any", Module({"state": state, **params}, check_mode)), host.run, host.root)


def test_every_state_returns_what_is_documented(host: TrialHost) -> None:
    yaml = pytest.importorskip("yaml")
    documented = set(yaml.safe_load(boot_trial.RETURN))
    results = [_do(host, "status"), _do(host, "armed", owners={"iommu": ARGS}), _do(host, "status")]
    host.boot()
    results += [_do(host, "committed"), _do(host, "status"), _do(host, "rolled_back")]
    assert [result.data["state"] for result in results] == [
        "none",
        "armed",
        "armed",
        "committed",
        "committed",
        "committed",
    ]
    assert [result.changed for result in results] == [False, True, False, True, False, False]
    assert [result.data["reboot_required"] for result in results] == [False, True, True, False, False, False]
    for result in results:
        assert set(result.data) == documented


@pytest.mark.parametrize("state", ["armed", "rolled_back"])
def test_check_mode_says_what_is_done_then(host: TrialHost, state: str) -> None:
    if state == "rolled_back":
        _do(host, "armed", owners={"iommu": ARGS})
    before = host.snapshot()
    predicted = _do(host, state, check_mode=True, owners={"iommu": ARGS})
    assert host.snapshot() == before
    assert _do(host, state, owners={"iommu": ARGS}) == predicted


def test_a_failed_trial_is_told_once_and_taken_away(host: TrialHost) -> None:
    _do(host, "armed", owners={"iommu": ARGS})
    host.boot(lost=True)
    told = _do(host, "status")
    assert (told.changed, told.data["state"]) == (False, "rolled_back")
    gone = _do(host, "absent")
    assert (gone.changed, gone.data["state"]) == (True, "none")
    assert not _do(host, "absent").changed


def test_what_was_held_back_comes_with_the_commit_and_goes_with_absent(host: TrialHost) -> None:
    before = host.snapshot()
    options = OwnedFile("/etc/modprobe.d/virtfleet-vfio-options.conf", b"options kvm ignore_msrs=1\n")
    host.hold_back(options)
    # A trial that failed leaves it to the next one.
    assert not _do(host, "rolled_back").changed
    foretold = _do(host, "absent", check_mode=True)
    assert read_held(Ledger.read(host.root))
    assert (_do(host, "absent").changed, foretold.changed) == (True, True)
    assert host.snapshot() == before
    assert not _do(host, "absent").changed

    host.hold_back(options)
    _do(host, "armed", owners={"iommu": ARGS})
    host.boot()
    predicted = _do(host, "committed", check_mode=True)
    assert not host.root.exists(options.path)
    done = _do(host, "committed")
    assert done == predicted
    assert [entry["after"] for entry in done.diff if entry["after_header"] == options.path] == [
        options.content.decode()
    ]
    assert host.root.read_bytes(options.path) == options.content


def test_an_owner_without_a_list_is_refused(host: TrialHost) -> None:
    with pytest.raises(InputError, match="iommu"):
        _do(host, "armed", owners={"iommu": "intel_iommu=on"})


def test_absent_takes_the_start_of_the_watchdog_along_and_rolled_back_leaves_it(host: TrialHost) -> None:
    place = host.base / "sys/class/watchdog/watchdog0"
    place.mkdir(parents=True)
    (place / "identity").write_text("i6300ESB timer\n")
    before = host.snapshot()
    with locked(host.root) as ledger:
        install_early_files(host.root, ledger, ["initramfs-tools"])
    assert not _do(host, "rolled_back").changed
    predicted = _do(host, "absent", check_mode=True)
    assert host.root.exists(SCRIPT_PATH)
    gone = _do(host, "absent")
    assert (predicted.changed, predicted.diff) == (gone.changed, gone.diff) == (True, gone.diff)
    assert host.snapshot() == before
    assert not _do(host, "absent").changed
