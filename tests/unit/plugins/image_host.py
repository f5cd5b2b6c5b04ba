# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree with kernels, held devices and images, on which the body of the module ``initramfs`` runs."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.initramfs import prove_and_rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import Table

NIC = Identity("8086", "10d3", "8086", "0000")
VFIO = ("vfio/vfio", "vfio/vfio_iommu_type1", "vfio/pci/vfio-pci")


class Module:
    """What the body uses of AnsibleModule."""

    def __init__(self, params: dict[str, t.Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode

    def log(self, message: str) -> None:
        """The system log is not there."""


class ImageHost:
    """``tools`` answer commands by the name of the program: exit status and what it says."""

    generator = ""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.commands: list[tuple[str, ...]] = []
        self.tools: dict[str, t.Callable[[Sequence[str], str | None], tuple[int, str]]] = {}
        for directory in ("var/tmp", "var/lib", "boot", "proc"):
            (base / directory).mkdir(parents=True)

    def put(self, path: str, content: str | bytes = "") -> Path:
        real = self.base / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_bytes(content.encode() if isinstance(content, str) else content)
        return real

    def read(self, path: str) -> bytes:
        return (self.base / path.lstrip("/")).read_bytes()

    def modules(self, release: str, names: Sequence[str] = VFIO) -> None:
        lines = [f"kernel/drivers/{name}.ko:" for name in names]
        self.put(f"lib/modules/{release}/modules.dep", "\n".join(lines) + "\n")

    def packed_modules(self, release: str) -> dict[str, bytes]:
        lines = self.read(f"lib/modules/{release}/modules.dep").decode().splitlines()
        return {f"lib/modules/{release}/{line.rstrip(':')}": b"" for line in lines}

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.commands.append(tuple(argv))
        status, said = self.tools[os.path.basename(argv[0])](argv, cwd)
        return CommandResult(tuple(argv), status, "", said)

    def hold(self, generation: int = 1) -> None:
        table = Table(generation, {Address.parse("0000:01:00.0"): NIC})
        with locked(self.root) as ledger:
            for file in boot_files(table, [self.generator]):
                _owned.install(self.root, ledger, OWNER, file)

    def let_go(self) -> None:
        with locked(self.root) as ledger:
            for path in _owned.owned_paths(ledger, OWNER):
                _owned.release(self.root, ledger, path)

    def call(self, *, check: bool = False, **params: t.Any) -> Result:
        common = {"generator": self.generator, "kernels": ["all"], "planned_files": None, "require": None}
        module: t.Any = Module({"staged": False, **common, **params}, check)
        return prove_and_rebuild(module, self.run, root=self.root)

    def facts(self) -> Mapping[str, t.Any]:
        return read_state(self.root, self.run, Ledger.read(self.root), {"generator": self.generator})

    def rebuilt(self, result: Result) -> list[str]:
        return [image["path"] for image in result.data["images"] if image["rebuilt"]]

    @property
    def leftovers(self) -> list[str]:
        return [str(path.relative_to(self.base)) for path in self.base.rglob("*virtfleet-new*")]
