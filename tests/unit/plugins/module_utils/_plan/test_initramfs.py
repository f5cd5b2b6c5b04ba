# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import initramfs
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.initramfs import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    REFUSED,
    HostState,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import IN_IMAGE, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import Table

GENERATOR = "initramfs-tools"
NIC = Device(Address.parse("0000:01:00.0"), Identity("8086", "10d3", "8086", "0000"), "0200", iommu_group=1)
TABLE = Table(1, {NIC.address: NIC.identity})
MODULES = ["vfio", "vfio_pci"]


def held(table: Table) -> dict[str, t.Any]:
    """What an image holds that was built for ``table``."""
    names = IN_IMAGE[GENERATOR]
    files = {names[file.path]: digest(file.content) for file in boot_files(table, [GENERATOR]) if file.path in names}
    return {"files": files, "modules": MODULES}


def image(kernel: str, content: dict[str, t.Any] | None, missing: t.Sequence[str] = ()) -> dict[str, t.Any]:
    return {
        "kernel": kernel,
        "path": f"/boot/initrd.img-{kernel}",
        "present": True,
        "recorded": True,
        "size": 60 << 20,
        "content": content,
        "modules_needed": MODULES,
        "modules_missing": list(missing),
        "watchdog_files": {},
    }


def judged(
    *images: dict[str, t.Any],
    table: Table | None = TABLE,
    chosen: t.Sequence[Device] = (NIC,),
    managed: bool = True,
    generator: str | None = GENERATOR,
    wanted: t.Mapping[str, t.Any] | None = None,
    facts: t.Mapping[str, t.Any] | None = None,
    ledger: t.Mapping[str, t.Any] | None = None,
) -> Verdict:
    vfio: dict[str, t.Any] = {
        "managed": managed,
        "table": None if table is None else str(table),
        "generators": [GENERATOR],
    }
    written = () if table is None else boot_files(table, [GENERATOR])
    vfio.update(method=None, vfio_pci="module", files={file.path: digest(file.content) for file in written})
    state = HostState(
        kernel_release="6.1",
        cpu_vendor="GenuineIntel",
        boot_id="b",
        devices=(NIC,),
        iommu={"enabled": True},
        boot={"running": []},
        dependencies=(),
        ledger=Ledger.from_json(
            {
                "schema": 1,
                "generation": 0 if table is None else table.generation,
                "files": {file.path: {"owner": "vfio"} for file in written},
                **(ledger or {}),
            }
        ),
        facts={
            "vfio": vfio,
            "vfio_options": {"managed": False, "files": {}},
            "initramfs": {
                "generator": generator,
                "images": list(images),
                "obstacle": None,
                "unified_obstacle": None,
                "remarks": [],
                **(facts or {}),
            },
        },
    )
    return decide(wanted or {}, state, {"nic": tuple(chosen)} if chosen else {})


def stale(verdict: Verdict) -> list[str]:
    return [change.setting for change in verdict.changes]


def test_every_image_that_holds_what_it_must() -> None:
    verdict = judged(image("a", held(TABLE)), image("b", held(TABLE)))
    assert verdict.status == IN_SYNC
    files = {file.path: digest(file.content) for file in boot_files(TABLE, [GENERATOR])}
    assert verdict.apply == {
        "generator": "auto",
        "kernels": ["all"],
        "planned_files": files,
        "stale": [],
        "unrecorded": [],
    }


def test_the_table_that_vfio_will_write_counts() -> None:
    verdict = judged(image("a", None), image("b", None), table=None)
    assert verdict.status == DRIFT
    assert stale(verdict) == ["image /boot/initrd.img-a", "image /boot/initrd.img-b"]
    # An image takes effect with a boot, but does not ask for one.
    assert not verdict.reboot_required


def test_one_stale_kernel_of_two_is_named() -> None:
    verdict = judged(image("a", held(TABLE)), image("b", held(Table(9, TABLE.entries))))
    assert stale(verdict) == ["image /boot/initrd.img-b"]
    assert verdict.changes[0].before == "holds another version of etc/virtfleet-passthrough/vfio-devices"


def test_a_new_device_makes_all_stale() -> None:
    twin = dataclasses.replace(NIC, address=Address.parse("0000:02:00.0"))
    assert len(stale(judged(image("a", held(TABLE)), chosen=[NIC, twin]))) == 1


def test_a_release_makes_images_stale_that_hold_ours_and_no_others() -> None:
    verdict = judged(image("a", held(TABLE)), image("b", None), chosen=[])
    assert stale(verdict) == ["image /boot/initrd.img-a"]


def test_without_anything_wanted_or_known_there_is_nothing_to_do() -> None:
    assert judged(image("a", None), table=None, chosen=[]).status == IN_SYNC
    assert judged(image("a", None), table=None, managed=False).status == IN_SYNC


