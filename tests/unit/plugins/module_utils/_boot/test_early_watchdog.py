# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog's files: only where there is a watchdog, kept while it is out of sight, gone without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import (
    OWNER,
    install_early_files,
    release_early_files,
    wanted_early_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import owned_paths
from tests.unit.plugins.host_tree import HostTree

GENERATORS = ["initramfs-tools", "dracut"]


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def _watchdog(tree: HostTree) -> Path:
    return tree.write("/sys/class/watchdog/watchdog0/identity", "i6300ESB timer\n")


def _present(tree: HostTree) -> set[str]:
    return {f"/{path.relative_to(tree.base)}" for path in tree.base.rglob("*virtfleet*/*") if path.is_file()} | {
        path for path in (early_files.HOOK_PATH, early_files.INIT_TOP_PATH) if tree.root.exists(path)
    }


def _install(tree: HostTree, *generators: str, check: bool = False) -> list[str]:
    with locked(tree.root, check) as ledger:
        return [change.path for change in install_early_files(tree.root, ledger, generators, check)]


def test_without_a_watchdog_or_a_generator_that_runs_scripts_nothing_is_wanted(tree: HostTree) -> None:
    assert wanted_early_files(tree.root, GENERATORS) == ()
    _watchdog(tree)
    assert wanted_early_files(tree.root, ["booster"]) == ()
    assert {file.path for file in wanted_early_files(tree.root, ["dracut", "booster"])} == {
        early_files.SCRIPT_PATH,
        early_files.DRACUT_HOOK_PATH,
        early_files.DRACUT_SETUP_PATH,
    }


def test_installed_once_and_taken_away_without_a_trace(tree: HostTree) -> None:
    _watchdog(tree)
    before = sorted(tree.base.rglob("*"))
    foretold = _install(tree, *GENERATORS, check=True)
    assert sorted(tree.base.rglob("*")) == before
    assert _install(tree, *GENERATORS) == foretold
    assert len(foretold) == 5
    assert _install(tree, *GENERATORS) == []
    with locked(tree.root) as ledger:
        assert set(owned_paths(ledger, OWNER)) == set(foretold)
        assert {change.path for change in release_early_files(tree.root, ledger)} == set(foretold)
    assert _present(tree) == set()


def test_what_is_installed_stays_while_the_driver_is_not_loaded(tree: HostTree) -> None:
    _watchdog(tree).unlink()
    assert _install(tree, "dracut") == []
    identity = _watchdog(tree)
    assert _install(tree, "dracut")
    identity.unlink()
    assert _install(tree, "dracut") == []
    assert tree.root.exists(early_files.SCRIPT_PATH)


def test_the_files_of_a_generator_that_is_gone_go(tree: HostTree) -> None:
    _watchdog(tree)
    _install(tree, *GENERATORS)
    assert set(_install(tree, "dracut")) == {early_files.HOOK_PATH, early_files.INIT_TOP_PATH}
    assert not tree.root.exists(early_files.HOOK_PATH)
    assert tree.root.exists(early_files.SCRIPT_PATH)


def test_a_file_of_somebody_else_is_refused_before_the_first_write(tree: HostTree) -> None:
    _watchdog(tree)
    tree.write(early_files.DRACUT_HOOK_PATH, "somebody else's\n")
    with pytest.raises(RefusedError, match="was not written by"):
        _install(tree, *GENERATORS)
    assert not tree.root.exists(early_files.SCRIPT_PATH)


def test_only_the_modules_of_what_is_there_go_into_images(tree: HostTree) -> None:
    """Whatever is in an image is loaded there, past the blacklist of the administrator."""
    _watchdog(tree)
    for generator, path in (("initramfs-tools", early_files.HOOK_PATH), ("dracut", early_files.DRACUT_SETUP_PATH)):
        text = {file.path: file.content.decode() for file in wanted_early_files(tree.root, [generator])}[path]
        assert "i6300esb" in text
        assert "lpc_ich" not in text
        assert "iTCO_wdt" not in text
        assert "@" not in text
