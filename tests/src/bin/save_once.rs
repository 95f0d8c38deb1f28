//! What the kill test kills: waits for a line, then replaces one secret in the store at the path given.

use sealwire::{Error, FileStore, SecretBytes, SecretStore, SymmetricKey};

fn main() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).ok_or(Error::Misuse(&"a folder is needed"))?;
    let store = FileStore::with_key(folder, SymmetricKey::from_bytes(&[3; 32]));
    std::io::stdin().read_line(&mut String::new())?;
    store.save("precious", &SecretBytes::new(b"new".to_vec()))
}