def test_unmanaged_devices_keep_the_images_that_they_have() -> None:
    assert judged(image("a", held(TABLE)), chosen=[], managed=False).status == IN_SYNC


def test_what_waits_of_unmanaged_devices_is_in_no_image_yet() -> None:
    record = {"identity": NIC.identity.to_json(), "boot": {"method": "ids", "boot_id": "a"}}
    devices = {"devices": {str(NIC.address): record}}
    verdict = judged(image("a", None), table=None, chosen=[], managed=False, ledger=devices)
    assert verdict.status == IN_SYNC
    assert verdict.apply["planned_files"] == {}


def test_a_missing_module_in_the_image() -> None:
    verdict = judged(image("a", {**held(TABLE), "modules": ["vfio"]}))
    assert verdict.changes[0].before == "lacks module vfio_pci"


def test_a_kernel_without_the_module_is_refused() -> None:
    verdict = judged(image("a", held(TABLE)), image("cloud", None, ["vfio_pci"]))
    assert verdict.status == REFUSED
    assert "kernel cloud lacks vfio_pci" in verdict.refusals[0].reason
    # Nobody minds while nothing is to be held.
    assert judged(image("cloud", None, ["vfio_pci"]), table=None, chosen=[]).status == IN_SYNC


def test_no_generator() -> None:
    assert judged(generator=None).status == REFUSED
    assert judged(generator=None, table=None, chosen=[]).status == IN_SYNC


def test_only_the_kernels_that_were_named() -> None:
    images = (image("a", None), image("b", None))
    assert stale(judged(*images, wanted={"kernels": ["b"]})) == ["image /boot/initrd.img-b"]


def test_options_without_a_value_have_their_default() -> None:
    assert judged(wanted={"generator": None}).apply["generator"] == "auto"


@pytest.mark.parametrize("wanted", [{"generator": "genkernel"}, {"kernel": "a"}])
def test_malformed_wishes(wanted: dict[str, t.Any]) -> None:
    with pytest.raises(InputError):
        judged(wanted=wanted)


def test_a_right_image_that_nobody_has_recorded_is_named_for_the_module() -> None:
    new = {**image("b", held(TABLE)), "recorded": False}
    verdict = judged(image("a", held(TABLE)), new)
    assert (verdict.status, verdict.apply["unrecorded"]) == (IN_SYNC, ["/boot/initrd.img-b"])
    assert judged({**image("a", None), "recorded": False}, table=None, chosen=[]).apply["unrecorded"] == []


def test_what_the_files_will_be_is_handed_on() -> None:
    assert "/etc/virtfleet-passthrough/vfio-devices" in judged(image("a", None), table=None).apply["planned_files"]
    assert judged(image("a", held(TABLE)), chosen=[]).apply["planned_files"] == {}


def test_what_keeps_images_from_holding_it_is_refused_and_nobody_minds_where_nothing_is_held() -> None:
    facts = {"obstacle": "booster runs no scripts"}
    assert [refusal.reason for refusal in judged(image("a", None), table=None, facts=facts).refusals] == [
        facts["obstacle"]
    ]
    assert judged(image("a", None), table=None, chosen=[], facts=facts).status == IN_SYNC


def test_images_without_scripts_are_refused_for_the_method_that_needs_one() -> None:
    facts = {"obstacle": "write a line into /etc/booster.yaml"}
    reasons = [refusal.reason for refusal in judged(image("a", None), generator="booster", facts=facts).refusals]
    assert len(reasons) == 1
    assert "the images of booster run no scripts" in reasons[0]
    assert "method ids" in reasons[0]


def test_a_unified_image_that_cannot_be_signed_is_refused_where_one_is_to_be_built() -> None:
    facts = {"unified_obstacle": "no key was found"}
    assert judged(image("a", None), table=None, facts=facts).status == REFUSED
    assert judged(image("a", held(TABLE)), facts=facts).status == IN_SYNC
    # Taking ours out needs a signature as well.
    assert judged(image("a", held(TABLE)), chosen=[], facts=facts).status == REFUSED


def test_what_others_configured_to_no_effect_is_a_warning() -> None:
    assert judged(image("a", held(TABLE)), facts={"remarks": ["add_drivers"]}).warnings == ("add_drivers",)


def test_every_provider_of_files_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "/etc/modprobe.d/virtfleet-vfio-options.conf"
    providers = (*initramfs.PROVIDERS, lambda _host, _selected: {options: "new"})
    monkeypatch.setattr(initramfs, "PROVIDERS", providers)
    verdict = judged(image("a", held(TABLE)))
    assert verdict.changes[0].before == f"lacks {options.lstrip('/')}"
    assert verdict.apply["planned_files"][options] == "new"
