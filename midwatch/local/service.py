"""The backend over gRPC, in the Durable Task sidecar protocol: for clients in functions, and for plain workers."""

# ruff: noqa: ARG002, N802 - the names and the arguments are the protocol's

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import durabletask.internal.orchestrator_service_pb2 as pb
import durabletask.internal.orchestrator_service_pb2_grpc as stubs
import grpc  # type: ignore[import-untyped]  # publishes no types
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # publishes no types

from midwatch.local.backend import Backend
from midwatch.local.errors import HostError, RefusedError
from midwatch.local.events import string_of
from midwatch.local.instance import TERMINAL

MESSAGE_BYTES = 2**31 - 1  # gRPC's own default is 4 MB, and a larger answer is an error at the client
_THREADS = 256  # each waiting call takes one; they are only made when needed
_PING_SECONDS = 30.0  # durabletask's worker takes a silent stream for a dead one and connects again
_CHUNK_EVENTS = 100
_CODES = {
    "not-found": grpc.StatusCode.NOT_FOUND,
    "already-exists": grpc.StatusCode.ALREADY_EXISTS,
    "failed-precondition": grpc.StatusCode.FAILED_PRECONDITION,
    "invalid-argument": grpc.StatusCode.INVALID_ARGUMENT,
}


class Service(stubs.TaskHubSidecarServiceServicer):
    """The servicer. What it does not override (entities, rewind) is answered with UNIMPLEMENTED."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def Hello(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Say that the backend is there."""
        return empty_pb2.Empty()

    def StartInstance(
        self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext
    ) -> pb.CreateInstanceResponse:
        """Start an orchestration."""
        with _answering(context):
            return pb.CreateInstanceResponse(instanceId=self._backend.start_instance(request))

    def GetInstance(self, request: pb.GetInstanceRequest, context: grpc.ServicerContext) -> pb.GetInstanceResponse:
        """An instance as it is now."""
        with _answering(context):
            state = self._backend.state(request.instanceId, payloads=request.getInputsAndOutputs)
            return pb.GetInstanceResponse(exists=state is not None, orchestrationState=state)

    def WaitForInstanceStart(
        self, request: pb.GetInstanceRequest, context: grpc.ServicerContext
    ) -> pb.GetInstanceResponse:
        """Wait until an instance has started."""
        return self._wait(request, context, lambda status: status != pb.ORCHESTRATION_STATUS_PENDING)

    def WaitForInstanceCompletion(
        self, request: pb.GetInstanceRequest, context: grpc.ServicerContext
    ) -> pb.GetInstanceResponse:
        """Wait until an instance has ended."""
        return self._wait(request, context, lambda status: status in TERMINAL)

    def RaiseEvent(self, request: pb.RaiseEventRequest, context: grpc.ServicerContext) -> pb.RaiseEventResponse:
        """Give an instance an external event."""
        with _answering(context):
            self._backend.raise_event(request.instanceId, request.name, string_of(request, "input"))
        return pb.RaiseEventResponse()

    def TerminateInstance(self, request: pb.TerminateRequest, context: grpc.ServicerContext) -> pb.TerminateResponse:
        """End an instance at once."""
        with _answering(context):
            self._backend.terminate(request.instanceId, string_of(request, "output"), recursive=request.recursive)
        return pb.TerminateResponse()

    def SuspendInstance(self, request: pb.SuspendRequest, context: grpc.ServicerContext) -> pb.SuspendResponse:
        """Let an instance wait."""
        with _answering(context):
            self._backend.suspend(request.instanceId, string_of(request, "reason"))
        return pb.SuspendResponse()

    def ResumeInstance(self, request: pb.ResumeRequest, context: grpc.ServicerContext) -> pb.ResumeResponse:
        """Let a suspended instance go on."""
        with _answering(context):
            self._backend.resume(request.instanceId, string_of(request, "reason"))
        return pb.ResumeResponse()

    def QueryInstances(
        self, request: pb.QueryInstancesRequest, context: grpc.ServicerContext
    ) -> pb.QueryInstancesResponse:
        """One page of instances, oldest first."""
        with _answering(context):
            return self._backend.query(request.query)

    def ListInstanceIds(
        self, request: pb.ListInstanceIdsRequest, context: grpc.ServicerContext
    ) -> pb.ListInstanceIdsResponse:
        """One page of the IDs of ended instances."""
        with _answering(context):
            return self._backend.ended_ids(request)

    def PurgeInstances(
        self, request: pb.PurgeInstancesRequest, context: grpc.ServicerContext
    ) -> pb.PurgeInstancesResponse:
        """Forget ended instances."""
        with _answering(context):
            response = pb.PurgeInstancesResponse(deletedInstanceCount=self._backend.purge(request))
        response.isComplete.value = True
        return response

    def StreamInstanceHistory(
        self, request: pb.StreamInstanceHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.HistoryChunk]:
        """The history of an instance, in chunks."""
        with _answering(context):
            events = self._backend.events(request.instanceId)
        for start in range(0, len(events), _CHUNK_EVENTS):
            yield pb.HistoryChunk(events=events[start : start + _CHUNK_EVENTS])

    def GetWorkItems(self, request: pb.GetWorkItemsRequest, context: grpc.ServicerContext) -> Iterator[pb.WorkItem]:
        """Hand out work for as long as the worker's stream lives; what it has then is handed out again."""
        worker, wake = object(), threading.Event()
        unsubscribe = self._backend.subscribe(wake.set)
        context.add_callback(wake.set)
        try:
            while context.is_active():
                wake.clear()
                item = self._backend.take_turn(worker) or self._backend.take_activity(worker)
                if item is not None:
                    yield item
                elif not wake.wait(_PING_SECONDS):
                    yield pb.WorkItem(healthPing=pb.HealthPing())
        finally:
            unsubscribe()
            self._backend.release(worker)

    def CompleteOrchestratorTask(
        self, request: pb.OrchestratorResponse, context: grpc.ServicerContext
    ) -> pb.CompleteTaskResponse:
        """Commit a turn."""
        with _answering(context):
            self._backend.complete_turn(request)
        return pb.CompleteTaskResponse()

    def CompleteActivityTask(
        self, request: pb.ActivityResponse, context: grpc.ServicerContext
    ) -> pb.CompleteTaskResponse:
        """Commit an activity's answer."""
        with _answering(context):
            self._backend.complete_activity(request)
        return pb.CompleteTaskResponse()

    def _wait(
        self, request: pb.GetInstanceRequest, context: grpc.ServicerContext, reached: Callable[[int], bool]
    ) -> pb.GetInstanceResponse:
        with _answering(context):
            if not self._backend.wait(request.instanceId, reached, context.time_remaining()):
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"'{request.instanceId}' is not there yet")
            state = self._backend.state(request.instanceId, payloads=request.getInputsAndOutputs)
            return pb.GetInstanceResponse(exists=state is not None, orchestrationState=state)


class Server:
    """The servicer on a free loopback port, from here until `stop`."""

    def __init__(self, backend: Backend) -> None:
        limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="midwatch-grpc"), options=limits)
        stubs.add_TaskHubSidecarServiceServicer_to_server(Service(backend), self._server)  # type: ignore[no-untyped-call]
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls; cut those that still run after `grace_seconds`."""
        self._server.stop(grace_seconds).wait()


@contextmanager
def _answering(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        context.abort(_CODES[error.reason], str(error))
    except HostError as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
