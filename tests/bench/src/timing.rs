//! Paired timing: ours and the peer's in turn, so that a drift of the machine's speed hits both.

use std::time::{Duration, Instant};

/// How thorough a run is.
#[derive(Clone, Copy)]
pub struct Effort {
    pub samples: usize,
    pub sample: Duration,
}

/// Median seconds per call of both, measured in turn.
pub fn pair(effort: Effort, mut ours: impl FnMut(), mut peer: impl FnMut()) -> (f64, f64) {
    let (ours_calls, peer_calls) = (calls(effort, &mut ours), calls(effort, &mut peer));
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..effort.samples {
        times.0.push(time(ours_calls, &mut ours));
        times.1.push(time(peer_calls, &mut peer));
    }
    (median(times.0), median(times.1))
}

/// How many calls make a sample long enough. The trial warms up, too.
fn calls(effort: Effort, f: &mut impl FnMut()) -> u32 {
    f();
    let mut calls = 1;
    loop {
        let took = time(calls, f) * f64::from(calls);
        if took >= effort.sample.as_secs_f64() {
            return calls;
        }
        calls *= 2;
    }
}

fn time(calls: u32, f: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        f();
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
