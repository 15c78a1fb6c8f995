//! Who may use the server.

use std::fmt::Write as _;

/// A bearer token.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;

impl Token {
    /// A new random one, of 256 bits.
    ///
    /// # Errors
    /// The host gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// One that somebody else has made, of at least 16 printable ASCII characters without spaces; white space around it does not count.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < SHORTEST {
            return Err(format!("a token has at least {SHORTEST} characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a token has printable ASCII characters only, and no spaces".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The token's text, for those who may know it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is the token. The time that takes says nothing about where they differ.
    pub(crate) fn matches(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let differing = own
            .iter()
            .zip(given)
            .fold(0, |differing, (a, b)| differing | (a ^ b));
        own.len() == given.len() && std::hint::black_box(differing) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_match_themselves_only() {
        let token = Token::random().unwrap();
        assert_eq!(token.reveal().len(), 64);
        assert!(token.matches(token.reveal()));
        assert!(!token.matches(&token.reveal()[1..]));
        assert!(!token.matches(&format!("{}x", token.reveal())));
        assert!(!token.matches(""));
        assert!(!token.matches(Token::random().unwrap().reveal()));
        assert!(!format!("{token:?}").contains(token.reveal()));
        assert!(Token::new("short").is_err());
        assert!(Token::new("sixteen or more but spaces").is_err());
        assert!(
            Token::new("  0123456789abcdef\n")
                .unwrap()
                .matches("0123456789abcdef")
        );
    }
}
