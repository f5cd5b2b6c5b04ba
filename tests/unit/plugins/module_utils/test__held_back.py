# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that wait for a commit: what can wait, what the boot on trial has instead, and every way a trial can end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import without_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile, digest
from tests.unit.plugins.module_utils._boot.trial_host import TrialHost

MODPROBE = "/etc/modprobe.d/virtfleet-vfio-options.conf"
LOAD = "/etc/modules-load.d/virtfleet-vendor-reset.conf"
OWNER = "vfio_options"
KVM, VGA = "options kvm ignore_msrs=1\n", "options vfio_pci disable_vga=1\n"


@pytest.fixture
def host(tmp_path: Path) -> TrialHost:
    return TrialHost(tmp_path)


def file(text: str, path: str = MODPROBE, mode: int = 0o644) -> OwnedFile:
    return OwnedFile(path, text.encode(), mode)


@pytest.mark.parametrize(
    ("path", "before", "after", "outlasts"),
    [
        (MODPROBE, None, KVM, False),
        (MODPROBE, KVM, KVM + VGA, False),
        (MODPROBE, "# a remark\n" + KVM, KVM, False),
        (MODPROBE, KVM + VGA, KVM, True),
        (MODPROBE, KVM, "options kvm ignore_msrs=0\n", True),
        (MODPROBE, KVM, None, True),
        (MODPROBE, "options vfio-pci ids=8086:10d3\n", "options vfio-pci ids=1002:73bf,8086:10d3\n", False),
        (MODPROBE, "options vfio-pci ids=1002:73bf,8086:10d3\n", "options vfio-pci ids=8086:10d3\n", True),
        (MODPROBE, "softdep e1000e pre: vfio-pci\n", "softdep igb pre: vfio-pci\n", True),
        (MODPROBE, "blacklist i2c_nvidia_gpu\n", "blacklist i2c-nvidia-gpu\n" + KVM, False),
        (LOAD, None, "vendor_reset\n", False),
        (LOAD, "other\n", "# other\nvendor_reset\n", True),
        ("/etc/driverctl.d/pci-0000:01:00.0", None, "vfio-pci\n", True),
        # These ask for the generation themselves.
        ("/etc/udev/rules.d/70-virtfleet-vfio.rules", "one", None, False),
    ],
)
def test_what_takes_nothing_away_can_wait(path: str, before: str | None, after: str | None, outlasts: bool) -> None:
    sides = (None if text is None else text.encode() for text in (before, after))
    assert _held_back.outlasts(path, *sides) == outlasts


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ([file(KVM + VGA)], ["kvm.ignore_msrs=1", "vfio_pci.disable_vga=1"]),
        (
            [file("# one\noptions snd-hda-codec-hdmi enable_acomp=n flag\n")],
            ["snd_hda_codec_hdmi.enable_acomp=n", "snd_hda_codec_hdmi.flag"],
        ),
        # vfio-pci has these in the initramfs, and its options beside them from here.
        (
            [file("options vfio-pci ids=8086:10d3 disable_vga=1\nsoftdep e1000e pre: vfio-pci\n")],
            ["vfio_pci.disable_vga=1"],
        ),
        ([file("blacklist i2c-nvidia-gpu\nblacklist other\n")], ["modprobe.blacklist=i2c_nvidia_gpu,other"]),
        ([file("# one\n; two\nvendor-reset\n\nother\n", LOAD)], ["modules_load=vendor_reset,other"]),
        ([file(KVM), file("vendor_reset\n", LOAD)], ["kvm.ignore_msrs=1", "modules_load=vendor_reset"]),
        ([], []),
    ],
)
def test_what_the_command_line_says_in_their_place(files: list[OwnedFile], arguments: list[str]) -> None:
    assert _held_back.arguments(files) == arguments


def lying(host: TrialHost, path: str = MODPROBE) -> str | None:
    return host.root.read_text(path)


def waiting(host: TrialHost) -> dict[str, str]:
    return {path: held.file.content.decode() for path, held in _held_back.read_held(Ledger.read(host.root)).items()}


