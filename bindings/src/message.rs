//! HTTP messages, as the platforms have them.

use crate::bytes::Bytes;
use crate::error::Result;
use sealwire::http::{Headers, Method, Origin, RequestHead, ResponseHead, Target};

/// One field line.
#[derive(uniffi::Record)]
pub struct Field {
    pub name: String,
    pub value: Bytes,
}

/// A response, or what answers in its place.
#[derive(uniffi::Record)]
pub struct Message {
    pub status: u16,
    pub fields: Vec<Field>,
    pub body: Bytes,
}

impl Message {
    pub fn new(head: &ResponseHead, body: Vec<u8>) -> Result<Self> {
        Ok(Self { status: head.status, fields: fields(&head.headers), body: Bytes::payload(body)? })
    }
}

pub fn fields(headers: &Headers) -> Vec<Field> {
    headers.iter().map(|(name, value)| Field { name: name.into(), value: value.into() }).collect()
}

pub fn headers(fields: &[Field]) -> sealwire::Result<Headers> {
    let mut headers = Headers::new();
    fields.iter().try_for_each(|field| headers.add(&field.name, field.value.as_slice()))?;
    Ok(headers)
}

pub fn request_head(
    method: &str,
    origin: &str,
    path_and_query: &str,
    fields: &[Field],
) -> sealwire::Result<RequestHead> {
    let target = Target::new(Origin::parse(origin)?, path_and_query)?;
    let mut head = RequestHead::new(Method::new(method)?, target);
    head.headers = headers(fields)?;
    Ok(head)
}
