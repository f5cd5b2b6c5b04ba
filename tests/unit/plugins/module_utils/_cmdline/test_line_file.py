# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of somebody else that carry our run, on a disk, with the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import record_blocks, recorded_blocks
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import FileChange

CMDLINE = LineFile("/etc/kernel/cmdline", when_missing=("root=/dev/sda2", "ro"))
DEFAULTS = LineFile("/etc/default/loader", "ARGS")


class Host:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))

    def path(self, file: LineFile) -> Path:
        return self.base / file.path.lstrip("/")

    def put(self, file: LineFile, content: bytes) -> None:
        self.path(file).parent.mkdir(parents=True, exist_ok=True)
        self.path(file).write_bytes(content)

    def write(self, file: LineFile, *arguments: str) -> FileChange:
        with locked(self.root) as ledger:
            foretold = file.preview(self.root, ledger, arguments)
            record_blocks(ledger, *(recorded_blocks(ledger) or [[]]), list(arguments))
            ledger.save()
            change = file.write(self.root, ledger, arguments)
            record_blocks(ledger, list(arguments))
            ledger.save()
        assert (foretold.before, foretold.after) == (change.before, change.after)
        return change

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.base.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {str(path.relative_to(self.base)): path.read_bytes() for path in found}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (CMDLINE, b"root=/dev/sda2 quiet\n"),
        (CMDLINE, b"root=/dev/sda2 quiet"),
        (CMDLINE, b"# ours alone\r\nroot=/dev/sda2 \xff\xfe\r\nquiet\r\n# the end\r\n"),
        (CMDLINE, b""),
        (DEFAULTS, b'# \xe9\nARGS="quiet"\nMORE=1\n'),
        (DEFAULTS, b"ARGS=quiet"),
        (DEFAULTS, b"MORE=1"),
        (DEFAULTS, b""),
    ],
)
def test_undone_byte_for_byte(host: Host, file: LineFile, content: bytes) -> None:
    host.put(file, content)
    host.path(file).chmod(0o640)
    before = host.files()
    theirs = file.tokens(host.root) or []

    assert host.write(file, "intel_iommu=on").changed
    assert file.tokens(host.root) == [*theirs, "intel_iommu=on"]
    assert not host.write(file, "intel_iommu=on").changed
    assert host.write(file, "iommu=pt", "a=b").changed
    assert file.tokens(host.root) == [*theirs, "iommu=pt", "a=b"]
    assert host.path(file).stat().st_mode & 0o777 == 0o640
    host.write(file)
    assert host.files() == before
    assert not host.write(file).changed


@pytest.mark.parametrize("file", [CMDLINE, DEFAULTS])
def test_a_file_that_was_missing_goes_again(host: Host, file: LineFile) -> None:
    host.write(file, "intel_iommu=on")
    assert file.tokens(host.root) == [*file.when_missing, "intel_iommu=on"]
    host.write(file, "iommu=pt")
    assert file.tokens(host.root) == [*file.when_missing, "iommu=pt"]
    host.write(file)
    assert host.files() == {}
    assert not host.path(file).parent.exists()


def test_what_people_wrote_into_the_file_that_we_made_stays(host: Host) -> None:
    host.write(CMDLINE, "intel_iommu=on")
    host.put(CMDLINE, b"root=/dev/sda3 ro intel_iommu=on quiet\n")
    change = host.write(CMDLINE)
    assert host.files() == {"etc/kernel/cmdline": b"root=/dev/sda3 ro quiet\n"}
    assert change.note is not None
    assert "/etc/kernel/cmdline was made by virtfleet.passthrough and changed by someone since" in change.note


def test_changes_of_people_are_no_obstacle(host: Host) -> None:
    host.put(CMDLINE, b"root=/dev/sda2\n")
    host.write(CMDLINE, "intel_iommu=on")
    host.put(CMDLINE, b"root=/dev/sda2 intel_iommu=on quiet\n")
    host.write(CMDLINE, "iommu=pt")
    assert host.path(CMDLINE).read_bytes() == b"root=/dev/sda2 iommu=pt quiet\n"


@pytest.mark.parametrize("content", [None, b"root=/dev/sda2\n"])
@pytest.mark.parametrize("first", [[], ["intel_iommu=on"]])
@pytest.mark.parametrize("second", [[], ["iommu=pt"]])
def test_restored_when_what_follows_fails(
    host: Host, content: bytes | None, first: list[str], second: list[str]
) -> None:
    if content is not None:
        host.put(CMDLINE, content)
    if first:
        host.write(CMDLINE, *first)
    before = host.files()
    with locked(host.root) as ledger:
        CMDLINE.restore(host.root, ledger, CMDLINE.write(host.root, ledger, second))
    assert host.files() == before


def test_a_link_stays_a_link(host: Host) -> None:
    real = host.base / "srv/cmdline"
    real.parent.mkdir()
    real.write_text("quiet\n")
    host.path(CMDLINE).parent.mkdir(parents=True)
    host.path(CMDLINE).symlink_to(real)
    host.write(CMDLINE, "iommu=pt")
    assert (host.path(CMDLINE).is_symlink(), real.read_text()) == (True, "quiet iommu=pt\n")


def test_no_file_and_no_variable(host: Host) -> None:
    assert CMDLINE.tokens(host.root) is None
    host.put(DEFAULTS, b"MORE=1\n")
    assert DEFAULTS.tokens(host.root) is None
    assert CMDLINE.preview(host.root, Ledger(), []).after is None
