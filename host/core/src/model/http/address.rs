//! Addresses that are no servers of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, in words, if no plugin may reach it but by a grant of that very address; `None` for an address of the public
/// internet.
///
/// Of IPv6 only global unicast addresses are open, and of those not the ones that stand for an address of IPv4: whatever translates
/// them is not the host's, and where they lead cannot be known.
pub fn closed_address(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => closed_v4(address),
        IpAddr::V6(address) => closed_v6(address),
    }
}

fn closed_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "an address of no host",
        [127, ..] => "an address of this machine",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "a private address",
        [100, 64..=127, ..] => "an address inside a provider's network",
        [169, 254, ..] => "a link-local address, as services with metadata of clouds have them",
        // The one service of a cloud whose address looks like any other.
        [168, 63, 129, 16] => "an address of a cloud's own services",
        [192, 0, 0, _] | [198, 18..=19, ..] => "an address with a special purpose",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address for documents",
        [192, 88, 99, _] => "an address that is translated",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] => "a reserved address",
        _ => return None,
    })
}

fn closed_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "an address of no host",
        [0, 0, 0, 0, 0, 0, 0, 1] => "an address of this machine",
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => {
            "an address of IPv4 in another form"
        }
        [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => "an address of IPv4 that is translated",
        [0xfc00..=0xfdff, ..] => "a private address",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xfec0..=0xfeff, ..] => "a private address",
        [0xff00..=0xffff, ..] => "a multicast address",
        // Interface identifiers by which a router unpacks the address of IPv4 behind them (ISATAP).
        [.., 0 | 0x200, 0x5efe, _, _] => "an address of IPv4 in another form",
        [0x2001, 0x0001..=0x01ff, ..] => "an address with a special purpose",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => "an address for documents",
        [0x2000..=0x3fff, ..] => return None,
        _ => "a reserved address",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(text: &str) -> bool {
        closed_address(text.parse().expect("an address")).is_some()
    }

    #[test]
    fn only_servers_of_the_public_internet_are_open() {
        for open in
            ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "168.63.129.17", "192.0.1.1"]
        {
            assert!(!closed(open), "{open}");
        }
        for open in ["2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "3ffe::1", "2001:200::1"] {
            assert!(!closed(open), "{open}");
        }
        let own = ["0.0.0.0", "127.0.0.1", "127.255.255.254", "::", "::1"];
        let private = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1"];
        let near = ["169.254.169.254", "100.64.0.1", "100.100.100.200", "fe80::1", "febf::1", "192.0.0.192"];
        let clouds = ["168.63.129.16", "fd00:ec2::254"];
        let many = ["224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "ff02::1"];
        let translated = ["::ffff:1.1.1.1", "::ffff:0:1.1.1.1", "::1.1.1.1", "64:ff9b::1.1.1.1", "64:ff9b:1::1"];
        let tunnels = ["2002:7f00:1::1", "2001::1", "192.88.99.1", "2a00::5efe:1.1.1.1", "2a00::200:5efe:10.0.0.1"];
        let others = [
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "198.18.0.1",
            "2001:db8::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "100::1",
        ];
        for address in [&own[..], &private, &near, &clouds, &many, &translated, &tunnels, &others].concat() {
            assert!(closed(address), "{address}");
        }
    }
}
