//! Peak memory of streams, each in a process of its own.

use sealwire::{Aead, OpenReader, Opener, Recipients, SealContext, SealWriter, Sealer, SymmetricKey};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

fn key() -> SymmetricKey {
    SymmetricKey::from_bytes(&[5; 32])
}

/// What the child does: `seal BYTES` writes an envelope to stdout, `open` reads one from stdin. Peak memory goes to stderr.
pub fn child(what: &str, bytes: u64) {
    let (key, context) = (key(), SealContext::new("bench"));
    if what == "seal" {
        let sealer = Sealer::new(&context).to(Recipients::new().key(&key)).aead(Aead::preferred());
        let mut writer = SealWriter::new(std::io::stdout().lock(), &sealer).unwrap();
        let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
        let mut left = bytes;
        while left > 0 {
            let now = left.min(block.len() as u64) as usize;
            writer.write_all(&block[..now]).unwrap();
            left -= now as u64;
        }
        drop(writer.finish().unwrap());
    } else {
        let mut reader = OpenReader::new(std::io::stdin().lock(), &Opener::new(&key, &context)).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        while let read @ 1.. = reader.read(&mut buffer).unwrap() {
            total += read as u64;
        }
        assert_eq!(total, bytes);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprint!("{}", peak.trim().trim_end_matches(" kB"));
}

/// Peak MiB of the sealer and of the opener at the ends of a pipe, and GB/s through both.
pub fn through_a_pipe(bytes: u64) -> (f64, f64, f64) {
    let program = std::env::current_exe().unwrap();
    let size = bytes.to_string();
    let start = Instant::now();
    let mut seal = Command::new(&program)
        .args(["--child", "seal", &size])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let open = Command::new(&program)
        .args(["--child", "open", &size])
        .stdin(seal.stdout.take().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let peaks = [open.wait_with_output().unwrap(), seal.wait_with_output().unwrap()].map(|output| {
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().trim().parse::<f64>().unwrap() / 1024.0
    });
    (peaks[1], peaks[0], bytes as f64 / start.elapsed().as_secs_f64() / 1e9)
}
