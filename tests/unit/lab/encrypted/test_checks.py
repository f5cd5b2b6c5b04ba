# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks on a host that answers from a table: each must fail when its promise is broken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import machine, topology
from lab.binding.evidence import LIST_DRIVERS
from lab.demo.steps import Playbooks
from lab.encrypted import __main__ as encrypted
from lab.encrypted.__main__ import ADD_MODULE, BOOT_ID, DISPLAY, IMAGES, MODULE, NIC, OWN_DISPLAY, ROOT, TOPOLOGY, TWIN
from lab.encrypted.prompt import Typist
from lab.recipe import flavours, load
from lab.steps import StepFailedError

NATIVE = {NIC: "e1000e", TWIN: "e1000e", DISPLAY: "", OWN_DISPLAY: "virtio-pci"}
HELD = {**NATIVE, NIC: "vfio-pci", DISPLAY: "vfio-pci"}
SPOKEN = f"[ 9.1] e1000e {NIC}: hello\n[ 9.2] e1000e {TWIN}: hello\n"
LOG = (
    f"[ 4.0] [drm] Initialized {MODULE} 0.1.0\n[ 9.2] e1000e {TWIN}: hello\n"
    "[ 12.0] EXT4-fs (dm-0): mounted filesystem\n"
)
LAYERS = "cryptroot crypt ext4\nvda3 part crypto_LUKS\nvda disk\n"
REFUSAL = f"{DISPLAY}: Put {MODULE} into the initramfs (allow: [encrypted_root_console] would permit it)"


class AnsweringHost:
    """Holds a driver for each function, a kernel log and files."""

    name, flavour = "luks", "debian12-luks"

    def __init__(self, drivers: Mapping[str, str] | None = None, log: str = LOG, layers: str = LAYERS) -> None:
        listing = "\n".join(f"{address} {driver}" for address, driver in (drivers or NATIVE).items())
        self.answers = {LIST_DRIVERS: listing, "dmesg": log, ROOT: layers, BOOT_ID: "one", IMAGES: "abc image"}
        self.files = {"/etc/fstab": "1", "/boot/initrd.img-6 holds init": ""}

    def ssh(self, command: str, limit: float = 0) -> str:
        assert limit >= 0
        return self.answers.get(command, "")


def proof(host: Any, answers: int = 1) -> encrypted.Proof:
    typist = Typist(Path("/nowhere"), "x")
    typist.answers = answers
    return encrypted.Proof(host, typist)


@pytest.fixture(autouse=True)
def _listed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted, "manifest", lambda host, *_directories: dict(host.files))


def plays(monkeypatch: pytest.MonkeyPatch, status: int, said: str) -> None:
    monkeypatch.setattr(Playbooks, "attempt", lambda _self, _playbook, **_variables: (status, said))


def test_all_is_as_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proof(AnsweringHost(log=SPOKEN)).native_drivers() == NATIVE
    proof(AnsweringHost()).check_unlocked(1)
    proof(AnsweringHost(HELD)).check_held(NATIVE)
    proof(AnsweringHost()).check_reverted(NATIVE, AnsweringHost().files)
    plays(monkeypatch, 2, REFUSAL)
    proof(AnsweringHost()).check_refused(AnsweringHost().files)
    plays(monkeypatch, 0, "will change")
    proof(AnsweringHost()).check_allowed()


@pytest.mark.parametrize(
    ("layers", "answers"), [("vda3 part ext4\n", 1), (LAYERS, 0), (LAYERS, 2), ("cryptroot crypt ext4\n", 1)]
)
def test_a_boot_that_nobody_unlocked(layers: str, answers: int) -> None:
    with pytest.raises(StepFailedError):
        proof(AnsweringHost(layers=layers), answers).check_unlocked(1)


