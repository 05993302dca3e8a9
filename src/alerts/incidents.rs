//! Incidents of one webhook: what is wrong now, and what its receiver believes. Pure: clock and signs are arguments.
//!
//! Nothing is queued but events. What is to be told next is worked out when it can be told, from the difference between
//! the two, so a receiver that was away for an hour is told how things stand, and no history.
//!
//! ```text
//!            lasts `after`            gone for `after`
//!  seen ───────────────────▶ open ───────────────────▶ over ─── resolved is told ───▶ forgotten
//!    │ gone before                ◀─────────────────────┘
//!    ▼                              comes back untold: it never was over
//!  forgotten
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::notice::{NAMED, Notice, Place, State};
use super::signs::{Key, Sign};

/// Events that wait to be told. More than these are dropped, the oldest first.
const EVENTS: usize = 64;
/// Events that are remembered, so that one is not told twice.
const REMEMBERED: usize = 1024;

/// Partitions that the one line of a notice names.
const IN_TEXT: usize = 3;

/// A moment on both clocks: the wall's for people, in milliseconds since the epoch, and one that never jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: i64,
    pub(super) at: Duration,
}

/// What the receiver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    /// It may have taken it: the answer got lost.
    Perhaps,
    /// Last at this moment, and whether partitions had been held up until then.
    Yes {
        at: Duration,
        held_up: bool,
    },
}

#[derive(Debug)]
struct Incident {
    sign: Sign,
    /// Every partition that it has been about.
    all: BTreeSet<Place>,
    first_seen: i64,
    last_seen: i64,
    /// When it began, and when it was seen last.
    since: Duration,
    seen: Duration,
    /// At the last look, and at the one before.
    is_present: bool,
    was_present: bool,
    count: u64,
    told: Told,
    /// What its end is called, once it has ended.
    over: Option<State>,
}

/// What a notice is an answer to; comes back with how its delivery went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticket {
    what: What,
    state: State,
    held_up: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Incident(Key),
    Event(String),
}

/// How a delivery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Taken,
    Refused,
    /// No answer: it may have been taken.
    Unknown,
}

/// All incidents of one webhook.
#[derive(Debug)]
pub(super) struct Incidents {
    after: Duration,
    remind_every: Option<Duration>,
    /// In the order of their gravity.
    known: BTreeMap<Key, Incident>,
    events: VecDeque<(String, Notice)>,
    remembered: VecDeque<String>,
    is_leaving: bool,
}

impl Incidents {
    pub(super) fn new(after: Duration, remind_every: Option<Duration>) -> Incidents {
        Incidents {
            after,
            remind_every,
            known: BTreeMap::new(),
            events: VecDeque::new(),
            remembered: VecDeque::new(),
            is_leaving: false,
        }
    }

    /// Takes a look: these signs there are now, and no others. `owns` says whose a partition is.
    pub(super) fn look(&mut self, now: Now, signs: Vec<Sign>, owns: &dyn Fn(&Place) -> bool) {
        for incident in self.known.values_mut() {
            incident.was_present = std::mem::take(&mut incident.is_present);
        }
        for sign in signs {
            match self.known.get_mut(&sign.key) {
                Some(incident) => incident.goes_on(now, sign),
                None => {
                    self.known
                        .insert(sign.key.clone(), Incident::begin(now, sign));
                }
            }
        }
        let after = self.after;
        self.known.retain(|_, incident| {
            let is_gone = !incident.is_present && now.at.saturating_sub(incident.seen) >= after;
            if is_gone && incident.over.is_none() {
                let places = &incident.sign.places;
                let is_released = !places.is_empty() && !places.keys().any(owns);
                incident.over = Some(match is_released {
                    true => State::Released,
                    false => State::Resolved,
                });
            }
            incident.over.is_none() || incident.told != Told::No
        });
    }

    /// Something happened. Told once for each `name`. `false`: an older one that still waited was dropped for it.
    pub(super) fn happened(&mut self, name: String, notice: Notice) -> bool {
        if self.remembered.contains(&name) {
            return true;
        }
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(name.clone());
        self.events.push_back((name, notice));
        let has_room = self.events.len() <= EVENTS;
        if !has_room {
            self.events.pop_front();
        }
        has_room
    }

