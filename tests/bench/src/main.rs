//! Sealwire measured against its peers, in the same run.
//!
//!     cargo run --release --manifest-path tests/bench/Cargo.toml             prints the tables
//!     cargo run --release --manifest-path tests/bench/Cargo.toml -- --write  also keeps them in RESULTS.md
//!     … -- --quick                                                           small sizes, to see that it runs

mod http;
mod loopback;
mod memory;
mod peers;
mod table;
mod timing;

use peers::{Age, Esdk, Hpke, Ring};
use sealwire::{
    Aead, AtomicFile, Identity, Kem, Opener, Recipient, Recipients, SealContext, SealWriter, Sealer,
    SymmetricKey, read_header,
};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Duration;
use table::{Table, Target};
use timing::{Effort, pair};

const MIB: usize = 1 << 20;

struct Bench {
    table: Table,
    effort: Effort,
    quick: bool,
    context: SealContext,
    key: SymmetricKey,
    classical: Identity,
    x_wing: Identity,
    one_core: rayon::ThreadPool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, what, argument] = arguments.as_slice()
        && flag == "--child"
    {
        match what.as_str() {
            "serve" => loopback::serve(argument),
            "download" => loopback::download(argument),
            _ => memory::child(what, argument.parse().unwrap()),
        }
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let effort = if quick {
        Effort { samples: 3, sample: Duration::from_millis(2) }
    } else {
        Effort { samples: 7, sample: Duration::from_millis(40) }
    };
    let mut bench = Bench {
        table: Table::default(),
        effort,
        quick,
        context: SealContext::new("bench").field("1"),
        key: SymmetricKey::generate().unwrap(),
        classical: Identity::generate_with(Kem::X25519).unwrap(),
        x_wing: Identity::generate().unwrap(),
        one_core: rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap(),
    };
    bench.bulk();
    bench.cores();
    bench.age();
    bench.esdk();
    bench.small();
    bench.many();
    bench.streams();
    bench.overhead();
    bench.rewrap();
    http::exchanges(&mut bench.table, effort, quick);
    http::signatures(&mut bench.table, effort);
    loopback::added_cpu(&mut bench.table, quick);
    loopback::downloads(&mut bench.table, quick);
    if arguments.iter().any(|argument| argument == "--write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");
        // What is missed has its reason in NOTES.md: change that by hand with the figures.
        let notes = include_str!("../NOTES.md");
        std::fs::write(path, format!("{}{}{notes}", machine(), bench.table.text())).unwrap();
    }
}

