//! Downloads: `http`, `https` and `file` addresses, with retries, resumption and checksums.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use ureq::{
    Agent,
    http::{Response, StatusCode},
    tls::{RootCerts, TlsConfig},
};

use crate::{
    Error, Result,
    store::{BlobCache, Digest},
};

/// Attempts in a row without a single new byte before a download is given up.
const ATTEMPTS: u32 = 5;
/// The pause after the first failure; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a download must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Who may see what.
pub(crate) trait Authorize: Send + Sync + fmt::Debug {
    /// The `Authorization` header to send, if any.
    fn authorization(&self) -> Option<String>;
    /// The server refused `used` and says how it wants to be asked (`WWW-Authenticate`). It is asked
    /// once more then.
    fn challenged(&self, used: Option<&str>, challenges: &[String]) -> Result<()>;
}

/// A small thing with what the server says about it.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    /// `Content-Type` without parameters.
    pub(crate) media_type: Option<String>,
}

/// Fetches things.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    agent: Agent,
    pause: Duration,
    accept: Option<String>,
    authorize: Option<Arc<dyn Authorize>>,
}

/// One failed attempt.
enum Failure {
    /// It may work if tried again.
    Transient(String),
    /// It may work then (`Retry-After`).
    Later(String, Duration),
    Final(Error),
}

impl Fetcher {
    /// Uses the system's certificates, and the proxy of the environment (`http_proxy`, `https_proxy`, `no_proxy`).
    pub(crate) fn new() -> Fetcher {
        Fetcher::with_proxy(true)
    }

    /// As [`Fetcher::new`], but for servers of this host, which a proxy does not reach.
    pub(crate) fn direct() -> Fetcher {
        Fetcher::with_proxy(false)
    }

