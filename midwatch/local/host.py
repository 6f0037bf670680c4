"""The embedded host: an app folder and a state directory, put together for as long as it runs."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from midwatch.local.backend import Backend
from midwatch.local.binding import Invoker
from midwatch.local.bridge import Bridge
from midwatch.local.clock import Clock, SystemClock
from midwatch.local.errors import HostError
from midwatch.local.http import HttpServer
from midwatch.local.instance import HistoryCounts
from midwatch.local.journal import Journal
from midwatch.local.logs import HostLog
from midwatch.local.runtime import WorkerRuntime
from midwatch.local.service import Server
from midwatch.local.settings import read_host_file
from midwatch.local.state import StateDirectory
from midwatch.local.timers import TimerRunner

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0


class EmbeddedHost:
    """Runs the Functions app in `app_dir`, with its durable state in `state_dir`.

    Several hosts may run in one process, with a state directory each; they share the app, which is loaded once.

    Args:
        app_dir: has `host.json` and `function_app.py`.
        state_dir: made when missing; held by one host at a time.
        port: the loopback port for HTTP; 0 takes a free one.
        run_work: False serves HTTP and queries on what is there, and runs no orchestration, activity or timer until
            `resume_work`.
        clock: the time for timers, schedules and orchestrations; the machine's by default.
        extra: said to who asks `running_host`.
        grace_seconds: how long `stop` waits for invocations that run.
    """

    def __init__(  # noqa: PLR0913 - only two are positional
        self,
        app_dir: Path,
        state_dir: Path,
        *,
        port: int = 0,
        run_work: bool = True,
        clock: Clock | None = None,
        extra: Mapping[str, object] | None = None,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self._app_dir = app_dir.resolve()
        self._state_dir = state_dir
        self._port = port
        self._run_work = run_work
        self._clock = clock or SystemClock()
        self._extra = dict(extra or {})
        self._grace_seconds = grace_seconds
        self._cleanup = ExitStack()
        self._lifecycle = threading.Lock()
        self._stopped = threading.Event()
        self._runtime: WorkerRuntime | None = None
        self._backend: Backend | None = None
        self._bridge: Bridge | None = None
        self._timers: TimerRunner | None = None
        self._working = False
        self._state: StateDirectory | None = None
        self._started_at = datetime.now(UTC)
        self._url = ""
        self._rpc_address = ""
        self.failure: HostError | None = None

    @property
    def url(self) -> str:
        """Where it serves HTTP, without a trailing slash; empty before `start`."""
        return self._url

    @property
    def rpc_address(self) -> str:
        """`host:port` of the backend's gRPC service, for a durabletask client; empty before `start`."""
        return self._rpc_address

    def start(self) -> None:
        """Load the app and the state, and begin to serve.

        Raises:
            AppLoadError: the app, `host.json` or a schedule is wrong.
            StateInUseError: another host holds the state directory.
            JournalError: the state cannot be read.
            HostError: `port-in-use`, `state-unusable`.
        """
        with self._lifecycle:
            try:
                self._start()
            except BaseException:
                self._cleanup.close()
                raise

    def stop(self) -> None:
        """Stop serving, wait a little for what runs, and give the state directory back. A second call does nothing.

        What had not ended goes on when a host starts on this state again.
        """
        with self._lifecycle:
            self._cleanup.close()
            self._stopped.set()

    def resume_work(self) -> None:
        """Begin to run orchestrations, activities and timers. A second call does nothing."""
        if self._working:
            return
        assert self._runtime is not None
        assert self._backend is not None
        assert self._bridge is not None
        assert self._timers is not None
        self._working = True
        self._publish()
        self._backend.resume_work()
        self._runtime.call(self._bridge.start())
        self._runtime.call(self._timers.start())

    def serve_forever(self) -> None:
        """Wait until the host is stopped, by `stop` or by SIGTERM. Control-C raises KeyboardInterrupt as ever.

        Raises:
            HostError: the host had to stop by itself.
        """
        previous = None
        if threading.current_thread() is threading.main_thread():
            previous = signal.signal(signal.SIGTERM, lambda *_: self._stopped.set())
        try:
            self._stopped.wait()
        finally:
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)
        if self.failure is not None:
            raise self.failure

    @property
    def has_unfinished(self) -> bool:
        """Whether an orchestration of this state has not ended."""
        assert self._backend is not None
        return self._backend.has_unfinished

    def history(self, instance_id: str) -> HistoryCounts:
        """What an instance cost so far.

        Raises:
            RefusedError: `not-found`.
        """
        assert self._backend is not None
        return self._backend.history(instance_id)

    def history_under(self, prefix: str) -> HistoryCounts:
        """What all instances whose ID begins so cost together."""
        assert self._backend is not None
        return self._backend.history_under(prefix)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _start(self) -> None:
        host_file = read_host_file(self._app_dir)
        state = StateDirectory(self._state_dir)
        state.acquire()
        self._cleanup.callback(state.release)
        self._cleanup.callback(HostLog(self._state_dir / "host.log").close)
        runtime = self._runtime = WorkerRuntime.load(self._app_dir)
        journal = Journal(self._state_dir / "journal.db")
        self._cleanup.callback(journal.close)
        backend = self._backend = Backend(journal, self._clock, self._fail)
        self._cleanup.callback(backend.close)
        server = Server(backend)
        self._cleanup.callback(server.stop, self._grace_seconds)
        self._rpc_address = server.address
        invoker = Invoker(runtime, server.address, host_file.extensions.durable_task.hub_name)
        bridge = self._bridge = Bridge(backend, runtime)
        self._cleanup.callback(lambda: runtime.call(bridge.stop(self._grace_seconds)))
        timers = self._timers = TimerRunner(invoker, backend, self._clock)
        self._cleanup.callback(lambda: runtime.call(timers.stop(self._grace_seconds)))
        http = HttpServer(invoker, timers, host_file.extensions.http.route_prefix)
        self._cleanup.callback(lambda: runtime.call(http.stop()))
        self._url = runtime.call(http.start(self._port))
        invoker.serve_at(self._url)
        self._state, self._started_at = state, datetime.now(UTC)
        self._publish()
        if self._run_work:
            self.resume_work()
        _log.info("serving %s at %s", self._app_dir, self._url)

    def _publish(self) -> None:
        assert self._state is not None
        self._state.publish(self._url, self._started_at, self._extra, working=self._working)

    def _fail(self, error: HostError) -> None:
        """The state cannot be written: stop, from a thread that does not hold the backend's lock as our caller does."""
        self.failure = error
        threading.Thread(target=partial(EmbeddedHost.stop, self), name="midwatch-stop", daemon=True).start()
