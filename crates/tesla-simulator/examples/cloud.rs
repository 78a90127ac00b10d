//! A simulated cloud with two cars in real time, for use by hand: prints the addresses and a token, then what is asked.

use std::time::Duration;

use tesla_simulator::{ALL_SCOPES, CLIENT_ID, CLIENT_SECRET, Car, Clock, Cloud, CommandWay, Place, Supply};
use units::{Amps, Percent, Phases, WattHours};

fn main() {
    let home = Place { latitude: 52.52, longitude: 13.405 };
    let percent = |value| Percent::new(value).unwrap_or(Percent::FULL);
    let first = Car::new("5YJ30123456789ABC")
        .name("Nikola")
        .battery(WattHours::saturating(75_000.0), percent(55.0))
        .at(home)
        .commands(CommandWay::Both)
        .plugged_into(Supply::three(Amps::from_whole(16)));
    let second = Car::new("LRWXF7EK4KC700000")
        .name("Mileva")
        .charger(Amps::from_whole(32), Phases::One)
        .at(home)
        .commands(CommandWay::Both)
        .plugged_into(Supply::single(Amps::from_whole(13)));
    let cloud = Cloud::builder().car(first).car(second).clock(Clock::Real { speed: 1.0 }).start();
    println!("Fleet API           {}", cloud.api_url());
    println!("Another region      {}", cloud.other_region_url());
    println!("Login and tokens    {}", cloud.auth_url());
    println!("TeslaBleHttpProxy   {}", cloud.ble_url());
    println!("tesla-http-proxy    {}", cloud.proxy_url());
    println!("Client              {CLIENT_ID} / {CLIENT_SECRET}");
    println!("Bearer token        {}", cloud.log_in(ALL_SCOPES).access);
    let mut seen = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let log = cloud.log();
        for asked in log.iter().skip(seen) {
            println!("{:>6} s  {} {} -> {}", asked.at.as_secs(), asked.method, asked.path, asked.status);
        }
        seen = log.len();
    }
}
