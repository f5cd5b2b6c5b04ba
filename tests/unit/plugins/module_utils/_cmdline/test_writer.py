# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import grub_mkconfig
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    PassthroughError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.unit.plugins.module_utils._cmdline.grub_host import DEFAULTS, NORMAL, RECOVERY, GrubHost


def test_every_entry_but_recovery_gets_them_behind_what_is_there(host: GrubHost) -> None:
    change = host.set("iommu", "intel_iommu=on")
    assert change.changed
    assert change.state["reboot_required"]
    assert host.lines() == [f"{NORMAL} intel_iommu=on", f"{NORMAL} intel_iommu=on", RECOVERY]


def test_the_second_run_changes_nothing_and_starts_no_tool(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    before, runs = host.snapshot(), host.runs
    assert not host.set("iommu", "intel_iommu=on").changed
    assert (host.snapshot(), host.runs) == (before, runs)


def test_owners_do_not_touch_each_other_and_pairs_keep_their_order(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    host.set("hugepages", "hugepagesz=2M", "hugepages=64", "hugepagesz=1G", "hugepages=2")
    assert host.lines()[0] == f"{NORMAL} hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=2 intel_iommu=on"
    host.set("hugepages", "hugepagesz=1G", "hugepages=4")
    assert host.lines()[0] == f"{NORMAL} hugepagesz=1G hugepages=4 intel_iommu=on"


def test_taking_away_what_is_not_there_is_no_change(host: GrubHost) -> None:
    assert not host.set("iommu").changed
    assert host.runs == 0


def test_check_mode_writes_nothing_and_predicts_exactly(host: GrubHost) -> None:
    before = host.snapshot()
    predicted = host.set("iommu", "intel_iommu=on", check_mode=True)
    assert host.snapshot() == before
    done = host.set("iommu", "intel_iommu=on")
    assert (predicted.changed, predicted.diff, predicted.state) == (done.changed, done.diff, done.state)
    predicted = host.set("iommu", check_mode=True)
    assert predicted.state == host.set("iommu").state


def test_a_contradiction_is_refused_with_both_sides_before_any_write(host: GrubHost) -> None:
    (host.base / "etc/default/grub").write_text(DEFAULTS.replace("quiet", "intel_iommu=off"))
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"intel_iommu=on.*intel_iommu=off"):
        host.set("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_what_somebody_else_already_gave_stays_theirs(host: GrubHost) -> None:
    assert not host.set("user", "quiet").changed
    host.set("user")
    assert "quiet" in host.lines()[0]


def test_an_edited_default_that_was_never_generated_is_named(host: GrubHost) -> None:
    (host.base / "etc/default/grub").write_text(DEFAULTS.replace("quiet", "quiet debug"))
    before = host.snapshot()
    with pytest.raises(ToolError, match="update-grub not run since"):
        host.set("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_a_drop_in_that_somebody_edited_is_not_overwritten(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    drop_in = host.base / grub_mkconfig.DROP_IN.lstrip("/")
    drop_in.write_text(drop_in.read_text() + 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT mine"\n')
    with pytest.raises(PassthroughError, match="changed by someone since"):
        host.set("iommu", "intel_iommu=on", "iommu=pt")


def test_the_configuration_keeps_its_mode(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    assert host.configuration.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("missing", ["boot/grub/grub.cfg", "etc/default/grub", "usr/sbin/grub-mkconfig"])
def test_an_unknown_loader_is_refused_with_what_was_looked_for(host: GrubHost, missing: str) -> None:
    (host.base / missing).unlink()
    with pytest.raises(HostStateError, match=missing):
        host.set("iommu", "intel_iommu=on")
    assert missing in read_boot_state(host.root, Ledger())["reason"]


def test_bad_arguments_are_refused_before_anything_is_looked_at(host: GrubHost) -> None:
    shutil.rmtree(host.base / "boot")
    with pytest.raises(InputError):
        host.set("user", "a b")


@pytest.mark.parametrize("argument", ["a;reboot", "$(reboot)", 'dyndbg="a +p"'])
def test_what_grubs_configuration_cannot_carry_is_refused_before_any_write(host: GrubHost, argument: str) -> None:
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"wanted by user.*configuration of grub"):
        host.set("user", argument)
    assert host.snapshot() == before


def test_a_line_that_the_kernel_would_cut_off_is_refused(host: GrubHost) -> None:
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"'Debian' would be \d+ bytes .* the kernel reads 2047"):
        host.set("user", *(f"a{number:04}.b=1" for number in range(200)))
    assert host.snapshot() == before


def test_a_line_that_is_too_long_already_may_get_shorter(host: GrubHost) -> None:
    host.set("user", "a.b=1", "c.d=1")
    (host.base / "etc/default/grub").write_text(DEFAULTS.replace("quiet", "x" * 2048))
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    assert host.set("user", "a.b=1").changed
    assert host.lines()[0].endswith("mitigations=off a.b=1")


def test_arguments_of_init_on_grubs_line_are_refused_because_ours_would_join_them(host: GrubHost) -> None:
    (host.base / "etc/default/grub").write_text(DEFAULTS.replace("quiet", "quiet -- 3"))
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    before = host.snapshot()
    for check_mode in (True, False):
        with pytest.raises(RefusedError, match=r"'Debian' has '--'"):
            host.set("iommu", "intel_iommu=on", check_mode=check_mode)
    assert host.snapshot() == before


def test_several_owners_need_one_run_of_the_tool(host: GrubHost) -> None:
    with locked(host.root) as ledger:
        set_owners(host.root, host.run, ledger, {"vfio": ["a.b=1"], "iommu": ["intel_iommu=on"]}, check_mode=False)
    assert host.lines()[0] == f"{NORMAL} intel_iommu=on a.b=1"
    with locked(host.root) as ledger:
        set_owners(host.root, host.run, ledger, {"vfio": [], "iommu": []}, check_mode=False)
    assert host.lines()[0] == NORMAL
    assert host.runs == 2


def cut_off(host: GrubHost, wanted: dict[str, list[str]], after_generating: bool) -> None:
    """As a lost power supply does it: no handler runs, what is on the disk stays."""

    def run(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        if after_generating:
            host.configuration.chmod(0o644)
            host.configuration.write_text(host.generate())
        os._exit(9)

    child = os.fork()
    if child == 0:
        with locked(host.root) as ledger:
            set_owners(host.root, run, ledger, wanted, check_mode=False)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("after_generating", [False, True])
@pytest.mark.parametrize(
    ("before", "wanted", "line"),
    [
        ([], {"iommu": ["intel_iommu=on"]}, f"{NORMAL} intel_iommu=on"),
        (["intel_iommu=on"], {"iommu": ["intel_iommu=on"], "vfio": ["a.b=2"]}, f"{NORMAL} intel_iommu=on a.b=2"),
        (["intel_iommu=on", "iommu=pt"], {"iommu": ["intel_iommu=on"]}, f"{NORMAL} intel_iommu=on"),
        (["intel_iommu=on"], {"iommu": []}, NORMAL),
    ],
)
def test_a_run_that_was_cut_off_is_finished_by_the_next(
    host: GrubHost, before: list[str], wanted: dict[str, list[str]], line: str, after_generating: bool
) -> None:
    untouched = host.snapshot()
    if before:
        host.set("iommu", *before)
    cut_off(host, wanted, after_generating)
    with locked(host.root) as ledger:
        set_owners(host.root, host.run, ledger, wanted, check_mode=False)
    assert host.lines() == [line, line, RECOVERY]
    with locked(host.root) as ledger:
        assert not set_owners(host.root, host.run, ledger, wanted, check_mode=False).changed
        set_owners(host.root, host.run, ledger, {owner: [] for owner in wanted}, check_mode=False)
    assert host.snapshot() == untouched


def test_a_drop_in_that_was_deleted_comes_back(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    drop_in = host.base / grub_mkconfig.DROP_IN.lstrip("/")
    content = drop_in.read_bytes()
    drop_in.unlink()
    assert not read_boot_state(host.root, Ledger.read(host.root))["intact"]
    assert host.set("iommu", "intel_iommu=on", check_mode=True).changed
    assert host.set("iommu", "intel_iommu=on").changed
    assert drop_in.read_bytes() == content


def test_check_mode_refuses_an_edited_drop_in_as_the_real_run_does(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    drop_in = host.base / grub_mkconfig.DROP_IN.lstrip("/")
    drop_in.write_text("# mine\n")
    with pytest.raises(RefusedError, match="changed by someone since"):
        host.set("iommu", "intel_iommu=on", "iommu=pt", check_mode=True)
    assert "changed by someone since" in read_boot_state(host.root, Ledger.read(host.root))["obstacle"]


def test_owners_that_contradict_each_other_are_refused(host: GrubHost) -> None:
    host.set("user", "isolcpus=1")
    with pytest.raises(RefusedError, match=r"'isolcpus=2-3' .* contradicts 'isolcpus=1' of the owner user"):
        host.set("cpu_isolation", "isolcpus=2-3")


def test_entries_of_other_generators_are_left_alone(host: GrubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    memtest = "### BEGIN /etc/grub.d/20_memtest86+ ###\nmenuentry 'memtest' {\n\tlinux\t/boot/memtest86+x64.bin\n}\n"
    begin = "### BEGIN /etc/grub.d/10_linux ###"
    generate = host.generate
    # The tool has one more part now.
    monkeypatch.setattr(host, "generate", lambda: f"{begin}\n{generate()}{memtest}")
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    host.set("iommu", "intel_iommu=on")
    assert host.lines() == [f"{NORMAL} intel_iommu=on", f"{NORMAL} intel_iommu=on", RECOVERY, ""]
    assert not host.set("iommu", "intel_iommu=on").changed


def test_a_configuration_behind_a_link_is_replaced_where_it_lies(host: GrubHost) -> None:
    elsewhere = host.base / "boot/efi/grub.cfg"
    elsewhere.parent.mkdir()
    host.configuration.rename(elsewhere)
    host.configuration.symlink_to("../efi/grub.cfg")
    host.set("iommu", "intel_iommu=on")
    assert host.configuration.is_symlink()
    assert "intel_iommu=on" in elsewhere.read_text()


def test_ubuntus_variable_at_the_end_of_a_line_stays_there(host: GrubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = host.generate

    def as_ubuntus_10_linux() -> str:
        text = generate().replace("mitigations=off", "mitigations=off MARK")
        text = text.replace("mitigations=off MARK intel_iommu=on", "mitigations=off intel_iommu=on $vt_handoff")
        return text.replace("MARK", "$vt_handoff")

    monkeypatch.setattr(host, "generate", as_ubuntus_10_linux)
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    host.set("iommu", "intel_iommu=on")
    assert host.lines()[0] == f"{NORMAL} intel_iommu=on $vt_handoff"
