//! Images from the command line: archives, registries, how their commands run.

mod guests;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Sender},
    },
    thread,
};

use guests::{Place, Result, programs};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A tar archive of these files.
fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, *content)?;
    }
    Ok(builder.into_inner()?)
}

/// The checksum of these bytes.
fn digest(data: &[u8]) -> String {
    let hash = Sha256::digest(data);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A layer with the guests in `/bin`, a directory for a volume with a file, and the users.
fn layer() -> Result<Vec<u8>> {
    let programs = programs();
    let names: Vec<String> = programs
        .iter()
        .map(|(name, _)| format!("bin/{name}"))
        .collect();
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    for (name, (_, content)) in names.iter().zip(&programs) {
        files.push((name, content));
    }
    files.push((
        "etc/passwd",
        b"root:x:0:0::/root:/bin/sh\nme:x:7:7::/:/bin/sh\n",
    ));
    files.push(("data/given", b"1"));
    files.push(("w/x", b""));
    tar(&files)
}

fn config(diff_id: &str) -> String {
    serde_json::json!({
        "architecture": "arm64", "os": "linux",
        "config": { "Entrypoint": ["/bin/show"], "Cmd": ["from", "image"], "Env": ["PATH=/bin", "A=image", "B=image"],
                    "WorkingDir": "/w/made", "User": "me", "Volumes": { "/data": {} }, "ExposedPorts": { "80/tcp": {} },
                    "StopSignal": "SIGQUIT" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    })
    .to_string()
}

/// Imports an archive as `docker save` writes it, of the image `img:1`.
fn import(place: &Place) -> Result<()> {
    let layer = layer()?;
    let config = config(&digest(&layer));
    let manifest = r#"[{"Config":"c.json","RepoTags":["img:1"],"Layers":["l/layer.tar"]}]"#;
    let hex = "a".repeat(64);
    let name = format!("{hex}/layer.tar");
    let manifest = manifest.replace("l/layer.tar", &name);
    let files = [
        (&name[..], &layer[..]),
        ("c.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ];
    fs::write(place.path("image.tar"), tar(&files)?)?;
    let (code, _, error) = place.run("import -q image.tar")?;
    assert_eq!(code, 0, "{error}");
    Ok(())
}

#[test]
fn commands_run_as_the_image_says() -> Result<()> {
    let place = Place::new()?;
    import(&place)?;
    assert_eq!(place.run("images -q")?.1, "img:1\n");
    let has = |output: &str, line: &str| output.lines().any(|l| l == line);
    let (code, output, error) = place.run("run --rm -e B=own img:1")?;
    assert_eq!(code, 7, "{error}");
    assert!(output.starts_with("/bin/show\nfrom\nimage\n"), "{output}");
    for line in ["A=image", "B=own", "/w/made"] {
        assert!(has(&output, line), "{output}");
    }
    assert!(!has(&output, "B=image"), "{output}");
    let (code, output, _) =
        place.run("run --rm -u 0 -w / docker.io/library/img:1 -- other words")?;
    assert_eq!(code, 0);
    assert!(
        output.starts_with("/bin/show\nother\nwords\n") && has(&output, "/"),
        "{output}"
    );
    let (code, output, _) = place.run("run --rm --entrypoint ok img:1")?;
    assert_eq!((code, &output[..]), (9, "ok\n"));
    let (code, output, _) = place.run("run --rm --entrypoint /bin/show img:1 -x")?;
    assert!(
        code == 7 && output.starts_with("/bin/show\n-x\n"),
        "{output}"
    );
    Ok(())
}

#[test]
fn volumes_are_the_machines_own() -> Result<()> {
    let place = Place::new()?;
    import(&place)?;
    let run = |line: &str| -> Result<i32> { Ok(place.run(line)?.0) };
    assert_eq!(
        run("run --name m -u 0 --entrypoint make img:1 /data/new")?,
        0
    );
    assert_eq!(run("exec -u 0 m has /data/given")?, 0);
    assert_eq!(run("exec -u 0 m has /data/new")?, 0);
    let (_, mounts, error) = place.run("cp m:/data/given out")?;
    assert_eq!((&mounts[..], &error[..]), ("", ""));
    assert_eq!(fs::read_to_string(place.path("out"))?, "1");
    // It is no part of the root file system.
    assert_eq!(run("export -o m.tar m")?, 0);
    let names = |path: &str| -> Result<Vec<String>> {
        let mut archive = tar::Archive::new(fs::File::open(place.path(path))?);
        let entries = archive.entries()?;
        entries
            .map(|e| Ok(e?.path()?.to_string_lossy().into_owned()))
            .collect()
    };
    let all = names("m.tar")?;
    assert!(all.iter().any(|n| n.ends_with("data/given")));
    assert!(!all.iter().any(|n| n.ends_with("data/new")), "{all:?}");
    // Another machine has another one.
    assert_eq!(run("run --rm -u 0 --entrypoint has img:1 /data/new")?, 2);
    assert_eq!(run("rm m")?, 0);
    assert_eq!(run("rmi img:1")?, 0);
    assert_eq!(fs::read_dir(place.path("home/layers"))?.count(), 0);
    Ok(())
}

#[test]
fn saved_images_come_back_with_all_they_say() -> Result<()> {
    let place = Place::new()?;
    import(&place)?;
    let before = place.run("run --rm img:1")?;
    assert_eq!(place.run("save -o saved.tar img:1")?.0, 0);
    assert_eq!(place.run("rmi img:1")?.0, 0);
    let mut import = place.tuxlet("import -q -");
    import.stdin(fs::File::open(place.path("saved.tar"))?);
    let out = import.output()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let after = place.run("run --rm img:1")?;
    let stable = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|l| !l.starts_with("HOSTNAME="));
        lines.map(str::to_owned).collect()
    };
    assert_eq!((before.0, stable(&before.1)), (after.0, stable(&after.1)));
    Ok(())
}

/// What is served, by path, and which of it comes only by half while somebody listens.
#[derive(Default)]
struct Served {
    files: HashMap<String, (&'static str, Vec<u8>)>,
    stalls: Option<(String, Sender<()>)>,
}

fn serve(served: &Arc<Mutex<Served>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let served = Arc::clone(served);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = Arc::clone(&served);
            // Clients that go away are none of the server's business.
            thread::spawn(move || answer(&stream, &served));
        }
    });
    Ok(host)
}

