# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""The connection to this host's libvirt through libvirt-python, a package of the distribution."""

from __future__ import annotations

import contextlib
import re
import sys
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError

LIBVIRT_IMPORT_ERROR: str | None = None
try:
    import libvirt as _binding
except ImportError as exc:
    _binding = None
    LIBVIRT_IMPORT_ERROR = str(exc)

libvirt: t.Any = _binding

DEFAULT_URI = "qemu:///system"
# A driver name, no transport and no host: whoever checks devices against this host's sysfs must talk to
# this host's libvirt.
_LOCAL_URI = re.compile(r"[a-z]+:///.+")


def check_uri(uri: str) -> None:
    """Refuse what is not the system's libvirt on this very host (``test:///…`` is libvirt's in-process driver)."""
    if not _LOCAL_URI.fullmatch(uri):
        raise InputError(f"uri: '{uri}' leads to another host: devices are checked against this one, use {DEFAULT_URI}")
    if uri.partition("?")[0].endswith("/session"):
        raise InputError(
            f"uri: '{uri}' is a user's own libvirt, which can neither take devices from the host nor offer it "
            f"UEFI: use {DEFAULT_URI}"
        )


def explain(exc: Exception) -> str:
    """libvirt's message without the program's own prefix."""
    return str(exc).strip() or type(exc).__name__


@contextlib.contextmanager
def connection(uri: str, readonly: bool) -> t.Iterator[t.Any]:
    """An open ``virConnect``. Raises :class:`HostStateError` where libvirt-python or the daemon is not there."""
    if LIBVIRT_IMPORT_ERROR is not None:
        raise HostStateError(
            f"libvirt-python is missing for {sys.executable or 'this Python'} ({LIBVIRT_IMPORT_ERROR}): "
            "install the distribution's python3-libvirt, or let the role libvirt_host do it"
        )
    # Without this, libvirt prints each error on standard error before it raises it.
    libvirt.registerErrorHandler(lambda *_said: None, None)
    try:
        conn = libvirt.openReadOnly(uri) if readonly else libvirt.open(uri)
    except libvirt.libvirtError as exc:
        raise HostStateError(
            f"no connection to libvirt at {uri}: {explain(exc)}. Is libvirtd (or virtqemud.socket) running?"
        ) from exc
    try:
        yield conn
    finally:
        conn.close()


@contextlib.contextmanager
def translated(purpose: str, hint: str = "") -> t.Iterator[None]:
    """Turn libvirt's errors into :class:`HostStateError`: purpose, libvirt's message, hint."""
    try:
        yield
    except libvirt.libvirtError as exc:
        raise HostStateError(f"{purpose}: {explain(exc)}" + (f". {hint}" if hint else "")) from exc

    return None
