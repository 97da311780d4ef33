//! The int8 program: verifier, text, file.
