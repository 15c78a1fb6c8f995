//! Tests of the book in `docs/book`: what it says must work.

use crate::args::Cli;
use clap::Parser;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn book() -> PathBuf {
    tuxlet_test_support::root().join("docs/book")
}

fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(book()).expect("the book") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        pages.push((name, fs::read_to_string(&path).expect("a page")));
    }
    pages
}

/// The code of one language in a page.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let parts = page.split(&open as &str).skip(1);
    parts.filter_map(|p| p.split("```").next()).collect()
}

/// The words of a command line, as a shell reads them as long as there is nothing but quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn command_lines_are_understood() {
    let mut texts = pages();
    let readme = fs::read_to_string(tuxlet_test_support::root().join("README.md"));
    texts.push(("README.md of all".to_owned(), readme.expect("the readme")));
    let mut seen = 0;
    for (name, text) in texts {
        for line in blocks(&text, "sh").into_iter().flat_map(str::lines) {
            for command in line.split(" && ").flat_map(|c| c.split(" | ")) {
                let mut words = words(command);
                if words.first().is_none_or(|w| w != "tuxlet") {
                    continue;
                }
                // Into a file.
                if let Some(at) = words.iter().position(|w| w == ">") {
                    words.truncate(at);
                }
                seen += 1;
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{name}: {command}\n{error}");
                }
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn requests_name_methods_and_their_parameters() {
    let document = tuxlet_rpc::openrpc_document();
    let methods = document["methods"].as_array().expect("methods");
    let text = fs::read_to_string(book().join("json-rpc.md")).expect("the page");
    let find = |name: &str| methods.iter().find(|m| m["name"] == name);
    let mut seen = 0;
    for line in blocks(&text, "json").into_iter().flat_map(str::lines) {
        let request: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let name = request["method"].as_str().expect("a method");
        let method = find(name).unwrap_or_else(|| panic!("no method {name}"));
        let params = method["params"].as_array().expect("parameters");
        for given in request["params"].as_object().into_iter().flatten() {
            assert!(
                params.iter().any(|p| p["name"] == *given.0),
                "{name}: {}",
                given.0
            );
        }
        seen += 1;
    }
    assert!(seen >= 5);
    // The table names them all.
    for method in methods {
        let name = method["name"].as_str().expect("a name");
        let quoted = format!("`{name}`");
        assert!(
            name == "ping" || text.contains(&quoted),
            "{name} is not in the book"
        );
    }
    let called = text.split('`').filter(|w| {
        let family = w.split('.').next().unwrap_or_default();
        let known = ["guest", "fs", "task", "machine", "image", "snapshot", "rpc"];
        w.contains('.') && known.contains(&family)
    });
    for name in called {
        assert!(find(name).is_some(), "{name} is no method");
    }
}

#[test]
fn links_and_inclusions_lead_somewhere() {
    let exists = |path: &Path| assert!(path.exists(), "{}", path.display());
    let mut linked = BTreeSet::new();
    for (name, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|p| p.split(')').next()) {
            if !target.contains("://") {
                exists(&book().join(target));
            }
            if name == "SUMMARY.md" {
                linked.insert(target.to_owned());
            }
        }
        for target in text
            .split("{{#include ")
            .skip(1)
            .filter_map(|p| p.split("}}").next())
        {
            exists(&book().join(target));
        }
    }
    let all: BTreeSet<String> = pages().into_iter().map(|(name, _)| name).collect();
    let summary = BTreeSet::from(["SUMMARY.md".to_owned()]);
    assert_eq!(linked, all.difference(&summary).cloned().collect());
}
