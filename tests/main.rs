//! All tests of the core in one program, for building one takes less than building many: a file for each topic or scenario.
//! `cargo test --test core heartbeat::` runs those of `heartbeat.rs`.

// What tests share.
mod bytes;
mod chaos;
mod harness;
mod law;
#[path = "harness/naive_inflate.rs"]
mod naive_inflate;
#[path = "harness/naive_outbox.rs"]
mod naive_outbox;
mod pair;
mod sessions;
#[path = "harness/ws_seen.rs"]
mod ws_seen;

// The tests.
mod acceptor;
mod acceptor_sessions;
mod background_tab;
mod backoff;
mod candidate;
mod channels;
mod closing;
mod config;
mod delivery;
mod delivery_model;
mod dialogue;
mod flush;
mod heartbeat;
mod json_channels;
mod json_law;
mod json_peer;
mod json_requests;
mod json_socket;
mod ledger;
mod metrics;
mod mobile_switch;
mod model;
mod native_acks;
mod native_candidate;
mod native_channels;
mod native_durable;
mod native_goodbye;
mod native_opening;
mod native_promise;
mod native_requests;
mod native_resume;
mod network_interruption;
mod offline_online;
mod opening;
mod outbox;
mod outbox_model;
mod pains;
mod peer_durable;
mod peer_heartbeat;
mod peer_limits;
mod peer_link;
mod peer_resume;
mod peer_rules;
mod peer_slow;
mod peer_store;
mod peer_takeover;
mod peer_tokens;
mod quality;
mod requests;
mod rng;
mod rules;
mod server_pings;
mod server_restart;
mod sim;
mod slow_network;
mod stream_closing;
mod stream_compression;
mod stream_messages;
mod stream_opening;
mod stream_rules;
mod suspended;
mod time;
mod trace;
mod trace_dialogue;
mod transitions;
mod wire_json;
mod wire_native;
mod wire_raw;
mod wire_serial;
mod ws_client_handshake;
mod ws_closing;
mod ws_deflate;
mod ws_deflate_negotiation;
mod ws_encoder;
mod ws_frames;
mod ws_rules;
mod ws_server_handshake;
mod ws_split;
mod ws_text;
