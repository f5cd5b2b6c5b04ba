# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Reading and writing XML as libvirt does, so that what somebody else put into a domain survives the way."""

from __future__ import annotations

import contextlib
import copy
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError


def parse_xml(text: str) -> ET.Element:
    """The document's root. Prefixes are remembered, so that ``libosinfo:`` and ``qemu:`` stay what they were."""
    parser: t.Any = ET.XMLPullParser(events=("start", "start-ns"))
    root: ET.Element | None = None
    try:
        parser.feed(text)
        parser.close()
        for event, content in parser.read_events():
            if event == "start-ns":
                prefix, uri = t.cast("tuple[str, str]", content)
                with contextlib.suppress(ValueError):
                    ET.register_namespace(prefix, uri)
            elif root is None:
                root = t.cast("ET.Element", content)
    except ET.ParseError as exc:
        raise HostStateError(f"libvirt handed out XML that is not well-formed: {exc}") from exc
    if root is None:
        raise HostStateError("libvirt handed out XML without an element")
    return root


def to_text(element: ET.Element) -> str:
    """Indented by two, as libvirt writes it, with a line end."""
    element = copy.deepcopy(element)
    ET.indent(element)
    element.tail = None
    return ET.tostring(element, encoding="unicode") + "\n"


def to_line(element: ET.Element) -> str:
    """The same in one line, for messages."""
    element = copy.deepcopy(element)
    for part in element.iter():
        part.tail = None
        if part.text is not None and not part.text.strip():
            part.text = None
    return ET.tostring(element, encoding="unicode")


def text_of(element: ET.Element | None, path: str) -> str | None:
    """The stripped text at ``path``, ``None`` where there is none."""
    found = None if element is None else element.find(path)
    return None if found is None or found.text is None else (found.text.strip() or None)
