"""A roll call of a run's processes, which names those that are missing and says why.

It uses the coordinator's address before JAX does. A port in use and a name that does not resolve
end the start at once; a refused connection is reported at once, because process 0 may start later
than the others.
"""

import contextlib
import dataclasses
import ipaddress
import itertools
import json
import os
import re
import socket
import sys
import time
from typing import Any, TypeGuard

from pipeline.core.errors import ConfigError, Hung
from pipeline.storage.small_files import parsed

_ADDRESS = re.compile(r"(\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^\[\]\s]+)):(?P<port>[0-9]{1,5})")
_REMARK_AFTER_S = 1.0  # Processes that are started together differ by less.
_ATTEMPT_S = 10.0
_NAME_SERVER_S = 5.0
_LONGEST_CALL, _LONGEST_ANSWER = 1 << 12, 1 << 24  # bytes; another program may send without end
_NAMED = 16  # missing processes that a message names


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes of a run as seen by one of them; `coordinator` is HOST:PORT of process 0."""

    coordinator: str
    num_processes: int
    process_id: int

    @classmethod
    def at(cls, address: str, num_processes: int, process_id: int) -> "Group":
        """Return a group with an address as JAX takes it, an IPv6 one in brackets.

        Raises:
          ConfigError: it is not HOST:PORT.
        """
        host, port = split_address(address)
        coordinator = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(coordinator, num_processes, process_id)


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; an IPv6 address may be in brackets.

    Raises:
      ConfigError: it has another form, such as an IPv6 address without a port.
    """
    match = _ADDRESS.fullmatch(address)
    host = (match["bracketed"] or match["plain"]) if match else ""
    if match is None or not 0 < int(match["port"]) < 2**16 or not _is_host(host):
        raise ConfigError(
            f"--coordinator_address {address!r} is not HOST:PORT, such as node0:8476 or "
            "[fd00::1]:8476"
        )
    return host, int(match["port"])


def _is_host(host: str) -> bool:
    """Return whether text can be a name or an IPv4 address, or is an IPv6 address."""
    if ":" not in host:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version == 6
    except ValueError:
        return False


def roll_call(group: Group, timeout_s: float | int) -> None:
    """Wait on every process until all are there, at the coordinator's address before JAX uses it.

    Raises:
      Hung: processes are missing after `timeout_s`; the message names them. ConfigError: two have
        the same id, one has an id beyond their number, the coordinator's name does not resolve, or
        its port is in use.
    """
    host, port = split_address(group.coordinator)
    deadline = time.monotonic() + timeout_s
    remarks = _Remarks(group, timeout_s)
    try:
        _resolve(host, port, remarks, deadline)
        answer = (
            _call(port, group, deadline)
            if group.process_id == 0
            else _respond(host, port, group, remarks, deadline)
        )
    except TimeoutError:
        raise Hung(
            f"process {group.process_id} did not reach process 0 at {group.coordinator} within "
            f"{timeout_s:.0f} s: {remarks.last}: is it running, and does a firewall let the port "
            "through?"
        ) from None
    if "twice" in answer:
        raise ConfigError(f"--process_id {answer['twice']} was given to two processes")
    if "beyond" in answer:
        raise ConfigError(
            f"a process with --process_id {answer['beyond']} belongs to the run, and "
            f"--num_processes is {answer['num_processes']}: give it to all processes alike"
        )
    if answer["missing"]:
        more = group.num_processes - len(answer["there"]) - len(answer["missing"])
        names = ", ".join(map(str, answer["missing"])) + (f" and {more} more" if more > 0 else "")
        there = "; ".join(
            f"{process} on {name}"
            for process, name in sorted(answer["there"].items(), key=_by_number)
        )
        raise Hung(
            f"{len(answer['there'])} of {group.num_processes} processes came within "
            f"{timeout_s:.0f} s; missing: {names} (there are {there})"
        )


class _Remarks:
    """Reasons why process 0 is not reached yet; each is reported once, on standard error."""

    def __init__(self, group: Group, timeout_s: float | int):
        self._group, self._timeout_s = group, timeout_s
        self._began, self._reported = time.monotonic(), {""}
        self.last = "no answer"

    def add(self, reason: str) -> None:
        self.last = reason
        if reason in self._reported or time.monotonic() - self._began < _REMARK_AFTER_S:
            return
        self._reported.add(reason)
        print(
            f"strata train: process {self._group.process_id} does not reach process 0 at "
            f"{self._group.coordinator} yet: {reason}; trying for {self._timeout_s:.0f} s",
            file=sys.stderr,
            flush=True,
        )