    /// The instance ends: there are no more looks. What is open is somebody else's to tell from now on.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        for incident in self.known.values_mut() {
            incident.over.get_or_insert(State::Released);
        }
    }

    /// What is to be told next.
    pub(super) fn next(&self, now: Now) -> Option<(Ticket, Notice)> {
        let incidents = || self.known.values();
        let begun = incidents().find(|incident| self.is_news(incident, now));
        if let Some(incident) = begun {
            return Some(incident.ticket(State::Open));
        }
        if let Some((name, notice)) = self.events.front() {
            let ticket = Ticket {
                what: What::Event(name.clone()),
                state: notice.state,
                held_up: false,
            };
            return Some((ticket, notice.clone()));
        }
        let over = incidents().find_map(|incident| Some((incident, incident.ends()?)));
        if let Some((incident, state)) = over {
            return Some(incident.ticket(state));
        }
        let every = self.remind_every?;
        incidents()
            .find(|incident| match incident.told {
                Told::Yes { at, .. } => incident.is_present && now.at >= at + every,
                Told::No | Told::Perhaps => false,
            })
            .map(|incident| incident.ticket(State::Reminder))
    }

    /// How many notices wait to be told, reminders aside.
    pub(super) fn waiting(&self, now: Now) -> usize {
        let incidents = self.known.values();
        let news = incidents.filter(|one| self.is_news(one, now) || one.ends().is_some());
        news.count() + self.events.len()
    }

    fn is_news(&self, incident: &Incident, now: Now) -> bool {
        if incident.over.is_some() && !self.is_leaving {
            return false;
        }
        let has_lasted = now.at.saturating_sub(incident.since) >= self.after;
        match incident.told {
            Told::No | Told::Perhaps => incident.is_present && has_lasted,
            // It was a warning, and now it costs something.
            Told::Yes { held_up, .. } => {
                !held_up && incident.over.is_none() && !incident.sign.places.is_empty()
            }
        }
    }

    /// A notice was posted.
    pub(super) fn told(&mut self, ticket: &Ticket, delivery: Delivery, now: Now) {
        let key = match &ticket.what {
            What::Event(name) => {
                // One whose answer got lost is told again: twice is better than not at all.
                if delivery == Delivery::Taken {
                    self.events.retain(|(waiting, _)| waiting != name);
                }
                return;
            }
            What::Incident(key) => key,
        };
        let Some(incident) = self.known.get_mut(key) else {
            return;
        };
        let is_end = matches!(ticket.state, State::Resolved | State::Released);
        match (is_end, delivery) {
            (_, Delivery::Refused) => {}
            (true, Delivery::Taken) if incident.over.is_some() => {
                self.known.remove(key);
            }
            // It came back while its end was being told: to the receiver it begins anew.
            (true, Delivery::Taken) => incident.told = Told::No,
            (true, Delivery::Unknown) => incident.told = Told::Perhaps,
            (false, Delivery::Taken) => {
                incident.told = Told::Yes {
                    at: now.at,
                    held_up: ticket.held_up,
                };
            }
            (false, Delivery::Unknown) if incident.told == Told::No => {
                incident.told = Told::Perhaps;
            }
            (false, Delivery::Unknown) => {}
        }
    }
}

impl Incident {
    fn begin(now: Now, sign: Sign) -> Incident {
        let places = &sign.places;
        let since = places.values().copied().filter(|since| *since > 0).min();
        Incident {
            first_seen: since.unwrap_or(now.wall).min(now.wall),
            last_seen: now.wall,
            since: now.at,
            seen: now.at,
            is_present: true,
            was_present: false,
            count: sign.happened.unwrap_or(places.len().max(1) as u64),
            told: Told::No,
            over: None,
            all: places.keys().cloned().collect(),
            sign,
        }
    }

    fn goes_on(&mut self, now: Now, sign: Sign) {
        let before = &self.sign.places;
        let places = sign.places.iter();
        let new = places.filter(|(place, since)| before.get(place) != Some(since));
        let new = new.count() as u64;
        let is_back = !self.was_present;
        self.count += sign.happened.unwrap_or(new.max(u64::from(is_back)));
        let more = sign
            .places
            .keys()
            .filter(|place| !before.contains_key(place));
        self.all.extend(more.cloned());
        self.last_seen = now.wall;
        self.seen = now.at;
        self.is_present = true;
        self.over = None;
        self.sign = sign;
    }

    /// What has to be told of its end.
    fn ends(&self) -> Option<State> {
        self.over.filter(|_| self.told != Told::No)
    }

    fn ticket(&self, state: State) -> (Ticket, Notice) {
        let ticket = Ticket {
            what: What::Incident(self.sign.key.clone()),
            state,
            // A partition that is probed at this moment is held up again in the next.
            held_up: !self.all.is_empty(),
        };
        (ticket, self.notice(state))
    }

    fn notice(&self, state: State) -> Notice {
        let Sign {
            key: (kind, subject),
            reason,
            text,
            detail,
            places,
            topic: named,
            details,
            ..
        } = &self.sign;
        // They come out of it one by one, its end is told of all of them; so is what goes on while they are probed.
        let places: Vec<&Place> = match state {
            State::Resolved | State::Released => self.all.iter().collect(),
            _ if places.is_empty() => self.all.iter().collect(),
            _ => places.keys().collect(),
        };
        let topics: BTreeSet<&String> = places.iter().map(|place| &place.topic).collect();
        let mut topics = topics.into_iter();
        let topic = topics.next().filter(|_| topics.next().is_none());
        let mut notice = Notice {
            state,
            detail: detail.clone(),
            topic: topic.or(named.as_ref()).cloned(),
            details: details.clone(),
            partitions: places.iter().take(NAMED).copied().cloned().collect(),
            partitions_in_all: places.len(),
            first_seen: self.first_seen,
            count: self.count,
            ..Notice::plain(*kind, subject, reason, text, self.last_seen)
        };
        if !places.is_empty() {
            notice.text = format!("{text}: {}", notice.places(IN_TEXT));
        }
        notice
    }
}

#[cfg(test)]
mod tests;
