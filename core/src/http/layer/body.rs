//! Bodies that are opened and sealed while they pass.

use crate::error::Error;
use crate::http::exchange::BodySealer;
use crate::http::gate::ContentOpener;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// What a body can fail with. Feature `tower`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of the requests that the app gets, and of the responses that leave. Feature `tower`.
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

/// What is done with each piece of a body, and with its end (`None`): appends what comes of it.
type Step = Box<dyn FnMut(Option<&[u8]>, &mut Vec<u8>) -> Result<(), Error> + Send>;

/// A body that is opened or sealed while it passes.
struct PassingBody {
    source: LayerBody,
    /// Gone after the end, or an error.
    step: Option<Step>,
    ready: Vec<u8>,
    /// How long a piece may take, of a stranger's body.
    patience: Option<Duration>,
    /// Until when the next one has to come.
    waiting: Option<Pin<Box<Sleep>>>,
}

/// The inner body of a request in the chunked form, opened while it arrives; `ready` is what has been opened of it. Its end is only
/// seen if nothing was cut off. Whoever waits for a piece does so for `patience`.
pub(super) fn opening(
    outer: LayerBody,
    opener: ContentOpener,
    ready: Vec<u8>,
    patience: Duration,
) -> LayerBody {
    let mut opener = Some(opener);
    let step: Step = Box::new(move |piece, out| match (piece, &mut opener) {
        (Some(piece), Some(opener)) => opener.push(piece, super::unix_now(), out),
        (_, opener) => opener.take().map_or(Ok(()), |opener| opener.finish(super::unix_now(), out)),
    });
    boxed(PassingBody { source: outer, step: Some(step), ready, patience: Some(patience), waiting: None })
}

/// The outer body of a response in the chunked form, sealed while it is made, after `front`. An inner body that fails has no end.
pub(super) fn sealing(inner: LayerBody, sealer: BodySealer, front: Vec<u8>) -> LayerBody {
    let mut sealer = Some(sealer);
    let step: Step = Box::new(move |piece, out| match (piece, &mut sealer) {
        (Some(piece), Some(sealer)) => sealer.push(piece, out),
        (_, sealer) => sealer.take().map_or(Ok(()), |sealer| sealer.finish(out)),
    });
    boxed(PassingBody { source: inner, step: Some(step), ready: front, patience: None, waiting: None })
}

impl Body for PassingBody {
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
            let Some(step) = &mut this.step else { return Poll::Ready(None) };
            let frame = match (Pin::new(&mut this.source).poll_frame(context), this.patience) {
                (Poll::Ready(frame), _) => {
                    this.waiting = None;
                    frame
                }
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Pending, Some(patience)) => {
                    let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                    ready!(waiting.as_mut().poll(context));
                    Some(Err(Error::Network(&"a body was too slow").into()))
                }
            };
            let passed: Result<(), BoxError> = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => step(Some(&piece), &mut this.ready).map_err(Into::into),
                    Err(_) => Ok(()),
                },
                Some(Err(error)) => Err(error),
                None => {
                    let ended = step(None, &mut this.ready).map_err(Into::into);
                    this.step = None;
                    ended
                }
            };
            if let Err(error) = passed {
                this.step = None;
                this.ready.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
