//! Places of connections and calls: so many may be open. While nobody knows who comes, one address has a part of the connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All who come from one address, and are not known yet, have one in so many of the places.
const NEWCOMERS: usize = 4;

/// The places of a listener.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    newcomers: HashMap<IpAddr, usize>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    newcomer: Option<IpAddr>,
}

impl Places {
    /// A place for somebody who comes from there, of so many.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr, most: usize) -> Result<Place, Full> {
        let from = network(from);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= most {
            return Err(Full::All);
        }
        let here = taken.newcomers.entry(from).or_default();
        if *here >= most.div_ceil(NEWCOMERS) {
            return Err(Full::Address);
        }
        *here += 1;
        taken.all += 1;
        Ok(Place { places: Arc::clone(self), newcomer: Some(from) })
    }
}

impl Place {
    /// Whoever has it is known now.
    pub(super) fn known(&mut self) {
        if let Some(from) = self.newcomer.take() {
            self.places.0.lock().unwrap_or_else(PoisonError::into_inner).settle(from);
        }
    }
}

impl Taken {
    fn settle(&mut self, from: IpAddr) {
        if let Some(here) = self.newcomers.get_mut(&from) {
            *here -= 1;
            if *here == 0 {
                self.newcomers.remove(&from);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.known();
        self.places.0.lock().unwrap_or_else(PoisonError::into_inner).all -= 1;
    }
}

/// How many calls are open.
#[derive(Debug, Default)]
pub struct Calls(AtomicUsize);

/// One of them; over when dropped.
#[derive(Debug)]
pub struct Call(Arc<Calls>);

impl Calls {
    /// One more, of so many.
    pub(super) fn begin(self: &Arc<Self>, most: usize) -> Option<Call> {
        let more = |open: usize| (open < most).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Call(Arc::clone(self)))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one party may well have all of: an address, or the 64 bits of a network (RFC 4291 §2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_calls_are_open_as_may_be() {
        let calls = Arc::<Calls>::default();
        let open: Vec<_> = (0..3).map(|_| calls.begin(2)).collect();
        assert_eq!(open.iter().flatten().count(), 2);
        drop(open);
        assert!(calls.begin(1).is_some());
    }

    #[test]
    fn strangers_from_one_network_have_a_part_and_known_ones_all() {
        let places = Arc::<Places>::default();
        let take = |from: &str| places.take(from.parse().expect("an address"), 8);
        let mut first = take("10.0.0.1").expect("a place");
        let second = take("::ffff:10.0.0.1").expect("the same, in another form");
        assert_eq!(take("10.0.0.1").err(), Some(Full::Address));
        let _other = take("10.0.0.2").expect("another address");
        first.known();
        first.known();
        let _third = take("10.0.0.1").expect("one is known now");
        drop(second);
        let _fourth = take("10.0.0.1").expect("one is gone");
        let _six = [take("2001:db8::1"), take("2001:db8::2:3")].map(|place| place.expect("a place"));
        assert_eq!(take("2001:db8::ffff").err(), Some(Full::Address));
        let _seventh = take("2001:db8:0:1::1").expect("another network");
        let _eighth = take("10.0.0.2").expect("the last");
        assert_eq!(take("10.0.0.3").err(), Some(Full::All));
        drop(first);
        assert!(take("10.0.0.3").is_ok());
        assert_eq!(places.0.lock().expect("no panic").newcomers.len(), 5);
    }
}
