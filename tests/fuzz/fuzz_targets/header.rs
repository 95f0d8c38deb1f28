#![no_main]
//! Any bytes as a header.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = sealwire::read_header(&mut &*bytes);
    match sealwire::Header::parse(bytes) {
        Ok(header) => {
            assert_eq!(read.unwrap(), bytes[..header.len()]);
            assert_eq!(header.unlock_requests().len(), header.unverified_slots().count());
            header.unlock_requests().iter().for_each(|request| assert!(!request.binding().is_empty()));
            let (front, body) = sealwire::split(bytes).unwrap();
            assert_eq!(sealwire::join(front, body), bytes);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
