# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a parameter means that stands on a line more than once, and which of its values contradict. Pure.

A handler that is registered with ``__setup``, ``early_param`` or ``module_param`` is called for every occurrence, in
order (``parse_args`` in kernel/params.c). Whether they add up is the handler's doing. Where it only stores what it
is given, the last one wins and the others are silently without effect.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, kernel_part_length

# Handlers that add every occurrence to the earlier ones:
# console (kernel/printk/printk.c), earlycon, video (one per connector: drivers/video/cmdline.c), memmap
# (arch/x86/kernel/e820.c), hugepagesz and hugepages (pairs: mm/hugetlb.c), dyndbg (lib/dynamic_debug.c),
# initcall_blacklist (init/main.c), pcie_acs_override (out of tree); modprobe.blacklist (libkmod), the network
# parameters and most of rd.* (dracut.cmdline(7)), some of systemd (systemd(1), kernel-command-line(7)).
_ACCUMULATES = re.compile(
    r"console|earlycon|video|memmap|hugepages|hugepagesz|dyndbg|initcall_blacklist|pcie_acs_override"
    r"|modprobe\.blacklist|ip|ifname|nameserver|bond|bridge|vlan|team|rd\..*"
    r"|systemd\.(setenv|mask|wants|set_credential|set_credential_binary)"
)

# Handlers that go through a list of words and note each of them. The words of one set are values of one switch,
# of which the last wins; "off" ends the whole thing.
# intel_iommu_setup in drivers/iommu/intel/iommu.c, parse_amd_iommu_options in drivers/iommu/amd/init.c,
# iommu_setup in arch/x86/kernel/pci-dma.c, pci_setup in drivers/pci/pci.c.
_WORD_LISTS: t.Final[t.Mapping[str, t.Sequence[frozenset[str]]]] = {
    "intel_iommu": (frozenset({"on", "off"}), frozenset({"sm_on", "sm_off"})),
    "amd_iommu": (frozenset({"force_enable", "off"}), frozenset({"pgtbl_v1", "pgtbl_v2"})),
    "iommu": (frozenset({"force", "noforce", "off"}), frozenset({"pt", "nopt"}), frozenset({"merge", "nomerge"})),
    "pci": (frozenset({"bios", "nobios"}),),
}
_OFF = "off"


def conflicts(foreign: t.Sequence[str], wanted: t.Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (somebody else's token, ours) of which the kernel heeds only one.

    Wherever theirs stands: behind ours it overrides ours, before it we would override what they asked for.
    """
    theirs = [Token(token) for token in foreign[: kernel_part_length(foreign)]]
    ours = [Token(token) for token in wanted]
    return [(their.text, our.text) for our in ours for their in theirs if _contradict(their, our)]


def owners_contradict(token: str, owner: str, theirs: str, other: str) -> str:
    """The words in which the plan and the writer refuse two owners' tokens beside each other."""
    return f"'{token}' (wanted by {owner}) contradicts '{theirs}' of the owner {other}: take one of them away"


def _contradict(one: Token, other: Token) -> bool:
    if one.name != other.name or one.value == other.value or _ACCUMULATES.fullmatch(one.name):
        return False
    if one.name not in _WORD_LISTS:
        return True
    switches = _WORD_LISTS[one.name]
    return any(
        _exclude_each_other(word, counterpart, switches) for word in _words(one) for counterpart in _words(other)
    )


def _words(token: Token) -> list[str]:
    return [word for word in (token.value or "").split(",") if word]


def _exclude_each_other(word: str, counterpart: str, switches: t.Sequence[frozenset[str]]) -> bool:
    if word == counterpart:
        return False
    if _OFF in (word, counterpart) or any({word, counterpart} <= switch for switch in switches):
        return True
    # pci=realloc=on and pci=realloc=off
    name, _equals, _value = word.partition("=")
    return name == counterpart.partition("=")[0]
