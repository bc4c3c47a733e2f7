//! What a link's user is told in a dialogue, for a look afterwards.

use alloc::string::String;
use alloc::vec::Vec;

use crate::channels::SubscriptionId;
use crate::link::{Delivery, Link};
use crate::wire::native::{Form, Request};

/// Something that came in a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The server asks something.
    Asked {
        /// To answer it by.
        id: u32,
        /// What.
        name: String,
        /// Its arguments.
        data: Vec<u8>,
    },
    /// A request was answered, or what was published is.
    Answered {
        /// Which one.
        id: u32,
        /// The answer; empty for what was published.
        data: Vec<u8>,
    },
    /// A request, or what was to be published, was refused.
    Refused {
        /// Which one.
        id: u32,
        /// Why.
        code: u32,
    },
    /// The server knows what is wanted.
    Subscribed {
        /// Which one.
        id: SubscriptionId,
        /// Whether something may have been missed.
        gap: bool,
    },
    /// The server refuses it.
    Unsubscribed {
        /// Which one.
        id: SubscriptionId,
        /// Why.
        code: u32,
    },
    /// Something was published.
    Broadcast {
        /// On the channel of this subscription.
        subscription: Option<SubscriptionId>,
        /// What.
        data: Vec<u8>,
    },
}

impl Said {
    /// If it is of a dialogue that the link keeps.
    pub(super) fn of(delivery: &Delivery<'_>, link: &Link<Vec<u8>>) -> Option<Said> {
        Some(match *delivery {
            Delivery::Request(Request { id, form: Form::Command | Form::Query, name, data, .. }) => {
                Said::Asked { id, name: name.into(), data: data.into() }
            }
            Delivery::Response { id, data, .. } => Said::Answered { id, data: data.into() },
            Delivery::Published { id, code: 0, .. } => Said::Answered { id, data: Vec::new() },
            Delivery::Error { id, code, .. } | Delivery::Published { id, code, .. } => {
                Said::Refused { id, code }
            }
            Delivery::Subscribed { id, gap } => Said::Subscribed { id, gap },
            Delivery::Unsubscribed { id, code, .. } => Said::Unsubscribed { id, code },
            Delivery::Broadcast { channel, data, .. } => {
                Said::Broadcast { subscription: link.subscription_to(channel), data: data.into() }
            }
            _ => return None,
        })
    }
}