def _resolve(host: str, port: int, remarks: _Remarks, deadline: float) -> None:
    """Check that the coordinator's name resolves; wait for it where names appear with a start.

    Raises:
      ConfigError: it does not resolve. TimeoutError: it did not until the deadline.
    """
    appears = "KUBERNETES_SERVICE_HOST" in os.environ  # a pod's name, when the pod starts
    until = deadline if appears else min(deadline, time.monotonic() + _NAME_SERVER_S)
    while True:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            may_pass = appears or getattr(error, "errno", None) == socket.EAI_AGAIN
            reason = f"the name {host!r} does not resolve ({why})"
        if not may_pass or (time.monotonic() >= until and not appears):
            raise ConfigError(f"--coordinator_address {host}:{port}: {reason}")
        if time.monotonic() >= until:
            remarks.last = reason
            raise TimeoutError
        remarks.add(reason)
        time.sleep(0.2)


def _call(port: int, group: Group, deadline: float) -> dict[str, Any]:
    """Wait for the others on process 0, and send each the outcome."""
    there = {"0": socket.gethostname()}
    answer: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(port))
        lines = []
        while len(there) < group.num_processes and not answer:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                line = stack.enter_context(server.accept()[0])
                line.settimeout(5)
                process, name = _introduced(line.makefile().readline(_LONGEST_CALL))
            except TimeoutError:
                if time.monotonic() >= deadline:
                    break
                continue
            except (OSError, ValueError):  # not a process of this run
                continue
            lines.append(line)
            if int(process) >= group.num_processes:
                answer |= {"beyond": process, "num_processes": group.num_processes}
            elif process in there:
                answer["twice"] = process
            there[process] = name
        missing = (number for number in range(group.num_processes) if str(number) not in there)
        answer |= {"missing": [*itertools.islice(missing, _NAMED)], "there": there}
        for line in lines:
            with contextlib.suppress(OSError):
                line.sendall(json.dumps(answer).encode() + b"\n")
    return answer


def _introduced(line: str) -> tuple[str, str]:
    """Return the id and the host of a process that calls. Raises ValueError for anything else."""
    said = parsed(line)
    said = said if isinstance(said, dict) else {}
    process, name = said.get("process"), said.get("host")
    if not isinstance(process, str) or not isinstance(name, str) or not _is_id(process):
        raise ValueError(line)
    return process, name


def _is_answer(answer: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether process 0 can have sent this."""
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("missing"), list)
        and isinstance(answer.get("there"), dict)
        and all(map(_is_id, answer["there"]))
    )


def _is_id(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _respond(
    host: str, port: int, group: Group, remarks: _Remarks, deadline: float
) -> dict[str, Any]:
    """Find process 0 from another process, and wait for the outcome."""
    said = (
        json.dumps({"process": str(group.process_id), "host": socket.gethostname()}).encode()
        + b"\n"
    )
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            with socket.create_connection((host, port), timeout=min(left, _ATTEMPT_S)) as line:
                line.sendall(said)
                # Process 0 may have started to wait later than this one.
                line.settimeout(max(0.01, left) + 10)
                text = line.makefile().readline(_LONGEST_ANSWER)
            answer = parsed(text) if text else None
            if _is_answer(answer):
                return answer
            remarks.add("another program answers there" if text else "connection closed")
        except ValueError:
            remarks.add("another program answers there")
        except OSError as error:  # it is not listening yet
            remarks.add((error.strerror or str(error) or type(error).__name__).lower())
        time.sleep(0.2)


def _listen(port: int) -> socket.socket:
    """Listen on all addresses, of IPv6 and IPv4."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise ConfigError(
            f"the coordinator's port {port} cannot be used: {_reason(error)}: end what uses it, or "
            "give another port in --coordinator_address"
        ) from None


def _reason(error: OSError) -> str:
    """Return the system's words; Python adds the address to them."""
    return os.strerror(error.errno) if error.errno else str(error)


def _by_number(item: tuple[str, str]) -> int:
    return int(item[0])
