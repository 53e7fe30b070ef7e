//! The system's name lookup, with its reason: the standard library keeps "no such host" and "ask
//! again later" apart in words only.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// All addresses of the host, in the system's order. `NotFound` if there is no such host. Blocks.
pub(super) fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let name = CString::new(host)?;
    // SAFETY: all zero is a valid value of the plain struct.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: the name ends in NUL, no service is asked for, `list` is where the result goes.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err(reason(code));
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the list is well formed and ours until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        match entry.ai_family {
            libc::AF_INET => {
                // SAFETY: the address of this family has this type; it need not be aligned for it.
                let address: libc::sockaddr_in = unsafe { ptr::read_unaligned(entry.ai_addr.cast()) };
                found.push(IpAddr::V4(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr))));
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address: libc::sockaddr_in6 = unsafe { ptr::read_unaligned(entry.ai_addr.cast()) };
                found.push(IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr)));
            }
            _ => {}
        }
        next = entry.ai_next;
    }
    // SAFETY: the list came from `getaddrinfo` and is freed once.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

fn reason(code: i32) -> io::Error {
    if code == libc::EAI_SYSTEM {
        return io::Error::last_os_error();
    }
    // SAFETY: the text is static and ends in NUL.
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy().into_owned();
    let missing = code == libc::EAI_NONAME || code == libc::EAI_NODATA;
    io::Error::new(if missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_and_reasons_are_told_apart() {
        assert!(look_up("localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(look_up("::1").unwrap(), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        assert_eq!(look_up("127.0.0.2").unwrap(), [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))]);
        assert_eq!(look_up("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(reason(libc::EAI_NONAME).kind(), io::ErrorKind::NotFound);
        let later = reason(libc::EAI_AGAIN);
        assert_eq!(later.kind(), io::ErrorKind::Other);
        assert!(later.to_string().to_lowercase().contains("temporary"), "{later}");
    }
}
