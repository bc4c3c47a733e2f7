//! `everlink connect --wire json` against a server that speaks three wires on one port.

mod connect_process;

use connect_process::{Connect, Echo};
use serde_json::{Value, json};

#[tokio::test]
async fn a_line_is_a_message_and_what_comes_is_printed_as_it_is() {
    let echo = Echo::start().await;
    let mut connect = Connect::start(&echo.url(), "--wire json");
    let answer = async |connect: &mut Connect, line: Value| -> Value {
        connect.say(&line.to_string()).await;
        serde_json::from_str(&connect.hear().await.expect("a line")).expect("it is JSON")
    };
    let query =
        json!({"type": "query", "id": "q1", "payload": {"resource": "users", "parameters": {"limit": 10}}});
    let response = answer(&mut connect, query).await;
    assert_eq!((&response["type"], &response["requestId"]), (&"response".into(), &"q1".into()));
    assert_eq!(response["payload"], json!({"limit": 10}));
    let confirmed = answer(&mut connect, json!({"action": "subscribe", "channel": "news"})).await;
    assert_eq!(confirmed["data"], json!({"type": "subscription_confirm", "channel": "news"}));
    let publish = json!({"action": "publish", "channel": "news", "data": [1]});
    assert_eq!(answer(&mut connect, publish).await, json!({"channel": "news", "data": [1]}));
    let own = json!({"type": "cursor", "id": "c1"});
    assert_eq!(answer(&mut connect, own.clone()).await, own, "the server echoes");
    let wrong = answer(&mut connect, Value::from(7)).await;
    assert_eq!(wrong["data"]["message"], "byte 0: not an object");
    let (summary, code) = connect.finish().await;
    assert_eq!((&summary["written"], code), (&5.into(), 0));
    assert_eq!(summary["report"]["counts"]["malformed"], 0);
}

#[tokio::test]
async fn a_wire_that_the_server_does_not_select_is_refused_and_never_another_one_spoken() {
    let echo = Echo::start().await;
    // A wire of its own, and a name that nobody knows.
    for flags in ["--wire json --protocol nobody.v1", "--wire raw --protocol nobody.v1"] {
        let mut connect = Connect::start(&echo.url(), &format!("{flags} --backoff.attempts 2"));
        connect.say("secret").await;
        let summary = connect.event("summary").await;
        assert_eq!(connect.exit_code().await, 1, "{flags}");
        assert!(summary["error"].as_str().unwrap().contains("no sub-protocol was selected"), "{summary}");
        assert_eq!((&summary["never_sent"], connect.seen("open").len()), (&1.into(), 0));
    }
}

#[tokio::test]
async fn without_the_sub_protocol_any_server_will_do() {
    let echo = Echo::start().await;
    let mut connect = Connect::start(&echo.url(), "--wire json --wire.json.subprotocol false");
    // This one takes it for a raw client, and echoes.
    connect.say(r#"{"type":"query","id":"q1"}"#).await;
    connect.expect(r#"{"type":"query","id":"q1"}"#).await;
    connect.say("no JSON").await;
    let malformed = connect.event("malformed").await;
    assert_eq!((&malformed["byte"], &malformed["problem"]), (&1.into(), &"byte 1: not JSON".into()));
    let (_, code) = connect.finish().await;
    assert_eq!(code, 0);
}
