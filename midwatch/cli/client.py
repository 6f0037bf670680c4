"""The HTTP API as the CLI calls it, on this machine."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http import HTTPStatus
from urllib.parse import quote

from pydantic import ValidationError

from midwatch.domain.base import Json, Message
from midwatch.domain.by_hand import HandView
from midwatch.domain.errors import PermanentError, UsageError
from midwatch.domain.runs import RunPage, RunSummary, RunView

_TIMEOUT_SECONDS = 60.0


class RefusedError(PermanentError):
    """A run is in progress, or the run has ended: exit code 3."""


class ApiClient:
    """The API of one host. No proxy stands between two processes of one machine."""

    def __init__(self, url: str) -> None:
        self._base = f"{url}/api"
        self._opener = urllib.request.OpenerDirector()  # `build_opener` would load the certificates of all authorities
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def start(self, body: Json) -> RunSummary:
        """Start a run. Raises RefusedError while one is in progress, UsageError when the request is wrong."""
        return self._call("POST", "/runs", RunSummary, body)

    def view(self, run: str) -> RunView:
        """One run."""
        return self._call("GET", f"/runs/{quote(run, safe='')}", RunView)

    def page(self, limit: int = 50) -> RunPage:
        """Runs, newest first."""
        return self._call("GET", f"/runs?limit={limit}", RunPage)

    def cancel(self, run: str) -> RunSummary:
        """Ask a run to stop."""
        return self._call("POST", f"/runs/{quote(run, safe='')}/cancel", RunSummary)

    def start_by_hand(self, body: Json) -> HandView:
        """Drain or uncordon a node. Raises RefusedError while something else is in progress."""
        return self._call("POST", "/drains", HandView, body)

    def view_by_hand(self, drain: str) -> HandView:
        """One drain or uncordon."""
        return self._call("GET", f"/drains/{quote(drain, safe='')}", HandView)

    def cancel_by_hand(self, drain: str) -> HandView:
        """Ask a drain to stop."""
        return self._call("POST", f"/drains/{quote(drain, safe='')}/cancel", HandView)

    def _call[R: Message](self, method: str, path: str, answer: type[R], body: Json | None = None) -> R:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(self._base + path, data=data, method=method, headers=headers)  # noqa: S310 - our own loopback URL
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return answer.from_wire(json.load(response))
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except ValidationError as error:
            text = f"the host at {self._base} is of another version: {error.errors()[0]['msg']}"
            raise PermanentError("host-not-answering", text) from error
        except (OSError, ValueError) as error:
            raise PermanentError("host-not-answering", f"the host at {self._base} does not answer: {error}") from error


def _refusal(error: urllib.error.HTTPError) -> PermanentError:
    try:
        problem = json.load(error)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "host-error", f"the host answered {error.code}; its log says more"
    if error.code == HTTPStatus.CONFLICT:
        return RefusedError(code, detail)
    return UsageError(code, detail) if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else PermanentError(code, detail)
