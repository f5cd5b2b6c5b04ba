# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.manifest import listed_names, main

# As lsinitrd of dracut 106 prints it, shortened.
REPORT = b"""\
Image: /boot/initrd.img-6.12.117+deb13-amd64: 16M
========================================================================
Version: dracut-106-6

Arguments:  -q --force

dracut modules:
dash
========================================================================
drwxr-xr-x  12 root     root            0 Nov 20 18:35 .
crw-------   1 root     root       5,   1 Nov 20 18:35 dev/console
lrwxrwxrwx   1 root     root            7 Nov  2  2024 bin -> usr/bin
-rw-r--r--   1 root     root            5 Jan  1  1970 etc/a b
========================================================================
"""


def test_only_names_are_taken_from_a_listing_and_no_dates() -> None:
    assert listed_names(REPORT) == [b".", b"dev/console", b"bin -> usr/bin", b"etc/a b"]
    later = REPORT.replace(b"18:35", b"19:02").replace(b"Nov 20", b"Dec  1")
    assert listed_names(later) == listed_names(REPORT)


def test_asked_for_directories_every_file_counts_by_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def look() -> dict[str, str]:
        main([str(tmp_path)])
        found: dict[str, str] = json.loads(capsys.readouterr().out)
        return found

    image = tmp_path / "initrd.img-6.1.0"
    image.write_bytes(b"one")
    before = look()
    assert list(before) == [str(image)]
    image.write_bytes(b"two")
    assert look() != before
