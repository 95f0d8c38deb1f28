//! Sealwire's story on real HTTP: a blind notes API, Alice, Bob, Carol, and a server and a CDN that turn hostile.
//!
//! `cargo run -p demo`. Everything stays on this machine: free ports on loopback, and a temporary folder.
#![allow(clippy::print_stderr)] // The last word, if something failed.

// From the top down: a file imports only from files further down this list.
mod page;
mod story;
mod hostile;
mod surgery;
mod script;
mod client;
mod second;
mod server;
mod assistant;
mod accounts;
mod proxy;
mod store;
mod report;
mod search;
mod picture;
mod show;
mod options;

use options::{Options, USAGE};
use page::Page;
use report::Report;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use story::World;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(second::ARGUMENT) {
        return match second::serve().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the second server: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.json {
        show::be_quiet();
    }
    let mut report = Report::default();
    let ended = run(&options, &mut report).await;
    report.ok = ended.is_ok();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if options.json {
                report.error = Some(error.to_string());
                print_json(&report);
            }
            eprintln!("\nThe demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let began = Instant::now();
    let mut folder = tempfile::tempdir()?;
    folder.disable_cleanup(options.keep);
    let mut world = World::begin(options, folder.path(), report).await?;
    let told = tokio::time::timeout(Duration::from_secs(120), story::tell(&mut world, report)).await;
    report.seconds = began.elapsed().as_secs_f64();
    report.access_log = world.log.lines();
    if options.keep {
        let kept = folder.path().display().to_string();
        show::line(format!("Kept: {kept}"));
        report.folder = Some(kept);
    }
    let told = told.unwrap_or_else(|_| Err("it did not end in time".into()));
    let served = match told {
        Ok(()) => last(options, folder.path(), &world, report).await,
        failed => failed,
    };
    let removed = if options.keep { Ok(()) } else { world.store.remove().await };
    served.and(removed)
}

/// What comes after the story: its report, and the page, for as long as somebody wants it.
async fn last(options: &Options, folder: &Path, world: &World, report: &mut Report) -> Outcome<()> {
    let page = if options.serve { Some(Page::start(folder).await?) } else { None };
    report.ok = true;
    report.page = page.as_ref().map(|page| page.url.clone());
    if options.json {
        print_json(report);
    }
    if let Some(page) = page {
        show::blank();
        show::line(format!("Open {} in a browser: a fresh notes API, for you.", show::bold(&page.url)));
        if !page::is_built() {
            show::line(show::bad(page::NOT_BUILT));
        }
        show::line(format!("The story's API is up at {}. Both until Ctrl-C.", world.proxy.origin));
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

fn print_json(report: &Report) {
    match serde_json::to_string_pretty(report) {
        Ok(document) => show::json(&document),
        Err(error) => eprintln!("{error}"),
    }
}
