//! How servers say how they want to be asked: `WWW-Authenticate` (RFC 9110, 11.6.1).

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`.
    pub(super) scheme: String,
    /// Its parameters; names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        parameters.find(|(n, _)| n == name).map(|(_, v)| &**v)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The challenges of one header. What cannot be understood ends the list.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return challenges;
        }
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        match (value, challenges.last_mut()) {
            // A parameter of the challenge before; one of tokens68 (`Basic abc==`) has no challenge's meaning here.
            (Some(value), Some(challenge)) => {
                let Some((value, after)) = parameter(value) else {
                    return challenges;
                };
                let name = word.to_ascii_lowercase();
                challenge.parameters.push((name, value));
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
    }
}

/// A token or a quoted string, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_understood() {
        let all = parse(
            r#"Bearer realm="https://auth.example/token",service="a \"b\"", scope="repository:x/y:pull,push" , error=invalid_token, Basic realm="r""#,
        );
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].scheme, "bearer");
        assert_eq!(all[0].get("realm"), Some("https://auth.example/token"));
        assert_eq!(all[0].get("service"), Some("a \"b\""));
        assert_eq!(all[0].get("scope"), Some("repository:x/y:pull,push"));
        assert_eq!(all[0].get("error"), Some("invalid_token"));
        assert_eq!((&*all[1].scheme, all[1].get("realm")), ("basic", Some("r")));
        assert_eq!(parse("Negotiate, Basic")[1].scheme, "basic");
    }

    #[test]
    fn nonsense_ends_the_list() {
        for text in ["", "=", "a=b", ",,,", "\"", "é"] {
            assert_eq!(parse(text), [], "{text}");
        }
        for text in ["Bearer realm=\"", "Bearer realm=\"\\", "Bearer \u{e9}"] {
            assert_eq!(parse(text).len(), 1, "{text}");
        }
    }
}
