//! Many seeds at once, and what they came to.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::whole::{self, States};

/// What a campaign came to.
#[derive(Default)]
pub(crate) struct Campaign {
    pub(crate) seeds: usize,
    /// Each seed that broke a promise, with the promise's words.
    pub(crate) failures: Vec<(u64, String)>,
    pub(crate) reached: States,
    simulated: Duration,
    messages: usize,
    parts: u64,
    lives: u64,
    false_suspicions: u32,
    watched: Duration,
    busy: Duration,
}

thread_local! {
    static WHERE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the whole line's world of every seed, on as many threads as there are cores. `first`: stops at the first seed
/// that fails.
pub(crate) fn run(seeds: &[u64], first: bool) -> Campaign {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| WHERE.set(info.to_string().replace('\n', " "))));
    let (next, campaign) = (AtomicUsize::new(0), Mutex::new(Campaign::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    if first && !campaign.lock().unwrap().failures.is_empty() {
                        return;
                    }
                    let began = on_cpu();
                    let result = catch_unwind(AssertUnwindSafe(|| whole::run(seed)));
                    let took = on_cpu().saturating_sub(began);
                    let mut campaign = campaign.lock().unwrap();
                    campaign.seeds += 1;
                    campaign.busy += took;
                    match result {
                        Ok(summary) => campaign.add(&summary),
                        Err(_) => campaign.failures.push((seed, WHERE.take())),
                    }
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let mut campaign = campaign.into_inner().unwrap();
    campaign.failures.sort();
    campaign
}

/// What this thread has had of a core so far; zero where the kernel does not say.
fn on_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

impl Campaign {
    fn add(&mut self, summary: &whole::Summary) {
        self.reached.add(&summary.reached);
        self.simulated += summary.simulated;
        self.messages += summary.messages;
        self.parts += summary.parts;
        self.lives += u64::from(summary.lives);
        self.false_suspicions += summary.false_suspicions;
        self.watched += summary.watched;
    }

    /// For people.
    pub(crate) fn print(&self) {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        let busy = self.busy.as_secs_f64();
        let (reached, of) = self.reached.count();
        println!("worlds                 {}", self.seeds);
        println!("simulated hours        {hours:.1}");
        println!("messages, parts sent   {}, {}", self.messages, self.parts);
        println!("starts of the gateway  {}", self.lives);
        println!("seconds of one core    {busy:.1}");
        println!("hours per CPU-hour     {:.0}", hours * 3_600.0 / busy.max(1e-9));
        let watched = self.watched.as_secs_f64() / 3_600.0;
        println!("false suspicions       {} in {watched:.0} hours of channels", self.false_suspicions);
        println!("rare states reached    {reached} of {of}; missing: {:?}", self.reached.missing(self.seeds));
        println!("failures               {}", self.failures.len());
        for (seed, what) in &self.failures {
            let what: String = what.chars().take(1_200).collect();
            println!("  SIM_SEED={seed}: {what}\n    {}", whole::faults(*seed));
        }
    }
}
