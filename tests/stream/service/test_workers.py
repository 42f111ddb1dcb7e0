"""Workers share one port.

When one dies, the others are not affected. None is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from turnstream.stream.service.launch import ServiceSettings
from turnstream.stream.service.workers import Supervisor, reserve_port

from ..command_server import CommandServer, answer, command_server

FRAME = bytes(320 * 2 * 2)
QUERY = "policy=balanced&frames=all"
PATIENCE_S = 60.0
Refused = Callable[..., str]


class Workers:
    """A supervised server, and the processes of its workers by number, read from its log."""

    def __init__(self, server: CommandServer, count: int) -> None:
        self.server = server
        self.processes: dict[int, psutil.Process] = {}
        while len(self.processes) < count:
            self.next_one()

    def next_one(self) -> int:
        """Wait until another worker serves; return its number."""
        while True:
            entry = json.loads(self.server.log_line())
            if entry["message"] == "worker serves":
                self.processes[entry["worker"]] = psutil.Process(entry["worker_pid"])
                return int(entry["worker"])

    def worker_of(self, client: ClientConnection) -> int:
        """Return the worker that has the other end of a connection."""
        port = client.local_address[1]
        return next(
            number
            for number, process in self.processes.items()
            if any(
                connection.raddr and connection.raddr.port == port
                for connection in process.net_connections("tcp")
            )
        )


@contextlib.contextmanager
def workers(model: Path, *options: str, count: int = 2) -> Iterator[Workers]:
    fixed = ("--workers", str(count), "--log-format", "json", "--stall-s", "60")
    with command_server(model, *fixed, *options) as server:
        yield Workers(server, count)


@contextlib.contextmanager
def sessions_on_all(
    running: Workers, query: str = QUERY
) -> Iterator[dict[int, list[ClientConnection]]]:
    """Open sessions until every worker has one; return them by worker.

    The system spreads connections by chance.
    """
    with contextlib.ExitStack() as stack:
        found: dict[int, list[ClientConnection]] = {number: [] for number in running.processes}
        while not all(found.values()):
            client = stack.enter_context(session(running.server, query))
            found[running.worker_of(client)].append(client)
            assert sum(map(len, found.values())) < 64
        yield found


@contextlib.contextmanager
def session(server: CommandServer, query: str = QUERY) -> Iterator[ClientConnection]:
    with server.stream(query) as client:
        assert receive(client)["type"] == "begin"
        yield client


def receive(client: ClientConnection) -> dict[str, Any]:
    """Return the next message except `saved`."""
    while (message := json.loads(client.recv(timeout=PATIENCE_S)))["type"] == "saved":
        pass
    return message


def last_of(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = {}
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = receive(client)
    return message


def metric(server: CommandServer, name: str) -> float:
    lines = answer(f"{server.page}metrics")[1].splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def test_when_a_worker_is_killed_the_others_sessions_live_on_and_another_starts(
    tiny_model_path: Path,
) -> None:
    with workers(tiny_model_path) as running, sessions_on_all(running) as sessions:
        killed = running.processes[0]
        killed.kill()
        assert running.next_one() == 0
        assert running.processes[0].pid != killed.pid
        for client in sessions[0]:
            with pytest.raises(ConnectionClosed):
                receive(client)
        for client in sessions[1]:
            client.send(FRAME)
            assert receive(client)["type"] == "frame"
        with sessions_on_all(running):
            pass


def test_a_worker_that_hangs_is_replaced_and_the_others_are_not(tiny_model_path: Path) -> None:
    with (
        workers(tiny_model_path, "--worker-timeout-s", "4") as running,
        sessions_on_all(running) as sessions,
    ):
        hung, other = running.processes[0], running.processes[1]
        hung.suspend()
        assert running.next_one() == 0
        assert not hung.is_running()
        assert running.processes[1].pid == other.pid
        for client in sessions[1]:
            client.send(FRAME)
            assert receive(client)["type"] == "frame"
        with sessions_on_all(running):  # every new client is admitted
            pass


def test_a_new_worker_has_the_tokens_of_now(tiny_model_path: Path, tmp_path: Path) -> None:
    old, new, path = "the-token-of-before", "the-token-of-after-it", tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(old)
    with workers(tiny_model_path, "--token-file", str(path)) as running:
        path.write_text(new)
        running.server.process.send_signal(signal.SIGHUP)
        while "the access tokens were read again" not in running.server.log_line():
            pass
        for process in running.processes.values():
            process.kill()
        running.next_one()
        running.next_one()
        with sessions_on_all(running, f"{QUERY}&token={new}"):
            pass


def test_a_hang_up_of_the_terminal_reaches_everyone_and_ends_all_well(
    tiny_model_path: Path,
) -> None:
    with workers(tiny_model_path) as running:
        for process in running.processes.values():
            process.send_signal(signal.SIGHUP)
        code, _, err = running.server.end(signal.SIGHUP)
        assert code == 0
        assert {json.loads(line)["level"] for line in err.splitlines()} == {"INFO"}
        assert not any(process.is_running() for process in running.processes.values())


def test_while_all_workers_drain_they_say_so_and_refuse_streams(tiny_model_path: Path) -> None:
    options = ("--shutdown-timeout-s", "20", "--close-timeout-s", "20")
    with workers(tiny_model_path, *options) as running, sessions_on_all(running) as sessions:
        for client in itertools.chain(*sessions.values()):
            client.send(FRAME * 800)  # most answers are not read, nor is the close of the server
            assert receive(client)["type"] == "frame"  # so the audio has arrived
        running.server.process.send_signal(signal.SIGTERM)
        status = 200
        while status == 200:
            status, body = answer(f"{running.server.page}readyz")
        assert (status, json.loads(body)["status"]) == (503, "draining")
        with pytest.raises(InvalidStatus, match="HTTP 503"), session(running.server):
            pass
        for client in itertools.chain(*sessions.values()):
            client.socket.shutdown(socket.SHUT_RDWR)


def test_any_worker_tells_the_metrics_of_all(tiny_model_path: Path) -> None:
    with workers(tiny_model_path) as running, sessions_on_all(running) as sessions:
        count = sum(map(len, sessions.values()))
        for clients in sessions.values():
            for client in clients:
                client.send(FRAME)
                assert receive(client)["type"] == "frame"
        for _ in range(200):  # a client may get a frame before the worker has counted it
            if metric(running.server, "turnstream_frames_total") == count:
                break
        for _ in range(8):  # any worker may answer
            assert metric(running.server, "turnstream_sessions") == count
            assert metric(running.server, "turnstream_frames_total") == count
        running.processes[1].kill()
        assert running.next_one() == 1
        assert metric(running.server, "turnstream_sessions") == len(sessions[0])
        assert metric(running.server, "turnstream_frames_total") == count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_all_workers_drain(tiny_model_path: Path, number: signal.Signals) -> None:
    with workers(tiny_model_path) as running, sessions_on_all(running) as sessions:
        code, out, _ = running.server.end(number)
        ends = [last_of(client) for clients in sessions.values() for client in clients]
        assert (code, out) == (0, "")
        assert {(end["type"], end["reason"].partition(":")[0]) for end in ends} == {
            ("termination", "shutdown")
        }
        assert not any(process.is_running() for process in running.processes.values())


def test_an_interrupt_at_the_terminal_reaches_everyone_and_is_no_error(
    tiny_model_path: Path,
) -> None:
    with workers(tiny_model_path) as running:
        for process in running.processes.values():
            process.send_signal(signal.SIGINT)
        code, _, err = running.server.end(signal.SIGINT)
        assert code == 0
        assert {json.loads(line)["level"] for line in err.splitlines()} == {"INFO"}


def test_a_worker_that_is_told_to_end_drains_and_another_starts(tiny_model_path: Path) -> None:
    with workers(tiny_model_path) as running, sessions_on_all(running) as sessions:
        running.processes[1].terminate()
        assert all(last_of(client)["type"] == "termination" for client in sessions[1])
        assert running.next_one() == 1


def test_workers_drain_and_end_when_the_supervisor_is_killed(tiny_model_path: Path) -> None:
    with workers(tiny_model_path) as running, sessions_on_all(running) as sessions:
        folder = Path(running.processes[0].environ()["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.is_dir()
        running.server.process.kill()
        ends = [last_of(client) for clients in sessions.values() for client in clients]
        assert {end["type"] for end in ends} == {"termination"}
        _, alive = psutil.wait_procs(running.processes.values(), timeout=PATIENCE_S)
        assert not alive
        assert not folder.parent.exists()


def test_a_session_is_resumed_whichever_worker_the_client_reaches(tiny_model_path: Path) -> None:
    with workers(tiny_model_path, count=3) as running:
        with running.server.stream(QUERY) as client:
            token = receive(client)["resume_token"]
            client.send(FRAME)
            assert receive(client)["frame"] == 0
            client.socket.shutdown(socket.SHUT_RDWR)  # without a close frame
        for number in range(1, 25):
            resume = f"resume={token}&received={1 + number}"
            with running.server.stream(resume) as client:
                resumed = receive(client)
                assert resumed["type"] == "resumed"
                for _ in range(resumed["received"], number + 1):
                    client.send(FRAME)
                assert receive(client)["frame"] == number
                client.socket.shutdown(socket.SHUT_RDWR)


def test_a_worker_that_dies_again_and_again_ends_the_server_with_one_clear_line(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_model_path.read_bytes())
    with workers(model) as running, sessions_on_all(running) as sessions:
        model.unlink()
        running.processes[0].kill()
        _, err = running.server.process.communicate(timeout=60)
        assert running.server.process.returncode == 2
        last = err.splitlines()[-1]
        assert last.startswith(
            "turnstream serve: error: worker 0 ended 5 times within 10 s of its start, lastly by "
            "expected an ONNX model file, got "
        )
        assert all(last_of(client)["type"] == "termination" for client in sessions[1]), (
            "the others drained"
        )
        assert not any(process.is_running() for process in running.processes.values())


@pytest.fixture
def refused(complaint: Callable[..., str], tiny_model_path: Path) -> Refused:
    """Run `turnstream serve` with two workers; return why it refused."""
    options = ("--quiet", "--port", "0", "--workers", "2")
    return partial(complaint, "serve", *options, "--model", tiny_model_path)


def test_workers_that_cannot_start_are_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    line = refused("--model", tmp_path / "none.onnx")
    assert line.startswith("expected an ONNX model file, got ")


def test_a_port_in_use_is_one_clear_line(refused: Refused) -> None:
    # Such as another server's workers
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", port) == (
            f"cannot listen on 127.0.0.1, port {port}: Address already in use; try another --port"
        )


async def test_a_supervisor_that_fails_itself_does_not_end_as_if_it_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(ServiceSettings(), 1, tmp_path, print, timeout_s=0.1)

    async def run_worker(number: int) -> tuple[str, str | None]:
        await supervisor._stopping.wait()
        return "exit code 0", None

    def broken(now_s: float) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(supervisor, "_run_worker", run_worker)
    monkeypatch.setattr(supervisor._heartbeat, "tick", broken)
    with pytest.raises(RuntimeError, match="made to fail"):
        await supervisor.run(asyncio.Event(), asyncio.Event())


def test_a_reserved_port_is_shared_and_takes_no_client() -> None:
    with reserve_port("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with (
            socket.create_server(("127.0.0.1", port), reuse_port=True),
            socket.create_connection(("127.0.0.1", port)),
        ):
            pass


def test_a_system_that_cannot_share_a_port_is_told_so(
    monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    line = "expected 1 worker, got 2: on this system processes cannot share a port"
    assert refused().startswith(line)
