"""Configuration: defaults, the documented variables, and what is refused (vigil.md §1, §22)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.vigil.config import TelemetrySettings, otlp_headers, read_config, scrape_address, signal_endpoint
from life.vigil.errors import TelemetrySettingError


def test_off_by_default() -> None:
    """Without an endpoint and without exporters nothing is on; content is not captured, everything is sampled."""
    config = read_config(TelemetrySettings(), {})
    assert not config.is_on and config.exporters == ()
    assert (config.settings.capture_content, config.settings.sampling_ratio) == (False, 1.0)
    assert not read_config(TelemetrySettings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SERVICE_NAME": ""}).is_on


def test_an_endpoint_turns_it_on() -> None:
    """An endpoint means OTLP; the signal's path is appended over HTTP, not over gRPC; port 4317 means gRPC."""
    config = read_config(TelemetrySettings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318/"})
    assert (config.exporters, config.protocol) == (("otlp",), "http")
    assert (config.traces_endpoint, config.metrics_endpoint) == ("http://h:4318/v1/traces", "http://h:4318/v1/metrics")
    config = read_config(TelemetrySettings(endpoint="http://h:4317"), {})
    assert (config.protocol, config.traces_endpoint) == ("grpc", "http://h:4317")
    config = read_config(TelemetrySettings(exporters=("otlp",)), {})
    assert config.traces_endpoint == "http://127.0.0.1:4318/v1/traces"
    own = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a/x", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b/y"}
    config = read_config(TelemetrySettings(), own)
    assert (config.traces_endpoint, config.metrics_endpoint) == ("http://a/x", "http://b/y")


def test_variables_win_over_settings() -> None:
    """Each documented variable does what its table says."""
    config = read_config(
        TelemetrySettings(service_name="file", capture_content=False),
        {
            "OTEL_SERVICE_NAME": "env",
            "OTEL_RESOURCE_ATTRIBUTES": "a=b%20c,broken,service.name=other",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "VIGIL_EXPORTERS": "memory, prometheus:127.0.0.1:9464",
            "VIGIL_SAMPLING_RATIO": "7",
            "VIGIL_CAPTURE_CONTENT": "Yes",
            "VIGIL_CAPTURE_MAX_CHARS": "12",
            "VIGIL_REDACT": "a\nb",
            "VIGIL_GENAI_METRICS": "both",
            "VIGIL_LOG_FORMAT": "json",
        },
    )
    settings = config.settings
    assert config.resource == {"a": "b c", "service.name": "env"}
    assert (config.protocol, config.exporters) == ("http", ("memory", "prometheus:127.0.0.1:9464"))
    assert (settings.sampling_ratio, settings.capture_content, settings.capture_max_chars) == (1.0, True, 12)
    assert (settings.redact, settings.metrics, settings.log_format) == (("a", "b"), "both", "json")


def test_the_sdk_switch() -> None:
    """OTEL_SDK_DISABLED=true turns everything off."""
    assert not read_config(TelemetrySettings(exporters=("memory",)), {"OTEL_SDK_DISABLED": "TRUE"}).is_on


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        ({"exporters": ("jaeger",)}, {}),
        ({"exporters": ("file:",)}, {}),
        ({"exporters": ("prometheus:0.0.0.0:9464",)}, {}),
        ({"exporters": ("prometheus:127.0.0.1:x",)}, {}),
        ({"endpoint": "ftp://h"}, {}),
        ({"endpoint": "http://user:secretword@h:4318"}, {}),
        ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}),
        ({}, {"VIGIL_SAMPLING_RATIO": "much"}),
        ({}, {"VIGIL_CAPTURE_MAX_CHARS": "-1"}),
        ({}, {"VIGIL_GENAI_METRICS": "v2"}),
    ],
)
def test_what_is_refused(settings: dict[str, object], environment: dict[str, str]) -> None:
    """What can't be meant is one clear error, without a secret in it."""
    with pytest.raises(TelemetrySettingError) as caught:
        read_config(TelemetrySettings(**settings), environment)  # type: ignore[arg-type]
    assert "secretword" not in caught.value.message


def test_headers() -> None:
    """Headers are percent-decoded, names lower-case; what has no `=` or an empty name is dropped."""
    found = otlp_headers({"OTEL_EXPORTER_OTLP_HEADERS": "X-Key=a%20b,broken,=c, Other = d=e "})
    assert found == {"x-key": "a b", "other": "d=e"}
    assert otlp_headers({}) == {}


def test_scrape_addresses() -> None:
    """IPv6 in brackets, names of this machine, and a port."""
    assert scrape_address("prometheus:[::1]:9464") == ("::1", 9464)
    assert scrape_address("prometheus:localhost:0") == ("localhost", 0)
    assert signal_endpoint("https://h/otlp/", "http", "traces") == "https://h/otlp/v1/traces"


@given(
    st.dictionaries(
        st.sampled_from(
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES", "VIGIL_EXPORTERS", "VIGIL_SAMPLING_RATIO"]
        ),
        st.text(max_size=30),
    )
)
def test_any_variables(environment: dict[str, str]) -> None:
    """Any text in the variables is a configuration or a TelemetrySettingError."""
    try:
        read_config(TelemetrySettings(), environment)
    except TelemetrySettingError:
        pass
