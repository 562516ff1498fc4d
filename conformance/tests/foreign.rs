//! Our link against a message centre that is not ours, and our far side against a client that is not ours.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

use conformance::far::Simulator;
use conformance::stage::{PASSWORD, SOON};
use conformance::wait::{seconds, until};
use conformance::{Carrier, Plan, Process, foreign};
use serde_json::{Value, json};

fn lines(process: &Process) -> Vec<Value> {
    process.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn our_link_speaks_with_npm_smpp() {
    let Some(peers) = foreign::peers("our_link_speaks_with_npm_smpp") else { return };
    let logs = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.arg(foreign::scripts().join("smsc.js")).args(["qiao", PASSWORD]).env("NODE_PATH", peers.join("node_modules"));
    let smsc = Process::start("smsc", logs.path(), node);
    let port = until("the foreign centre's port", SOON, || lines(&smsc).first().and_then(|line| line["port"].as_u64()));
    let account = "enquire_link = '1s'\nmessage_id = { answer = 'hex', receipt = 'dec' }";
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let mut stage = Plan::of([Carrier::named("node").at(address).account(account)]).start();
    let long = "桥".repeat(150);
    let short = stage.post(&json!({ "to": "+8613800138000", "text": "Code [42] costs 3€", "tier": "otp" }));
    let parts = stage.post(&json!({ "to": "+8613800138001", "text": long, "tier": "notice" }));
    for id in [&short, &parts] {
        let event = stage.told(id);
        assert_eq!(event["type"], "message.delivered", "{event}");
        assert_eq!(event["data"]["evidence"], "receipt", "{event}");
    }
    let receipts = until("every receipt to be answered", SOON, || {
        let receipts: Vec<Value> = lines(&smsc).into_iter().filter(|line| line["receipt"].is_u64()).collect();
        (receipts.len() >= 4).then_some(receipts)
    });
    assert!(receipts.iter().all(|line| line["status"] == 0), "{receipts:?}");
    let said = lines(&smsc);
    let texts: Vec<&str> = said.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(texts.len(), 4, "{said:?}");
    assert_eq!(texts[0], "Code [42] costs 3€");
    assert_eq!(texts[1..].concat(), long);
    assert_eq!(stage.gateway.drain(seconds(10)).code(), Some(0));
    eprintln!("npm smpp as centre: {} lines\n{}", said.len(), smsc.stdout());
}

#[test]
fn our_far_side_serves_pypi_smpplib() {
    let Some(peers) = foreign::peers("our_far_side_serves_pypi_smpplib") else { return };
    let logs = tempfile::tempdir().unwrap();
    let scenario = format!(
        "[[carrier]]\nname = 'a'\nprotocol = 'smpp'\nsystem_id = 'qiao'\npassword = '{PASSWORD}'\n\
         receipts = {{ after = '50ms', id_in_receipt = 'hex' }}\nmo = [{{ from = '8613800138000', to = '1069', text = 'TD' }}]\n"
    );
    let simulator = Simulator::start("carriers", logs.path(), &scenario);
    let address = simulator.carriers["a"];
    let mut python = Command::new(peers.join("venv/bin/python"));
    python.arg(foreign::scripts().join("smpplib_client.py"));
    python.args([&address.ip().to_string(), &address.port().to_string(), "qiao", PASSWORD]);
    let mut client = Process::start("smpplib", logs.path(), python);
    let status = client.end(seconds(30));
    let said = lines(&client).pop().unwrap_or_default();
    assert!(status.success(), "{said}");
    let (parts, receipts) = (said["parts"].as_array().unwrap(), said["receipts"].as_object().unwrap());
    assert_eq!((parts.len(), receipts.len()), (4, 4), "{said}");
    assert!(receipts.values().all(|stat| stat == "DELIVRD"), "{said}");
    assert_eq!(simulator.counter("a", "malformed"), 0);
    eprintln!("PyPI smpplib as client: {said}");
}

#[test]
fn our_ismg_serves_pypi_pycmpp() {
    let Some(peers) = foreign::peers("our_ismg_serves_pypi_pycmpp") else { return };
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("submits.jsonl");
    // This client says 2.1, tests the link before its login is answered, and never answers a report.
    let scenario = format!(
        "[[carrier]]\nname = 'a'\nprotocol = 'cmpp'\nversion = '2.0'\nsource_addr = '901234'\n\
         shared_secret = '{PASSWORD}'\nlog = '{}'\n\
         receipts = {{ after = '50ms' }}\n",
        log.display()
    );
    let mut simulator = Simulator::start("carriers", logs.path(), &scenario);
    let address = simulator.carriers["a"];
    let mut python = Command::new(peers.join("venv/bin/python"));
    python.arg(foreign::scripts().join("pycmpp_client.py"));
    python.args([&address.ip().to_string(), &address.port().to_string(), "901234", PASSWORD]);
    let mut client = Process::start("pycmpp", logs.path(), python);
    let status = client.end(seconds(30));
    let said = lines(&client).pop().unwrap_or_default();
    assert!(status.success(), "{said}");
    let (accepted, reports) = (said["accepted"].as_object().unwrap(), said["reports"].as_object().unwrap());
    assert_eq!((accepted.len(), reports.len()), (4, 4), "{said}");
    assert!(accepted.values().all(|id| reports[id.as_str().unwrap()][0] == "DELIVRD"), "{said}");
    let counter = |name: &str| simulator.counter("a", name);
    assert_eq!((counter("malformed"), counter("submits"), counter("receipts_acked")), (0, 4, 0));
    simulator.stop();
    let text = std::fs::read_to_string(log).unwrap();
    let submits: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&str> = submits.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!((texts[0], texts[1..].concat()), ("【桥】验证码 4213", "桥".repeat(150)));
    eprintln!("PyPI pycmpp as client: {said}");
}
