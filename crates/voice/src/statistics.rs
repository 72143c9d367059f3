//! What a media thread counts. Plain numbers on the thread, handed to the metrics recorder once a second.

use carillon_media::rtp::DropReason;

/// Counts since the last hand-over.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) dropped: [u64; DropReason::ALL.len()],
    /// Sends that the kernel refused.
    pub(crate) send_errors: u64,
    /// Packets that were not recorded because the recorder did not keep up.
    pub(crate) recorder_drops: u64,
    /// Events that nobody took in time.
    pub(crate) event_drops: u64,
    /// Frames of silence in the middle of speech, because it was not made in time.
    pub(crate) speech_gaps: u64,
    /// Slots that were served late.
    pub(crate) late_slots: u64,
    /// Turns of 20 ms that were skipped.
    pub(crate) skipped_turns: u64,
    /// The longest that a slot waited, in microseconds.
    pub(crate) lag_us_max: u64,
}

impl Statistics {
    pub(crate) fn drop_packet(&mut self, reason: DropReason) {
        self.dropped[reason.index()] += 1;
    }

    /// Hands everything over and starts from zero. `endpoints`: calls of this thread.
    pub(crate) fn publish(&mut self, thread: usize, endpoints: usize) {
        let counted = std::mem::take(self);
        let counters = [
            ("carillon_media_packets_in_total", counted.packets_in),
            ("carillon_media_packets_out_total", counted.packets_out),
            ("carillon_media_send_errors_total", counted.send_errors),
            ("carillon_media_recorder_drops_total", counted.recorder_drops),
            ("carillon_media_event_drops_total", counted.event_drops),
            ("carillon_media_speech_gaps_total", counted.speech_gaps),
            ("carillon_media_late_slots_total", counted.late_slots),
            ("carillon_media_skipped_turns_total", counted.skipped_turns),
        ];
        for (name, count) in counters {
            if count > 0 {
                metrics::counter!(name).increment(count);
            }
        }
        for (reason, count) in DropReason::ALL.into_iter().zip(counted.dropped) {
            if count > 0 {
                metrics::counter!("carillon_media_packets_dropped_total", "reason" => reason.to_string())
                    .increment(count);
            }
        }
        metrics::gauge!("carillon_media_endpoints", "thread" => thread.to_string()).set(endpoints as f64);
        metrics::gauge!("carillon_media_lag_seconds", "thread" => thread.to_string())
            .set(counted.lag_us_max as f64 / 1e6);
    }
}
