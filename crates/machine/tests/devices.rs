//! Devices of the host's, as guests use them.

use std::sync::{Arc, Mutex};
use tuxlet::{Builder, Command, Errno, Limits, Location, Machine, Notification, Root};

fn run(builder: Builder, line: &str) -> String {
    let machine = builder.root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let command = Command::new("/bin/sh").arg("-c").arg(line);
    let output = machine.output(command, b"", &Limits::default()).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn there_are_none_without_a_handler() {
    let line = "read /dev/clipboard;read /dev/open-url;read /dev/notify;read /dev/location";
    assert_eq!(
        run(Machine::builder(), line),
        "/dev/clipboard: ENOENT\n/dev/open-url: ENOENT\n/dev/notify: ENOENT\n/dev/location: ENOENT\n"
    );
}

#[test]
fn an_open_device_is_the_one_that_has_the_name() {
    // install(1) does not copy from a file that seems to have been replaced.
    let builder = Machine::builder().location(|| Err(Errno::EPERM));
    let names = ["/dev/null", "/dev/urandom", "/dev/kmsg", "/dev/location"];
    let line: String = names.iter().map(|n| format!("same {n};")).collect();
    let expected: String = names.iter().map(|n| format!("{n}: true\n")).collect();
    assert_eq!(run(builder, &line), expected);
}

#[test]
fn the_clipboard_is_read_and_written() {
    let text = Arc::new(Mutex::new("from the host".to_owned()));
    let (reads, writes) = (Arc::clone(&text), Arc::clone(&text));
    let builder = Machine::builder().clipboard(
        move || Ok(reads.lock().unwrap().clone()),
        move |text| {
            if text.contains("secret") {
                return Err(Errno::EACCES);
            }
            text.clone_into(&mut writes.lock().unwrap());
            Ok(())
        },
    );
    let line = "read /dev/clipboard;write /dev/clipboard gr\u{fc}n;read /dev/clipboard;\
                write /dev/clipboard secret;read /dev/clipboard";
    assert_eq!(
        run(builder, line),
        "from the host\ngr\u{fc}n\n/dev/clipboard: EACCES\ngr\u{fc}n\n"
    );
    assert_eq!(*text.lock().unwrap(), "gr\u{fc}n");
}

#[test]
fn addresses_are_opened_and_notifications_shown() {
    let urls = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::new(Mutex::new(Vec::new()));
    let (opened, shown) = (Arc::clone(&urls), Arc::clone(&notes));
    let builder = Machine::builder()
        .on_open_url(move |url| {
            opened.lock().unwrap().push(url.to_owned());
            Ok(())
        })
        .on_notification(move |note| {
            shown.lock().unwrap().push(Notification::clone(note));
            Ok(())
        });
    let line = "write /dev/open-url https://example.org/;write /dev/open-url two words;\
                read /dev/open-url;write /dev/notify Built\nin two minutes;write /dev/notify Done";
    assert_eq!(
        run(builder, line),
        "/dev/open-url: EINVAL\n/dev/open-url: EINVAL\n"
    );
    assert_eq!(*urls.lock().unwrap(), ["https://example.org/"]);
    let note = |title: &str, body: &str| Notification {
        title: title.to_owned(),
        body: body.to_owned(),
    };
    assert_eq!(
        *notes.lock().unwrap(),
        [note("Built", "in two minutes"), note("Done", "")]
    );
}

#[test]
fn the_location_is_read_and_can_be_refused() {
    let place = Location {
        latitude: 52.52,
        longitude: 13.405,
        altitude: Some(34.0),
        accuracy: None,
    };
    let builder = Machine::builder().location(move || Ok(place));
    assert_eq!(
        run(builder, "read /dev/location;write /dev/location x"),
        "{\"latitude\":52.52,\"longitude\":13.405,\"altitude\":34}\n\n/dev/location: EINVAL\n"
    );
    let refused = Machine::builder().location(|| Err(Errno::EPERM));
    assert_eq!(run(refused, "read /dev/location"), "/dev/location: EPERM\n");
}
