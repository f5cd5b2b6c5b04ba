# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import (
    Found,
    Need,
    acts_early,
    need_for,
    proven,
    shortfalls,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import (
    DRACUT_HOOK_PATH,
    HOOK_PATH,
    INIT_TOP_PATH,
    SCRIPT_PATH,
    UDEV_RULE_PATH,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generator_files import RUN_HOOK_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH

TABLE, SCRIPT = TABLE_PATH.lstrip("/"), SCRIPT_PATH.lstrip("/")
INIT_TOP = "scripts/init-top/00-virtfleet-vfio"
RULE = "usr/lib/udev/rules.d/70-virtfleet-vfio.rules"
HOST_FILES = dict.fromkeys(
    (SCRIPT_PATH, TABLE_PATH, INIT_TOP_PATH, HOOK_PATH, DRACUT_HOOK_PATH, UDEV_RULE_PATH), "right"
)
WHOLE = {TABLE: "right", SCRIPT: "right", INIT_TOP: "right"}
DEBIAN = need_for("initramfs-tools", HOST_FILES, ["vfio_pci"])


def test_each_generator_needs_its_own_files() -> None:
    assert set(DEBIAN.files) == {TABLE, SCRIPT, INIT_TOP}
    assert set(need_for("dracut", HOST_FILES, []).files) == {
        TABLE,
        SCRIPT,
        "*/dracut/hooks/pre-udev/10-virtfleet-vfio.sh",
    }
    assert need_for("dracut", {}, ["vfio_pci"]).is_empty


@pytest.mark.parametrize(
    ("found", "modules", "troubles"),
    [
        (WHOLE, ("vfio_pci",), []),
        ({**WHOLE, RULE: "right"}, ("vfio_pci",), []),
        ({**WHOLE, RULE: "old"}, ("vfio_pci",), ["holds another version of */udev/rules.d/70-virtfleet-vfio.rules"]),
        ({**WHOLE, TABLE: "old"}, ("vfio_pci",), [f"holds another version of {TABLE}"]),
        ({TABLE: "right", SCRIPT: "right"}, ("vfio_pci",), [f"lacks {INIT_TOP}"]),
        (WHOLE, (), ["lacks module vfio_pci"]),
        (
            {**WHOLE, "usr/lib/dracut/hooks/pre-udev/10-virtfleet-vfio.sh": "right"},
            ("vfio_pci",),
            ["still holds usr/lib/dracut/hooks/pre-udev/10-virtfleet-vfio.sh"],
        ),
    ],
)
def test_shortfalls(found: dict[str, str], modules: tuple[str, ...], troubles: list[str]) -> None:
    assert shortfalls(DEBIAN, Found(found, modules)) == troubles


def test_after_a_release_nothing_of_ours_may_be_left() -> None:
    troubles = shortfalls(Need(), Found({**WHOLE, RULE: "right"}, ("vfio_pci",)))
    assert troubles == [f"still holds {name}" for name in sorted({**WHOLE, RULE: ""})]
    assert shortfalls(Need(), Found({}, ("vfio_pci",))) == []


def test_any_content_will_do_where_none_is_named() -> None:
    need = Need({"etc/modprobe.d/*.conf": None})
    assert shortfalls(need, Found({"etc/modprobe.d/a.conf": "x"}, ())) == []
    assert shortfalls(need, Found({}, ())) == ["lacks etc/modprobe.d/*.conf"]


def test_what_was_proven_is_named() -> None:
    assert proven(DEBIAN, Found({**WHOLE, TABLE: "old"}, ("vfio_pci", "other"))) == [
        f"/{SCRIPT} sha256:right",
        f"/{INIT_TOP} sha256:right",
        "module vfio_pci",
    ]


def test_found_survives_the_ledger() -> None:
    found = Found(WHOLE, ("vfio_pci",))
    assert Found.from_json(found.to_json()) == found


MODPROBE = "/etc/modprobe.d/virtfleet-vfio-options.conf"


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut", "mkinitcpio"])
def test_what_modprobe_is_told_goes_along_with_the_modules(generator: str) -> None:
    own = {"initramfs-tools": INIT_TOP_PATH, "dracut": DRACUT_HOOK_PATH, "mkinitcpio": RUN_HOOK_PATH}[generator]
    need = need_for(generator, {own: "right", MODPROBE: "right"}, ["vfio_pci"])
    assert need.files[MODPROBE.lstrip("/")] == "right"
    assert need.modules == ("vfio_pci",)
    whole = {**dict.fromkeys(need.files, "right"), MODPROBE.lstrip("/"): "old"}
    whole = {name.replace("*", "usr/lib"): sha256 for name, sha256 in whole.items()}
    assert shortfalls(need, Found(whole, ("vfio_pci",))) == [f"holds another version of {MODPROBE.lstrip('/')}"]
    del whole[MODPROBE.lstrip("/")]
    assert shortfalls(need, Found(whole, ("vfio_pci",))) == [f"lacks {MODPROBE.lstrip('/')}"]


def test_options_without_early_binding_need_no_image_and_an_old_one_must_not_stay() -> None:
    need = need_for("initramfs-tools", {MODPROBE: "right"}, ["vfio_pci"])
    assert need.is_empty
    assert not acts_early({MODPROBE: "right"})
    assert shortfalls(need, Found({}, ())) == []
    assert shortfalls(need, Found({MODPROBE.lstrip("/"): "old"}, ())) != []
    assert shortfalls(Need(), Found({MODPROBE.lstrip("/"): "right"}, ())) == [f"still holds {MODPROBE.lstrip('/')}"]
