"""How each proxy is started, configured as its operators would: one worker, bounded windows, connections to the service kept."""

import contextlib
import json
import shutil

import machine

_TYPE = "type.googleapis.com/"
_FILTER = f"{_TYPE}envoy.extensions.filters.http."
_TLS = f"{_TYPE}envoy.extensions.transport_sockets.tls.v3."
_METHODS = ["Look", "Watch", "Echo"]
# What the gateway leaves out in the case `strip`.
REMOVED = ["subject_id", "device_id", "position", "labels", "name", "note"]

# With smaller windows than these, plain Envoy takes more processor time. With larger ones than those, the scrubber does; and where the
# window of answers is not smaller than the one towards the client, which Envoy also takes for the bound of a stream's buffer, a burst of
# small messages trips the scrubber's check of that bound, and the stream is reset.
_WINDOWS = {"FRONT_WINDOW": 1 << 20, "BACK_WINDOW": 1 << 20, "CONNECTION_WINDOW": 1 << 24}
_WINDOWS_OF_SCRUBBER = {"FRONT_WINDOW": 1 << 18, "BACK_WINDOW": 1 << 16, "CONNECTION_WINDOW": 1 << 20}


class Proxies:
    """Each method is a block in which a proxy serves; it gives the port and the process."""

    def __init__(self, gateway, envoy, load, descriptors, folder):
        self._gateway, self._envoy, self._load, self._descriptors, self._folder = gateway, envoy, load, descriptors, folder

    @contextlib.contextmanager
    def direct(self, treat, tls, upstream):
        yield upstream, None

    @contextlib.contextmanager
    def relay(self, treat, tls, upstream):
        """Bytes from one connection to the other: no proxy costs less."""
        port, log = machine.free_port(), self._folder / "relay.log"
        with machine.started([self._load, "relay", port, upstream], machine.PROXY_CORE, log) as process:
            machine.wait_for(port, process, log)
            yield port, process.pid

    def twinveil(self, treat, tls, upstream):
        return self._gateway.serving(treat, tls, upstream)

    def envoy(self, treat, tls, upstream):
        return self._envoy_with([], tls, upstream)

    def envoy_scrubber(self, treat, tls, upstream):
        """Rules as `on_no_match`: nothing is evaluated."""
        return self._envoy_with([self._scrubber({"on_no_match": _REMOVE})], tls, upstream)

    def envoy_scrubber_cel(self, treat, tls, upstream):
        """Rules with a matcher, as its manual has them; the expression is `true`."""
        return self._envoy_with([self._scrubber({"matcher_list": {"matchers": [{"predicate": _CEL, "on_match": _REMOVE}]}})], tls, upstream)

    def _scrubber(self, matcher):
        rules = {field: {"matcher": matcher} for field in REMOVED}
        methods = {f"/bench.Bench/{method}": {"response_field_restrictions": rules} for method in _METHODS}
        config = {
            "@type": f"{_FILTER}proto_api_scrubber.v3.ProtoApiScrubberConfig",
            "filtering_mode": "OVERRIDE",
            "descriptor_set": {"data_source": {"filename": str(self._descriptors)}},
            "restrictions": {"method_restrictions": methods},
        }
        return {"name": "envoy.filters.http.proto_api_scrubber", "typed_config": config}

    def _envoy_with(self, filters, tls, upstream):
        router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_FILTER}router.v3.Router"}}
        plain = {
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {"@type": f"{_TYPE}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
        }
        front, back = plain, plain
        if tls:
            front = {"@type": f"{_TLS}DownstreamTlsContext", "require_client_certificate": True, **_common(self._gateway.front_files())}
            back = {"@type": f"{_TLS}UpstreamTlsContext", "sni": "localhost", **_common(self._gateway.back_files())}
            front, back = ({"name": "envoy.transport_sockets.tls", "typed_config": config} for config in (front, back))
        words = {"FILTERS": json.dumps([*filters, router]), "DOWNSTREAM": json.dumps(front), "UPSTREAM_SOCKET": json.dumps(back)}
        words |= _WINDOWS_OF_SCRUBBER if filters else _WINDOWS
        command = [self._envoy, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path"]
        return self._served("envoy.yaml", command, upstream, words)

    def nginx(self, treat, tls, upstream):
        listen, reach = "listen 127.0.0.1:@PORT@ http2;", "grpc"
        if tls:
            certificate, key, ca = self._gateway.front_files()
            listen = (
                f"listen 127.0.0.1:@PORT@ ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}; "
                f"ssl_client_certificate {ca}; ssl_verify_client on; ssl_protocols TLSv1.3;"
            )
            certificate, key, ca = self._gateway.back_files()
            listen += (
                f" grpc_ssl_certificate {certificate}; grpc_ssl_certificate_key {key}; grpc_ssl_trusted_certificate {ca}; "
                "grpc_ssl_verify on; grpc_ssl_name localhost; grpc_ssl_protocols TLSv1.3;"
            )
            reach = "grpcs"
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c"]
        return self._served("nginx.conf", command, upstream, {"LISTEN": listen, "REACH": reach})

    def haproxy(self, treat, tls, upstream):
        bind = reach = "proto h2"
        if tls:
            front, back = (self._both(files) for files in (self._gateway.front_files(), self._gateway.back_files()))
            bind = f"ssl crt {front[0]} ca-file {front[1]} verify required alpn h2 ssl-min-ver TLSv1.3"
            reach = f"ssl crt {back[0]} ca-file {back[1]} verify required verifyhost localhost sni str(localhost) alpn h2 "
            reach += "ssl-min-ver TLSv1.3"
        command = [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f"]
        return self._served("haproxy.cfg", command, upstream, {"BIND": bind, "REACH": reach})

    def _both(self, files):
        """Certificate and key in one file, and the authority."""
        certificate, key, ca = files
        both = certificate.with_suffix(".both.pem")
        both.touch(0o600)
        both.write_text(certificate.read_text() + key.read_text())
        return both, ca

    @contextlib.contextmanager
    def _served(self, template, command, upstream, words):
        port = machine.free_port()
        config, log = self._folder / template, self._folder / f"{template}.log"
        config.write_text(machine.filled(template, {**words, "FOLDER": self._folder, "UPSTREAM": upstream, "PORT": port}))
        with machine.started([*command, config], machine.PROXY_CORE, log) as process:
            machine.wait_for(port, process, log)
            yield port, process.pid


def _common(files):
    certificate, key, ca = map(str, files)
    own = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
    versions = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    return {
        "common_tls_context": {
            "tls_params": versions, "tls_certificates": [own], "alpn_protocols": ["h2"],
            "validation_context": {"trusted_ca": {"filename": ca}},
        }
    }


_REMOVE = {"action": {"name": "remove", "typed_config": {"@type": f"{_FILTER}proto_api_scrubber.v3.RemoveFieldAction"}}}
_CEL = {
    "single_predicate": {
        "input": {
            "name": "envoy.matching.inputs.cel_data_input",
            "typed_config": {"@type": f"{_TYPE}xds.type.matcher.v3.HttpAttributesCelMatchInput"},
        },
        "custom_match": {
            "name": "envoy.matching.matchers.cel_matcher",
            "typed_config": {
                "@type": f"{_TYPE}xds.type.matcher.v3.CelMatcher",
                "expr_match": {"cel_expr_parsed": {"expr": {"id": 1, "const_expr": {"bool_value": True}}}},
            },
        },
    }
}
