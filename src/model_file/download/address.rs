//! Web addresses: parses them, cuts off what must not be logged, and resolves
//! redirects.

use anyhow::{Result, anyhow, bail, ensure};
use ureq::http::Uri;

/// Parses an http or https address. One with a user name or a password is
/// refused, because it would end up in logs.
///
/// # Errors
///
/// When `text` is no such address.
pub fn web_address(text: &str) -> Result<Uri> {
    let shown = shown(text);
    // The parser's own message is left out: it may quote the text, and so a
    // secret.
    let address: Uri = text
        .parse()
        .map_err(|_| anyhow!("{shown:?} is not an address; give one that begins with https://"))?;
    ensure!(
        matches!(address.scheme_str(), Some("http" | "https"))
            && address.host().is_some_and(|host| !host.is_empty()),
        "{shown:?} is not an address; give one that begins with https://"
    );
    let authority = address.authority().map_or("", |authority| authority.as_str());
    ensure!(
        !authority.contains('@'),
        "an address with a user name or a password in it is not used; for Hugging Face, set HF_TOKEN"
    );
    Ok(address)
}

/// The part of an address that may be logged: without the query, which may hold
/// a signature, and nothing at all if the address may hold a password.
#[must_use]
pub fn shown(address: &str) -> &str {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    if address.contains('@') { "the address" } else { address }
}

/// Returns the last part of the address's path, which must be the name of a
/// GGUF file.
///
/// # Errors
///
/// When it is not.
pub fn file_name(address: &Uri) -> Result<&str> {
    match address.path().rsplit('/').next() {
        Some(name) if name.len() > ".gguf".len() && name.ends_with(".gguf") => Ok(name),
        _ => bail!(
            "URL {} does not end in a .gguf file; give the address of the file itself",
            shown(&address.to_string())
        ),
    }
}

/// Whether scheme, host and port are the same: only then may the token for one
/// be sent to the other.
pub(super) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    one.scheme() == other.scheme() && host(one).eq_ignore_ascii_case(host(other)) && port(one) == port(other)
}

/// The host of a [`web_address`].
#[must_use]
pub fn host(address: &Uri) -> &str {
    address.host().unwrap_or_default()
}

/// Resolves the `location` of a redirect, absolute or relative, against the
/// address `base` that was requested.
pub(super) fn join(base: &Uri, location: &str) -> Result<Uri> {
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let absolute = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    web_address(&absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        web_address(text).expect("an address")
    }

    #[test]
    fn the_file_name_has_no_query() {
        assert_eq!(file_name(&uri("https://h/r/m.gguf?download=true")).expect("a file"), "m.gguf");
        for address in ["https://h/r/", "https://h/.gguf", "https://h/page.html"] {
            assert!(file_name(&uri(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn an_address_is_http_or_https_and_holds_no_password() {
        for text in [
            "ftp://h/m.gguf",
            "h/m.gguf",
            "https:///m.gguf",
            "https://me:secret@h/m.gguf",
            "https://me:secret@h/a b.gguf",
            "https://h/a b.gguf?token=secret",
        ] {
            let error = web_address(text).expect_err(text);
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
    }

    #[test]
    fn a_query_is_not_said() {
        let error = file_name(&uri("https://h/download?token=secret")).expect_err("no file");
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }

    #[test]
    fn a_redirect_leads_on_from_where_it_was_given() {
        let base = uri("https://h:8443/a/b?c=d");
        for (location, target) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x?y=https://z", "https://h:8443/x?y=https://z"),
            ("x", "https://h:8443/a/x"),
        ] {
            assert_eq!(join(&base, location).expect("an address").to_string(), target, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = uri("https://huggingface.co");
        assert!(same_origin(&hub, &uri("https://huggingface.co:443/x")));
        for other in ["http://huggingface.co", "https://huggingface.co:444", "https://cdn.huggingface.co"] {
            assert!(!same_origin(&hub, &uri(other)), "{other}");
        }
    }
}
