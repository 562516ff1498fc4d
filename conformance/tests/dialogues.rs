//! Dialogues written down: what our sessions say and hear, octet by octet, in the files of `conformance/dialogues`. One
//! runner plays them all against the sessions; a line that is not what is said fails with file, line and what was said
//! instead. How a file is written stands in `conformance/dialogues/README.md`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "dialogues/play.rs"]
mod play;
#[path = "dialogues/script.rs"]
mod script;

use std::path::PathBuf;

use conformance::proofs::root;
use script::Script;

/// What every file of `folder` is, by name.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder: PathBuf = root().join("conformance").join(folder);
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "dialogue"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_dialogue_goes_as_written() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    let files = files("dialogues");
    for (name, text) in &files {
        if std::env::var_os("DIALOGUES").is_some_and(|wish| wish == "print") {
            match Script::read(text).and_then(|script| play::record(text, &script)) {
                Ok(recorded) => println!("==> {name}\n{recorded}"),
                Err((line, told)) => println!("==> {name}:{line}: {told}"),
            }
        }
        let played = Script::read(text).and_then(|script| {
            lines += script.lines.len();
            play::play(&script)
        });
        if let Err((line, told)) = played {
            wrong.push(format!("conformance/dialogues/{name}:{line}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for protocol in ["smpp", "cmpp", "sgip", "smgp"] {
        assert!(files.iter().any(|(name, _)| name.starts_with(protocol)), "{protocol} says nothing");
    }
    println!("{} dialogues of {lines} lines", files.len());
}

/// Each mistake is found where it is.
#[test]
fn a_mistake_in_a_dialogue_is_found_in_its_line() {
    let (_, good) =
        files("dialogues").into_iter().find(|(name, _)| name == "cmpp-3.0-report-before-answer.dialogue").unwrap();
    let found = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let at = good.lines().position(|line| line.contains(from)).unwrap() + 1;
        let bad = good.replacen(from, to, 1);
        let (line, told) = Script::read(&bad).and_then(|script| play::play(&script)).unwrap_err();
        (line as i64 - at as i64, told)
    };
    // An octet of ours: the PDU's line is blamed, and what was said is shown.
    let (line, told) = found("393031303030 ", "393031303039 ");
    assert!(line < 0 && told.contains("octet 17 differs") && told.contains("we said CMPP_CONNECT"), "{line} {told}");
    // A wrong name, an event that does not come, words nobody knows, octets nobody can read, things that do not happen.
    for (from, to, words) in [
        ("far CMPP_SUBMIT_RESP", "far CMPP_DELIVER_RESP", "CMPP_SUBMIT_RESP"),
        ("tells bound 4", "tells bound 5", "bound 4"),
        ("settle 1 durable", "settle 1 perhaps", "perhaps"),
        ("settle 1 durable", "settle 2 durable", "1 were told"),
        ("settle 1 durable", "shrug", "shrug"),
        ("settle 1 durable", "after 1s", "we say nothing"),
        ("settle 1 durable", "lost", "we say nothing"),
        ("44454c49565244 ", "44454c4956524x ", "no hexadecimal digit"),
        ("ends closed", "# ends closed", "ends closed"),
    ] {
        let (line, told) = found(from, to);
        assert!((-5..8).contains(&line) && told.contains(words), "{from} to {to}: {line} {told}");
    }
}
