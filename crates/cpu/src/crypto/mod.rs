//! The cryptographic instructions' functions on 128-bit register values.

pub(crate) mod aes;
pub(crate) mod sha;
pub(crate) mod sm;

#[cfg(test)]
mod tests;
