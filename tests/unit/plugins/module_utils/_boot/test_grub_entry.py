# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entry on trial made from recorded configurations, read back by the parser of menus."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import grub_entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.detection import find_trial_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import with_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import default_entry, parse_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from tests.unit.plugins.boot_trees import RECORDED, BootTree

# Its first way to boot has no initramfs.
TWO_WAYS = "grub/ubuntu-22.04-cloud"
GRUB_TREES = sorted(
    {str(path.relative_to(RECORDED)) for family in ("grub", "grub_bls") for path in (RECORDED / family).iterdir()}
    - {TWO_WAYS}
)
RUN = ["virtfleet_passthrough.trial=x", "panic=15", "virtfleet_passthrough.trial=x"]


@pytest.mark.parametrize("name", GRUB_TREES)
def test_the_default_entry_with_another_line_and_image_is_read_as_meant(tmp_path: Path, name: str) -> None:
    tree = BootTree(tmp_path, name)
    chosen = next(entry for entry in find_loader(tree.root).entries() if entry.default)
    line = with_trial([*chosen.args, "intel_iommu=on"], RUN)
    file = find_trial_loader(tree.root).render(line, "/boot/tried.img", "On trial")
    menu = parse_menu(file.content.decode(), {})
    (entry,) = menu.entries
    assert entry.names >= {ENTRY_NAME, "On trial"}
    assert list(entry.args) == line
    assert (entry.kernel_path or "").endswith(f"-{chosen.kernel}")
    assert (entry.initrd or "").endswith("/tried.img")
    assert (chosen.initrd or "").rpartition("/")[0] in (entry.initrd or "")
    assert menu.variables["fallback"].isdigit()
    assert file.path.endswith("/custom.cfg")


@pytest.mark.parametrize("name", GRUB_TREES)
def test_every_command_but_two_is_the_default_entrys_own(tmp_path: Path, name: str) -> None:
    tree = BootTree(tmp_path, name)
    chosen = next(entry for entry in find_loader(tree.root).entries() if entry.default)
    loader = find_trial_loader(tree.root)
    same, other = (loader.render(line, None, "t").content.decode() for line in (chosen.args, [*chosen.args, "x=1"]))
    differing = [pair for pair in zip(same.splitlines(), other.splitlines()) if pair[0] != pair[1]]
    assert [(two.split()[0], two.split()[-1]) for _one, two in differing] == [("linux", "x=1")]


def test_an_entry_with_two_ways_to_boot_is_no_base_for_a_trial(tmp_path: Path) -> None:
    tree = BootTree(tmp_path, TWO_WAYS)
    with pytest.raises(HostStateError, match="GRUB_FORCE_PARTUUID"):
        find_trial_loader(tree.root).base()


def test_a_menu_that_remembers_what_was_chosen_does_not_remember_a_trial() -> None:
    text = "menuentry Debian --id debian {\n\tsavedefault\n\tlinux /vmlinuz-6.12 ro\n\tinitrd /initrd.img-6.12\n}\n"
    (base,) = parse_menu(text, {}).entries
    assert ("savedefault",) in base.body
    rendered = grub_entry.render(base, "0", ["ro", "x=1"], None, "On trial")
    assert "savedefault" not in rendered
    assert "linux /vmlinuz-6.12 ro x=1" in rendered


# As Fedora's 10_reset_boot_success generates it.
TAKES_THE_MARK_AWAY = """\
### BEGIN /etc/grub.d/10_reset_boot_success ###
if [ "${boot_success}" = "1" -o "${boot_indeterminate}" = "1" ]; then
  set menu_hide_ok=1
else
  set menu_hide_ok=0
fi
set boot_success=0
save_env boot_success boot_indeterminate
### END /etc/grub.d/10_reset_boot_success ###
"""


@pytest.mark.parametrize(("part", "mark", "kept"), [("yes", "1", True), ("yes", "0", False), ("", "1", False)])
def test_the_boot_after_a_trial_is_not_the_one_after_a_failed_boot(
    tmp_path: Path, part: str, mark: str, kept: bool
) -> None:
    tree = BootTree(tmp_path, "grub_bls/fedora-41")
    configuration, environment = (tree.base / f"boot/grub2/{name}" for name in ("grub.cfg", "grubenv"))
    # Set for a session that has ended by now; without the part nobody reads it.
    environment.write_text(environment.read_text().replace("boot_success=1", f"boot_success={mark}"))
    if part:
        text = configuration.read_text()
        configuration.write_text(
            text.replace("### BEGIN /etc/grub.d/20", TAKES_THE_MARK_AWAY + "### BEGIN /etc/grub.d/20")
        )
    loader = find_trial_loader(tree.root)
    lines = loader.render(["ro"], None, "t").content.decode().splitlines()
    entry = [line.strip() for line in lines[next(i for i, line in enumerate(lines) if "menuentry" in line) + 1 :]]
    assert (entry[:2] == ["set boot_success=1", "save_env boot_success"]) == kept
    assert ("boot_success" in " ".join(lines)) == kept
    # GRUB counts down to another entry in the presence of boot_counter alone.
    assert "boot_counter" not in " ".join(lines)


CONFIGURATION = """\
menuentry 'Linux' --class os $menuentry_id_option 'id' {
\tif [ "${grub_platform}" = xen ]; then insmod xzio; else insmod gzio; fi
\tsearch --no-floppy --fs-uuid --set=root 0000-0000
\tlinux\t/vmlinuz-6.1 root=LABEL=a$vt_handoff 'odd=a$b' "dyndbg=file a.c +p" $vt_handoff
\tinitrd\t/ucode.img /initrd.img-6.1
}
"""


def test_quotes_variables_conditions_and_a_second_image_stay() -> None:
    base = default_entry(parse_menu(CONFIGURATION, {}))
    assert base is not None
    line = with_trial(base.args, RUN)
    text = grub_entry.render(base, "0", line, "tried.img", "On trial")
    assert (
        f"linux /vmlinuz-6.1 root=LABEL=a$vt_handoff 'odd=a$b' \"dyndbg=file a.c +p\" {' '.join(RUN)} $vt_handoff\n"
        in text
    )
    assert "initrd /ucode.img /tried.img\n" in text
    assert 'if [ "${grub_platform}" = xen ]\n' in text


@given(st.lists(st.from_regex(r"[a-z]+=[ -~]{0,12}", fullmatch=True), max_size=4))
def test_any_line_is_read_as_meant_or_refused(args: list[str]) -> None:
    base = default_entry(parse_menu(CONFIGURATION, {}))
    assert base is not None
    try:
        text = grub_entry.render(base, "0", args, None, "it's on trial")
    except HostStateError:
        return
    (entry,) = parse_menu(text, {}).entries
    assert (list(entry.args), entry.title) == (args, "it's on trial")


def test_an_entry_within_a_submenu_falls_back_to_one_at_the_top() -> None:
    inner = CONFIGURATION.replace("'Linux'", "'Older'").replace("'id'", "'older'")
    menu = parse_menu(f"set default='1>0'\n{CONFIGURATION}submenu 'More' {{\n{inner}}}\n", {})
    base = default_entry(menu)
    assert base is not None
    assert base.title == "Older"
    assert grub_entry.fallback_number(menu, base) == "0"
