//! What is kept about images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ImageName, now};

/// What an image is, as kept in `images/NAME.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// The topmost layer of its root file system.
    pub layer: String,
    /// The layers below that, topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Where it came from, for people: `Debian 13.7 (trixie)`, a tarball's name.
    pub origin: String,
    /// The digest of the manifest it was made from, `sha256:...`, where a registry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Sum of the sizes of its files in bytes, as unpacked.
    #[serde(default)]
    pub size: u64,
    /// How its commands run.
    #[serde(flatten)]
    pub config: ImageConfig,
}

/// How the commands of an image run where nothing else is said: what OCI's image configuration calls `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// The first words of every command (`Entrypoint`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The command, or the words after the entry point, where none are given (`Cmd`).
    pub command: Vec<String>,
    /// Environment variables, `NAME=VALUE`.
    pub env: Vec<String>,
    /// The directory commands start in.
    pub workdir: String,
    /// The user commands run as; empty means root.
    pub user: String,
    /// Directories whose content is kept apart from the root file system (`Volumes`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Ports that its programs listen on, such as `80/tcp`: for people only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// The signal that asks its command to end, by name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Its maker's notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Default for ImageConfig {
    fn default() -> ImageConfig {
        ImageConfig {
            entrypoint: Vec::new(),
            command: Vec::new(),
            env: Vec::new(),
            workdir: "/".to_owned(),
            user: String::new(),
            volumes: Vec::new(),
            exposed_ports: Vec::new(),
            stop_signal: None,
            labels: BTreeMap::new(),
        }
    }
}

impl Image {
    /// An image without layers, made now.
    pub fn new(name: ImageName, origin: String) -> Image {
        Image {
            name,
            layer: String::new(),
            lower: Vec::new(),
            created: now(),
            origin,
            digest: None,
            size: 0,
            config: ImageConfig::default(),
        }
    }

    /// Its layers, topmost first.
    pub fn layers(&self) -> Vec<String> {
        let mut layers = vec![self.layer.clone()];
        layers.extend(self.lower.iter().cloned());
        layers
    }

    /// The image with these layers, topmost first.
    pub(crate) fn with_layers(mut self, mut layers: Vec<String>) -> Image {
        if layers.is_empty() {
            return self;
        }
        self.layer = layers.remove(0);
        self.lower = layers;
        self
    }
}

impl ImageConfig {
    /// The whole command line, as Docker puts it together: `entrypoint` replaces the image's, and then its command does not
    /// count either; `arguments` replace the image's command.
    pub fn command_line(&self, entrypoint: Option<&str>, arguments: Vec<String>) -> Vec<String> {
        let mut line = match entrypoint {
            Some("") => Vec::new(),
            Some(program) => vec![program.to_owned()],
            None => self.entrypoint.clone(),
        };
        if !arguments.is_empty() {
            line.extend(arguments);
        } else if entrypoint.is_none() {
            line.extend(self.command.iter().cloned());
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_layer_are_read() {
        let text = r#"{"name":"debian","layer":"a-1","created":5,"origin":"x","command":["/bin/bash"],"env":["A=b"],
            "workdir":"/w","user":"u"}"#;
        let image: Image = serde_json::from_str(text).unwrap();
        assert_eq!(image.layers(), ["a-1"]);
        assert_eq!(
            (&image.config.workdir[..], &image.config.command[..]),
            ("/w", &["/bin/bash".to_owned()][..])
        );
        let again = serde_json::to_string(&image).unwrap();
        assert_eq!(serde_json::from_str::<Image>(&again).unwrap(), image);
        assert!(!again.contains("lower") && !again.contains("entrypoint"));
    }

    #[test]
    fn command_lines_are_dockers() {
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let config = ImageConfig {
            entrypoint: words("/entry -x"),
            command: words("serve now"),
            ..ImageConfig::default()
        };
        let line =
            |entrypoint, arguments| config.command_line(entrypoint, words(arguments)).join(" ");
        assert_eq!(line(None, ""), "/entry -x serve now");
        assert_eq!(line(None, "a b"), "/entry -x a b");
        assert_eq!(line(Some("/sh"), ""), "/sh");
        assert_eq!(line(Some("/sh"), "-c x"), "/sh -c x");
        assert_eq!(line(Some(""), "x"), "x");
        assert_eq!(line(Some(""), ""), "");
    }
}
