# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's files make of GRUB's menu: files that it sources, and a default that is not this system's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from tests.unit.plugins.module_utils._cmdline.grub_host import GrubHost

SOURCES = """
if [ "${next_entry}" ]; then set default="${next_entry}"; fi
if [ -f ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
else
  menuentry 'without' { linux /vmlinuz-0 }
fi
"""
CUSTOM = "set default=mine\nmenuentry 'Mine' --id mine {\n linux /vmlinuz-7 own\n}\n"


def titles(host: GrubHost) -> list[tuple[str, bool]]:
    return [(entry.title, entry.default) for entry in find_loader(host.root).entries()]


def sourcing(base: Path) -> GrubHost:
    host = GrubHost(base)
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate() + SOURCES)
    return host


def test_entries_and_a_default_in_a_file_that_is_sourced_count(tmp_path: Path) -> None:
    host = sourcing(tmp_path)
    assert titles(host)[-1] == ("without", False)
    (tmp_path / "boot/grub/custom.cfg").write_text(CUSTOM)
    assert titles(host)[0] == ("Debian", False)
    assert titles(host)[-1] == ("Mine", True)


def test_a_copy_of_an_entry_in_a_file_that_is_sourced_is_not_taken_for_the_generated_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = sourcing(tmp_path)
    generate = host.generate
    monkeypatch.setattr(host, "generate", lambda: generate() + SOURCES)
    (tmp_path / "boot/grub/custom.cfg").write_text("menuentry 'Debian' { linux /boot/vmlinuz-6.12 own }\n")
    change = host.set("iommu", "intel_iommu=on")
    assert host.lines()[0].endswith(" intel_iommu=on")
    assert host.lines()[-1] == "own"
    titles_that_differ = [part["before_header"] for part in change.diff if "boot entry" in part["before_header"]]
    assert len(titles_that_differ) == 2


def test_arguments_go_behind_those_that_tuned_keeps_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TuneD adds a variable of GRUB's to the default line, and the menu sets it."""
    host = GrubHost(tmp_path)
    defaults = tmp_path / "etc/default/grub"
    value = "${GRUB_CMDLINE_LINUX_DEFAULT:+$GRUB_CMDLINE_LINUX_DEFAULT }\\$tuned_params"
    defaults.write_text(f'{defaults.read_text()}GRUB_CMDLINE_LINUX_DEFAULT="{value}"\n')
    generate = host.generate
    sets = 'set tuned_params="isolcpus=2-3 nohz_full=2-3"\n'
    monkeypatch.setattr(host, "generate", lambda: sets + generate())
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    running = tmp_path / "proc/cmdline"
    running.write_text(running.read_text().replace("mitigations=off", "mitigations=off isolcpus=2-3 nohz_full=2-3"))
    assert not host.set("iommu").state["reboot_required"]
    host.set("iommu", "intel_iommu=on")
    assert host.lines()[0].endswith("mitigations=off isolcpus=2-3 nohz_full=2-3 intel_iommu=on")
    assert "mitigations=off $tuned_params intel_iommu=on" in host.configuration.read_text()
    host.set("iommu")
    assert host.lines()[0].endswith("mitigations=off isolcpus=2-3 nohz_full=2-3")


def test_what_the_generator_puts_behind_all_arguments_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu's cloud images, which try without an initramfs first."""
    host = GrubHost(tmp_path)
    generate = host.generate

    def two_tries() -> str:
        line = re.compile(r"(?m)^(\t)(linux\t.*)$")
        tries = r"\1if [ \"${initrdfail}\" = 1 ]; then\n\1  \2\n\1else\n\1  \2 panic=-1\n\1fi\n\1initrdfail"
        return line.sub(tries, generate())

    monkeypatch.setattr(host, "generate", two_tries)
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    before = host.lines()
    assert before[0].endswith("mitigations=off panic=-1")
    host.set("iommu", "intel_iommu=on")
    assert host.lines()[0].endswith("mitigations=off intel_iommu=on panic=-1")
    host.set("iommu", "intel_iommu=on", "iommu=pt")
    host.set("iommu")
    assert host.lines() == before


