# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staged import DIRECTORY
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    Change,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.room import with_room
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import SCRIPT_PATH as SCRIPT
from tests.unit.plugins.planned_host import host_with

MIB = 1 << 20
RIGHT = {"files": {SCRIPT.lstrip("/"): "new"}, "modules": []}
# One file system each, so that only what is looked at can be short.
APART = {"/boot": "boot", SCRATCH: "tmp", DIRECTORY: "var", "/efi/loader": "efi"}


def image(
    kernel: str, size: int = 60, path: str | None = None, content: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "kernel": kernel,
        "path": path or f"/boot/initrd.img-{kernel}",
        "size": size * MIB,
        "content": content,
        "modules_needed": [],
        "watchdog_files": {},
    }


def refused(
    *images: dict[str, Any],
    free: dict[str, int],
    on_trial: bool = True,
    apart: dict[str, str] | None = None,
    verdict: Verdict | None = None,
    base: str = "/boot/initrd.img-a",
    without_entry: tuple[str, ...] = (),
    **room: Any,
) -> list[str]:
    """``free`` MiB by file system, those that are not named have plenty."""
    names = APART if apart is None else apart
    free = {**dict.fromkeys(names.values(), 10_000), **free}
    stale = [each["path"] for each in images if each["content"] is None]
    verdict = verdict or Verdict(
        changes=tuple(Change(f"image {path}", None, "rebuilt") for path in stale),
        apply={"stale": stale, "planned_files": {SCRIPT: "new"}, "unrecorded": []},
    )
    facts = {
        "generator": "initramfs-tools",
        "images": list(images),
        "free": {directory: free[name] * MIB for directory, name in names.items()},
    }
    trial = {
        "base": {
            "kernel": "a",
            "initrd": base,
            "directory": base.rpartition("/")[0],
            "without_entry": list(without_entry),
        },
        "room": {
            "directories": names,
            "file_systems": {name: {"point": f"/{name}", "free": size * MIB} for name, size in free.items()},
            "staged": {},
            "copy": 0,
            "early_files": {},
            **room,
        },
    }
    host = dataclasses.replace(host_with({"initramfs": facts}), trial=trial)
    return [refusal.reason for refusal in with_room({"initramfs": verdict}, host, on_trial)["initramfs"].refusals]


def needs(mib: int, *images: dict[str, Any], of: str, **other: Any) -> None:
    """Exactly ``mib`` MiB are needed of the file system ``of``."""
    assert not refused(*images, free={of: mib}, **other)
    (reason,) = refused(*images, free={of: mib - 1}, **other)
    assert f"has {mib - 1} MiB free, and a boot on trial needs {mib} MiB there" in reason


def test_one_kernel_needs_its_new_image_beside_the_present_one() -> None:
    needs(60 + 8 + 4, image("a"), of="boot")
    needs(60 + 8, image("a"), of="var")
    needs(60 * 6, image("a"), of="tmp")
    # Nobody knows how large the first one will be.
    needs(96 + 8 + 4, image("a", 0), of="boot")


def test_a_refusal_names_the_file_system_the_numbers_and_both_ways_out() -> None:
    (reason,) = refused(image("a"), free={"boot": 71})
    assert reason == (
        "the file system at /boot has 71 MiB free, and a boot on trial needs 72 MiB there (/boot), because new images "
        "of a lie beside the present ones until they are kept: make room there, for instance by removing old kernels, "
        "or set boot_trial_mode: off, which needs less and boots without a trial"
    )
    (reason,) = refused(image("a"), free={"boot": 60})
    assert reason.endswith("for instance by removing old kernels")


def test_each_kernel_in_turn_has_its_old_image_beside_the_new_one() -> None:
    # All are staged; in /boot the first has grown when the second is copied, and the old one of the first is gone.
    needs(68 + 68, image("a"), image("b"), of="var")
    needs(8 + 68 + 4, image("a"), image("b"), of="boot")
    needs(68 + 208, image("a"), image("b", 200), of="var")
    needs(8 + 208 + 4, image("a"), image("b", 200), of="boot")
    # The one that is tried comes first, whatever the others are called.
    needs(8 + 208 + 4, image("0", 200), image("a"), of="boot")
    needs(200 * 6, image("a"), image("b", 200), of="tmp")


def test_what_lies_on_one_file_system_counts_together() -> None:
    one = dict.fromkeys(APART, "all")
    # Two staged images, the first in place and grown, and the second beside its old one.
    needs(max(68 + 68 + 8 + 68 + 4, 68 + 68 + 360 + 4), image("a"), image("b"), of="all", apart=one)
    few = {**APART, SCRATCH: "small", "/boot": "root", DIRECTORY: "root"}
    needs(68 + 68 + 8 + 68 + 4, image("a"), image("b"), of="root", apart=few)


