"""The file in which spans wait."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from midwatch.telemetry import outbox as module
from midwatch.telemetry.outbox import Outbox
from tests.unit.telemetry.telemetry_kit import span


def _ids(outbox: Outbox) -> list[int]:
    return [int(waiting.span.span_id, 16) for waiting in outbox.oldest(100)]


def test_spans_come_out_in_order_and_what_was_sent_does_not(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.put([span(1), span(2)])
    outbox.put([span(3)])
    assert _ids(outbox) == [1, 2, 3]
    outbox.sent(outbox.oldest(2))
    assert _ids(outbox) == [3]
    assert not outbox.empty


def test_a_span_that_was_drawn_again_is_not_sent_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.put([span(1)])
    outbox.put([span(1)])
    outbox.sent(outbox.oldest(10))
    outbox.put([span(1), span(2)])
    assert _ids(outbox) == [2]


def _write_and_die(folder: Path) -> None:
    outbox = Outbox(folder)
    assert outbox.may_send()
    outbox.put([span(1), span(2)])
    outbox.sent(outbox.oldest(1))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_loses_nothing_and_another_process_may_send_then(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path / "outbox",))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    outbox = Outbox(tmp_path / "outbox")
    assert outbox.may_send()
    assert _ids(outbox) == [2]


def test_one_process_sends_at_a_time(tmp_path: Path) -> None:
    first, second = Outbox(tmp_path / "outbox"), Outbox(tmp_path / "outbox")
    assert first.may_send()
    assert not second.may_send()
    second.put([span(1)])
    assert _ids(first) == [1]


def test_it_does_not_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    monkeypatch.setattr(module, "_TRIM_EVERY", 5)
    outbox = Outbox(tmp_path / "outbox")
    for number in range(40):
        outbox.put([span(number)])
    assert _ids(outbox) == list(range(30, 40))


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.put([span(1)])
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "outbox" / "spans.db").stat().st_mode) == 0o600
