"""The worker library that runs in Azure, in this process: loads `function_app.py` and invokes its functions."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from midwatch.local.errors import AppLoadError

_log = logging.getLogger(__name__)

# Replays run on the threads that synchronous functions use: `bridge` keeps enough of them free.
THREADS = 64
_SUCCESS = 1


class InvocationError(Exception):
    """A function raised. The traceback is in the log.

    Attributes:
        error_type: the exception's class name.
        message: what it said.
        stack_trace: where.
    """

    def __init__(self, error_type: str, message: str, stack_trace: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.error_type = error_type
        self.message = message
        self.stack_trace = stack_trace


@dataclass(frozen=True)
class Datum:
    """A value on its way into or out of a function.

    Attributes:
        type: how the worker library reads `value`: `string`, `json`, `bytes` or `http`.
    """

    value: object
    type: str


@dataclass(frozen=True)
class Binding:
    """One binding of a function, as `function.json` would have it."""

    type: str
    name: str
    fields: Mapping[str, object]

    def text(self, field: str) -> str | None:
        """A field that holds text; None when it is not there."""
        value = self.fields.get(field)
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Function:
    """One function of the app."""

    name: str
    id: str
    bindings: tuple[Binding, ...]

    def binding(self, kind: str) -> Binding | None:
        """Its binding of this type; None without one."""
        return next((binding for binding in self.bindings if binding.type == kind), None)


class WorkerRuntime:
    """The app, loaded and indexed, on an event loop of its own. One per process: use `load`."""

    _loaded: ClassVar[tuple[Path, WorkerRuntime] | None] = None

    def __init__(self, app_dir: Path) -> None:
        os.environ.setdefault("PYTHON_THREADPOOL_THREAD_COUNT", str(THREADS))
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        if str(app_dir) not in sys.path:
            sys.path.insert(0, str(app_dir))
        # Slow to import, and it reads its settings when it is: not before they are set.
        import azure_functions_runtime as library  # type: ignore[import-untyped]  # noqa: PLC0415
        from azure_functions_runtime import native_invocation  # noqa: PLC0415
        from azure_functions_runtime.bindings import datumdef  # type: ignore[import-untyped]  # noqa: PLC0415

        self._library = library
        self._invoke = native_invocation.invocation_request_native
        self._datum = datumdef.Datum
        library.start_threadpool_executor()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="midwatch-functions").start()
        try:
            self.functions = self._index(app_dir)
        except BaseException:
            self.loop.call_soon_threadsafe(self.loop.stop)
            raise

    @classmethod
    def load(cls, app_dir: Path) -> WorkerRuntime:
        """The app in this folder; loaded at the first call, the same object afterwards.

        Raises:
            AppLoadError: `app-load`, the app cannot be loaded; `app-other`, this process has another app already (the
                worker library holds one).
        """
        app_dir = app_dir.resolve()
        if cls._loaded is None:
            cls._loaded = (app_dir, cls(app_dir))
        loaded_dir, runtime = cls._loaded
        if loaded_dir != app_dir:
            raise AppLoadError("app-other", f"this process has loaded {loaded_dir}; it cannot load {app_dir} as well")
        return runtime

    async def invoke(
        self, function: Function, inputs: Mapping[str, Datum], *, trace_parent: str = "", trace_state: str = ""
    ) -> Datum | None:
        """Call a function on the runtime's loop.

        Args:
            function: which.
            inputs: by the name of the binding.
            trace_parent: the W3C trace context to run under.
            trace_state: likewise.

        Raises:
            InvocationError: it raised, or its input or result cannot be converted.
        """
        ok, returned, _, error, stack_trace = await self._invoke(
            uuid.uuid4().hex,
            function.id,
            [(name, self._to_library(datum)) for name, datum in inputs.items()],
            {},
            trace_parent=trace_parent,
            trace_state=trace_state,
        )
        if not ok:
            raise _invocation_error(str(error), str(stack_trace or ""))
        return Datum(returned.value, returned.type) if returned is not None else None

    def call[T](self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the runtime's loop, from another thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def _to_library(self, datum: Datum) -> object:
        value = datum.value
        if isinstance(value, dict):
            value = {key: self._to_library_part(part) for key, part in value.items()}
        return self._datum(value, datum.type)

    def _to_library_part(self, part: object) -> object:
        if isinstance(part, Datum):
            return self._to_library(part)
        return {key: self._to_library_part(each) for key, each in part.items()} if isinstance(part, dict) else part

    def _index(self, app_dir: Path) -> tuple[Function, ...]:
        if not (app_dir / "function_app.py").is_file():
            raise AppLoadError("app-load", f"{app_dir} has no function_app.py")
        imported = getattr(sys.modules.get("function_app"), "__file__", None)
        if imported is not None and Path(imported).resolve().parent != app_dir:
            raise AppLoadError("app-other", f"this process has imported {imported}; it cannot load {app_dir} as well")
        init = SimpleNamespace(capabilities={}, function_app_directory=str(app_dir))
        answer = self.call(self._library.worker_init_request(_request(worker_init_request=init)))
        if answer.result.status != _SUCCESS:
            failure = answer.result.exception
            _log.error("%s cannot be loaded: %s\n%s", app_dir, failure.message, failure.stack_trace)
            raise AppLoadError("app-load", f"{app_dir / 'function_app.py'} cannot be loaded: {_line(failure.message)}")
        answer = self.call(self._library.functions_metadata_request(_request()))
        found = answer.function_metadata_results
        if not found:
            raise AppLoadError("app-load", f"{app_dir / 'function_app.py'} declares no functions")
        return tuple(Function(f.name, f.function_id, tuple(map(_binding, f.raw_bindings))) for f in found)


class _Record(SimpleNamespace):
    """One message of the host's protocol; the library only makes them, by keyword."""


class _BindingInfo(_Record):
    undefined = 0
    out = 1
    inout = 2


class _StatusResult(_Record):
    Failure = 0
    Success = _SUCCESS


class _Protocol:
    """Stands in for the host's generated messages: any name is a message type."""

    BindingInfo = _BindingInfo
    StatusResult = _StatusResult

    def __getattr__(self, name: str) -> type[_Record]:
        return _Record


def _request(**message: object) -> SimpleNamespace:
    properties = {"host": "127.0.0.1", "protos": _Protocol()}
    return SimpleNamespace(request=SimpleNamespace(**message), properties=properties)


def _binding(raw: str) -> Binding:
    fields = json.loads(raw)
    return Binding(str(fields["type"]), str(fields["name"]), fields)


def _invocation_error(error: str, stack_trace: str) -> InvocationError:
    """Take the exception's class and text from the traceback's last line; the library gives only `repr`."""
    name, opened, _ = error.partition("(")
    lines = stack_trace.rstrip().splitlines()
    start = next((n for n in range(len(lines) - 1, -1, -1) if name in lines[n] and not lines[n].startswith(" ")), None)
    if not opened or start is None:
        return InvocationError("InvocationError", error, stack_trace)
    return InvocationError(name, "\n".join(lines[start:]).partition(": ")[2], stack_trace)


def _line(message: str) -> str:
    return " ".join(message.split())
