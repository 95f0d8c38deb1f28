//! Looks for secrets in what the server holds, logs and sees on the wire.

use sealwire::to_text;

/// The forms under which a secret might stand in a file.
pub(crate) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex(secret).into_bytes(), hex(secret).to_uppercase().into_bytes()];
    // Base64 looks different at each of three alignments; at its ends it depends on the neighbours, so those go.
    for (shift, depends) in [(0, 0), (1, 2), (2, 3)] {
        let text = to_text(&[vec![0; shift], secret.to_vec()].concat());
        let whole = (shift + secret.len()) * 8 / 6;
        let url_safe = text.get(depends..whole).unwrap_or_default();
        forms.push(url_safe.into());
        forms.push(url_safe.replace('-', "+").replace('_', "/").into());
    }
    forms
}

/// Whether `secret` stands in `bytes`, as it is, in hex or in base64.
pub(crate) fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    forms(secret).iter().any(|form| memchr::memmem::find(bytes, form).is_some())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