    fn with_proxy(proxy: bool) -> Fetcher {
        let mut config = Agent::config_builder();
        if !proxy {
            config = config.proxy(None);
        }
        let config = config
            .tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::PlatformVerifier)
                    .build(),
            )
            .http_status_as_error(false)
            .user_agent(concat!("tuxlet/", env!("CARGO_PKG_VERSION")))
            // What is compressed is meant to stay so: checksums are over the file as it is stored.
            .accept_encoding("identity")
            .timeout_resolve(Some(Duration::from_secs(20)))
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .max_idle_connections_per_host(8)
            .build();
        Fetcher {
            agent: config.new_agent(),
            pause: FIRST_PAUSE,
            accept: None,
            authorize: None,
        }
    }

    /// Asks for these media types, and proves who asks. Redirections to other hosts do not get that.
    pub(crate) fn authorized(self, accept: &str, authorize: Arc<dyn Authorize>) -> Fetcher {
        Fetcher {
            accept: Some(accept.to_owned()),
            authorize: Some(authorize),
            ..self
        }
    }

    /// Pauses shortly between attempts.
    #[cfg(test)]
    pub(crate) fn impatient() -> Fetcher {
        Fetcher {
            pause: Duration::from_millis(5),
            ..Fetcher::direct()
        }
    }

    /// Asks once; the status.
    pub(crate) fn probe(&self, url: &str) -> Result<u16> {
        match self.get(url, 0) {
            Ok(response) => Ok(response.status().as_u16()),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Transient(reason) | Failure::Later(reason, _)) => Err(failed(url, reason)),
        }
    }

    /// A small file of at most `limit` bytes; `None` where the server says that there is none.
    pub(crate) fn small(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        if let Some(path) = file_path(url) {
            return match File::open(path) {
                Ok(file) => read_limited(file, limit)
                    .map(Some)
                    .map_err(|e| failed(url, e.to_string())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(failed(url, e.to_string())),
            };
        }
        Ok(self.document(url, limit)?.map(|document| document.bytes))
    }

    /// A small file of at most `limit` bytes with its type; `None` where the server says that there is none.
    pub(crate) fn document(&self, url: &str, limit: u64) -> Result<Option<Document>> {
        self.retry(url, |_| {
            let mut response = self.get(url, 0)?;
            match response.status() {
                StatusCode::OK => {
                    let media_type = header(&response, "content-type")
                        .and_then(|t| t.split(';').next().map(|t| t.trim().to_owned()));
                    let body = response.body_mut().as_reader();
                    read_limited(body, limit)
                        .map(|bytes| Some(Document { bytes, media_type }))
                        .map_err(|e| match e.kind() {
                            io::ErrorKind::FileTooLarge => {
                                Failure::Final(failed(url, e.to_string()))
                            }
                            _ => Failure::Transient(e.to_string()),
                        })
                }
                StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
                _ => Err(status_failure(url, response)),
            }
        })
    }

    /// The blob `expected` from the cache, or from the first of `urls` that has it. `advance` hears of every byte, those of
    /// earlier attempts and cached blobs included; after a damaged download it may hear more than the size.
    pub(crate) fn blob(
        &self,
        cache: &BlobCache,
        urls: &[String],
        expected: Expected,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<File> {
        if let Some(file) = cache.open(&expected.digest)? {
            advance(expected.size);
            return Ok(file);
        }
        let what = urls.last().map_or("", String::as_str);
        let mut partial = cache.partial(&expected.digest)?;
        // Another process may have completed it while this one waited.
        if let Some(file) = cache.open(&expected.digest)? {
            advance(expected.size);
            return Ok(file);
        }
        let path = partial.path().to_owned();
        let disk = |e| Error::io("write", &path, e);
        // A second round, from the start, where an earlier run or another mirror left wrong bytes.
        let mut resumed = partial.file.stream_position().map_err(disk)? > 0;
        loop {
            self.fill(urls, &mut partial.file, expected.size, advance)?;
            partial.file.rewind().map_err(disk)?;
            let (got, size) = Digest::of_stream(&partial.file).map_err(disk)?;
            if got == expected.digest && size == expected.size {
                return cache.complete(partial, &expected.digest);
            }
            partial.file.set_len(0).map_err(disk)?;
            partial.file.rewind().map_err(disk)?;
            if !resumed {
                return Err(Error::Hash {
                    what: what.to_owned(),
                    expected: expected.digest.to_string(),
                    got: got.to_string(),
                });
            }
            resumed = false;
        }
    }

    /// Appends to `file`, whose position is its end, until it has `size` bytes or the source ends.
    fn fill(
        &self,
        urls: &[String],
        file: &mut File,
        size: u64,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let have = file.stream_position().map_err(|e| Error::Io {
            what: "cannot write a download".into(),
            source: e,
        })?;
        advance(have.min(size));
        let mut last = None;
        for url in urls {
            match self.fill_from(url, file, size, advance) {
                Err(Error::Fetch { url, reason }) => last = Some(Error::Fetch { url, reason }),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| failed("", "no address is known")))
    }

    fn fill_from(
        &self,
        url: &str,
        file: &mut File,
        size: u64,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let disk = |source| {
            Failure::Final(Error::Io {
                what: "cannot write a download".to_owned(),
                source,
            })
        };
        if let Some(path) = file_path(url) {
            let mut copy = || -> io::Result<u64> {
                let mut input = File::open(path)?;
                input.seek(io::SeekFrom::Start(file.stream_position()?))?;
                io::copy(&mut input.take(size.saturating_add(1)), file)
            };
            return copy().map(advance).map_err(|e| failed(url, e.to_string()));
        }
        self.retry(url, |progress| {
            let mut have = file.stream_position().map_err(disk)?;
            if have >= size {
                return Ok(());
            }
            let mut response = self.get(url, have)?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT if resumes_at(&response, have) => {}
                StatusCode::OK => {
                    // The server sends it all again.
                    file.set_len(0).map_err(disk)?;
                    file.rewind().map_err(disk)?;
                    have = 0;
                }
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                    file.set_len(0).map_err(disk)?;
                    file.rewind().map_err(disk)?;
                    return Err(Failure::Transient(
                        "the server cannot resume the download".to_owned(),
                    ));
                }
                _ => return Err(status_failure(url, response)),
            }
            let mut body = response.body_mut().as_reader();
            let mut buffer = vec![0; 1 << 16];
            while have <= size {
                match body.read(&mut buffer) {
                    Ok(0) if have < size => {
                        return Err(Failure::Transient(format!(
                            "the server closed after {have} of {size} bytes"
                        )));
                    }
                    Ok(0) => break,
                    Ok(n) => {
                        file.write_all(&buffer[..n]).map_err(disk)?;
                        have += n as u64;
                        *progress = true;
                        advance(n as u64);
                    }
                    Err(e) => return Err(Failure::Transient(e.to_string())),
                }
            }
            Ok(())
        })
    }

    /// Tries until it works, fails for good, or fails too often in a row; an attempt that got something starts the count anew.
    fn retry<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut(&mut bool) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            let mut progress = false;
            let (reason, asked) = match attempt(&mut progress) {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(reason)) => (reason, Duration::ZERO),
                Err(Failure::Later(reason, pause)) => (reason, pause.min(PAUSE_MAX)),
            };
            tries = if progress { 1 } else { tries + 1 };
            if tries >= ATTEMPTS {
                return Err(failed(url, format!("{reason} (tried {ATTEMPTS} times)")));
            }
            tracing::debug!("{url}: {reason}; trying again");
            thread::sleep(asked.max(self.pause * 2u32.pow(tries - 1)));
        }
    }

    fn get(&self, url: &str, from: u64) -> std::result::Result<Response<ureq::Body>, Failure> {
        let Some(authorize) = &self.authorize else {
            return self.send(url, from, None);
        };
        let used = authorize.authorization();
        let response = self.send(url, from, used.as_deref())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges: Vec<String> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        drop(response);
        authorize
            .challenged(used.as_deref(), &challenges)
            .map_err(Failure::Final)?;
        self.send(url, from, authorize.authorization().as_deref())
    }

    fn send(
        &self,
        url: &str,
        from: u64,
        authorization: Option<&str>,
    ) -> std::result::Result<Response<ureq::Body>, Failure> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if let Some(accept) = &self.accept {
            request = request.header("Accept", accept);
        }
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        request.call().map_err(|error| match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => Failure::Transient(error.to_string()),
            ureq::Error::HostNotFound => {
                Failure::Final(failed(url, "the host's name cannot be resolved"))
            }
            other => Failure::Final(failed(url, other.to_string())),
        })
    }
}

