//! The crate `h2` at the other end.

use super::*;
use crate::http2::{client, server};

fn get<T: std::fmt::Debug>(name: &str, from: &HeaderMap<T>) -> Option<String> {
    from.get(name).map(|value| format!("{value:?}"))
}

#[tokio::test]
async fn a_client_of_the_crate_h2_is_served() {
    let (near, far) = tokio::io::duplex(5_000);
    tokio::spawn(serve(server(far, SETTINGS), echo));
    let (mut sender, connection) = h2::client::handshake(near).await.expect("a handshake");
    tokio::spawn(async move { drop(connection.await) });
    for round in 0..20 {
        sender = sender.ready().await.expect("ready");
        let mut head = request("/a.B/C?d=e");
        // Long enough to be cut, and never the same.
        head.headers_mut().insert("x-long", HeaderValue::from_str(&format!("{round}").repeat(6_000)).expect("a value"));
        let (answer, mut stream) = sender.send_request(head, false).expect("sent");
        let sent = vec![round as u8; 200_000];
        stream.reserve_capacity(sent.len());
        stream.send_data(sent.clone().into(), false).expect("queued");
        stream.send_trailers(trailers()).expect("queued");
        let mut body = answer.await.expect("an answer").into_body();
        let mut all = Vec::new();
        while let Some(bytes) = body.data().await {
            let bytes = bytes.expect("whole");
            body.flow_control().release_capacity(bytes.len()).expect("held");
            all.extend_from_slice(&bytes);
        }
        assert_eq!(all, sent);
        let ended = body.trailers().await.expect("whole").expect("trailers");
        assert_eq!(get("grpc-status", &ended), Some("\"0\"".to_owned()));
    }
}

#[tokio::test]
async fn a_server_of_the_crate_h2_is_called() {
    let (near, far) = tokio::io::duplex(5_000);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.expect("a handshake");
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let path = request.uri().path().to_owned();
                let mut body = request.into_body();
                if path == "/reset" {
                    return respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
                let mut stream = respond.send_response(Response::new(()), path == "/nothing").expect("sent");
                if path == "/nothing" {
                    return;
                }
                while let Some(bytes) = body.data().await {
                    let bytes = bytes.expect("whole");
                    body.flow_control().release_capacity(bytes.len()).expect("held");
                    stream.reserve_capacity(bytes.len());
                    stream.send_data(bytes, false).expect("queued");
                }
                stream.send_trailers(trailers()).expect("queued");
            });
        }
    });
    let (opener, connection) = client(near, SETTINGS);
    tokio::spawn(connection);
    let (_writing, answer) = opener.open(&request("/nothing"), true).expect("room");
    assert_eq!(collect(answer.await.expect("an answer").into_body()).await, Ok((Vec::new(), None)));
    let (_writing, answer) = opener.open(&request("/reset"), true).expect("room");
    assert_eq!(answer.await.map(drop), Err(Broken { reason: Reason::REFUSED_STREAM, unprocessed: true }));
    for round in 0..20 {
        let (mut writing, answer) = opener.open(&request("/a.B/C"), false).expect("room");
        let sent = vec![round as u8; 200_000];
        let back = tokio::spawn(async move { collect(answer.await.expect("an answer").into_body()).await });
        for piece in sent.chunks(30_000) {
            send(&mut writing, Bytes::copy_from_slice(piece), false).await.expect("taken");
        }
        send(&mut writing, Bytes::new(), true).await.expect("taken");
        assert_eq!(back.await.expect("no panic"), Ok((sent, Some(trailers()))));
    }
}
