"""An instrumented program by the stock OpenTelemetry SDK: python otlp_client.py ADDRESS [CERTS]. Sends one trace, a few metrics and
one log record, with personal attributes wherever there is room for them; prints what the SDK reports."""

import logging
import pathlib
import sys

import grpc
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

PERSONAL = ["user.id", "enduser.id", "client.address", "user.email", "url.full", "url.path", "user_agent.original", "patient.note"]
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="REPORTED %(name)s: %(message)s")


def personal(level):
    return {key: f"canary-{level}-{key}" for key in PERSONAL} | {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "service.name": f"{level}-service",
    }


address = sys.argv[1]
to = {"endpoint": address, "timeout": 10, "compression": grpc.Compression.Gzip, "insecure": True}
if sys.argv[2:]:
    certs = pathlib.Path(sys.argv[2])
    read = lambda name: (certs / name).read_bytes()  # noqa: E731
    own = grpc.ssl_channel_credentials(read("ca.pem"), read("clinician.key"), read("clinician.pem"))
    to |= {"insecure": False, "credentials": own}
resource = Resource(personal("resource"))

traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**to)))
tracer = traces.get_tracer("ward.tracer", "1.2.3", attributes=personal("scope"))
earlier = SpanContext(trace_id=0x0F0E0D0C0B0A09080706050403020100, span_id=0x0706050403020100, is_remote=True)
with tracer.start_as_current_span(
    "GET /patients/{id}", kind=SpanKind.SERVER, attributes=personal("span"), links=[Link(earlier, personal("link"))]
) as span:
    span.add_event("cache.miss", personal("event"))
    try:
        raise ValueError("canary-raised: no bed for her")
    except ValueError as error:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, "canary-status"))
print("trace", traces.force_flush())

reader = PeriodicExportingMetricReader(OTLPMetricExporter(**to), export_interval_millis=60_000)
fine = View(instrument_name="ward.wait", aggregation=ExponentialBucketHistogramAggregation())
metrics = MeterProvider([reader], resource=resource, views=[fine])
meter = metrics.get_meter("ward.meter", "1.2.3", attributes=personal("scope"))
meter.create_counter("ward.visits", "1", "Visits").add(42, personal("point"))
meter.create_up_down_counter("ward.beds", "1", "Beds in use").add(-17, personal("point"))
meter.create_observable_gauge("ward.temperature", [lambda _: [Observation(21.75, personal("point"))]], "Cel", "Of the room")
meter.create_histogram("ward.stay", "h", "Length of stay").record(36.5, personal("point"))
meter.create_histogram("ward.wait", "s", "Waiting time").record(93.25, personal("point"))
print("metrics", metrics.force_flush())

logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to)))
logger = logs.get_logger("ward.logger", "1.2.3", attributes=personal("scope"))
logger.emit(
    LogRecord(
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        body="canary-body: she opened the record",
        attributes=personal("log"),
        event_name="patient.open",
    )
)
print("logs", logs.force_flush())
for provider in (traces, metrics, logs):
    provider.shutdown()
print("done")
