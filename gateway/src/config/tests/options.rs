//! Options of routes and apps, and the window that follows its protocol.

use super::*;

#[test]
fn options_are_those_that_channels_know() {
    let with = |route: &str, app: &str| {
        let (route, app) = (format!("{ROUTE}options = {{ {route} }}\n"), format!("{APP}options = {{ {app} }}\n"));
        [CHANNEL, GROUP, &route, &app].concat()
    };
    let (plan, warnings) = plan(&[(MAIN_FILE, &with("speed = \"fast\"", ""))]).unwrap();
    assert_eq!(
        (plan.routes[0].options.as_str(), plan.apps[0].options.as_str(), warnings),
        ("speed=fast\n", "", vec![])
    );
    for (route, app, said) in [
        ("colour = \"red\"", "", "no channel of group \"g\" knows the option `colour`"),
        ("", "colour = \"red\"", "no channel knows the option `colour`"),
        ("speed = \"slow\"", "", "option `speed` does not fit channel \"a\" | wanted: fast"),
        ("", "speed = \"slow\"", "option `speed` does not fit channel \"a\" | wanted: fast"),
        ("Speed = \"fast\"", "", "option `Speed`: a name is 1 to 32 of a-z, 0-9 and _"),
        ("speed = \"fäst\"", "", "option `speed`: a value is at most 64 printable ASCII characters"),
    ] {
        let problems = problems(&with(route, app));
        assert!(problems.len() == 1 && problems[0].contains(said), "{problems:?}");
    }
}

#[test]
fn window_and_most_parts_follow_each_other() {
    for (lines, window, most) in [
        ("", 10, 10),
        ("window = 4\n", 4, 4),
        ("window = 30\n", 30, 10),
        ("max_parts = 20\n", 20, 20),
        ("max_parts = 20\nwindow = 25\n", 25, 20),
    ] {
        let text = whole().replace("rate = 200\n", &format!("rate = 200\n{lines}"));
        let (plan, warnings) = plan(&[(MAIN_FILE, &text)]).unwrap();
        assert_eq!((plan.channels[0].window, plan.channels[0].max_parts, warnings), (window, most, vec![]), "{lines}");
    }
    let text = whole().replace("rate = 200\n", "rate = 200\nmax_parts = 20\nwindow = 8\n");
    let problems = problems(&text);
    assert!(problems.len() == 1 && problems[0].contains("no more than `window`, 8"), "{problems:?}");
}
