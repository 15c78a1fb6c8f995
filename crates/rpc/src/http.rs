//! HTTP and WebSocket, for clients that come over the network.
//!
//! `POST /` carries a request or a batch, `GET /ws` opens a WebSocket whose text messages are JSON-RPC messages. Every request
//! needs the bearer token: in `Authorization: Bearer TOKEN` or, for browsers' WebSockets, which cannot set that, as a subprotocol
//! `bearer.TOKEN` beside `tuxlet`. A request that names an origin is refused unless that is on the list: a page that the user happens
//! to look at has no business here, and there is no CORS header that would say otherwise.

use crate::{
    Served, Token,
    session::{Limits, Outbox, Session},
    web::{self, MakeCommand},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// Messages that wait for a client to read them.
const QUEUE: usize = 256;
/// How long a client may take to send a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The subprotocol of our WebSockets.
const PROTOCOL: &str = "tuxlet";

/// What the server lets in.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every request must show.
    pub token: Token,
    /// Origins of web pages that may use the server, such as `https://example.org`; normally none.
    pub origins: Vec<String>,
    /// What a client may ask for.
    pub limits: Limits,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) served: Served,
    pub(crate) config: Config,
    /// Host names under which clients may know the server; `None`: any.
    hosts: Option<Vec<String>>,
    /// Whether there is a page that is served to browsers and may come back.
    page: bool,
}

/// Serves clients on a listening socket until the process ends.
///
/// # Errors
/// The socket cannot be used.
pub fn serve(listener: TcpListener, served: impl Into<Served>, config: Config) -> io::Result<()> {
    run(listener, served.into(), config, None)
}

/// As [`serve`], with terminals for browsers ([`crate::web`]), each of which runs a command of `make`'s.
///
/// # Errors
/// The socket cannot be used.
pub fn serve_web(
    listener: TcpListener,
    served: impl Into<Served>,
    config: Config,
    make: MakeCommand,
) -> io::Result<()> {
    run(listener, served.into(), config, Some(make))
}

fn run(
    listener: TcpListener,
    served: Served,
    config: Config,
    make: Option<MakeCommand>,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let server = Arc::new(Server {
        served,
        config,
        hosts: known_hosts(local),
        page: make.is_some(),
    });
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut routes = Router::new()
            .route("/", post(request))
            .route("/ws", get(websocket))
            .with_state(Arc::clone(&server));
        if let Some(make) = make {
            routes = routes.merge(web::routes(server, make));
        }
        // What is typed and shown comes in small pieces that must not wait for each other.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("a connection may be slow: {error}");
            }
        });
        axum::serve(listener, routes).await
    })
}

/// On a loopback address only loopback names: a name of somebody else's that leads here is an attack (DNS rebinding).
fn known_hosts(local: SocketAddr) -> Option<Vec<String>> {
    local.ip().is_loopback().then(|| {
        ["localhost", "127.0.0.1", "[::1]"]
            .into_iter()
            .map(str::to_owned)
            .chain([match local.ip() {
                std::net::IpAddr::V4(ip) => ip.to_string(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            }])
            .collect()
    })
}

pub(crate) type Refusal = (StatusCode, &'static str);

impl Server {
    /// Whether the request goes to a name of ours.
    pub(crate) fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let host = text(headers, header::HOST).unwrap_or_default();
        // The port stands after the last colon, but not inside an IPv6 address.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        if hosts.iter().any(|h| h.eq_ignore_ascii_case(name)) {
            Ok(())
        } else {
            Err((StatusCode::FORBIDDEN, "this host name is not served\n"))
        }
    }

    /// Whether a page of that origin may use the server: one of the list, or our own.
    fn lets_in(&self, origin: &str, headers: &HeaderMap) -> bool {
        let own = || {
            let host = text(headers, header::HOST)?;
            Some(origin.strip_prefix("http://")?.eq_ignore_ascii_case(host))
        };
        self.config.origins.iter().any(|o| o == origin) || self.page && own() == Some(true)
    }

    /// Whether the request is one of somebody who may use the server.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_host(headers)?;
        if headers.contains_key(header::ORIGIN)
            && !text(headers, header::ORIGIN).is_some_and(|o| self.lets_in(o, headers))
        {
            return Err((StatusCode::FORBIDDEN, "this origin is not allowed\n"));
        }
        let bearer = text(headers, header::AUTHORIZATION).and_then(|v| {
            let (scheme, token) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let offered = text(headers, header::SEC_WEBSOCKET_PROTOCOL)
            .into_iter()
            .flat_map(|v| v.split(','))
            .find_map(|p| p.trim().strip_prefix("bearer."));
        match bearer.or(offered) {
            Some(token) if self.config.token.matches(token) => Ok(()),
            Some(_) => Err((StatusCode::UNAUTHORIZED, "the token is wrong\n")),
            None => Err((StatusCode::UNAUTHORIZED, "a bearer token is needed\n")),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

pub(crate) fn refused((status, text): Refusal) -> Response {
    let mut response = (status, text).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let value = header::HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

async fn request(State(server): State<Arc<Server>>, request: Request<Body>) -> Response {
    // Before anything of the body is read.
    if let Err(refusal) = server.check(request.headers()) {
        return refused(refusal);
    }
    let json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| {
            let kind = v.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
    if !json {
        return refused((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type is not application/json\n",
        ));
    }
    let limit = server.config.limits.message;
    let body = to_bytes(request.into_body(), limit);
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return refused((StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n"));
        }
        Err(_) => return refused((StatusCode::REQUEST_TIMEOUT, "the request takes too long\n")),
    };
    let session =
        Session::without_notifications(server.served.clone(), server.config.limits.clone());
    let answer =
        tokio::task::spawn_blocking(move || session.answer(&String::from_utf8_lossy(&body)));
    match answer.await {
        Ok(Some(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn websocket(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refusal) = server.check(&headers) {
        return refused(refusal);
    }
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(server.config.limits.message)
        .max_frame_size(server.config.limits.message)
        .on_upgrade(move |socket| converse(server, socket))
}

/// Where the messages of a WebSocket go. Used by threads outside of the runtime.
#[derive(Debug)]
struct Queue(mpsc::Sender<String>);

impl Outbox for Queue {
    fn send(&self, message: String) -> bool {
        self.0.blocking_send(message).is_ok()
    }

    fn try_send(&self, message: String) -> bool {
        self.0.try_send(message).is_ok()
    }
}

async fn converse(server: Arc<Server>, socket: WebSocket) {
    let (mut to_client, mut from_client) = socket.split();
    let (sender, mut messages) = mpsc::channel::<String>(QUEUE);
    let session = Session::new(
        server.served.clone(),
        server.config.limits.clone(),
        Arc::new(Queue(sender)),
    );
    let writer = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if to_client.send(Message::Text(message.into())).await.is_err() {
                return;
            }
        }
        // The client may have gone already.
        let _ = to_client.close().await;
    });
    while let Some(Ok(message)) = from_client.next().await {
        let text = match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let session = Arc::clone(&session);
        // One after the other, so that input for a process keeps its order.
        if tokio::task::spawn_blocking(move || session.handle(&text))
            .await
            .is_err()
        {
            break;
        }
    }
    session.close();
    drop(session);
    writer.abort();
}
