//! Printing: plain text, and ANSI colours where a person is looking and has not set NO_COLOR.
#![allow(clippy::print_stdout)] // Printing is what this file is for.

use std::fmt::Display;
use std::io::IsTerminal;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

const WIDTH: usize = 100;
const COLUMN: usize = 46;

static QUIET: AtomicBool = AtomicBool::new(false);

/// Prints nothing from here on, but what scripts asked for.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// What scripts asked for.
pub(crate) fn json(document: &str) {
    println!("{document}");
}

fn out(text: impl Display) {
    if !QUIET.load(Ordering::Relaxed) {
        println!("{text}");
    }
}

static COLOURS: LazyLock<bool> = LazyLock::new(|| {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
});

fn paint(code: &str, text: impl Display) -> String {
    if *COLOURS { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

pub(crate) fn bold(text: impl Display) -> String {
    paint("1", text)
}

pub(crate) fn dim(text: impl Display) -> String {
    paint("2", text)
}

pub(crate) fn good(text: impl Display) -> String {
    paint("32", text)
}

pub(crate) fn bad(text: impl Display) -> String {
    paint("1;31", text)
}

pub(crate) fn line(text: impl Display) {
    out(format_args!("   {text}"));
}

pub(crate) fn lines(texts: &[&str]) {
    texts.iter().for_each(line);
}

pub(crate) fn blank() {
    out("");
}

pub(crate) fn title(text: &str) {
    out(format_args!("{}", bold(text)));
}

pub(crate) fn heading(text: &str) {
    out(format_args!("\n{}", paint("1;36", text)));
}

/// An HTTP call and what it moved.
pub(crate) fn call(who: &str, call: &str, note: impl Display) {
    out(format_args!(
        "   {} {} {}",
        bold(format!("{who:<6}")),
        paint("36", format!("{call:<28}")),
        dim(note)
    ));
}

/// Two columns: what a person reads, and what the server holds.
pub(crate) fn side_by_side(left: (&str, &[String]), right: (&str, &[String])) {
    let border = dim("│");
    out(format_args!("\n   {} {border} {}", bold(fit(left.0)), bold(right.0)));
    out(format_args!("   {}", dim(format!("{}┼{}", "─".repeat(COLUMN + 1), "─".repeat(COLUMN + 1)))));
    for at in 0..left.1.len().max(right.1.len()) {
        let (left, right) = (left.1.get(at), right.1.get(at));
        let cell = |text: Option<&String>| text.cloned().unwrap_or_default();
        out(format_args!("   {} {border} {}", good(fit(&cell(left))), paint("33", cell(right))));
    }
}

/// `text` as lines that fit a column, cut between words.
pub(crate) fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= COLUMN => *line = format!("{line} {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn fit(text: &str) -> String {
    format!("{text:<COLUMN$}")
}

/// A line of the table of refusals.
pub(crate) fn table_row(did: &str, refused_by: &str, code: &str, held: bool) {
    let code = if held { good(code) } else { bad(format!("{code}, WHICH IS NOT AS IT MUST BE")) };
    out(format_args!("   {did:<49} {} {code}", dim(format!("{refused_by:<33}"))));
}

pub(crate) fn table_head(acts: &str) {
    out(format_args!(
        "\n   {} {} {}",
        bold(format!("{:<49}", acts)),
        bold(format!("{:<33}", "what refused it")),
        bold("code")
    ));
    out(format_args!("   {}", dim("─".repeat(WIDTH - 4))));
}

/// `bytes` in hex, as lines that fit a column.
pub(crate) fn hex_lines(bytes: &[u8], lines: usize) -> Vec<String> {
    let pairs = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
    let groups = |row: &[u8]| pairs(row).chunks(2).map(<[String]>::concat).collect::<Vec<_>>().join(" ");
    bytes.chunks(18).take(lines).map(groups).collect()
}

/// Draws bytes as a picture: `stride` bytes a row, 3 (blue, green, red) a pixel. Without colours, in shades.
pub(crate) fn picture(pixels: &[u8], stride: usize) -> Vec<String> {
    const SHADES: [char; 8] = ['@', '%', '#', '*', '+', '-', '.', ' '];
    const ROWS: usize = 15;
    let rows = pixels.len() / stride;
    let cell = |row: usize, column: usize| {
        let at = row * rows / ROWS * stride + column * (stride / 3) / COLUMN * 3;
        let Some(&[blue, green, red]) = pixels.get(at..at + 3) else { return " ".into() };
        let sum = usize::from(red) + usize::from(green) + usize::from(blue);
        let shade = SHADES.get(sum * SHADES.len() / 766).copied().unwrap_or(' ');
        if *COLOURS { paint(&format!("48;2;{red};{green};{blue}"), ' ') } else { shade.into() }
    };
    (0..ROWS).map(|row| (0..COLUMN).map(|column| cell(row, column)).collect()).collect()
}

/// 1234567 as `1,234,567`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
