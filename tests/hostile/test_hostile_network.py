# SPDX-License-Identifier: MIT
"""Every way to the network, tried from inside workers that have only a part of it, or nothing."""

import os
import socket

import pytest

import attacks
from arena import OTHER
from confined import needs_landlock

# That these are refused proves something only where they are not, when nothing is said.
ORDINARY = ["tcp-connect", "tcp6-connect", "tcp-sendto", "tcp-sendmsg", "tcp-sendmmsg", "tcp-listen", "tcp-bind", "udp-send", "netlink"]


@pytest.fixture(scope="module")
def port():
    """Of somebody who listens, and is no business of any worker."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("name", ORDINARY)
def test_sockets_are_there_when_nothing_is_said(arena, port, name):
    assert arena("default").attack(f"{name} {port}") == "ok"


@pytest.mark.parametrize("setting", attacks.NETWORK_SETTINGS)
@pytest.mark.parametrize("entry", attacks.SOCKETS, ids=lambda entry: entry.name)
def test_a_socket_is_to_be_had_where_the_table_says_so(arena, port, entry, setting):
    it = arena("default", *attacks.NETWORK_SETTINGS[setting])
    answer = it.attack(f"{entry.name} {port}")
    expected = getattr(entry, setting)
    assert attacks.fits(answer, expected) or (expected == attacks.REFUSED and answer == "EINVAL"), \
        f"{entry.name}: {answer}, expected: {expected}"
    it.check_victims()


@pytest.mark.parametrize("setting", attacks.NETWORK_SETTINGS)
def test_the_server_itself_is_a_port_like_any_other(arena, setting):
    it = arena("default", *attacks.NETWORK_SETTINGS[setting])
    for way in ("tcp-connect", "tcp-sendto", "mptcp-connect"):
        assert it.attack(f"{way} {it.server.port}") in attacks.REFUSALS | attacks.ABSENCES
    it.check_victims()


def test_the_port_that_is_allowed_is_the_only_one_and_can_be_reached(arena, port):
    it = arena("default", "--allow-connect", str(port))
    assert it.attack(f"tcp-connect {port}") == "ok"
    assert it.attack(f"tcp-connect {it.server.port}") == "EACCES"


@pytest.mark.parametrize("setting", ["default", "hardened", "users", "root"])
def test_nobody_listens_on_the_port_of_the_server_beside_it(arena, setting):
    it = arena(setting)
    assert it.attack(f"tcp-reuseport {it.server.port}") in attacks.REFUSALS | {"EADDRINUSE"}
    it.check_victims()


@needs_landlock(6)
def test_local_sockets_without_a_file_are_of_ones_own_domain(arena):
    """An abstract name knows no permissions, so that a worker could speak with whatever listens on one."""
    name = "\0millrace-hostile-test"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        for setting in ("connect", "none"):
            it = arena("default", *attacks.NETWORK_SETTINGS[setting])
            assert it.attack("unix-connect @millrace-hostile-test") in attacks.REFUSALS
            expected = "EPERM" if setting == "connect" else "ok"  # no listening at all
            assert it.attack("unix-listen @millrace-hostile-own", OTHER) == expected


def test_who_may_have_no_sockets_speaks_with_none_that_has_a_file(arena, stage):
    """A pair of datagrams is connected for the moment only; those of the system's log are open to everyone."""
    path = stage.path("datagrams")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        os.chmod(path, 0o666)
        assert arena("default").attack(f"pair-reach {path}") == "ok"
        for options in (("hardened",), ("default", "--seccomp", "strict")):
            assert arena(*options).attack(f"pair-reach {path}") in attacks.REFUSALS