def test_the_trial_has_it_from_its_line_alone_and_the_commit_writes_it(host: TrialHost) -> None:
    host.hold_back(file(KVM), file("vendor_reset\n", LOAD))
    before = host.lines()
    tried = host.arm().record.line
    assert {"kvm.ignore_msrs=1", "modules_load=vendor_reset"} <= set(tried)
    assert {"kvm.ignore_msrs=1", "modules_load=vendor_reset"}.isdisjoint(without_trial(tried))
    assert [line.replace(" panic=15", "") for line in host.lines()] == before
    assert "kvm.ignore_msrs=1" in host.boot().args
    assert (lying(host), lying(host, LOAD)) == (None, None)
    host.commit()
    assert (lying(host), lying(host, LOAD)) == (KVM, "vendor_reset\n")
    assert waiting(host) == {}
    assert not any("kvm" in line or "modules_load" in line for line in host.lines())
    assert host.state == "committed"


def test_a_lost_trial_leaves_nothing_in_place_and_the_next_run_finds_it_waiting(host: TrialHost) -> None:
    host.hold_back(file(KVM))
    host.arm()
    host.boot(lost=True)
    assert host.state == "rolled_back"
    assert (lying(host), waiting(host)) == (None, {MODPROBE: KVM})
    before = host.snapshot()
    host.hold_back(file(KVM))
    assert host.snapshot() == before
    host.arm()
    host.boot()
    host.commit()
    assert (lying(host), waiting(host)) == (KVM, {})


@pytest.mark.parametrize("rolled_back", [False, True])
@pytest.mark.parametrize(
    ("wanted", "trial_first", "in_place", "waits"),
    [
        # boot_trial_mode: off in between.
        ([file(KVM)], False, KVM, {}),
        # Nobody wants it any more.
        ([], True, None, {}),
        ([], False, None, {}),
        ([file(KVM + VGA)], True, None, {MODPROBE: KVM + VGA}),
        ([file(VGA)], True, None, {MODPROBE: VGA}),
    ],
)
def test_after_a_lost_trial_another_wish_counts(
    host: TrialHost,
    rolled_back: bool,
    wanted: list[OwnedFile],
    trial_first: bool,
    in_place: str | None,
    waits: dict[str, str],
) -> None:
    host.hold_back(file(KVM))
    host.arm()
    host.boot(lost=True)
    if rolled_back:
        host.roll_back()
    host.hold_back(*wanted, trial_first=trial_first)
    assert (lying(host), waiting(host)) == (in_place, waits)


def test_what_takes_something_away_is_written_at_once(host: TrialHost) -> None:
    host.hold_back(file(KVM + VGA), trial_first=False)
    host.hold_back(file(KVM))
    assert (lying(host), waiting(host)) == (KVM, {})
    host.hold_back()
    assert (lying(host), waiting(host)) == (None, {})


def test_more_than_is_there_waits_beside_it(host: TrialHost) -> None:
    host.hold_back(file(KVM), trial_first=False)
    host.hold_back(file(KVM + VGA))
    assert (lying(host), waiting(host)) == (KVM, {MODPROBE: KVM + VGA})
    # Taken back before any trial: what is there was right all the time.
    ledger = Ledger.read(host.root)
    assert _held_back.not_wanted(ledger, OWNER, {MODPROBE: digest(KVM.encode())}) == [MODPROBE]
    (change,) = _held_back.preview(host.root, ledger, OWNER, [file(KVM)], True)
    assert (change.before, change.after) == ((KVM + VGA).encode(), KVM.encode())
    host.hold_back(file(KVM))
    assert (lying(host), waiting(host)) == (KVM, {})


def test_the_preview_is_what_is_done_then(host: TrialHost) -> None:
    ledger = Ledger.read(host.root)
    (change,) = _held_back.preview(host.root, ledger, OWNER, [file(KVM)], True)
    assert (change.before, change.after) == (None, KVM.encode())
    host.hold_back(file(KVM))
    ledger = Ledger.read(host.root)
    (again,) = _held_back.preview(host.root, ledger, OWNER, [file(KVM)], True)
    assert not again.changed
    (written,) = _held_back.preview(host.root, ledger, OWNER, [file(KVM)], False)
    assert (written.before, written.after) == (None, KVM.encode())
    (gone,) = _held_back.preview(host.root, ledger, OWNER, [], True)
    assert (gone.path, gone.before, gone.after) == (MODPROBE, KVM.encode(), None)
    assert _held_back.preview(host.root, ledger, "vfio", [], True) == ()


