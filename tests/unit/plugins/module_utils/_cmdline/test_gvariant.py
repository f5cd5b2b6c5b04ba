# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.gvariant import Variant
from tests.unit.plugins import gvariant_writer

FROM_GLIB = Path(__file__).parents[4] / "fixtures/boot/rpm-ostree/silverblue-42/run/ostree/staged-deployment"
TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), max_size=40)


def test_the_examples_of_the_specification() -> None:
    assert Variant("as", b"i\0can\0has\0strings?\0\x02\x06\x0a\x13").strings() == ["i", "can", "has", "strings?"]
    assert Variant("as", b"").strings() == []


def test_what_glib_wrote() -> None:
    content = Variant("a{sv}", FROM_GLIB.read_bytes()).dictionary()
    assert set(content) == {"target", "merge-deployment", "kargs"}
    assert content["target"].dictionary()["osname"].string() == "fedora"
    assert content["kargs"].strings()[-1] == "intel_iommu=on"


def test_the_tests_write_what_glib_writes() -> None:
    def deployment(variant: Variant) -> tuple[str, bytes]:
        members = {name: ("s", gvariant_writer.string(value.string())) for name, value in variant.dictionary().items()}
        return "a{sv}", gvariant_writer.dictionary(members)

    content = Variant("a{sv}", FROM_GLIB.read_bytes()).dictionary()
    again = {
        "target": deployment(content["target"]),
        "merge-deployment": deployment(content["merge-deployment"]),
        "kargs": ("as", gvariant_writer.strings(content["kargs"].strings())),
    }
    assert gvariant_writer.dictionary(again) == FROM_GLIB.read_bytes()


@given(TEXTS, TEXTS)
def test_lists_of_every_length_are_read_back(first: list[str], second: list[str]) -> None:
    lists = {"a": ("as", gvariant_writer.strings(first)), "bcdefgh": ("as", gvariant_writer.strings(second))}
    content = Variant("a{sv}", gvariant_writer.dictionary(lists)).dictionary()
    assert (content["a"].strings(), content["bcdefgh"].strings()) == (first, second)


@given(
    st.one_of(
        st.binary(max_size=80), st.integers(0, FROM_GLIB.stat().st_size).map(lambda n: FROM_GLIB.read_bytes()[:n])
    )
)
def test_broken_data_is_a_value_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        for member in Variant("a{sv}", data).dictionary().values():
            member.strings()


@pytest.mark.parametrize("kind", ["s", "as", "a{sv}"])
def test_another_type_than_asked_for_is_an_error(kind: str) -> None:
    variant = Variant("u", b"\0\0\0\0")
    with pytest.raises(ValueError, match="found u"):
        {"s": variant.string, "as": variant.strings, "a{sv}": variant.dictionary}[kind]()
