//! What must not compile: an order without its checks, a token on the other host, a printed secret, dollars for shares.
//!
//! Each program in `tests/types/` tries one thing; the compiler's refusal stands beside it, word by word. The words are
//! those of one release of the compiler, so with another release this test says that it did not look. To take over the
//! words of a newer one: `TRYBUILD=overwrite cargo test --test types`, then read the difference.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

/// The release whose words stand beside the programs.
const WORDS_OF: &str = "rustc 1.95.";

#[test]
fn d2_programs_that_skip_a_check_do_not_compile() {
    do_not_compile("tests/types/*.rs");
}

#[test]
fn row_86_a_mix_up_of_dollars_and_shares_does_not_compile() {
    do_not_compile("tests/types/row_86_*.rs");
}

fn do_not_compile(these: &str) {
    let output = std::process::Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    if !version.starts_with(WORDS_OF) && std::env::var_os("TRYBUILD").is_none() {
        eprintln!("not checked: the words are those of {WORDS_OF}x, this is {version}");
        return;
    }
    let programs = trybuild::TestCases::new();
    programs.compile_fail(these);
}
