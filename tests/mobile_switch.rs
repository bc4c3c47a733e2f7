//! From one network to another: the old flow is dead without a word, new ones pass.

use crate::harness::{Door, Script};
use everlink::link::{Candidate, Input, Status};

#[test]
fn with_a_hint_the_link_is_back_within_the_probe_and_a_connect() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    script.input(Input::Online);
    script.until(2_900);
    script.send("stroke");
    script.server.answers = true;
    script.until(4_000);
    assert_eq!(
        (script.wrote(1), script.wrote(2)),
        (vec![], vec!["stroke"]),
        "nothing is risked on a suspect"
    );
    script.sees(
        "ping status abandon open",
        "1000 ping 1 nonce 2
         3000 abandon 1
         3000 open 2 attempt 1
         3000 status connecting
         3100 ping 2 nonce 1
         3100 status connected",
    );
}

#[test]
fn without_a_hint_a_candidate_takes_over_while_the_old_socket_is_suspect() {
    let mut script = Script::connected(|config| config.candidate = Candidate::On);
    script.server.answers = false;
    script.send("stroke");
    script.until(4_050);
    script.server.answers = true;
    script.until(5_000);
    script.sees(
        "ping status abandon open retry",
        "3000 ping 1 nonce 2
         4000 open 2 attempt 0
         4000 ping 1 nonce 3
         4000 status degraded
         4100 abandon 1
         4100 ping 2 nonce 1
         4100 status connected",
    );
    assert_eq!(script.report().counts.disconnects.get(), 0, "the user never was without a connection");
}

#[test]
fn offline_between_two_networks_keeps_the_queue() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.input(Input::Offline);
    script.send("stroke");
    script.until(8_000);
    assert_eq!(script.status(), Status::Disconnected);
    assert_eq!(script.written, []);
    script.input(Input::Online);
    script.server.door = Door::Accepts;
    script.until(10_050);
    script.server.answers = true;
    script.until(11_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.wrote(2), ["stroke"]);
}
