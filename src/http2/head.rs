//! Fields to requests, responses and trailers, and back (RFC 9113 §8).

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::hpack::{Encoder, Field, Name};

/// The fields of a block as they come in.
#[derive(Debug, Default)]
pub(super) struct Fields {
    method: Option<HeaderValue>,
    scheme: Option<HeaderValue>,
    authority: Option<HeaderValue>,
    path: Option<HeaderValue>,
    status: Option<HeaderValue>,
    headers: HeaderMap,
    malformed: bool,
}

impl Fields {
    /// Takes one more.
    pub(super) fn push(&mut self, field: Field) {
        let Field { name, value } = field;
        let pseudo = match name {
            Name::Method => &mut self.method,
            Name::Scheme => &mut self.scheme,
            Name::Authority => &mut self.authority,
            Name::Path => &mut self.path,
            Name::Status => &mut self.status,
            Name::Regular(name) => {
                self.malformed |= is_of_connections(&name) || (name == TE && value != "trailers");
                self.malformed |= self.headers.try_append(name, value).is_err();
                return;
            }
        };
        // Once, and before all others (§8.3).
        self.malformed |= pseudo.replace(value).is_some() || !self.headers.is_empty();
    }

    /// As a request; `None` where it is malformed. CONNECT is: there is nothing that it could connect to.
    pub(super) fn request(self) -> Option<Request<()>> {
        let Self { method: Some(method), scheme: Some(scheme), authority, path: Some(path), status: None, headers, malformed: false } =
            self
        else {
            return None;
        };
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT)?;
        let scheme = Scheme::try_from(scheme.as_bytes()).ok()?;
        let path = if path == "*" { PathAndQuery::from_static("*") } else { PathAndQuery::try_from(path.as_bytes()).ok()? };
        let mut uri = Uri::builder().path_and_query(path);
        let authority = authority.as_ref().or_else(|| headers.get(HOST));
        if let Some(authority) = authority {
            uri = uri.scheme(scheme).authority(Authority::try_from(authority.as_bytes()).ok()?);
        }
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri.build().ok()?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Some(request)
    }

    /// As a response; `None` where it is malformed.
    pub(super) fn response(self) -> Option<Response<()>> {
        let Self { method: None, scheme: None, authority: None, path: None, status: Some(status), headers, malformed: false } = self else {
            return None;
        };
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).ok()?;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = headers;
        Some(response)
    }

    /// As trailers; `None` where they are malformed.
    pub(super) fn trailers(self) -> Option<HeaderMap> {
        let Self { method: None, scheme: None, authority: None, path: None, status: None, headers, malformed: false } = self else {
            return None;
        };
        Some(headers)
    }
}

/// Fields that HTTP/2 has no use for (§8.2.2).
fn is_of_connections(name: &HeaderName) -> bool {
    *name == CONNECTION || *name == TRANSFER_ENCODING || *name == UPGRADE || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Writes the block of a request.
pub(super) fn write_request(encoder: &mut Encoder, request: &Request<()>, out: &mut Vec<u8>) {
    encoder.begin(out);
    let uri = request.uri();
    encoder.push(out, &Name::Method, request.method().as_str().as_bytes());
    encoder.push(out, &Name::Scheme, uri.scheme_str().unwrap_or("http").as_bytes());
    encoder.push(out, &Name::Path, uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes());
    if let Some(authority) = uri.authority() {
        encoder.push(out, &Name::Authority, authority.as_str().as_bytes());
    }
    write_headers(encoder, request.headers(), out);
}

/// Writes the block of a response.
pub(super) fn write_response(encoder: &mut Encoder, response: &Response<()>, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.push(out, &Name::Status, response.status().as_str().as_bytes());
    write_headers(encoder, response.headers(), out);
}

/// Writes the block of trailers.
pub(super) fn write_trailers(encoder: &mut Encoder, trailers: &HeaderMap, out: &mut Vec<u8>) {
    encoder.begin(out);
    write_headers(encoder, trailers, out);
}

fn write_headers(encoder: &mut Encoder, headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        // Lengths are told by frames.
        if !is_of_connections(name) && *name != CONTENT_LENGTH {
            encoder.push(out, &Name::Regular(name.clone()), value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hpack::Decoder;
    use super::*;

    fn fields(pairs: &[(&str, &'static str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            let name = match *name {
                ":method" => Name::Method,
                ":scheme" => Name::Scheme,
                ":authority" => Name::Authority,
                ":path" => Name::Path,
                ":status" => Name::Status,
                name => Name::Regular(HeaderName::from_lowercase(name.as_bytes()).expect("a name")),
            };
            fields.push(Field { name, value: HeaderValue::from_static(value) });
        }
        fields
    }

    const GOOD: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C?d"), (":authority", "host:1")];

    #[test]
    fn requests_and_responses_come_back_as_they_were_written() {
        let request = fields(&[&GOOD[..], &[("te", "trailers"), ("x-a", "1"), ("x-a", "2")]].concat()).request().expect("well-formed");
        let mut block = Vec::new();
        write_request(&mut Encoder::new(), &request, &mut block);
        let mut read = Fields::default();
        assert_eq!(Decoder::new(1_000).read(&block, |field| read.push(field)), Ok(true));
        let read = read.request().expect("well-formed");
        assert_eq!((read.method(), read.uri(), read.headers()), (request.method(), request.uri(), request.headers()));
        assert_eq!((read.uri().path(), read.headers().get_all("x-a").iter().count()), ("/a.B/C", 2));
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let mut block = Vec::new();
        write_response(&mut Encoder::new(), &response, &mut block);
        let mut read = Fields::default();
        assert_eq!(Decoder::new(1_000).read(&block, |field| read.push(field)), Ok(true));
        let read = read.response().expect("well-formed");
        assert_eq!((read.status(), read.headers().len()), (StatusCode::IM_A_TEAPOT, 0));
    }

    #[test]
    fn malformed_messages_are_none() {
        let without = |name: &str| GOOD.iter().filter(|(other, _)| *other != name).copied().collect::<Vec<_>>();
        for name in [":method", ":scheme", ":path"] {
            assert!(fields(&without(name)).request().is_none(), "{name}");
        }
        assert!(fields(&without(":authority")).request().is_some());
        for more in [
            (":method", "GET"),
            (":status", "200"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("keep-alive", "5"),
        ] {
            assert!(fields(&[&GOOD[..], &[more]].concat()).request().is_none(), "{more:?}");
        }
        assert!(fields(&[("x-a", "1"), GOOD[0], GOOD[1], GOOD[2]]).request().is_none());
        assert!(fields(&[(":method", "CONNECT"), GOOD[1], GOOD[2]]).request().is_none());
        assert!(fields(&[GOOD[0], GOOD[1], (":path", "no path")]).request().is_none());
        assert!(fields(&[GOOD[0], (":scheme", "no scheme"), GOOD[2]]).request().is_none());
        assert!(fields(&[GOOD[0], GOOD[1], GOOD[2], (":authority", "no authority")]).request().is_none());
        assert!(fields(&[GOOD[0], GOOD[1], GOOD[2], ("host", "no host")]).request().is_none());
        assert!(fields(&[(":method", "no method"), GOOD[1], GOOD[2]]).request().is_none());
        assert!(fields(&[(":status", "2000")]).response().is_none());
        assert!(fields(&[("x-a", "1")]).response().is_none());
        assert!(fields(&[(":status", "200")]).trailers().is_none());
    }
}