fn answer(mut stream: &TcpStream, served: &Mutex<Served>) {
    let mut first = [0];
    // Who speaks TLS learns that this does not.
    if stream.peek(&mut first).is_err() || first[0] == 0x16 {
        return;
    }
    let mut lines = BufReader::new(stream.take(1 << 16)).lines();
    let request = lines
        .next()
        .and_then(std::result::Result::ok)
        .unwrap_or_default();
    let mut from = 0;
    while let Some(Ok(line)) = lines.next()
        && !line.is_empty()
    {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (file, stall) = {
        let served = served.lock().unwrap();
        let stall = served.stalls.clone().filter(|(stalls, _)| stalls == path);
        (served.files.get(path).cloned(), stall)
    };
    let (status, (kind, body)) = match file {
        Some(file) if from > 0 => (
            format!(
                "206 Partial\r\nContent-Range: bytes {from}-{0}/{0}",
                file.1.len()
            ),
            file,
        ),
        Some(file) => ("200 OK".to_owned(), file),
        None if path == "/v2/" => ("200 OK".to_owned(), ("", vec![])),
        None => ("404 Not Found".to_owned(), ("", vec![])),
    };
    let body = &body[from.min(body.len())..];
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    if let Some((_, told)) = stall {
        let _ = stream.write_all(&body[..body.len() / 2]);
        let _ = told.send(());
        // Until the client has gone.
        let _ = stream.read(&mut [0]);
        return;
    }
    let _ = stream.write_all(body);
}

#[test]
fn a_killed_pull_leaves_nothing_and_goes_on() -> Result<()> {
    let place = Place::new()?;
    let layer = layer()?;
    let diff = digest(&layer);
    let config = config(&diff);
    let of_config = digest(config.as_bytes());
    let part = |digest: &str, size: usize| serde_json::json!({ "digest": format!("sha256:{digest}"), "size": size });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": part(&of_config, config.len()), "layers": [part(&diff, layer.len())],
    });
    let served = Arc::new(Mutex::new(Served::default()));
    let host = serve(&served)?;
    let blob = format!("/v2/a/img/blobs/sha256:{diff}");
    let (told, half) = mpsc::channel();
    {
        let mut served = served.lock().unwrap();
        let manifest = manifest.to_string().into_bytes();
        served
            .files
            .insert("/v2/a/img/manifests/latest".into(), (MANIFEST, manifest));
        served.files.insert(
            format!("/v2/a/img/blobs/sha256:{of_config}"),
            ("", config.into_bytes()),
        );
        served.files.insert(blob.clone(), ("", layer));
        served.stalls = Some((blob, told));
    }
    let name = format!("{host}/a/img");
    let mut child = place.tuxlet(&format!("pull -q {name}")).spawn()?;
    half.recv()?;
    child.kill()?;
    child.wait()?;
    assert_eq!(place.run("images -q")?.1, "");
    assert_eq!(fs::read_dir(place.path("home/layers"))?.count(), 0);
    served.lock().unwrap().stalls = None;
    // Docker's way: what is missing is pulled.
    let (code, output, error) = place.run(&format!("run --rm {name}"))?;
    assert!(
        code == 7 && output.starts_with("/bin/show\nfrom\n"),
        "{error}"
    );
    assert_eq!(place.run("images -q")?.1, format!("{name}\n"));
    let (code, _, error) = place.run(&format!("pull {name}"))?;
    assert!(code == 0 && error.contains("up to date"), "{error}");
    let (code, _, error) = place.run(&format!("pull {host}/a/none"))?;
    assert!(code == 125 && error.contains("no such image"), "{error}");
    Ok(())
}

#[test]
fn passwords_are_checked_and_kept() -> Result<()> {
    let place = Place::new()?;
    let host = serve(&Arc::default())?;
    fs::write(place.path("password"), "secret\n")?;
    let mut login = place.tuxlet(&format!("login -u me --password-stdin {host}"));
    login.stdin(fs::File::open(place.path("password"))?);
    let out = login.output()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let kept = fs::read_to_string(place.path("config/tuxlet/credentials.json"))?;
    assert!(kept.contains("bWU6c2VjcmV0"), "{kept}");
    assert!(
        place
            .run(&format!("logout {host}"))?
            .2
            .contains("Logged out")
    );
    assert!(
        place
            .run(&format!("logout {host}"))?
            .2
            .contains("Not logged in")
    );
    assert_eq!(place.run("login -u me localhost:1")?.0, 125);
    Ok(())
}