impl Bench {
    fn sealer(&self, aead: Aead) -> Sealer<'_> {
        Sealer::new(&self.context).to(Recipients::new().key(&self.key)).aead(aead).unpadded()
    }

    fn sizes(&self, sizes: &[usize]) -> Vec<usize> {
        sizes.iter().map(|size| if self.quick { (size / 16).max(1024) } else { *size }).collect()
    }

    fn bulk(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("One thread, into a reused buffer, beside bare ring over the same 16 KiB chunks");
        let size = self.sizes(&[64 * MIB])[0];
        let plaintext = payload(size);
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            let (ring, sealer, name) = (Ring::new(aead), self.sealer(aead), aead.name());
            let (mut sealed, mut bare) = (Vec::new(), Vec::new());
            let seal = self.one_core.install(|| {
                pair(
                    self.effort,
                    || sealer.seal_into(&plaintext, &mut sealed).unwrap(),
                    || ring.seal(&plaintext, &mut bare),
                )
            });
            let (mut opened, mut bare_opened) = (Vec::new(), Vec::new());
            let open = self.one_core.install(|| {
                let opener = Opener::new(&self.key, &self.context);
                pair(
                    self.effort,
                    || drop(opener.open_into(&sealed, &mut opened).unwrap()),
                    || ring.open(&bare, &mut bare_opened),
                )
            });
            let fresh = self.one_core.install(|| {
                pair(
                    self.effort,
                    || drop(black_box(sealer.seal(&plaintext).unwrap())),
                    || ring.seal(&plaintext, black_box(&mut Vec::new())),
                )
            });
            let signing = sealer.clone().sign(&self.classical);
            let signed = self.one_core.install(|| {
                pair(
                    self.effort,
                    || signing.seal_into(&plaintext, &mut sealed).unwrap(),
                    || ring.seal(&plaintext, &mut bare),
                )
            });
            table.faster(&format!("seal, {name}"), seal, size, Target::AtLeast(0.9));
            table.faster(&format!("open, {name}"), open, size, Target::AtLeast(0.9));
            table.faster(&format!("seal into a fresh buffer, {name}"), fresh, size, Target::None);
            table.faster(&format!("seal and sign, {name}"), signed, size, Target::None);
        }
        self.table = table;
    }

    fn cores(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("All cores (ours) beside one thread (peer: also ours)");
        for size in self.sizes(&[8 * MIB, 64 * MIB]) {
            let plaintext = payload(size);
            for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
                let sealer = self.sealer(aead);
                let opener = Opener::new(&self.key, &self.context);
                let (mut all, mut one) = (Vec::new(), Vec::new());
                let seal = pair(
                    self.effort,
                    || sealer.seal_into(&plaintext, &mut all).unwrap(),
                    || self.one_core.install(|| sealer.seal_into(&plaintext, &mut one).unwrap()),
                );
                let sealed = all.clone();
                let open = pair(
                    self.effort,
                    || drop(opener.open_into(&sealed, &mut all).unwrap()),
                    || {
                        self.one_core.install(|| {
                            let opener = Opener::new(&self.key, &self.context);
                            drop(opener.open_into(&sealed, &mut one).unwrap());
                        });
                    },
                );
                let what = format!("{} MiB, {}", size as f64 / MIB as f64, aead.name());
                table.faster(&format!("seal, {what}"), seal, size, Target::AtLeast(1.7));
                table.faster(&format!("open, {what}"), open, size, Target::AtLeast(1.7));
            }
        }
        self.table = table;
    }

    fn age(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("age 0.11, to one X25519 recipient each, into reused buffers (0.12 needs a pre-release of a crate that ml-kem 0.3 excludes)");
        let age = Age::new();
        for size in self.sizes(&[MIB, 64 * MIB]) {
            let plaintext = payload(size);
            let mut theirs = Vec::new();
            age.seal(&plaintext, &mut theirs);
            let (mut ours_out, mut their_out) = (Vec::new(), Vec::new());
            for (aead, target) in [(Aead::Aes256Gcm, 5.0), (Aead::ChaCha20Poly1305, 1.5)] {
                let sealer = Sealer::new(&self.context).to(self.classical.recipient()).aead(aead).unpadded();
                let opener = Opener::new(&self.classical, &self.context);
                let sealed = sealer.seal(&plaintext).unwrap();
                let mut run = |threads: &str, all: bool| {
                    let within = |f: &mut (dyn FnMut() + Send)| {
                        if all { f() } else { self.one_core.install(f) }
                    };
                    let seal = pair(
                        self.effort,
                        || within(&mut || sealer.seal_into(&plaintext, &mut ours_out).unwrap()),
                        || age.seal(&plaintext, &mut their_out),
                    );
                    // Ours shares keys between threads only in its body, so opening stays on this one.
                    let open = pair(
                        self.effort,
                        || drop(opener.open_into(&sealed, &mut ours_out).unwrap()),
                        || age.open(&theirs, &mut their_out),
                    );
                    let what = format!("{} MiB, {}", size as f64 / MIB as f64, aead.name());
                    table.faster(&format!("seal, {what}, {threads}"), seal, size, Target::AtLeast(target));
                    if all {
                        table.faster(
                            &format!("open, {what}, {threads}"),
                            open,
                            size,
                            Target::AtLeast(target),
                        );
                    }
                };
                run("all cores", true);
                run("one thread", false);
            }
        }
        self.table = table;
    }

    fn esdk(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("aws-esdk 1.2.1, default suite (AES-256-GCM, committing, ECDSA P-384) and raw AES keyring; ours: symmetric slot, signed");
        let esdk = Esdk::new();
        let sealer = self.sealer(Aead::Aes256Gcm).sign(&self.classical);
        let opener = Opener::new(&self.key, &self.context);
        for size in [1024, self.sizes(&[MIB])[0]] {
            let plaintext = payload(size);
            let (ours, theirs) = (sealer.seal(&plaintext).unwrap(), esdk.seal(&plaintext));
            let seal = pair(
                self.effort,
                || drop(black_box(sealer.seal(&plaintext).unwrap())),
                || drop(black_box(esdk.seal(&plaintext))),
            );
            let open = pair(
                self.effort,
                || drop(black_box(opener.open(&ours).unwrap())),
                || drop(black_box(esdk.open(&theirs))),
            );
            table.faster(&format!("seal, {} KiB", size / 1024), seal, size, Target::AtLeast(5.0));
            table.faster(&format!("open, {} KiB", size / 1024), open, size, Target::AtLeast(5.0));
        }
        self.table = table;
    }

    fn small(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("1 KiB to one recipient, beside a bare hpke single shot of the same 1 KiB (time: lower is better)");
        let plaintext = payload(1024);
        let classical =
            self.one_small(&self.classical, &Hpke::<hpke::kem::X25519HkdfSha256>::new(), &plaintext);
        let x_wing = self.one_small(&self.x_wing, &Hpke::<hpke::kem::XWing>::new(), &plaintext);
        for (kem, (seal, open)) in [("X25519", classical), ("X-Wing", x_wing)] {
            table.cost(&format!("seal, {kem}"), seal, Target::AtMost(1.15));
            table.cost(&format!("open, {kem}"), open, Target::AtMost(1.15));
        }
        self.table = table;
    }

    fn one_small<K: hpke::Kem>(
        &self,
        identity: &Identity,
        bare: &Hpke<K>,
        plaintext: &[u8],
    ) -> ((f64, f64), (f64, f64)) {
        let sealer =
            Sealer::new(&self.context).to(identity.recipient()).aead(Aead::ChaCha20Poly1305).unpadded();
        let opener = Opener::new(identity, &self.context);
        let (ours, theirs) = (sealer.seal(plaintext).unwrap(), bare.seal(plaintext));
        let seal = pair(
            self.effort,
            || drop(black_box(sealer.seal(plaintext).unwrap())),
            || drop(black_box(bare.seal(plaintext))),
        );
        let open = pair(
            self.effort,
            || drop(black_box(opener.open(&ours).unwrap())),
            || drop(black_box(bare.open(&theirs))),
        );
        (seal, open)
    }

    fn many(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading(
            "1 KiB to 100 X-Wing recipients, beside 100 bare hpke encapsulations on one core (time)",
        );
        let people: Vec<Recipient> =
            (0..100).map(|_| Identity::generate().unwrap().recipient().clone()).collect();
        let bare: Vec<_> = (0..100).map(|_| Hpke::<hpke::kem::XWing>::new()).collect();
        let plaintext = payload(1024);
        let sealer = Sealer::new(&self.context).to(&people).unpadded();
        let encapsulate = || bare.iter().for_each(Hpke::encapsulate);
        let one = pair(
            self.effort,
            || self.one_core.install(|| drop(black_box(sealer.seal(&plaintext).unwrap()))),
            encapsulate,
        );
        let all = pair(self.effort, || drop(black_box(sealer.seal(&plaintext).unwrap())), encapsulate);
        table.cost("seal, one core", one, Target::AtMost(1.1));
        table.cost("seal, all cores", all, Target::AtMost(1.0));
        self.table = table;
    }

    fn streams(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("SealWriter | OpenReader through a pipe, two processes: peak memory");
        let sizes = if self.quick { [16, 64] } else { [256, 4096] };
        for mib in sizes {
            let (seal, open, speed) = memory::through_a_pipe(mib * MIB as u64);
            table.ceiling(&format!("SealWriter, {mib} MiB"), seal, "MiB", 16.0);
            table.ceiling(&format!("OpenReader, {mib} MiB"), open, "MiB", 16.0);
            table.note(&format!("through both, {mib} MiB"), &format!("{speed:.2} GB/s"));
        }
        self.table = table;
    }

    fn overhead(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("What an envelope adds to 1 KiB, unpadded and unsigned");
        let plaintext = payload(1024);
        let added = |to: Recipients<'_>| {
            let sealed = Sealer::new(&self.context).to(to).unpadded().seal(&plaintext).unwrap();
            (sealed.len() - plaintext.len()) as f64
        };
        let (classical, x_wing, symmetric) = (
            added(self.classical.recipient().into()),
            added(self.x_wing.recipient().into()),
            added(Recipients::new().key(&self.key)),
        );
        table.ceiling("one X25519 recipient", classical, "bytes", 300.0);
        table.ceiling("one X-Wing recipient", x_wing, "bytes", 1400.0);
        table.ceiling("one symmetric slot", symmetric, "bytes", 270.0);
        self.table = table;
    }

    fn rewrap(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        table.heading("Rewrap to one recipient more");
        let folder = tempfile::tempdir().unwrap();
        let sizes = if self.quick { [1, 16] } else { [1, 1024] };
        let files = sizes.map(|mib| {
            let path = folder.path().join(format!("{mib}.sealed"));
            let sealer = Sealer::new(&self.context).to(self.x_wing.recipient());
            let mut writer = SealWriter::new(File::create(&path).unwrap(), &sealer).unwrap();
            let block = payload(MIB);
            (0..mib).for_each(|_| writer.write_all(&block).unwrap());
            writer.finish().unwrap().sync_all().unwrap();
            path
        });
        let more = Identity::generate().unwrap();
        let list = [self.x_wing.recipient(), more.recipient()];
        let opener = Opener::new(&self.x_wing, &self.context);
        let rewrap_header = |path: &std::path::Path| {
            let mut file = File::open(path).unwrap();
            let header = read_header(&mut file).unwrap();
            let mut front = [0; sealwire::BODY_HEAD_LEN];
            file.read_exact(&mut front).unwrap();
            (opener.rewrap_header(&header, &front, &list).unwrap(), front, file)
        };
        let detached = pair(
            self.effort,
            || drop(black_box(rewrap_header(&files[1]))),
            || drop(black_box(rewrap_header(&files[0]))),
        );
        let what = format!("detached, {} MiB (ours) beside {} MiB (peer: also ours)", sizes[1], sizes[0]);
        table.cost(&what, detached, Target::AtMost(1.2));

        let target = folder.path().join("copy");
        let whole = Effort { samples: 3, sample: Duration::ZERO };
        let copies = pair(
            whole,
            || {
                let (header, front, mut body) = rewrap_header(&files[1]);
                let mut out = AtomicFile::create(&target).unwrap();
                out.write_all(&header).unwrap();
                out.write_all(&front).unwrap();
                std::io::copy(&mut body, out.as_file_mut()).unwrap();
                out.commit().unwrap();
            },
            || {
                let mut out = File::create(folder.path().join("plain")).unwrap();
                std::io::copy(&mut File::open(&files[1]).unwrap(), &mut out).unwrap();
                out.sync_all().unwrap();
            },
        );
        let what = format!("as one file, {} MiB, atomic, beside a plain copy with fsync", sizes[1]);
        table.cost(&what, copies, Target::AtMost(1.5));
        self.table = table;
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split(':').nth(1))
            .unwrap_or("?")
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# Results\n\nMade by `cargo run --release --manifest-path tests/bench/Cargo.toml -- --write`; medians of 7 samples, ours and the peer in turn.\n\n\
         CPU: {} (family {}, model {}), {cores} cores, a virtual machine that shares its host. sealwire {}, hpke 0.15.1, ring 0.17.14, age 0.11.5, aws-esdk 1.2.1, hpke-http 4.0.1.\n\
         \"ratio\" is how many times faster ours is, or, where a time is compared, ours divided by the peer's.\n",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        env!("CARGO_PKG_VERSION"),
    )
}
