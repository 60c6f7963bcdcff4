"""The roll call of processes: IPv4 and IPv6, and reasons that are reported before the time-out."""

import contextlib
import socket
import threading
import time

import pytest

from pipeline.core.errors import ConfigError, Hung
from pipeline.training.runtime import roll_call as module
from pipeline.training.runtime.roll_call import Group, roll_call, split_address


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    "text, coordinator",
    [
        ("node0:8476", "node0:8476"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("[::1]:8476", "[::1]:8476"),
        ("::1:8476", "[::1]:8476"),
        ("fd00:0:0:0:0:0:0:1:8476", "[fd00:0:0:0:0:0:0:1]:8476"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
    ],
)
def test_addresses_are_given_to_jax_with_brackets(text, coordinator):
    assert Group.at(text, 2, 0).coordinator == coordinator


@pytest.mark.parametrize(
    "text",
    ["", "h", "h:", ":80", "h:0", "h:65536", "h:²", "h:+1", "::1", "[::1]", "[h]x:1", "a b:1"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        split_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_processes_meet_over_either_version(host):
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    port = free_port()
    groups = [Group.at(f"{host}:{port}", 2, process) for process in range(2)]
    threads = [threading.Thread(target=roll_call, args=(group, 60)) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "nul\0"])
def test_a_name_that_does_not_resolve_ends_at_once(host, process, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(module, "_NAME_SERVER_S", 0.1)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="does not resolve"):
        roll_call(Group(f"{host}:8476", 2, process), 60)
    assert time.monotonic() - began < 50


def test_in_kubernetes_a_name_may_appear_later(monkeypatch, capsys):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(module, "_REMARK_AFTER_S", 0)

    def missing(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", missing)
    with pytest.raises(Hung, match="'pod' does not resolve"):
        roll_call(Group("pod:1", 2, 1), 0.3)
    assert capsys.readouterr().err.count("does not resolve") == 1


def test_a_port_in_use_ends_at_once():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"port {port} cannot be used: Address already in use"
        ):
            roll_call(Group(f"127.0.0.1:{port}", 2, 0), 60)


def test_a_refused_connection_is_told_at_once_and_again_at_the_end(monkeypatch, capsys):
    monkeypatch.setattr(module, "_REMARK_AFTER_S", 0)
    with pytest.raises(Hung, match="within 1 s: connection refused: is it running"):
        roll_call(Group(f"127.0.0.1:{free_port()}", 2, 1), 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "process 1 does not reach process 0" in line and "connection refused; trying" in line


def test_another_program_at_the_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    with other.accept()[0] as line:
                        line.sendall(b"HTTP/1.1 400 Bad Request\r\n")
                        line.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Hung, match="another program answers there"):
            roll_call(Group(f"127.0.0.1:{other.getsockname()[1]}", 2, 1), 0.5)


def meet(processes: int, calls: list[bytes], *ids: int) -> dict[int, str]:
    """Let others call process 0, and then its own processes; return what each of these says."""
    port, said = free_port(), {}

    def join(process: int) -> None:
        try:
            roll_call(Group(f"127.0.0.1:{port}", processes, process), 30)
            said[process] = "all are there"
        except (ConfigError, Hung) as error:
            said[process] = str(error)

    first = threading.Thread(target=join, args=(0,))
    first.start()
    for call in calls:
        for _ in range(200):
            with contextlib.suppress(OSError):
                with socket.create_connection(("127.0.0.1", port)) as line:
                    line.sendall(call)
                break
            time.sleep(0.02)
    threads = [threading.Thread(target=join, args=(each,)) for each in ids]
    for thread in threads:
        thread.start()
    for thread in (first, *threads):
        thread.join(60)
    return said


def test_other_programs_that_call_process_0_do_not_count():
    calls = [
        b"[" * 3000 + b"\n",
        b"[]\n",
        b'{"process": [1], "host": "x"}\n',
        b'{"process": "one", "host": "x"}\n',
        b'{"process": NaN, "host": "x"}\n',
        b'{"process": "1", "host": {}}\n',
        b"\xff\xfe\n",
        b"x" * 10_000,
    ]
    assert meet(2, calls, 1) == {0: "all are there", 1: "all are there"}


def test_a_process_of_a_larger_run_is_named():
    said = meet(2, [b'{"process": "7", "host": "x"}\n'])
    assert said == {
        0: "a process with --process_id 7 belongs to the run, and --num_processes is 2: give it to "
        "all processes alike"
    }


def test_of_many_missing_processes_the_first_are_named():
    with pytest.raises(Hung, match=r"missing: 1, 2, .*, 16 and 999999983 more \(there are 0"):
        roll_call(Group(f"127.0.0.1:{free_port()}", 10**9, 0), 0.1)


@pytest.mark.parametrize(
    "answer", ["[" * 100_000, '{"missing": 3, "there": 4}', '{"missing": [], "there": {"a": "b"}}']
)
def test_only_process_0_can_have_sent_an_answer(answer):
    try:
        content = module.parsed(answer)
    except ValueError:
        return
    assert not module._is_answer(content)
    assert module._is_answer({"missing": [2], "there": {"0": "a", "1": "b"}})
