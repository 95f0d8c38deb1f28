//! The table of results.

use std::fmt::Write;

#[derive(Default)]
pub struct Table(String);

/// What a ratio has to reach.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Table {
    pub fn heading(&mut self, title: &str) {
        let head = "| what | ours | peer | ratio | target | met |\n|---|---|---|---|---|---|";
        self.line(&format!("\n### {title}\n\n{head}"));
    }

    /// How many times faster ours is.
    pub fn faster(&mut self, what: &str, (ours, peer): (f64, f64), bytes: usize, target: Target) {
        self.row(what, &rate(ours, bytes), &rate(peer, bytes), peer / ours, target);
    }

    /// How much of the peer's time ours takes.
    pub fn cost(&mut self, what: &str, (ours, peer): (f64, f64), target: Target) {
        self.row(what, &micros(ours), &micros(peer), ours / peer, target);
    }

    /// A number that is no ratio, against a ceiling.
    pub fn ceiling(&mut self, what: &str, ours: f64, unit: &str, ceiling: f64) {
        let met = if ours <= ceiling { "yes" } else { "**no**" };
        self.line(&format!("| {what} | {ours:.0} {unit} | | | ≤ {ceiling:.0} {unit} | {met} |"));
    }

    pub fn note(&mut self, what: &str, ours: &str) {
        self.line(&format!("| {what} | {ours} | | | | |"));
    }

    fn row(&mut self, what: &str, ours: &str, peer: &str, ratio: f64, target: Target) {
        let (target, met) = match target {
            Target::AtLeast(least) => (format!("≥ {least}"), Some(ratio >= least)),
            Target::AtMost(most) => (format!("≤ {most}"), Some(ratio <= most)),
            Target::None => (String::new(), None),
        };
        let met = met.map_or("", |met| if met { "yes" } else { "**no**" });
        self.line(&format!("| {what} | {ours} | {peer} | {ratio:.2} | {target} | {met} |"));
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.0, "{line}").unwrap();
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

pub fn rate(seconds: f64, bytes: usize) -> String {
    if bytes < 65_536 { micros(seconds) } else { format!("{:.2} GB/s", bytes as f64 / seconds / 1e9) }
}

pub fn micros(seconds: f64) -> String {
    if seconds < 0.01 { format!("{:.1} µs", seconds * 1e6) } else { format!("{:.1} ms", seconds * 1e3) }
}
