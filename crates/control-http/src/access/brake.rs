//! Slows down whoever gives wrong passwords. Pure: the time is an argument.
//!
//! - Each address has a few tries; then each wrong one doubles the time until the next is looked at.
//! - All addresses of a kind (at home, elsewhere) share a bucket of wrong tries that fills again slowly, so that many addresses
//!   together get no further. Those elsewhere cannot use up what those at home have.
//!
//! Sessions and tokens are not passwords and pass whatever happens here.

use std::net::IpAddr;

/// Wrong passwords of one address that cost nothing: people mistype.
const FREE: u32 = 5;
/// Wait after the first that costs something, and the longest, in seconds.
const FIRST_WAIT: f64 = 15.0;
const LONGEST_WAIT: f64 = 900.0;
/// So long after its last wrong one an address begins anew.
const FORGIVEN_AFTER: f64 = 3600.0;
/// Addresses that are remembered.
const MOST: usize = 512;
/// Wrong passwords of all addresses of a kind: so many at once, and one more after so many seconds.
const BUCKET: f64 = 40.0;
const REFILL: f64 = 20.0;

/// Whoever gives passwords, as far as he can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// The address; of IPv6 the network, since one household has all of it.
    address: IpAddr,
    /// Whether it is at home.
    is_near: bool,
}

impl Client {
    pub(super) fn new(address: IpAddr, is_near: bool) -> Client {
        let address = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            },
        };
        Client { address, is_near }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(out)
    }
}

/// What is remembered of wrong passwords. Times are seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Brake {
    records: Vec<Record>,
    near: Bucket,
    far: Bucket,
}

#[derive(Debug)]
struct Record {
    client: Client,
    wrong: u32,
    last: f64,
    until: f64,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: f64,
}

impl Default for Bucket {
    fn default() -> Bucket {
        Bucket { left: BUCKET, at: 0.0 }
    }
}

impl Bucket {
    fn at(&mut self, now: f64) -> &mut f64 {
        self.left = (self.left + (now - self.at).max(0.0) / REFILL).min(BUCKET);
        self.at = now;
        &mut self.left
    }
}

impl Brake {
    /// Whether a password of this client is looked at now.
    ///
    /// # Errors
    /// The seconds to wait.
    pub(super) fn may_try(&mut self, client: Client, now: f64) -> Result<(), f64> {
        // A clock that was set back forgives: otherwise it would lock everybody out.
        self.records.retain(|record| now - record.last < FORGIVEN_AFTER && now > record.last - 60.0);
        let own = self.records.iter().find(|record| record.client == client).map_or(0.0, |record| record.until - now);
        let left = *self.bucket(client).at(now);
        let shared = if left < 1.0 { (1.0 - left) * REFILL } else { 0.0 };
        let wait = own.max(shared);
        if wait > 0.0 { Err(wait) } else { Ok(()) }
    }

    /// A password of this client was wrong; how many of them that makes.
    pub(super) fn wrong(&mut self, client: Client, now: f64) -> u32 {
        *self.bucket(client).at(now) -= 1.0;
        if !self.records.iter().any(|record| record.client == client) {
            if self.records.len() >= MOST {
                let oldest =
                    self.records.iter().enumerate().min_by(|(_, one), (_, other)| one.last.total_cmp(&other.last));
                if let Some((index, _)) = oldest {
                    self.records.swap_remove(index);
                }
            }
            self.records.push(Record { client, wrong: 0, last: now, until: 0.0 });
        }
        let Some(record) = self.records.iter_mut().find(|record| record.client == client) else { return 0 };
        record.wrong = record.wrong.saturating_add(1);
        record.last = now;
        if let Some(beyond) = record.wrong.checked_sub(FREE) {
            let doublings = i32::try_from(beyond.min(16)).unwrap_or(16);
            record.until = now + (FIRST_WAIT * 2_f64.powi(doublings)).min(LONGEST_WAIT);
        }
        record.wrong
    }

    /// A password of this client was right.
    pub(super) fn right(&mut self, client: Client) {
        self.records.retain(|record| record.client != client);
    }

    fn bucket(&mut self, client: Client) -> &mut Bucket {
        if client.is_near { &mut self.near } else { &mut self.far }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, is_near: bool) -> Client {
        Client::new(address.parse().expect("an address"), is_near)
    }

    #[test]
    fn after_a_few_wrong_ones_the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let (mut brake, one) = (Brake::default(), client("192.168.1.5", true));
        let mut now = 1e9;
        let mut waits = Vec::new();
        for _ in 0..14 {
            let wait = brake.may_try(one, now).err().unwrap_or(0.0);
            waits.push(wait.round());
            now += wait;
            assert_eq!(brake.may_try(one, now), Ok(()));
            brake.wrong(one, now);
        }
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0]);
        assert_eq!(brake.may_try(client("192.168.1.6", true), now), Ok(()), "others are not slowed");
        brake.right(one);
        assert_eq!(brake.may_try(one, now), Ok(()));
    }

    #[test]
    fn an_hour_without_a_wrong_one_forgives_and_so_does_a_clock_set_back() {
        for later in [3601.0, -86_400.0] {
            let (mut brake, one) = (Brake::default(), client("10.0.0.1", true));
            for _ in 0..9 {
                brake.wrong(one, 1e9);
            }
            assert!(brake.may_try(one, 1e9 + 10.0).is_err());
            assert_eq!(brake.may_try(one, 1e9 + later), Ok(()), "{later}");
        }
    }

    #[test]
    fn a_crowd_is_slowed_together_and_does_not_lock_out_the_house() {
        let mut brake = Brake::default();
        let mut tried = 0;
        for index in 0..2000_u32 {
            let one = Client::new(IpAddr::V4((0xCB00_7100 + index).into()), false);
            if brake.may_try(one, 1e9 + f64::from(index)).is_ok() {
                brake.wrong(one, 1e9 + f64::from(index));
                tried += 1;
            }
        }
        assert!((130..=145).contains(&tried), "{tried} of 2000 in 2000 s");
        assert_eq!(brake.may_try(client("192.168.1.5", true), 1e9 + 2000.0), Ok(()));
        assert!(brake.records.len() <= MOST);
    }

    #[test]
    fn a_household_with_ipv6_is_one_client() {
        assert_eq!(client("2001:db8::1", false), client("2001:db8::ffff:2", false));
        assert_ne!(client("2001:db8::1", false), client("2001:db8:0:1::1", false));
        assert_eq!(client("::ffff:10.0.0.1", true), client("10.0.0.1", true));
    }
}