def test_a_file_of_somebody_else_is_refused_before_anything_waits(host: TrialHost) -> None:
    (host.base / "etc/modprobe.d").mkdir(parents=True)
    (host.base / MODPROBE.lstrip("/")).write_text("theirs\n")
    with pytest.raises(RefusedError, match="was not written by"):
        host.hold_back(file(KVM))
    assert waiting(host) == {}


def test_one_that_came_meanwhile_is_refused_by_the_commit_before_its_first_write(host: TrialHost) -> None:
    host.hold_back(file(KVM))
    host.arm()
    host.boot()
    (host.base / "etc/modprobe.d").mkdir(parents=True)
    (host.base / MODPROBE.lstrip("/")).write_text("theirs\n")
    before = host.snapshot()
    with pytest.raises(RefusedError, match="was not written by"):
        host.commit()
    assert host.snapshot() == before


def test_another_content_than_was_tried_is_not_kept(host: TrialHost) -> None:
    host.hold_back(file(KVM))
    first = host.arm().record.identifier
    host.hold_back(file(KVM + VGA))
    # Before its boot the trial is armed anew, with what waits now.
    assert host.arm().record.identifier != first
    host.boot()
    host.hold_back(file(VGA))
    with pytest.raises(RefusedError, match=r"virtfleet-vfio-options\.conf, which waits for the commit, was changed"):
        host.commit()
    # Written by hand meanwhile, as it was tried: then there is nothing left to write.
    host.hold_back(file(KVM + VGA), trial_first=False)
    host.commit()
    assert (lying(host), waiting(host)) == (KVM + VGA, {})


def test_what_began_to_wait_after_the_arming_goes_on_waiting(host: TrialHost) -> None:
    host.hold_back(file(KVM))
    host.arm()
    host.hold_back(file(KVM), file("vendor_reset\n", LOAD))
    host.boot()
    host.commit()
    assert (lying(host), lying(host, LOAD), waiting(host)) == (KVM, None, {LOAD: "vendor_reset\n"})


def test_what_the_line_says_already_is_not_said_twice(host: TrialHost) -> None:
    host.hold_back(file(KVM))
    request = host.request(owners={"vfio_options": ["kvm.ignore_msrs=1"]})
    assert host.arm(request).record.line.count("kvm.ignore_msrs=1") == 1


def test_in_the_view_of_a_commit_the_files_lie_in_their_places(host: TrialHost) -> None:
    host.hold_back(file(KVM), file("vendor_reset\n", LOAD))
    ledger = Ledger.read(host.root)
    root, after = _held_back.as_kept(host.root, ledger, [MODPROBE])
    assert (root.read_text(MODPROBE), root.read_text(LOAD)) == (KVM, None)
    assert root.exists(MODPROBE)
    assert root.listdir("/etc/modprobe.d") == ["virtfleet-vfio-options.conf"]
    assert root.listdir("/etc") == host.root.listdir("/etc")
    assert set(_held_back.read_held(after)) == {LOAD}
    host.arm()
    host.boot()
    host.commit()
    kept = Ledger.read(host.root).section("files")[MODPROBE]
    assert {name: after.section("files")[MODPROBE][name] for name in kept} == kept
    assert set(_held_back.read_held(ledger)) == {MODPROBE, LOAD}


def test_nothing_is_left_of_what_is_dropped(host: TrialHost) -> None:
    before = host.snapshot()
    host.hold_back(file(KVM))
    with locked(host.root) as ledger:
        assert _held_back.drop(ledger)
        assert not _held_back.drop(ledger)
    assert host.snapshot() == before


def test_owner_and_mode_survive_the_wait(host: TrialHost) -> None:
    host.hold_back(file(KVM, mode=0o600))
    host.arm()
    host.boot()
    host.commit()
    assert (host.base / MODPROBE.lstrip("/")).stat().st_mode & 0o777 == 0o600
    assert Ledger.read(host.root).section("files")[MODPROBE]["owner"] == OWNER


def test_a_root_as_kept_is_the_same_host(host: TrialHost) -> None:
    root, _ledger = _held_back.as_kept(Root("/"), Ledger.read(host.root))
    assert root.is_live
