"""Vigil, the observability: spans derived from events, metrics, exporters.

spans.py       events → spans, the one projection behind live export and `life trace`
payments.py    the same for payments and signatures, which have streams of their own
metrics.py     spans → measurements with the convention's names, units and buckets
pipeline.py    live: takes committed events off the loop, projects and exports them in a thread of its own
exporters/     OTLP over HTTP and gRPC, Prometheus, JSON file, console, memory
propagation.py W3C Trace Context in and out
logs.py        log lines that carry the ids of the span they belong to
"""
