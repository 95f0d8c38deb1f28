//! Bodies that are opened and sealed while they pass.

use crate::error::Error;
use crate::http::exchange::{BodySealer, ExchangeService, RequestOpener};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What a body can fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of the requests that the app gets, and of the responses that leave.
pub struct LayerBody(UnsyncBoxBody<Bytes, BoxError>);

impl Body for LayerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body that is here.
pub(super) fn full(bytes: impl Into<Bytes>) -> LayerBody {
    boxed(http_body_util::Full::new(bytes.into()))
}

/// Any body, boxed.
pub(super) fn boxed<B>(body: B) -> LayerBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    LayerBody(body.map_err(Into::into).boxed_unsync())
}

/// The inner body of a request in the chunked form, opened while it arrives. Its end is only seen if nothing was cut off.
pub(super) struct OpeningBody {
    pub(super) outer: LayerBody,
    pub(super) opener: Option<Box<RequestOpener>>,
    pub(super) service: Arc<ExchangeService>,
    pub(super) ready: Vec<u8>,
}

impl Body for OpeningBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ready).into()))));
            }
            let Some(opener) = &mut this.opener else { return Poll::Ready(None) };
            let opened = match ready!(Pin::new(&mut this.outer).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => opener.push(&this.service, &piece, super::unix_now(), &mut this.ready),
                    Err(_) => Ok(()),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let finished = opener.finish(&this.service, super::unix_now(), &mut this.ready);
                    this.opener = None;
                    finished
                }
            };
            if let Err(error) = opened {
                this.opener = None;
                this.ready.clear();
                return Poll::Ready(Some(Err(error.into())));
            }
        }
    }
}

/// The outer body of a response in the chunked form, sealed while it is made. An inner body that fails has no end.
pub(super) struct SealingBody {
    pub(super) inner: LayerBody,
    pub(super) sealer: Option<BodySealer>,
    pub(super) front: Vec<u8>,
}

impl Body for SealingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if !this.front.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.front).into()))));
            }
            let Some(sealer) = &mut this.sealer else { return Poll::Ready(None) };
            let sealed: Result<(), Error> = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => sealer.push(&piece, &mut this.front),
                    Err(_) => Ok(()),
                },
                Some(Err(error)) => {
                    this.sealer = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => match this.sealer.take() {
                    Some(sealer) => sealer.finish(&mut this.front),
                    None => Ok(()),
                },
            };
            if let Err(error) = sealed {
                this.sealer = None;
                return Poll::Ready(Some(Err(error.into())));
            }
        }
    }
}