def test_a_file_that_sources_itself_ends(tmp_path: Path) -> None:
    host = sourcing(tmp_path)
    (tmp_path / "boot/grub/custom.cfg").write_text(f"{CUSTOM}source $prefix/custom.cfg\n")
    assert titles(host)[-1] == ("Mine", False)


def test_a_boot_on_trial_is_neither_an_entry_nor_what_boots_next(tmp_path: Path) -> None:
    host = sourcing(tmp_path)
    (tmp_path / "boot/grub/custom.cfg").write_text(
        f"menuentry 'Trial' --id {ENTRY_NAME} {{ linux /vmlinuz-6.12 virtfleet_passthrough.trial=1 }}\n"
    )
    (tmp_path / "boot/grub/grubenv").write_text(f"# GRUB Environment Block\nnext_entry={ENTRY_NAME}\n####")
    assert [title for title, default in titles(host) if default] == ["Debian"]
    assert "Trial" not in dict(titles(host))


def test_the_platform_is_that_of_the_machine(tmp_path: Path) -> None:
    host = sourcing(tmp_path)
    (tmp_path / "boot/grub/custom.cfg").write_text(
        'if [ "$grub_platform" = efi ]; then\nmenuentry A { linux /a }\nelse\nmenuentry B { linux /b }\nfi\n'
    )
    assert titles(host)[-1] == ("B", False)
    (tmp_path / "sys/firmware/efi").mkdir(parents=True)
    assert titles(host)[-1] == ("A", False)


def test_the_firmwares_menu_counts_among_the_positions(tmp_path: Path) -> None:
    """30_uefi-firmware of GRUB 2.06 and later."""
    host = sourcing(tmp_path)
    (tmp_path / "boot/grub/custom.cfg").write_text(
        'if [ "$grub_platform" = "efi" ]; then\n\tfwsetup --is-supported\n\tif [ "$?" = 0 ]; then\n'
        "\t\tmenuentry 'UEFI Firmware Settings' { fwsetup }\n\tfi\nfi\n"
        "menuentry 'Behind' { linux /b }\nset default=4\n"
    )
    (tmp_path / "sys/firmware/efi").mkdir(parents=True)
    assert titles(host)[-1] == ("Behind", True)


@pytest.mark.parametrize("default", ["windows", "Debian, 6.1 (recovery mode)", "memtest"])
def test_nothing_is_written_where_another_entry_than_this_systems_boots_next(tmp_path: Path, default: str) -> None:
    host = GrubHost(tmp_path)
    host.configuration.chmod(0o644)
    others = (
        "### BEGIN /etc/grub.d/30_os-prober ###\n"
        "menuentry 'Windows Boot Manager' --id windows {\n\tchainloader /EFI/Microsoft/Boot/bootmgfw.efi\n}\n"
        "menuentry 'Memory test' --id memtest {\n\tlinux /boot/memtest86+x64.bin\n}\n"
        "### END /etc/grub.d/30_os-prober ###\n"
    )
    marked = f"### BEGIN /etc/grub.d/10_linux ###\n{host.generate()}### END /etc/grub.d/10_linux ###\n{others}"
    host.configuration.write_text(marked.replace('set default="0"', f'set default="{default}"'))
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"what boots next is .*make another entry the default"):
        host.set("iommu", "intel_iommu=on")
    assert (host.snapshot(), host.runs) == (before, 0)


@pytest.mark.parametrize("content", ["", "menuentry 'Firmware' {\n\tfwsetup\n}\n"])
def test_a_configuration_without_a_kernel_is_no_answer(tmp_path: Path, content: str) -> None:
    host = GrubHost(tmp_path)
    host.configuration.chmod(0o644)
    host.configuration.write_text(content)
    with pytest.raises(HostStateError, match=r"/boot/grub/grub\.cfg cannot be read or has no entry of a Linux kernel"):
        find_loader(host.root)
