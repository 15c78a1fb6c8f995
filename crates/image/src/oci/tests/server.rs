//! A registry of the size that tests need.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::super::credentials::Credentials;
use crate::store::Digest;

/// Who may ask.
#[derive(Clone)]
pub(super) enum Auth {
    None,
    Basic(Credentials),
    /// Whoever has a token; it is for everybody, or for this user.
    Bearer(Option<Credentials>),
}

/// What goes wrong with one answer.
#[derive(Clone)]
pub(super) enum Fault {
    Status(u16),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// One bit is wrong.
    Corrupt,
    /// The token is not valid any more.
    Expired,
    Redirect(String),
}

#[derive(Default)]
struct State {
    /// Media type and content, by path.
    files: HashMap<String, (String, Vec<u8>)>,
    faults: HashMap<String, VecDeque<Fault>>,
    log: Vec<String>,
    token: u32,
}

pub(super) struct Served {
    host: String,
    state: Arc<Mutex<State>>,
}

impl Served {
    pub(super) fn new(auth: Auth) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, name) = (Arc::clone(&state), host.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, auth, name) = (Arc::clone(&shared), auth.clone(), name.clone());
                // A client that goes away is none of the server's business.
                thread::spawn(move || answer(&stream, &state, &auth, &name));
            }
        });
        Served { host, state }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    fn put(&self, path: String, media_type: &str, data: &[u8]) {
        let file = (media_type.to_owned(), data.to_vec());
        self.state.lock().unwrap().files.insert(path, file);
    }

    pub(super) fn blob(&self, repository: &str, data: &[u8]) {
        let path = format!("/v2/{repository}/blobs/sha256:{}", Digest::of(data));
        self.put(path, "application/octet-stream", data);
    }

    pub(super) fn manifest(&self, repository: &str, version: &str, media_type: &str, data: &[u8]) {
        self.put(
            format!("/v2/{repository}/manifests/{version}"),
            media_type,
            data,
        );
    }

    /// The next answer for this path goes wrong; several are for several answers.
    pub(super) fn fault(&self, path: &str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state
            .faults
            .entry(path.to_owned())
            .or_default()
            .push_back(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// What was asked for: path, range, whether with authorization.
    pub(super) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }
}

fn answer(mut stream: &TcpStream, state: &Mutex<State>, auth: &Auth, host: &str) {
    let mut first = [0];
    // Who speaks TLS learns that this does not.
    if stream.peek(&mut first).is_err() || first[0] == 0x16 {
        return;
    }
    let mut lines = BufReader::new(stream.take(1 << 16)).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers: HashMap<String, String> = HashMap::new();
    while let Some(Ok(line)) = lines.next() {
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let (head, body, cut) = {
        let mut state = state.lock().unwrap();
        let range = headers.get("range").cloned().unwrap_or_default();
        let known = if headers.contains_key("authorization") {
            "authorization"
        } else {
            ""
        };
        state.log.push(format!("{path} {range} {known}"));
        respond(&mut state, &path, &headers, auth, host)
    };
    let head = format!(
        "HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let end = cut.unwrap_or(body.len()).min(body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[..end]);
}

/// Status and headers, the body, and where it is cut off.
fn respond(
    state: &mut State,
    path: &str,
    headers: &HashMap<String, String>,
    auth: &Auth,
    host: &str,
) -> (String, Vec<u8>, Option<usize>) {
    let given = headers.get("authorization").map_or("", String::as_str);
    if let Some(faults) = state.faults.get_mut(path)
        && let Some(Fault::Expired) = faults.front()
    {
        faults.pop_front();
        state.token += 1;
    }
    if path.starts_with("/token?") {
        let Auth::Bearer(user) = auth else {
            return ("404 Not Found\r\n".into(), vec![], None);
        };
        if user.as_ref().is_some_and(|user| given != user.basic()) {
            return ("401 Unauthorized\r\n".into(), b"{}".to_vec(), None);
        }
        let token = format!("{{\"token\":\"t{}\",\"expires_in\":60}}", state.token);
        return (
            "200 OK\r\nContent-Type: application/json\r\n".into(),
            token.into_bytes(),
            None,
        );
    }
    let (allowed, challenge) = match auth {
        Auth::None => (true, String::new()),
        Auth::Basic(user) => (given == user.basic(), "Basic realm=\"x\"".to_owned()),
        Auth::Bearer(_) => {
            let repository = path
                .strip_prefix("/v2/")
                .and_then(|p| p.split_once("/manifests/").or(p.split_once("/blobs/")));
            let scope = repository.map_or_else(String::new, |(r, _)| {
                format!(",scope=\"repository:{r}:pull\"")
            });
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"{scope}");
            (given == format!("Bearer t{}", state.token), challenge)
        }
    };
    if !allowed {
        let message =
            br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        return (
            format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n"),
            message.to_vec(),
            None,
        );
    }
    if path == "/v2/" {
        return ("200 OK\r\n".into(), b"{}".to_vec(), None);
    }
    let fault = state.faults.get_mut(path).and_then(VecDeque::pop_front);
    let Some((media_type, data)) = state.files.get(path) else {
        let message = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return ("404 Not Found\r\n".into(), message.to_vec(), None);
    };
    let mut data = data.clone();
    let mut cut = None;
    match fault {
        Some(Fault::Status(status)) => {
            let message = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
            return (format!("{status} X\r\n"), message.to_vec(), None);
        }
        Some(Fault::Redirect(to)) => {
            return (
                format!("307 Temporary Redirect\r\nLocation: {to}\r\n"),
                vec![],
                None,
            );
        }
        Some(Fault::Cut(at)) => cut = Some(at),
        Some(Fault::Corrupt) => {
            if let Some(byte) = data.last_mut() {
                *byte ^= 1;
            }
        }
        Some(Fault::Expired) | None => {}
    }
    let head = format!("200 OK\r\nContent-Type: {media_type}\r\n");
    let from = headers
        .get("range")
        .and_then(|r| r.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
    let Some(from) = from.filter(|&from: &usize| from < data.len()) else {
        return (head, data, cut);
    };
    let range = format!(
        "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
        data.len() - 1,
        data.len()
    );
    (range, data.split_off(from), cut)
}
