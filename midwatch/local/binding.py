"""Invocations with the durable client bound, as the Durable Functions extension binds it."""

from __future__ import annotations

import json

from midwatch.local.runtime import Binding, Datum, Function, WorkerRuntime
from midwatch.local.service import MESSAGE_BYTES


class Invoker:
    """Calls functions that clients or timers trigger.

    Args:
        runtime: the app.
        rpc_address: `host:port` of the backend's gRPC service.
        hub_name: the task hub's name, from `host.json`.
    """

    def __init__(self, runtime: WorkerRuntime, rpc_address: str, hub_name: str) -> None:
        self._runtime = runtime
        self._rpc_address = rpc_address
        self._hub_name = hub_name
        self._base_url = ""

    @property
    def functions(self) -> tuple[Function, ...]:
        """The app's functions."""
        return self._runtime.functions

    def serve_at(self, url: str) -> None:
        """Where this host serves HTTP, for the management URLs that a client makes."""
        self._base_url = f"{url}/runtime/webhooks/durabletask"

    async def invoke(self, function: Function, trigger: Binding, datum: Datum) -> Datum | None:
        """Call a function on the runtime's loop.

        Raises:
            InvocationError: it raised.
        """
        inputs = {trigger.name: datum}
        for binding in function.bindings:
            if binding.type == "durableClient":
                inputs[binding.name] = Datum(self._client(), "string")
        return await self._runtime.invoke(function, inputs)

    def _client(self) -> str:
        query = f"taskHub={self._hub_name}"
        instance = f"{self._base_url}/instances/INSTANCEID"
        return json.dumps(
            {
                "taskHubName": self._hub_name,
                "rpcBaseUrl": f"http://{self._rpc_address}",
                "baseUrl": self._base_url,
                "httpBaseUrl": self._base_url,
                "requiredQueryStringParameters": query,
                "maxGrpcMessageSizeInBytes": MESSAGE_BYTES,
                "creationUrls": {},
                "managementUrls": {
                    "id": "INSTANCEID",
                    "statusQueryGetUri": f"{instance}?{query}",
                    "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
                    "terminatePostUri": f"{instance}/terminate?reason={{text}}&{query}",
                    "purgeHistoryDeleteUri": f"{instance}?{query}",
                },
            }
        )
