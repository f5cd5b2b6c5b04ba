# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""In which order boot loaders list Boot Loader Specification entries. Pure.

Two orders are in use: that of the specification (systemd-boot; versions as in UAPI.10 "Version Format
Specification") and that of the GRUB of Fedora and Enterprise Linux (``blscfg``; versions as RPM compares them).
"""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry

_UAPI_IGNORED = re.compile(r"[^A-Za-z0-9~.^-]+")
_RPM_IGNORED = re.compile(r"[^A-Za-z0-9~+]+")
_DIGITS = re.compile(r"[0-9]*")
_LETTERS = re.compile(r"[A-Za-z]*")


def in_specification_order(entries: t.Iterable[BlsEntry]) -> list[BlsEntry]:
    """As systemd-boot lists them: entries whose tries are used up last; ``sort-key`` before none; newest first."""
    return sorted(entries, key=functools.cmp_to_key(_compare_by_specification))


def in_blscfg_order(entries: t.Iterable[BlsEntry]) -> list[BlsEntry]:
    """As GRUB's ``blscfg`` lists them: by file name, read as name-version-release like a package's, newest first.

    Of two names that compare equal GRUB shows only the first that it finds; both are listed here.
    """
    return sorted(entries, key=functools.cmp_to_key(_compare_file_names), reverse=True)


def compare_versions(one: str, other: str) -> int:
    """-1, 0 or 1 as ``one`` is older than, equal to or newer than ``other`` by UAPI.10."""
    while True:
        one, other = _from_match(_UAPI_IGNORED, one), _from_match(_UAPI_IGNORED, other)
        if one.startswith("~") or other.startswith("~"):
            if not (one.startswith("~") and other.startswith("~")):
                return -1 if one.startswith("~") else 1
            one, other = one[1:], other[1:]
            continue
        if not one or not other:
            return bool(one) - bool(other)
        separator = next((mark for mark in "-^." if one.startswith(mark) or other.startswith(mark)), None)
        if separator is not None:
            if not (one.startswith(separator) and other.startswith(separator)):
                return -1 if one.startswith(separator) else 1
            one, other = one[1:], other[1:]
            continue
        numeric = one[0].isdigit() or other[0].isdigit()
        result, one, other = _compare_segments(one, other, numeric)
        if result:
            return result


def compare_rpm_versions(one: str, other: str) -> int:
    """-1, 0 or 1 as RPM orders versions, with GRUB's handling of ``+`` (grub-core/commands/blscfg.c, vercmp).

    ``~`` sorts before everything, even the end; ``+`` behind the end and before everything else; numbers are
    newer than letters; where all segments are equal, what is longer is newer.
    """
    if one == other:
        return 0
    while one or other:
        one, other = _from_match(_RPM_IGNORED, one), _from_match(_RPM_IGNORED, other)
        mark = next((mark for mark in "~+" if one.startswith(mark) or other.startswith(mark)), None)
        if mark is not None:
            if mark == "+" and not (one and other):
                return 1 if one else -1
            if not (one.startswith(mark) and other.startswith(mark)):
                return -1 if one.startswith(mark) else 1
            one, other = one[1:], other[1:]
            continue
        if not (one and other):
            break
        numeric = one[0].isdigit()
        if numeric != other[0].isdigit():
            return 1 if numeric else -1
        result, one, other = _compare_segments(one, other, numeric)
        if result:
            return result
    return bool(one) - bool(other)


def _compare_segments(one: str, other: str, numeric: bool) -> tuple[int, str, str]:
    """Compare the leading digits or letters; with the result comes what is left of both."""
    kind = _DIGITS if numeric else _LETTERS
    first, second = _leading(kind, one), _leading(kind, other)
    rest = one[len(first) :], other[len(second) :]
    if numeric:
        if bool(first) != bool(second):
            return bool(first) - bool(second), *rest
        first, second = first.lstrip("0"), second.lstrip("0")
        if len(first) != len(second):
            return (1 if len(first) > len(second) else -1), *rest
    return (first > second) - (first < second), *rest


def _leading(kind: re.Pattern[str], text: str) -> str:
    found = kind.match(text)
    return found.group() if found is not None else ""


def _from_match(ignored: re.Pattern[str], text: str) -> str:
    return text[len(_leading(ignored, text)) :]


def _compare_by_specification(one: BlsEntry, other: BlsEntry) -> int:
    """boot_entry_compare of systemd-boot (src/boot/boot.c): smaller comes first."""
    exhausted = (one.tries_left == 0) - (other.tries_left == 0)
    if exhausted:
        return exhausted
    if (one.sort_key is None) != (other.sort_key is None):
        return 1 if one.sort_key is None else -1
    if one.sort_key is not None:
        mine, theirs = (one.sort_key, one.machine_id or ""), (other.sort_key or "", other.machine_id or "")
        if mine != theirs:
            return 1 if mine > theirs else -1
        newer_first = -compare_versions(one.version or "", other.version or "")
        if newer_first:
            return newer_first
    # The suffix counts: a point is newer than a dash, so that "arch.conf" comes before "arch-lts.conf".
    by_name = -compare_versions(f"{one.identifier}.conf", f"{other.identifier}.conf")
    if by_name:
        return by_name
    more_tries_first = (other.tries_left or 0) - (one.tries_left or 0)
    return more_tries_first or (one.tries_done or 0) - (other.tries_done or 0)


def _compare_file_names(one: BlsEntry, other: BlsEntry) -> int:
    pairs = zip(_name_version_release(one.stem), _name_version_release(other.stem))
    return next((result for result in (compare_rpm_versions(*pair) for pair in pairs) if result), 0)


def _name_version_release(stem: str) -> tuple[str, str, str]:
    """A name with one dash is name and version, one without is a name (split_package_string in blscfg.c)."""
    name, version, release = (*stem.rsplit("-", 2), "", "")[:3]
    return name, version, release
