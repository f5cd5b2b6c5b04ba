# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import MAX_IDS, Override
from tests.unit.plugins.iommu_cases import bridge, function, memberships

A12F = frozenset({("8086", "a12f")})
TI = frozenset({("104c", "8233")})
DOWNSTREAM = Override(downstream=True)
MULTIFUNCTION = Override(multifunction=True)
NOTHING = Override()

# Command line, what a patched kernel makes of it.
READ_BY_THE_KERNEL: list[tuple[str, Override | None]] = [
    ("quiet intel_iommu=on", None),
    ("pcie_acs_override", None),
    ("pcie_acs_override=", NOTHING),
    ("pcie_acs_override=downstream", DOWNSTREAM),
    ("pcie-acs-override=downstream", DOWNSTREAM),
    ('"pcie_acs_override=downstream"', DOWNSTREAM),
    ('pcie_acs_override="downstream"', DOWNSTREAM),
    ("pcie_acs_override=downstreams", DOWNSTREAM),
    ("pcie_acs_override=multi", NOTHING),
    ("pcie_acs_override=Downstream", NOTHING),
    ("pcie_acs_override=xdownstream", NOTHING),
    ("pcie_acs_override=,,multifunction", MULTIFUNCTION),
    ("pcie_acs_override=downstream pcie_acs_override=multifunction", Override(True, True)),
    ("pcie_acs_override=downstream -- pcie_acs_override=multifunction", DOWNSTREAM),
    ("pcie_acs_override=id:8086:a12f", Override(ids=A12F)),
    ("pcie_acs_override=id:8086:A12F,id:104c:8233", Override(ids=A12F | TI)),
    ("pcie_acs_override=id:8086:a12f pcie_acs_override=id:104c:8233", Override(ids=A12F | TI)),
    ("pcie_acs_override=id:8086;a12f", NOTHING),
    ("pcie_acs_override=id:8086;a12f,downstream", NOTHING),
    ("pcie_acs_override=downstream,id:8086;a12f", DOWNSTREAM),
    ("pcie_acs_override=id:8086,id:104c:a12f", Override(ids=frozenset({("8086", "104c")}))),
    ("pcie_acs_override=id:8086,x:a12f", Override(ids=A12F)),
    ("pcie_acs_override=id:086:a12f,downstream", DOWNSTREAM),
    ("pcie_acs_override=id:80860:a12f", Override(ids=A12F)),
    ("pcie_acs_override=id:8086:a12f0", Override(ids=A12F)),
    ("pcie_acs_override=id:8086:a12", Override(ids=frozenset({("8086", "0a12")}))),
    ("pcie_acs_override=id:8086:a12,downstream", DOWNSTREAM),
    ("pcie_acs_override=id:zzzz:a12f", NOTHING),
    ("pcie_acs_override=id:8086:", NOTHING),
    ("pcie_acs_override=id:0x86:0x1f", Override(ids=frozenset({("0086", "001f")}))),
    ("pcie_acs_override=id:8086:-001", Override(ids=frozenset({("8086", "ffff")}))),
]


@pytest.mark.parametrize(("line", "override"), READ_BY_THE_KERNEL)
def test_the_command_line_means_what_the_kernel_reads(line: str, override: Override | None) -> None:
    assert Override.from_command_line(line.split()) == override


def test_the_kernel_keeps_fifteen_ids_over_all_occurrences() -> None:
    args = [f"pcie_acs_override=id:8086:{number:04x}" for number in range(MAX_IDS + 3)]
    override = Override.from_command_line([*args, "pcie_acs_override=downstream"])
    assert override == Override(True, False, frozenset(("8086", f"{number:04x}") for number in range(15)))


def test_an_id_given_twice_takes_two_places() -> None:
    ids = ",".join(["id:8086:0001"] * MAX_IDS + ["id:8086:0002"])
    assert Override.from_command_line([f"pcie_acs_override={ids}"]) == Override(ids=frozenset({("8086", "0001")}))


@pytest.mark.parametrize(
    "value", ["all", "", "multi", "downstreams", "id:8086;a12f", "id:086:a12f", "id:8086:a12f0", "id:0x86:a12f"]
)
def test_a_person_is_told_what_the_kernel_would_pass_over(value: str) -> None:
    with pytest.raises(InputError, match=r"acs_override: '.*id:8086:a12f"):
        Override.parse(["downstream", value])


def test_more_ids_than_the_kernel_takes_are_refused() -> None:
    ids = [f"id:8086:{number:04x}" for number in range(16)]
    assert len(Override.parse(ids[:15]).ids) == 15
    with pytest.raises(InputError, match="16 ids are given and the kernel takes 15"):
        Override.parse(ids)


HEX = st.integers(0, 0xFFFF).map(lambda number: f"{number:04x}")
OVERRIDES = st.builds(Override, st.booleans(), st.booleans(), st.frozensets(st.tuples(HEX, HEX), max_size=MAX_IDS))


@given(OVERRIDES)
def test_what_is_written_is_what_the_kernel_reads(override: Override) -> None:
    assert Override.parse(override.values) == override
    assert Override.from_command_line([str(override)]) == (override or None)


@given(st.text("downstreamfuci:,;0123456789abx-", max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    override = Override.from_command_line([f"pcie_acs_override={text}"])
    assert override is not None
    assert len(override.ids) <= MAX_IDS


PORT, OPEN_PORT = "00:1c.0", "00:1d.0"
HAS_ACS_BUT_OFF = bridge(OPEN_PORT, acs=(0x1D, 0x01), ids="1b36:000c")
DEVICES = (
    bridge(PORT, ids="8086:a12f"),
    function("01:00.0", under=PORT, multifunction=True, ids="104c:8233"),
    function("01:00.1", under=PORT, ids="104c:8233"),
    HAS_ACS_BUT_OFF,
    function("02:00.0", under=OPEN_PORT),
)
SECOND = frozenset({"0000:00:1d.0", "0000:02:00.0"})
PORT_ALONE = frozenset({"0000:00:1c.0"})
SLOT = frozenset({"0000:01:00.0", "0000:01:00.1"})


@pytest.mark.parametrize(
    ("override", "groups"),
    [
        (NOTHING, {PORT_ALONE | SLOT, SECOND}),
        (DOWNSTREAM, {PORT_ALONE, SLOT, SECOND}),
        (MULTIFUNCTION, {PORT_ALONE | SLOT, SECOND}),
        (Override(True, True), {PORT_ALONE, frozenset({"0000:01:00.0"}), frozenset({"0000:01:00.1"}), SECOND}),
        (Override(ids=A12F), {PORT_ALONE, SLOT, SECOND}),
        # The way up to the root bus still has to be isolated.
        (Override(ids=TI), {PORT_ALONE | SLOT, SECOND}),
        (Override(ids=A12F | TI), {PORT_ALONE, frozenset({"0000:01:00.0"}), frozenset({"0000:01:00.1"}), SECOND}),
        # Nothing repairs ACS that is there and off.
        (Override(ids=frozenset({("1b36", "000c")})), {PORT_ALONE | SLOT, SECOND}),
    ],
)
def test_what_an_override_parts(override: Override, groups: set[frozenset[str]]) -> None:
    assert memberships(DEVICES, override=override) == groups


def test_conventional_pci_is_never_overridden() -> None:
    devices = (bridge("00:1e.0", None, ids="8086:244e"), function("02:01.0", None, under="00:1e.0", ids="1274:1371"))
    override = Override(True, True, frozenset({("8086", "244e"), ("1274", "1371")}))
    assert memberships(devices, override=override) == {frozenset({"0000:00:1e.0", "0000:02:01.0"})}
