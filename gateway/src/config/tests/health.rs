//! `[health]` and `[channel.health]`.

use super::*;

#[test]
fn health_has_its_numbers_and_their_bounds() {
    let health = |text: &str| format!("[health]\n{text}\n{}", whole());
    let settings = |text: &str| plan(&[(MAIN_FILE, &*health(text))]).unwrap().0.health;
    let default = crate::switch::health::Settings::default();
    assert_eq!(settings(""), default);
    assert_eq!(plan(&[(MAIN_FILE, &*whole())]).unwrap().0.health, default);
    let calm = settings("preset = \"calm\"\nprobe = \"1s\"\nejection = 30\nphi = 10.0");
    assert_eq!((calm.fast, calm.fast.silence), (calm.calm, default.calm.silence));
    assert_eq!((calm.fast.probe, calm.eject_share, calm.phi_alive), (Duration::from_secs(1), 0.3, 15.0));
    let sent =
        settings("hedge_after = \"3s\"\nhedge_share = 0\nretry_floor = 2\nguard_pause = \"0s\"\ndoubt_after = \"1s\"");
    assert_eq!((sent.hedge_after.as_secs(), sent.hedge_latest.as_secs(), sent.hedge_share), (3, 3, 0.0));
    assert_eq!((sent.retry_floor, sent.guard_freeze.as_secs(), sent.doubt_after.as_secs()), (2, 0, 1));
    let found = problems(&health("hedge_latest = \"1s\"\nretry_floor = 0\nlatency = \"1s\"\nlatency_most = \"1s\""));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("`hedge_latest` is 1s, outside 1.2s to 60s"), "{found:?}");
    assert!(found[2].contains("`latency_most` is 1s, outside 1.25s"), "{found:?}");
    let found =
        problems(&health("ejection = 0\nhold_down = \"2m\"\nhold_down_max = \"60s\"\nprobation = \"2h\"\nfie = 1"));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("`ejection` is 0, outside 1 to 100")), "{found:?}");
}

#[test]
fn a_channel_is_judged_by_its_own_numbers_and_otherwise_by_all_channels() {
    let with = |all: &str, own: &str| [all, CHANNEL, "[channel.health]\n", own, GROUP, ROUTE, APP].concat();
    let own = "latency = \"50ms\"\nprobation = \"30s\"\nsilence = \"1s\"\n";
    let (plan, _) = plan(&[(MAIN_FILE, &with("[health]\nphi = 10.0\n", own))]).unwrap();
    let health = plan.channels[0].health.as_deref().unwrap();
    assert_eq!((health.prior.median.as_millis(), health.prior.most.as_millis()), (50, 200));
    assert_eq!(
        (health.trial.as_secs(), health.fast.silence, health.calm.silence.as_secs()),
        (30, health.calm.silence, 1)
    );
    assert_eq!((health.phi, health.hold), (10.0, plan.health.hold), "the rest is as for all");
    assert_eq!(plan.health.trial.as_secs(), 10);
    let found = problems(&with("", "probe = \"1ms\"\nejection = 10\n"));
    assert!(found.iter().any(|problem| problem.contains("`probe` is 1ms")), "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("unknown key `ejection`")), "a group's: {found:?}");
}
