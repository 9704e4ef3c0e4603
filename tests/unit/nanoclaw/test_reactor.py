import os
import signal
import threading
from collections.abc import Iterator

import pytest

from nanoclaw.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    reactor.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)
    os.close(write_end)


def test_timers_run_in_order_of_their_time_then_of_their_making(reactor: Reactor) -> None:
    calls: list[str] = []
    now = reactor.now()
    reactor.call_at(now, lambda: calls.append("second"))
    reactor.call_at(now - 1, lambda: calls.append("first"))
    reactor.call_at(now, lambda: calls.append("third"))

    reactor.run_once(0)

    assert calls == ["first", "second", "third"]


def test_cancelled_timer_is_not_called_and_is_not_waited_for(reactor: Reactor) -> None:
    calls: list[str] = []
    reactor.call_later(3600, lambda: None).cancel()
    reactor.call_at(reactor.now(), lambda: calls.append("cancelled")).cancel()
    reactor.post(lambda: calls.append("posted"))

    reactor.run_once()

    assert calls == ["posted"]


def test_watched_descriptor_is_reported_until_it_is_unwatched(
    reactor: Reactor, pipe: tuple[int, int]
) -> None:
    read_end, write_end = pipe
    calls: list[bytes] = []
    reactor.watch(read_end, lambda: calls.append(os.read(read_end, 1)))
    os.write(write_end, b"abc")

    reactor.run_once(0)
    reactor.run_once(0)
    reactor.unwatch(read_end)
    reactor.run_once(0)

    assert calls == [b"a", b"b"]


def test_writable_descriptor_is_reported_beside_reading(
    reactor: Reactor, pipe: tuple[int, int]
) -> None:
    _, write_end = pipe
    calls: list[str] = []
    reactor.watch_writable(write_end, lambda: calls.append("writable"))

    reactor.run_once(0)
    reactor.unwatch_writable(write_end)
    reactor.run_once(0)

    assert calls == ["writable"]


def test_callback_may_unwatch_what_is_ready_in_the_same_round(reactor: Reactor) -> None:
    pipes = [os.pipe(), os.pipe()]
    calls: list[int] = []

    def close_both(which: int) -> None:
        calls.append(which)
        for read_end, _ in pipes:
            reactor.unwatch(read_end)

    for number, (read_end, write_end) in enumerate(pipes):
        reactor.watch(read_end, lambda number=number: close_both(number))  # type: ignore[misc]
        os.write(write_end, b"x")

    reactor.run_once(0)

    assert len(calls) == 1
    for read_end, write_end in pipes:
        os.close(read_end)
        os.close(write_end)


def test_call_posted_by_a_callback_runs_in_the_next_round(reactor: Reactor) -> None:
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        reactor.post(lambda: calls.append("second"))

    reactor.post(first)
    reactor.run_once(0)

    assert calls == ["first"]
    reactor.run_once(0)
    assert calls == ["first", "second"]


def test_post_from_a_thread_wakes_a_waiting_reactor(reactor: Reactor) -> None:
    caller = threading.Timer(0.05, lambda: reactor.post(reactor.stop))
    caller.start()

    reactor.run()

    caller.join()


def test_stop_ends_run_after_the_round(reactor: Reactor) -> None:
    calls: list[str] = []
    reactor.post(reactor.stop)
    reactor.post(lambda: calls.append("same round"))

    reactor.run()

    assert calls == ["same round"]


def test_signal_becomes_an_ordinary_callback(reactor: Reactor) -> None:
    received: list[int] = []
    old = signal.getsignal(signal.SIGUSR1)
    reactor.on_signals([signal.SIGUSR1], received.append)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)

        assert received == []
        reactor.run_once(0)
        assert received == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_error_of_a_callback_ends_the_loop(reactor: Reactor) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    reactor.post(fail)

    with pytest.raises(RuntimeError, match="broken"):
        reactor.run()
