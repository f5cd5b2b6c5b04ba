# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan is shown in a boot on trial is what the commit then leaves."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.after_commit import (
    committed_line,
    images_on_trial,
    record_on_trial,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import COMMITTING, write_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staged import staged_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.unit.plugins.module_utils._boot.trial_host import KERNELS, NEW_IMAGE, OLD_IMAGE, TrialHost

FIRST, SECOND = KERNELS
FOUND = Found({"etc/virtfleet-passthrough/vfio-devices": "digest"}, ("vfio_pci",))
IMAGES = {f"/boot/initrd.img-{kernel}": staged_path(kernel) for kernel in KERNELS}


def stage(host: TrialHost) -> dict[str, str]:
    """An image for each kernel, built and proven by the module ``initramfs``."""
    (host.base / staged_path(FIRST).lstrip("/")).parent.mkdir(parents=True)
    for kernel in KERNELS:
        host.stage(staged_path(kernel).lstrip("/"), NEW_IMAGE + kernel.encode())
    with locked(host.root) as ledger:
        for kernel in KERNELS:
            path = staged_path(kernel)
            record.remember(ledger, path, kernel, record.image_stamp(host.root, path) or {}, FOUND)
        ledger.save()
    return {kernel: staged_path(kernel) for kernel in KERNELS}


def test_only_the_boot_on_trial_is_shown_what_it_tries(host: TrialHost) -> None:
    host.arm(host.request(images=stage(host)))
    assert record_on_trial(host.root, Ledger.read(host.root)) is None
    assert images_on_trial(host.root, Ledger.read(host.root)) == {}
    host.boot()
    assert record_on_trial(host.root, Ledger.read(host.root)) is not None
    assert images_on_trial(host.root, Ledger.read(host.root)) == IMAGES
    host.boot()
    assert images_on_trial(host.root, Ledger.read(host.root)) == {}


def test_the_foreseen_line_and_ledger_are_those_of_the_commit(host: TrialHost) -> None:
    host.arm(host.request(images=stage(host)))
    host.boot()
    before = host.snapshot()
    ledger = Ledger.read(host.root)
    trial = record_on_trial(host.root, ledger)
    assert trial is not None
    foreseen, after = committed_line(host.root, host.run, ledger, trial)
    assert host.snapshot() == before
    assert ledger.to_json() == Ledger.read(host.root).to_json()
    host.commit()
    known = Ledger.read(host.root)
    left = read_boot_state(host.root, known)
    assert foreseen == {key: left[key] for key in foreseen}
    assert not foreseen["reboot_required"]
    for section in ("kernel_args", "kernel_line"):
        assert after.section(section) == known.section(section)


def test_a_commit_hands_the_proof_over_with_the_images(host: TrialHost) -> None:
    host.arm(host.request(images=stage(host)))
    host.boot()
    host.commit()
    ledger = Ledger.read(host.root)
    assert set(ledger.section("images")) == set(IMAGES)
    for kernel in KERNELS:
        path = f"/boot/initrd.img-{kernel}"
        assert host.image(kernel) == NEW_IMAGE + kernel.encode()
        assert record.recall(ledger, path, record.image_stamp(host.root, path)) == FOUND
    assert not (host.base / staged_path(FIRST).lstrip("/")).parent.exists()


def test_a_commit_that_was_cut_off_at_its_end_is_judged_by_the_images_in_place(host: TrialHost) -> None:
    host.arm(host.request(images=stage(host)))
    host.boot()
    trial = record_on_trial(host.root, Ledger.read(host.root))
    assert trial is not None
    host.commit()
    with locked(host.root) as ledger:
        write_record(ledger, dataclasses.replace(trial, step=COMMITTING))
    assert host.state == "trying"
    assert images_on_trial(host.root, Ledger.read(host.root)) == {}
    # The next run finishes it.
    host.commit()
    assert record_on_trial(host.root, Ledger.read(host.root)) is None


def test_an_image_of_somebody_elses_making_is_looked_into_later(host: TrialHost) -> None:
    host.arm(host.request(images={FIRST: host.stage()}))
    host.boot()
    host.commit()
    path = f"/boot/initrd.img-{FIRST}"
    ledger = Ledger.read(host.root)
    assert record.is_known(ledger, path)
    assert record.recall(ledger, path, record.image_stamp(host.root, path)) is None


def test_arming_anew_keeps_what_it_is_armed_with(host: TrialHost) -> None:
    images = stage(host)
    host.arm(host.request(images=images))
    host.arm(host.request(images=images, owners={"iommu": ["iommu=pt"]}))
    host.boot()
    host.commit()
    assert host.image(SECOND) == NEW_IMAGE + SECOND.encode()


def test_a_roll_back_takes_the_staged_images_along(host: TrialHost) -> None:
    host.arm(host.request(images=stage(host)))
    host.boot(lost=True)
    assert host.roll_back()
    assert not (host.base / staged_path(FIRST).lstrip("/")).parent.exists()
    assert host.image() == OLD_IMAGE
    assert not Ledger.read(host.root).summary()
