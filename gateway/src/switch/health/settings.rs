//! Every number of the health machines, of hedges and of the retry budget, named; those of `[health]` and
//! `[channel.health]` are in `config/check/health.rs`. The defaults were simulated and measured for carriers that answer in
//! 300–800 ms; `tests.rs` beside this file repeats the simulation.

use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How impatient the detector is with a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// There is another channel to go to.
    #[default]
    Fast,
    /// There is none: a false alarm costs more than a late one.
    Calm,
}

/// The two numbers in which presets differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence without which nothing learned condemns a link. Below 500 ms, carriers that stall for 200–700 ms now and
    /// then are suspected more than twelve times a day.
    pub silence: Duration,
    /// A probe unanswered for so long is evidence.
    pub probe: Duration,
}

/// What answers usually take, until that is learned: a lognormal law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// Half are faster.
    pub median: Duration,
    /// 99.9 % are faster; more than the median.
    pub most: Duration,
}

impl Default for Prior {
    fn default() -> Prior {
        Prior { median: ms(500), most: ms(2_000) }
    }
}

/// All numbers. `Settings::default()` has both presets; [`Settings::patience`] picks one.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// For channels with an alternative.
    pub fast: Patience,
    /// For channels alone in all their groups.
    pub calm: Patience,
    /// Latency: what is expected before it is learned.
    pub prior: Prior,
    /// Link: age of the oldest octets the carrier's kernel has not acknowledged, beyond which the link is suspect.
    pub unacked: Duration,
    /// Link: a reported age is believed for so long.
    pub unacked_fresh: Duration,
    /// Link: time between two examinations while something is suspicious.
    pub step: Duration,
    /// Link: no suspicion below this silence.
    pub suspicion_silence: Duration,
    /// Link: phi beyond this is suspicious: a probe is wanted.
    pub suspicion_phi: f64,
    /// Link: the oldest part in flight is suspicious beyond this share of the latency's q99.9 …
    pub suspicion_share: f64,
    /// … with at least this silence.
    pub suspicion_oldest_silence: Duration,
    /// Link: least time between two probes.
    pub probe_gap: Duration,
    /// Link: most probes on suspicion in a minute.
    pub probes_per_minute: u32,
    /// Link: a probe unanswered for so long is given up; the next may be sent.
    pub probe_lost: Duration,
    /// Link: a probe may take this many times its own p99.
    pub probe_factor: u32,
    /// Link: longest gap between the probes that ask after a suspect link; the first gap is `probe_gap` doubled.
    pub recheck_gap: Duration,
    /// Link: phi that condemns.
    pub phi: f64,
    /// Link: phi that condemns where a probe was answered within `probe_alive`.
    pub phi_alive: f64,
    /// Link: see `phi_alive`.
    pub probe_alive: Duration,
    /// Link: most one part adds to phi.
    pub phi_most: f64,
    /// Link: so many parts at least must each add more than `phi_least`.
    pub contributors: u32,
    /// Link: see `contributors`.
    pub phi_least: f64,
    /// Link: system errors in a row that condemn.
    pub errors: u32,
    /// Link: share of system errors that condemns …
    pub error_share: f64,
    /// … among at least so many answers, decayed …
    pub error_least: f64,
    /// … with this half-life.
    pub error_half_life: Duration,
    /// Link: our own lateness beyond this is taken out of every age.
    pub pause: Duration,
    /// Below this phi a suspect link recovers …
    pub calm_phi: f64,
    /// … after so long.
    pub calm_for: Duration,
    /// Link and channel: suspect and not one PDU for so long, with something outstanding: down.
    pub silent_down: Duration,
    /// Latency: samples at which the histogram is halved.
    pub samples: u32,
    /// Latency: samples below which the prior counts beside them.
    pub cold: u32,
    /// Channel: first hold-down; doubled by each flap.
    pub hold: Duration,
    /// Channel: longest hold-down.
    pub hold_most: Duration,
    /// Channel: one flap is forgiven in so long.
    pub forgive: Duration,
    /// Channel: probes that must be answered before a channel that was down goes on trial …
    pub return_probes: u32,
    /// … or so long without an answer to them.
    pub return_wait: Duration,
    /// Channel: length of a trial.
    pub trial: Duration,
    /// Channel: the first message of a trial without an answer for so long, or 1.5 × q99.9 where that is more, ends it.
    pub trial_silence: Duration,
    /// Channel: share of the pace after the first answer and each later second; doubled after the last.
    pub trial_steps: [f64; 2],
    /// Channel: time on one step.
    pub trial_step: Duration,
    /// Channel: answers on trial before the strictest tier comes back.
    pub trial_answers: u32,
    /// Slow: p90 over `slow_window` beyond this many times the baseline's …
    pub slow_factor: f64,
    /// … and by at least this more …
    pub slow_more: Duration,
    /// … for so long.
    pub slow_for: Duration,
    /// Slow: as `slow_factor`, but the channel becomes suspect.
    pub slow_suspect: f64,
    /// Slow: fewer answers than this in the window say nothing.
    pub slow_least: u32,
    /// Weight of a slow channel.
    pub slow_weight: f64,
    /// Throttled: share of throttle answers …
    pub throttle_share: f64,
    /// … for so long …
    pub throttle_for: Duration,
    /// … among at least so many answers.
    pub throttle_least: f64,
    /// Weight of a channel that is throttled most of the time.
    pub throttle_weight: f64,
    /// Groups: share of capacity that soft evidence may eject …
    pub eject_share: f64,
    /// … within this time.
    pub eject_window: Duration,
    /// Guard: a channel that answered within this time shows that it is not ourselves.
    pub guard_answer: Duration,
    /// Groups: healthy capacity below this share is panic.
    pub panic_share: f64,
    /// Guard: two carriers suspect within this time …
    pub guard_window: Duration,
    /// … stop soft ejection for so long.
    pub guard_freeze: Duration,
    /// Memory: older than this is forgotten.
    pub memory: Duration,
    /// Doubt: how much longer than the suspicion nothing must be answered before the first tier's parts go elsewhere.
    pub doubt_after: Duration,
    /// Hedge: never sooner.
    pub hedge_after: Duration,
    /// Hedge: never later.
    pub hedge_latest: Duration,
    /// Hedge: between those, this many times what 99.9 % of the channel's answers take at most.
    pub hedge_factor: f64,
    /// Hedge: so many per first attempt of the first tier on a channel, over ten seconds; none at all where 0.
    pub hedge_share: f64,
    /// Hedge: so many are always allowed in that time: with little traffic the share alone would never reach one.
    pub hedge_few: u32,
    /// Retries: percent of a channel's first attempts of the last ten seconds that may go again …
    pub retry_share: u32,
    /// … and so many a second at least.
    pub retry_floor: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            fast: Patience { silence: ms(500), probe: ms(250) },
            calm: Patience { silence: ms(600), probe: ms(400) },
            prior: Prior::default(),
            unacked: ms(500),
            unacked_fresh: ms(200),
            step: ms(20),
            suspicion_silence: ms(150),
            suspicion_phi: 2.0,
            suspicion_share: 0.8,
            suspicion_oldest_silence: ms(250),
            probe_gap: ms(500),
            probes_per_minute: 6,
            probe_lost: ms(10_000),
            probe_factor: 4,
            recheck_gap: ms(1_000),
            phi: 8.0,
            phi_alive: 12.0,
            probe_alive: ms(400),
            phi_most: 3.0,
            contributors: 3,
            phi_least: 0.15,
            errors: 5,
            error_share: 0.2,
            error_least: 20.0,
            error_half_life: ms(5_000),
            pause: ms(50),
            calm_phi: 1.0,
            calm_for: ms(1_000),
            silent_down: ms(3_000),
            samples: 20_000,
            cold: 500,
            hold: ms(2_000),
            hold_most: ms(60_000),
            forgive: ms(600_000),
            return_probes: 2,
            return_wait: ms(5_000),
            trial: ms(10_000),
            trial_silence: ms(1_000),
            trial_steps: [0.05, 0.2],
            trial_step: ms(1_000),
            trial_answers: 10,
            slow_factor: 2.0,
            slow_more: ms(500),
            slow_for: ms(3_000),
            slow_suspect: 4.0,
            slow_least: 20,
            slow_weight: 0.5,
            throttle_share: 0.5,
            throttle_for: ms(10_000),
            throttle_least: 10.0,
            throttle_weight: 0.25,
            eject_share: 0.5,
            eject_window: ms(10_000),
            panic_share: 0.5,
            guard_answer: ms(500),
            guard_window: ms(1_000),
            guard_freeze: ms(3_000),
            memory: ms(86_400_000),
            doubt_after: ms(300),
            hedge_after: ms(1_200),
            hedge_latest: ms(2_500),
            hedge_factor: 1.5,
            hedge_share: 0.02,
            hedge_few: 3,
            retry_share: 10,
            retry_floor: 10,
        }
    }
}

impl Settings {
    /// The numbers of a preset.
    pub fn patience(&self, preset: Preset) -> Patience {
        match preset {
            Preset::Fast => self.fast,
            Preset::Calm => self.calm,
        }
    }

    /// The hold-down after so many flaps before: `hold` × 2^flaps, at most `hold_most`.
    pub fn hold_down(&self, flaps: u32) -> Duration {
        self.hold.saturating_mul(1 << flaps.min(16)).min(self.hold_most)
    }
}