fn failed(url: &str, reason: impl Into<String>) -> Error {
    Error::Fetch {
        url: url.to_owned(),
        reason: reason.into(),
    }
}

/// A header's value as text.
fn header(response: &Response<ureq::Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// What a registry says about a failure: `{"errors":[{"code":...,"message":...}]}`.
fn server_message(response: &mut Response<ureq::Body>) -> Option<String> {
    let bytes = read_limited(response.body_mut().as_reader(), 1 << 14).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let error = value.get("errors")?.get(0)?;
    let text = error.get("message").or_else(|| error.get("code"))?;
    let text = text.as_str()?.replace(char::is_control, " ");
    Some(text.chars().take(300).collect()).filter(|text: &String| !text.trim().is_empty())
}

fn status_failure(url: &str, mut response: Response<ureq::Body>) -> Failure {
    let status = response.status();
    let mut reason = format!("the server answers {status}");
    if let Some(message) = server_message(&mut response) {
        reason = format!("{reason}: {message}");
    }
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let pause = header(&response, "retry-after").and_then(|text| text.trim().parse().ok());
    if again.contains(&status) {
        match pause {
            Some(secs) => Failure::Later(reason, Duration::from_secs(secs)),
            None => Failure::Transient(reason),
        }
    } else {
        Failure::Final(failed(url, reason))
    }
}

/// Whether `Content-Range: bytes FROM-...` starts where asked.
fn resumes_at(response: &Response<ureq::Body>, from: u64) -> bool {
    let range = header(response, "content-range").unwrap_or_default();
    let start = range
        .trim()
        .strip_prefix("bytes")
        .and_then(|rest| rest.trim_start().split('-').next());
    start.is_some_and(|start| start.parse() == Ok(from))
}

/// The path of a `file:` address.
fn file_path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("file:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

fn read_limited(input: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    input.take(limit + 1).read_to_end(&mut data)?;
    if data.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        ));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::*;
    use crate::store::Store;

    /// Answers one request per connection with what `answer` makes of its number and `Range` start.
    fn serve(
        answer: impl Fn(usize, Option<u64>) -> Vec<u8> + Send + 'static,
    ) -> (String, Arc<Mutex<Vec<Option<u64>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                let mut range = None;
                let mut lines = BufReader::new(&stream).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        range = value.trim_end_matches('-').parse().ok();
                    }
                }
                seen.lock().unwrap().push(range);
                let _ = stream.write_all(&answer(number, range));
            }
        });
        (url, log)
    }

    fn response(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        [head.as_bytes(), body].concat()
    }

    fn content() -> Vec<u8> {
        (0..100_000u32).flat_map(u32::to_le_bytes).collect()
    }

    fn expected(data: &[u8]) -> Expected {
        Expected {
            digest: Digest::of(data),
            size: data.len() as u64,
        }
    }

    fn fetch(url: &str, cache: &BlobCache, expected: Expected) -> (Result<Vec<u8>>, u64) {
        let seen = AtomicU64::new(0);
        let result = Fetcher::impatient()
            .blob(cache, &[url.to_owned()], expected, &|n| {
                seen.fetch_add(n, Ordering::Relaxed);
            })
            .map(|mut file| {
                let mut data = Vec::new();
                file.read_to_end(&mut data).unwrap();
                data
            });
        (result, seen.into_inner())
    }

    fn cache() -> (tempfile::TempDir, BlobCache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Store::open(dir.path()).unwrap().blobs();
        (dir, cache)
    }

    #[test]
    fn broken_connections_are_resumed() {
        let data = content();
        let body = data.clone();
        let (url, log) = serve(move |number, range| match (number, range) {
            (0, _) => response("200 OK", "", body.len(), &body[..150_000]),
            (1, _) => response("503 Service Unavailable", "", 0, b""),
            (_, Some(from)) => {
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}\r\n",
                    body.len() - 1,
                    body.len()
                );
                let rest = &body[from as usize..];
                response("206 Partial Content", &range, rest.len(), rest)
            }
            _ => response("200 OK", "", body.len(), &body),
        });
        let (_dir, cache) = cache();
        let (got, seen) = fetch(&url, &cache, expected(&data));
        assert!(got.unwrap() == data);
        assert_eq!(seen, data.len() as u64);
        assert_eq!(*log.lock().unwrap(), [None, Some(150_000), Some(150_000)]);
        // And from the cache without the server.
        let (got, _) = fetch("http://127.0.0.1:1/", &cache, expected(&data));
        assert!(got.unwrap() == data);
    }

    #[test]
    fn a_partial_file_of_wrong_bytes_is_fetched_again() {
        let data = content();
        let body = data.clone();
        let (url, log) = serve(move |_, range| {
            let from = range.unwrap_or(0) as usize;
            let header = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                body.len() - 1,
                body.len()
            );
            let status = if range.is_some() {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            response(status, &header, body.len() - from, &body[from..])
        });
        let (_dir, cache) = cache();
        let mut partial = cache.partial(&expected(&data).digest).unwrap();
        partial.file.write_all(&[7; 1000]).unwrap();
        drop(partial);
        assert!(fetch(&url, &cache, expected(&data)).0.unwrap() == data);
        assert_eq!(*log.lock().unwrap(), [Some(1000), None]);
    }

    #[test]
    fn wrong_content_is_refused_and_not_kept() {
        let (url, _) = serve(|_, _| response("200 OK", "", 5, b"hellO"));
        let (_dir, cache) = cache();
        assert!(matches!(
            fetch(&url, &cache, expected(b"hello")).0,
            Err(Error::Hash { .. })
        ));
        assert!(cache.open(&Digest::of(b"hello")).unwrap().is_none());
        // Endless content stops near the promised size.
        let (url, _) = serve(|_, _| response("200 OK", "", 1 << 20, &vec![b'x'; 1 << 20]));
        assert!(matches!(
            fetch(&url, &cache, expected(b"hello")).0,
            Err(Error::Hash { .. })
        ));
    }

    #[test]
    fn failures_for_good_are_not_retried() {
        let (url, log) = serve(|_, _| response("404 Not Found", "", 0, b""));
        let (_dir, cache) = cache();
        assert!(matches!(
            fetch(&url, &cache, expected(b"x")).0,
            Err(Error::Fetch { .. })
        ));
        assert_eq!(log.lock().unwrap().len(), 1);
        assert!(Fetcher::impatient().small(&url, 10).unwrap().is_none());
        let (url, log) = serve(|_, _| response("502 Bad Gateway", "", 0, b""));
        assert!(matches!(
            Fetcher::impatient().small(&url, 10),
            Err(Error::Fetch { .. })
        ));
        assert_eq!(log.lock().unwrap().len(), ATTEMPTS as usize);
    }

    #[test]
    fn small_files_have_a_limit() {
        let (url, _) = serve(|_, _| response("200 OK", "", 100, &[b'x'; 100]));
        assert!(Fetcher::impatient().small(&url, 99).is_err());
        assert_eq!(
            Fetcher::impatient()
                .small(&url, 100)
                .unwrap()
                .map(|d| d.len()),
            Some(100)
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "text").unwrap();
        let url = format!("file://{}", path.display());
        assert_eq!(Fetcher::new().small(&url, 9).unwrap().unwrap(), b"text");
        assert!(
            Fetcher::new()
                .small(&format!("{url}2"), 9)
                .unwrap()
                .is_none()
        );
        let (_dir, cache) = cache();
        assert_eq!(fetch(&url, &cache, expected(b"text")).0.unwrap(), b"text");
    }
}
