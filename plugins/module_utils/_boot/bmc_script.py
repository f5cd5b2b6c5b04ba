# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The program that starts and stops the watchdog of a baseboard management controller. Pure text.

It speaks to the controller through ``ipmi_devintf``, because ``ipmi_watchdog`` cannot register where another watchdog's
driver is loaded. Sources: include/uapi/linux/ipmi.h; IPMI 2.0, section 27 (BMC Watchdog Timer Commands).
"""

from __future__ import annotations

import typing as t

SCRIPT_PATH: t.Final = "/etc/virtfleet-passthrough/trial-bmc"

# A timer counts tenths of seconds in 16 bits.
LONGEST: t.Final = 6553

SCRIPT: t.Final = r'''# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Written by Ansible (virtfleet.passthrough.boot_trial); changes made here will be refused, not kept.
"""trial-bmc start SECONDS | stop | state

Starts the watchdog of the baseboard management controller for the boot of an operating system, which resets the
machine when SECONDS have passed, or stops the one that was started so. Another one that runs is left alone.
"""

import ctypes
import fcntl
import os
import select
import subprocess
import sys
import time

SEND_COMMAND = 0x8028690D
RECEIVE_MESSAGE_TRUNCATED = 0xC030690B
SYSTEM_INTERFACE, BMC_CHANNEL = 0x0C, 0x0F
APPLICATION = 0x06
RESET_TIMER, SET_TIMER, GET_TIMER = 0x22, 0x24, 0x25
# What the timer is used for: the load of an operating system. Nobody else's driver calls it so.
OS_LOAD = 3
HARD_RESET, NOTHING = 1, 0
RUNNING = 0x40


class Address(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("channel", ctypes.c_short), ("lun", ctypes.c_ubyte))


class Message(ctypes.Structure):
    _fields_ = (
        ("netfn", ctypes.c_ubyte),
        ("command", ctypes.c_ubyte),
        ("length", ctypes.c_ushort),
        ("data", ctypes.c_void_p),
    )


class Request(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_void_p),
        ("address_length", ctypes.c_uint),
        ("identifier", ctypes.c_long),
        ("message", Message),
    )


class Received(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), *Request._fields_)


def ask(device, command, data=b""):
    """The answer to one command, without its completion code."""
    address = Address(SYSTEM_INTERFACE, BMC_CHANNEL, 0)
    content = ctypes.create_string_buffer(bytes(data), max(len(data), 1))
    message = Message(APPLICATION, command, len(data), ctypes.addressof(content))
    request = Request(ctypes.addressof(address), ctypes.sizeof(address), command, message)
    fcntl.ioctl(device, SEND_COMMAND, request)
    if not select.select([device], [], [], 10)[0]:
        raise OSError("the controller does not answer")
    answer = ctypes.create_string_buffer(64)
    message = Message(0, 0, len(answer), ctypes.addressof(answer))
    received = Received(0, ctypes.addressof(address), ctypes.sizeof(address), 0, message)
    fcntl.ioctl(device, RECEIVE_MESSAGE_TRUNCATED, received)
    found = answer.raw[: received.message.length]
    if not found or found[0] != 0:
        raise OSError("command 0x%02x ended with 0x%02x" % (command, found[0] if found else 0xFF))
    return found[1:]


def timer(device):
    """Whether the timer runs, what it is used for, and the seconds that are left."""
    found = ask(device, GET_TIMER)
    left = int.from_bytes(found[6:8], "little") / 10
    # Not every controller sets the bit.
    return bool(found[0] & RUNNING) or left > 0, found[0] & 7, left


def start(device, seconds):
    running, use, _left = timer(device)
    if running and use != OS_LOAD:
        raise OSError("it is in use already (%d)" % use)
    ask(device, SET_TIMER, bytes((OS_LOAD, HARD_RESET, 0, 1 << OS_LOAD)) + (seconds * 10).to_bytes(2, "little"))
    ask(device, RESET_TIMER)
    running, use, left = timer(device)
    if not running or use != OS_LOAD:
        raise OSError("it was started and does not run")
    return "resets this machine in %d s unless the trial is committed" % left


def stop(device):
    if timer(device)[1] != OS_LOAD:
        return "is not ours"
    # Setting a timer stops it, and one that has stopped stays so.
    ask(device, SET_TIMER, bytes((OS_LOAD, NOTHING, 0, 1 << OS_LOAD, 0, 0)))
    if timer(device)[0]:
        raise OSError("it was stopped and still runs")
    return "is stopped"


def state(device):
    running, use, left = timer(device)
    return "running %d %d" % (use, left) if running else "stopped"


def find_device():
    # Loaded or built in, or without what they drive: what counts is the device.
    for module in ("ipmi_si", "ipmi_devintf"):
        subprocess.call(["modprobe", "-q", module])
    for _second in range(10):
        if os.path.exists("/dev/ipmi0"):
            break
        time.sleep(1)
    return os.open("/dev/ipmi0", os.O_RDWR)


def main(words):
    command, log = words[0], "virtfleet-passthrough: the BMC's watchdog "
    try:
        device = find_device()
        text = start(device, int(words[1])) if command == "start" else {"stop": stop, "state": state}[command](device)
    except OSError as error:
        text = "was not asked to %s: %s" % (command, error.strerror or error)
        status = 1
    else:
        status = 0
    print(text)
    if command != "state":
        try:
            with open("/dev/kmsg", "w") as stream:
                stream.write(log + text + "\n")
        except OSError:
            pass
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