def test_only_the_kernel_that_is_tried_is_copied_before_the_commit() -> None:
    other = image("b")
    needs(68, image("a", content=RIGHT), other, of="var")
    needs(68 + 4, image("a", content=RIGHT), other, of="boot")


def test_an_image_on_the_loaders_partition_and_its_source_in_boot() -> None:
    images = image("a"), image("a", path="/efi/loader/initrd")
    needs(68 + 4, *images, of="efi", base="/efi/loader/initrd")
    needs(68, *images, of="boot", base="/efi/loader/initrd")


def test_what_an_earlier_trial_has_left_is_used_again() -> None:
    ready = {"a": {"content": RIGHT, "size": 61 * MIB}}
    assert not refused(image("a"), free={"var": 0, "tmp": 0, "boot": 0}, staged=ready, copy=61 * MIB)
    needs(61 + 4, image("a"), of="boot", staged=ready)
    # One that does not hold what is wanted now goes first, from where the loader reads, and is built anew.
    other = {"a": {"content": {"files": {}, "modules": []}, "size": 61 * MIB}}
    needs(68, image("a"), of="var", staged=other, copy=61 * MIB)
    needs(68 - 61 + 4, image("a"), of="boot", staged=other, copy=61 * MIB)


def test_images_that_have_all_but_the_watchdog_are_built_for_a_trial() -> None:
    early = {"/etc/virtfleet-passthrough/trial-watchdog": "script"}
    images = image("a", content=RIGHT), image("b")
    needs(68 + 68, *images, of="var", early_files=early)
    needs(68, *images, of="var")


def test_an_image_that_no_entry_boots_is_found_before_it_is_built_for_a_trial() -> None:
    (reason,) = refused(image("a"), image("old"), free={}, without_entry=("old", "other"))
    assert reason.startswith("kernel old has no boot entry")
    assert "boot_trial_mode: off" in reason
    assert not refused(image("a"), image("old", content=RIGHT), free={}, without_entry=("old",))
    # In its place it is built like any other.
    assert not refused(image("a"), image("old"), free={}, without_entry=("old",), on_trial=False)


def test_in_place_each_image_needs_room_for_itself() -> None:
    assert not refused(image("a"), image("b"), free={"boot": 68, "var": 0}, on_trial=False)
    assert refused(image("a"), image("b"), free={"boot": 67}, on_trial=False) == [
        f"/boot has 67 MiB free, the new image of {kernel} needs 68 MiB: make room there. Nothing was changed"
        for kernel in ("a", "b")
    ]
    (reason,) = refused(image("a"), free={"tmp": 359}, on_trial=False)
    assert f"{SCRATCH} has 359 MiB free, building the image of a needs 360 MiB" in reason


@pytest.mark.parametrize("on_trial", [False, True])
def test_what_need_not_be_built_needs_no_room(on_trial: bool) -> None:
    nowhere = dict.fromkeys(APART.values(), 0)
    assert not refused(image("a", content=RIGHT), free=nowhere, on_trial=on_trial)
    assert with_room({"iommu": Verdict()}, host_with({}), on_trial) == {"iommu": Verdict()}


def test_a_captured_tree_says_nothing_about_room() -> None:
    facts = {"generator": "initramfs-tools", "images": [image("a")], "free": {}}
    verdict = Verdict(
        changes=(Change("image", None, "rebuilt"),),
        apply={"stale": ["/boot/initrd.img-a"], "planned_files": {SCRIPT: "new"}, "unrecorded": []},
    )
    host = dataclasses.replace(host_with({"initramfs": facts}), trial={"base": {}})
    for on_trial in (False, True):
        assert with_room({"initramfs": verdict}, host, on_trial)["initramfs"].status == DRIFT


def test_what_is_only_to_be_remembered_may_still_get_the_watchdog() -> None:
    early = {"/etc/virtfleet-passthrough/trial-watchdog": "script"}
    apply = {"stale": [], "planned_files": {SCRIPT: "new"}, "unrecorded": ["/boot/initrd.img-a"]}
    verdict = Verdict(apply=apply)
    assert verdict.status == IN_SYNC
    assert refused(image("a", content=RIGHT), free={"boot": 0}, verdict=verdict, early_files=early)
    settled = Verdict(apply={**apply, "unrecorded": []})
    assert not refused(image("a", content=RIGHT), free={"boot": 0}, verdict=settled, early_files=early)


def test_a_refusal_for_another_reason_is_not_buried() -> None:
    why = Refusal(None, "kernel a lacks vfio_pci")
    verdict = Verdict(refusals=(why,), apply={"stale": ["/boot/initrd.img-a"], "planned_files": {}, "unrecorded": []})
    assert refused(image("a"), free={"boot": 0}, verdict=verdict) == [why.reason]
