"""The process that exports: `python -m life.vigil.export_worker FD`. It lives as long as its socket is open."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

from life.vigil.exporting import Exporting
from life.vigil.frames import Batch, Begin, LeaveOut, Live, Question, Readings, Reply, encode_frame, read_frame
from life.vigil.logs import log_handler

CLOSING_S = 4.0


def serve(end: socket.socket) -> None:
    """Take frames until the other end closes; then export the rest."""
    first = read_frame(end, None)
    if not isinstance(first, Begin):
        return
    orders = first.orders
    if orders.config.settings.log_format:
        logging.getLogger("life").addHandler(log_handler(orders.config.settings.log_format))
    exporting = Exporting(orders)
    try:
        while (frame := read_frame(end, None)) is not None:
            match frame:
                case Batch(events):
                    exporting.take(events)
                case Live(span):
                    exporting.span(span)
                case Readings(readings):
                    exporting.readings(readings)
                case LeaveOut(trace_id):
                    exporting.leave_out(trace_id)
                case Question(number, flush_ms):
                    flushed = exporting.flush(flush_ms / 1000) if flush_ms else True
                    end.sendall(encode_frame(Reply(number, flushed, exporting.status())))
                case _:
                    return
    except OSError:
        pass  # the other process was killed; what it had told is exported all the same
    finally:
        exporting.close(CLOSING_S)


def main() -> None:
    """Serve on the socket that was handed over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program that we serve says when it is over
    os.nice(10)  # where cores are short, the agent goes first
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)


if __name__ == "__main__":
    main()