@pytest.mark.parametrize(
    ("drivers", "log", "words"),
    [
        ({**HELD, NIC: "e1000e"}, LOG, NIC),
        ({**HELD, DISPLAY: ""}, LOG, DISPLAY),
        ({**HELD, TWIN: "vfio-pci"}, LOG, TWIN),
        (HELD, LOG + SPOKEN, f"has seen {NIC}"),
        (HELD, LOG.replace("e1000e", "other"), TWIN),
        (HELD, LOG.replace(MODULE, "other"), MODULE),
        (HELD, "\n".join(reversed(LOG.splitlines())), MODULE),
    ],
)
def test_a_device_that_is_not_held_from_the_start(drivers: dict[str, str], log: str, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        proof(AnsweringHost(drivers, log)).check_held(NATIVE)


@pytest.mark.parametrize(
    ("status", "said", "files"),
    [
        (0, REFUSAL, {}),
        (2, REFUSAL.replace(MODULE, "virtio-pci"), {}),
        (2, "unreachable", {}),
        (2, REFUSAL, {"/etc/virtfleet": "new"}),
    ],
)
def test_a_refusal_that_is_none(monkeypatch: pytest.MonkeyPatch, status: int, said: str, files: dict[str, str]) -> None:
    plays(monkeypatch, status, said)
    host = AnsweringHost()
    before = dict(host.files)
    host.files.update(files)
    with pytest.raises(StepFailedError):
        proof(host).check_refused(before)


@pytest.mark.parametrize(("status", "said"), [(2, "will change"), (0, "nobody sees the prompt")])
def test_a_key_that_does_not_allow(monkeypatch: pytest.MonkeyPatch, status: int, said: str) -> None:
    plays(monkeypatch, status, said)
    with pytest.raises(StepFailedError):
        proof(AnsweringHost()).check_allowed()


POWER_CUTS = [
    (NATIVE, "abc image", 4, True),
    (HELD, "abc image", 4, True),
    ({**NATIVE, NIC: ""}, "abc image", 4, False),
    ({**NATIVE, TWIN: "vfio-pci"}, "abc image", 4, False),
    (NATIVE, "def image", 4, False),
    (NATIVE, "abc image", 0, False),
]


@pytest.mark.parametrize(("drivers", "image", "status", "good"), POWER_CUTS)
def test_a_power_cut(
    monkeypatch: pytest.MonkeyPatch, drivers: dict[str, str], image: str, status: int, good: bool
) -> None:
    after = AnsweringHost(drivers)
    after.answers[IMAGES] = image
    plays(monkeypatch, status, "unreachable")
    monkeypatch.setattr(machine, "cut", lambda _host: None)
    monkeypatch.setattr(machine, "power_on", lambda _name: after)
    monkeypatch.setattr(machine, "wait", lambda _hosts: {})
    cut = proof(AnsweringHost(), answers=2)
    if good:
        cut.cut_during_the_build(NATIVE)
        assert id(cut.host) == id(after)
    else:
        with pytest.raises(StepFailedError):
            cut.cut_during_the_build(NATIVE)


def test_something_that_is_left_after_the_revert() -> None:
    host = AnsweringHost()
    before = dict(host.files)
    host.files["/boot/initrd.img-6 holds etc/virtfleet"] = ""
    with pytest.raises(StepFailedError, match="etc/virtfleet"):
        proof(host).check_reverted(NATIVE, before)
    with pytest.raises(StepFailedError, match=NIC):
        proof(AnsweringHost(HELD)).check_reverted(NATIVE, before)


def test_the_topology_has_what_the_run_speaks_of() -> None:
    wanted = topology.load(TOPOLOGY)
    assert [device.driver for device in wanted.walk() if device.driver != "pcie-root-port"] == [
        "virtio-vga",
        "e1000e",
        "e1000e",
        "bochs-display",
    ]


def test_every_flavour_with_an_encrypted_root_can_be_asked_for() -> None:
    assert {flavour for flavour in flavours() if load(flavour, "").encrypted_root} == set(ADD_MODULE)
