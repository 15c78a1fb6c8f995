//! The terminal in the browser: a page, its scripts, terminals over WebSockets, files.
//!
//! The page and its scripts are the same for everybody and need no token. It stands in the fragment of the page's address, which browsers
//! keep to themselves; all that the page asks for shows it. `GET /terminals` lists the terminals, `GET /terminal` opens a WebSocket (its
//! subprotocols are `tuxlet-terminal` and `bearer.TOKEN`), `GET` and `PUT /file?path=PATH` move files.
//!
//! On a terminal's WebSocket, binary messages are what is typed and what is shown; text messages are JSON. The viewer begins with
//! `{"open": {"rows": R, "cols": C}}` or `{"attach": {"id": N, "offset": O, "rows": R, "cols": C}}`, where `offset` says how many
//! bytes it has shown before, and then may send `{"resize": {"rows": R, "cols": C}}`, `{"shown": O}` (the program waits for viewers
//! that are far behind) and `{"close": true}` (which hangs up). The server says `{"terminal": {"id": N, "offset": O}}` first,
//! `{"missed": O}` where output is no longer there (the next byte is number O), `{"ended": {"code": C}}` and
//! `{"error": TEXT}`.

mod terminals;

pub use terminals::MakeCommand;

use crate::http::{PATIENCE, Server, refused};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{SinkExt, StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use terminals::{Next, Shown, Terminals};
use tuxlet::FileType;

/// Bytes of a file that may be put into the machine.
const MAX_UPLOAD: usize = 256 << 20;
/// Bytes of a message to a terminal.
const MAX_MESSAGE: usize = 1 << 20;
/// The subprotocol of terminals.
const PROTOCOL: &str = "tuxlet-terminal";

/// What the page may load: its own scripts. Terminals make styles as they run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files of the page.
const ASSETS: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../assets/index.html")),
    ("/app.js", SCRIPT, include_str!("../assets/app.js")),
    ("/app.css", STYLE, include_str!("../assets/app.css")),
    ("/xterm.js", SCRIPT, include_str!("../assets/xterm.js")),
    ("/xterm.css", STYLE, include_str!("../assets/xterm.css")),
    (
        "/addon-fit.js",
        SCRIPT,
        include_str!("../assets/addon-fit.js"),
    ),
    (
        "/addon-web-links.js",
        SCRIPT,
        include_str!("../assets/addon-web-links.js"),
    ),
    (
        "/addon-search.js",
        SCRIPT,
        include_str!("../assets/addon-search.js"),
    ),
    (
        "/addon-clipboard.js",
        SCRIPT,
        include_str!("../assets/addon-clipboard.js"),
    ),
    (
        "/licenses.txt",
        "text/plain; charset=utf-8",
        include_str!("../assets/LICENSES.txt"),
    ),
];

/// What the routes share.
#[derive(Clone, Debug)]
struct Web {
    server: Arc<Server>,
    terminals: Arc<Terminals>,
}

