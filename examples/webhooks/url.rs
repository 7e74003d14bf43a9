//! Where to deliver to, checked before anything is sent.

use std::fmt;

use ureq::http::Uri;

/// An address that this client can deliver to.
#[derive(Clone, Debug)]
pub struct Url(Uri);

impl Url {
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text).map_err(|problem| format!("{problem}; give it as http://host:port/path"))
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(text: &str) -> Result<Url, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL ({error})"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("https is not supported, this example carries no TLS".into()),
        _ => return Err("not an http:// address".into()),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("names no host".into());
    }
    // The parser takes any digits for a port, and the mistake would only show at the first POST.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit(['@', ']']).next().unwrap_or(authority);
    match host.split_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => {
            Err(format!("the port {port:?} is not a number from 0 to 65535"))
        }
        _ => Ok(Url(uri)),
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn only_http_with_a_host_and_a_real_port_is_taken() {
        for good in ["http://h", "HTTP://h:80/a?b=c", "http://[::1]:8080/", "http://me:pw@h:1/"] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "h:80", "https://h/", "http://", "http://:80/", "http://h:99999/", "http://[::1]:x/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
