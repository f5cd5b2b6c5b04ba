# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import KernelLogReader, read_kernel_log
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override_support import read_override_support
from tests.unit.plugins.kernel_images import kernel_image

RELEASE, NEWER = "6.1.0-28-amd64", "6.12.1-zen"
REQUEST = ["quiet", "pcie_acs_override=downstream,id:8086:a12f"]
BANNER = "[    0.000000] Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)\n"
ENABLED = "Warning: PCIe ACS overrides enabled; This may allow non-IOMMU protected peer-to-peer DMA\n"
UNKNOWN = 'Unknown kernel command line parameters "splash pcie_acs_override=downstream", will be passed on.\n'
SYMBOLS = "ffffffff8160 T pci_dev_specific_acs_enabled\n"
PATCHED_SYMBOLS = SYMBOLS + "ffffffff8161 t pcie_acs_overrides\n"
DEBIANS_STUB = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n"


class Host:
    """A captured host; ``read`` is what the plan would see."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.write("/proc/sys/kernel/osrelease", RELEASE + "\n")

    def write(self, path: str, content: str | bytes) -> None:
        target = self.base / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(
        self,
        running: Sequence[str] = (),
        following: Sequence[str] = (),
        release: str = RELEASE,
        look_into_image: bool = False,
    ) -> list[tuple[bool | None, bool | None]]:
        """``(patched, effective)`` of the running kernel and of the next."""
        log = KernelLogReader(self.root, no_programs)
        report = read_override_support(self.root, no_programs, running, following, release, log, look_into_image)
        for state in report.values():
            assert state["evidence"]
        assert report["next_boot"]["kernel"] == release
        return [(state["patched"], state["effective"]) for state in (report["running"], report["next_boot"])]


def no_programs(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"started {argv}")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "patched"),
    [
        ("/var/log/dmesg", BANNER + ENABLED, True),
        ("/var/log/dmesg", ENABLED, True),
        ("/var/log/dmesg", BANNER + UNKNOWN, False),
        ("/var/log/dmesg", BANNER + UNKNOWN.replace("pcie_acs_override=downstream", "foo=1"), None),
        ("/var/log/dmesg", BANNER, None),
        ("/proc/1/environ", "HOME=/\0pcie_acs_override=downstream\0TERM=linux\0", False),
        ("/proc/1/environ", "HOME=/\0TERM=linux\0", None),
        ("/proc/kallsyms", PATCHED_SYMBOLS, True),
        ("/proc/kallsyms", SYMBOLS, False),
        ("/proc/kallsyms", "", None),
    ],
)
def test_what_tells_of_the_running_kernel(host: Host, path: str, content: str, patched: bool | None) -> None:
    host.write(path, content)
    assert host.read(running=REQUEST)[0] == (patched, patched)


def test_the_log_counts_before_the_symbols(host: Host) -> None:
    host.write("/var/log/dmesg", BANNER + ENABLED)
    host.write("/proc/kallsyms", SYMBOLS)
    assert host.read(running=REQUEST)[0] == (True, True)


def test_a_patched_kernel_that_cannot_read_the_words_enables_nothing(host: Host) -> None:
    host.write("/proc/kallsyms", PATCHED_SYMBOLS)
    log = KernelLogReader(host.root, no_programs)
    report = read_override_support(host.root, no_programs, ["pcie_acs_override=all,id:8086;a12f"], [], RELEASE, log)
    assert report["running"]["requested"] == ["all", "id:8086;a12f"]
    assert (report["running"]["patched"], report["running"]["effective"]) == (True, False)


def test_nothing_is_read_where_nothing_is_requested(host: Host) -> None:
    host.write("/proc/kallsyms", PATCHED_SYMBOLS)
    host.write(f"/boot/vmlinuz-{RELEASE}", image(b"pcie_acs_override"))
    assert host.read() == [(None, False), (None, False)]
    assert host.read(look_into_image=True) == [(True, False), (True, False)]


def test_the_kernel_that_runs_now_is_known_for_the_next_boot(host: Host) -> None:
    host.write("/proc/kallsyms", PATCHED_SYMBOLS)
    assert host.read(following=REQUEST) == [(True, False), (True, True)]
    assert host.read(following=REQUEST, release=NEWER) == [(None, False), (None, None)]


def image(words: bytes) -> bytes:
    return kernel_image(gzip.compress(b"\0" * 5000 + words), appended_size=False)


@pytest.mark.parametrize(
    ("files", "patched"),
    [
        ({"/boot/System.map-6.12.1-zen": PATCHED_SYMBOLS.encode()}, True),
        ({"/boot/System.map-6.12.1-zen": SYMBOLS.encode()}, False),
        ({"/boot/System.map-6.12.1-zen": DEBIANS_STUB.encode()}, None),
        (
            {
                "/boot/System.map-6.12.1-zen": DEBIANS_STUB.encode(),
                "/boot/vmlinuz-6.12.1-zen": image(b"pcie_acs_override"),
            },
            True,
        ),
        ({"/boot/vmlinuz-6.12.1-zen": image(b"pcie_acs")}, False),
        ({"/usr/lib/modules/6.12.1-zen/vmlinuz": image(b"pcie_acs_override")}, True),
        ({"/boot/vmlinuz-6.12.1-zen": b"no kernel"}, None),
        ({}, None),
    ],
)
def test_what_tells_of_a_kernel_that_does_not_run(host: Host, files: dict[str, bytes], patched: bool | None) -> None:
    for path, content in files.items():
        host.write(path, content)
    assert host.read(following=REQUEST, release=NEWER)[1] == (patched, patched)


def test_the_image_tells_of_the_next_boot_where_the_running_kernel_does_not(host: Host) -> None:
    host.write(f"/boot/vmlinuz-{RELEASE}", image(b"pcie_acs_override"))
    assert host.read(running=REQUEST, following=REQUEST) == [(None, None), (True, True)]


class LiveRoot(Root):
    @property
    def is_live(self) -> bool:
        return True


def test_the_log_is_read_where_its_beginning_is(host: Host) -> None:
    """The kernel's buffer has lost its first lines, the journal has not."""
    texts = {"journalctl": BANNER + "late\n", "dmesg": "late\n"}
    started: list[str] = []

    def run(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        started.append(argv[0])
        return CommandResult(tuple(argv), 0 if texts[argv[0]] else 1, texts[argv[0]], "")

    root = LiveRoot(str(host.base))
    assert read_kernel_log(root, run).says("late") is None
    host.write("/usr/bin/dmesg", "")
    log = read_kernel_log(root, run)
    assert (log.says("late"), log.says("early")) == (True, None)
    host.write("/usr/bin/journalctl", "")
    log = read_kernel_log(root, run)
    assert (log.says("late"), log.says("early")) == (True, False)
    texts["journalctl"] = ""
    assert read_kernel_log(root, run).says("early") is None
    assert set(started) == {"dmesg", "journalctl"}