/// The routes of the page.
pub(crate) fn routes(server: Arc<Server>, make: MakeCommand) -> Router {
    let most = server.config.limits.running;
    let terminals = Terminals::new(server.served.machine.clone(), make, most);
    let web = Web {
        server,
        terminals: Arc::new(terminals),
    };
    let mut routes = Router::new();
    for (path, kind, text) in ASSETS {
        let page = move |State(web): State<Web>, headers: HeaderMap| async move {
            match web.server.check_host(&headers) {
                Ok(()) => asset(kind, text),
                Err(refusal) => refused(refusal),
            }
        };
        routes = routes.route(path, get(page));
    }
    routes
        .route("/terminals", get(list))
        .route("/terminal", get(terminal))
        .route("/file", get(download).put(upload))
        .with_state(web)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

fn answer(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = text.into();
    text.push('\n');
    (status, text).into_response()
}

async fn list(State(web): State<Web>, headers: HeaderMap) -> Response {
    if let Err(refusal) = web.server.check(&headers) {
        return refused(refusal);
    }
    let body = json!({ "terminals": web.terminals.ids() }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[derive(Debug, Deserialize)]
struct FileQuery {
    path: String,
}

/// Why a guest file cannot be had.
fn no_file(error: &tuxlet::Error) -> Response {
    let status = match error.errno_name() {
        Some("ENOENT" | "ENOTDIR") => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    answer(status, error.to_string())
}

/// Runs what waits for the machine.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn download(
    State(web): State<Web>,
    headers: HeaderMap,
    Query(query): Query<FileQuery>,
) -> Result<Response, Response> {
    const PIECE: usize = 256 << 10;
    web.server.check(&headers).map_err(refused)?;
    let machine = web.server.served.machine.clone();
    let path = query.path.clone();
    let found = blocking(move || machine.metadata(&path)).await?;
    if found.map_err(|e| no_file(&e))?.kind != FileType::Regular {
        return Err(answer(StatusCode::CONFLICT, "that is no regular file"));
    }
    let machine = web.server.served.machine.clone();
    let pieces = stream::unfold(
        (machine, query.path, 0u64),
        |(machine, path, offset)| async move {
            let work = move || {
                let read = machine.read_range(&path, offset, PIECE);
                (machine, path, read)
            };
            let (machine, path, read) = tokio::task::spawn_blocking(work).await.ok()?;
            match read {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => {
                    let next = offset + bytes.len() as u64;
                    Some((Ok(bytes), (machine, path, next)))
                }
                Err(error) => Some((
                    Err(std::io::Error::other(error)),
                    // After an error nothing is asked for.
                    (machine, path, u64::MAX),
                )),
            }
        },
    );
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

async fn upload(
    State(web): State<Web>,
    Query(query): Query<FileQuery>,
    request: Request<Body>,
) -> Result<Response, Response> {
    web.server.check(request.headers()).map_err(refused)?;
    let body = to_bytes(request.into_body(), MAX_UPLOAD);
    let body = match tokio::time::timeout(PATIENCE * 20, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!("the file is larger than {MAX_UPLOAD} bytes");
            return Err(answer(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Err(_) => return Err(answer(StatusCode::REQUEST_TIMEOUT, "it takes too long")),
    };
    let machine = web.server.served.machine.clone();
    let written = blocking(move || machine.write_file(&query.path, 0o644, &body)).await?;
    written.map_err(|e| no_file(&e))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn terminal(
    State(web): State<Web>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refusal) = web.server.check(&headers) {
        return refused(refusal);
    }
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| show(web, socket))
}

/// A window's size.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Size {
    rows: u16,
    cols: u16,
}

#[derive(Debug, Deserialize)]
struct Attach {
    id: u64,
    #[serde(default)]
    offset: u64,
    rows: u16,
    cols: u16,
}

/// What a viewer says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Open(Size),
    Attach(Attach),
    Resize(Size),
    Shown(u64),
    Close(bool),
}

async fn find(terminals: &Arc<Terminals>, word: Option<Word>) -> Result<(Arc<Shown>, u64), String> {
    match word {
        Some(Word::Open(size)) => {
            let terminals = Arc::clone(terminals);
            let open = move || terminals.open(size.rows, size.cols);
            let opened = tokio::task::spawn_blocking(open).await;
            opened.map_err(|e| e.to_string())?.map(|shown| (shown, 0))
        }
        Some(Word::Attach(attach)) => {
            let shown = terminals.get(attach.id);
            let shown = shown.ok_or_else(|| format!("there is no terminal {}", attach.id))?;
            shown.resize(attach.rows, attach.cols);
            Ok((shown, attach.offset))
        }
        _ => Err("the first message is neither `open` nor `attach`".to_owned()),
    }
}

fn word(message: &Message) -> Option<Word> {
    match message {
        Message::Text(text) => serde_json::from_str(text.as_str()).ok(),
        _ => None,
    }
}

/// Shows one terminal to one viewer.
async fn show(web: Web, socket: WebSocket) {
    let (mut to, mut from) = socket.split();
    let text = |value: serde_json::Value| Message::Text(value.to_string().into());
    let first = tokio::time::timeout(PATIENCE, from.next()).await;
    let Ok(Some(Ok(first))) = first else { return };
    let (shown, offset) = match find(&web.terminals, word(&first)).await {
        Ok(found) => found,
        Err(error) => {
            // Whether it arrives makes no difference.
            let _ = to.send(text(json!({ "error": error }))).await;
            let _ = to.close().await;
            return;
        }
    };
    let mut viewer = shown.view(offset);
    let number = viewer.number;
    let id = shown.id;
    let terminals = Arc::clone(&web.terminals);
    let sending = async move {
        let mut at = viewer.offset();
        let hello = json!({ "terminal": { "id": id, "offset": at } });
        to.send(text(hello)).await?;
        loop {
            match viewer.next() {
                Next::Bytes(begin, bytes) => {
                    if begin != at {
                        to.send(text(json!({ "missed": begin }))).await?;
                    }
                    at = begin + bytes.len() as u64;
                    to.send(Message::Binary(bytes.into())).await?;
                }
                Next::Nothing => viewer.wait().await,
                Next::End(ended) => {
                    to.send(text(json!({ "ended": ended }))).await?;
                    drop(viewer);
                    terminals.close(id);
                    return to.close().await;
                }
            }
        }
    };
    let receiving = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(bytes) => shown.type_in(bytes.into()),
                Message::Close(_) => return,
                message => match word(&message) {
                    Some(Word::Resize(size)) => shown.resize(size.rows, size.cols),
                    Some(Word::Shown(offset)) => shown.acknowledge(number, offset),
                    Some(Word::Close(true)) => {
                        web.terminals.close(id);
                        return;
                    }
                    _ => {}
                },
            }
        }
    };
    tokio::select! {
        sent = sending => {
            if let Err(error) = sent {
                tracing::debug!("a viewer of terminal {id}: {error}");
            }
        }
        () = receiving => {}
    }
}
