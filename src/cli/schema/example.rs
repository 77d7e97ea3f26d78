//! `twinveil schema example`: reviewed side files for schemas that many have, to begin with.

use clap::ValueEnum;

use super::super::{CliError, say};

/// Print a reviewed side file for a published schema, to save and make your own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil schema example otlp-traces > traces.fields.toml
  twinveil schema check otlp.binpb --side-file traces.fields.toml \\
      --message opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest

What each is for: `otlp-traces`, `otlp-metrics`, `otlp-logs`: the Export...ServiceRequest of OpenTelemetry; `sparkplug-b`: \
org.eclipse.tahu.protobuf.Payload, with the metrics of a wind turbine by name and by alias.")]
pub(super) struct Args {
    /// `otlp-traces`, `otlp-metrics`, `otlp-logs` or `sparkplug-b`
    #[arg(value_enum, value_name = "NAME", hide_possible_values = true)]
    name: Example,
}

/// The side files in the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Example {
    /// opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest
    OtlpTraces,
    /// opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest
    OtlpMetrics,
    /// opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest
    OtlpLogs,
    /// org.eclipse.tahu.protobuf.Payload
    SparkplugB,
}

/// Prints it.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    say(args.name.text().trim_end())
}

impl Example {
    const fn text(self) -> &'static str {
        match self {
            Self::OtlpTraces => include_str!("../assets/side-files/otlp-traces.toml"),
            Self::OtlpMetrics => include_str!("../assets/side-files/otlp-metrics.toml"),
            Self::OtlpLogs => include_str!("../assets/side-files/otlp-logs.toml"),
            Self::SparkplugB => include_str!("../assets/side-files/sparkplug-b.toml"),
        }
    }
}
