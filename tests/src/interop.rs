//! Talks to the implementation in `tests/interop/python/`, which was written from SPEC.md alone.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running driver: one JSON object per line in, one out.
pub struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it with the interpreter that `SEALWIRE_PYTHON` names; `tests/run` prepares one.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn start() -> Result<Self, String> {
        let python = std::env::var_os("SEALWIRE_PYTHON")
            .ok_or("SEALWIRE_PYTHON is not set: run tests/run, which prepares Python and its packages")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/python/interop.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("Python does not start: {error}"))?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, stdin, stdout })
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// A sentence, if the driver has ended or its answer is not JSON.
    pub fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.stdin, "{question}").map_err(|error| format!("Python has ended: {error}"))?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).map_err(|error| format!("Python has ended: {error}"))?;
        serde_json::from_str(&answer).map_err(|error| format!("no JSON from Python: {error}: {answer}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
