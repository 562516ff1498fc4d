//! What a tier does with messages that are in doubt, or were not delivered.

use super::*;

#[test]
fn a_tier_says_whether_what_a_carrier_did_not_deliver_goes_on() {
    let otp = "[[tier]]\nname = \"otp\"\non_failed = \"next\"\nreceipt_within = \"60s\"\n";
    let (plan, _) = plan(&[(MAIN_FILE, &[otp, "[[tier]]\nname = \"notice\"\n", &whole()].concat())]).unwrap();
    let seen: Vec<_> = plan.tiers.iter().map(|t| (t.on_failed, t.receipt_within.map(|w| w.as_secs()))).collect();
    assert_eq!(seen, [(OnFailed::Next, Some(60)), (OnFailed::End, None)]);
    let odd = "[[tier]]\nname = \"otp\"\nreceipt_within = \"25h\"\n";
    let found = problems(&[odd, &whole()].concat());
    assert!(found[0].contains("`receipt_within` must be 1s to 24h"), "{found:?}");
}

#[test]
fn a_wait_for_what_is_in_doubt_ends_before_the_message_does() {
    let tier = |lines: &str| ["[[tier]]\nname = \"otp\"\n", lines, &whole()].concat();
    let found = problems(&tier("validity = \"20s\"\nacked = \"30s\"\nunacked = \"20s\"\n"));
    assert_eq!(found.len(), 2, "{found:?}");
    for (found, what) in found.iter().zip(["`acked` is 30s", "`unacked` is 20s"]) {
        assert!(found.contains(what) && found.contains("over after 20s"), "{found}");
    }
    let found = problems(&tier("acked = \"5m\"\n"));
    assert!(found[0].contains("over after 300s"), "the validity of the built-in tier: {found:?}");
    assert!(plan(&[(MAIN_FILE, &tier("acked = \"19s\"\nunacked = \"never\"\nvalidity = \"20s\"\n"))]).is_ok());
}
