//! Web addresses: parses them, cuts off what must not be logged, and resolves
//! redirects.

use anyhow::{Context, Result, ensure};
use ureq::http::Uri;

/// The hub that HF_TOKEN is for, unless HF_ENDPOINT names another.
pub(super) const HUB: &str = "https://huggingface.co";

/// Parses an http or https address. One with a user name or a password is
/// refused, because it would end up in logs.
pub(super) fn web_address(text: &str) -> Result<Uri> {
    // The parser's own message is left out: it may quote the text, and so a
    // secret.
    let address = text.parse().ok().filter(|address: &Uri| {
        matches!(address.scheme_str(), Some("http" | "https")) && !host(address).is_empty()
    });
    let address = address.with_context(|| {
        format!("{:?} is not an address; give one that begins with https://", shown(text))
    })?;
    ensure!(
        !authority(&address).contains('@'),
        "an address with a user name or a password in it is not used; for Hugging Face, set HF_TOKEN"
    );
    Ok(address)
}

/// The part of an address that may be logged: without the query, which may hold
/// a signature, and nothing at all if the address may hold a password.
pub(super) fn shown(address: &str) -> &str {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    if address.contains('@') { "the address" } else { address }
}

/// The host of a [`web_address`].
pub(super) fn host(address: &Uri) -> &str {
    address.host().unwrap_or_default()
}

fn authority(address: &Uri) -> &str {
    address.authority().map_or("", |authority| authority.as_str())
}

/// Where `from` redirects to with this `location`, which is absolute or relative.
pub(super) fn redirected(from: &Uri, location: &str) -> Result<Uri> {
    let scheme = from.scheme_str().unwrap_or_default();
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let next = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{}{location}", authority(from)),
        _ if location.contains("://") => location.to_owned(),
        _ => format!("{scheme}://{}{folder}/{location}", authority(from)),
    };
    let next = web_address(&next).with_context(|| format!("{} redirects to nowhere", host(from)))?;
    ensure!(
        scheme == "http" || next.scheme_str() == Some("https"),
        "{} redirects to {}, which is not encrypted",
        host(from),
        host(&next)
    );
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        web_address(text).expect("an address")
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
    fn a_redirect_leads_on_from_where_it_was_given_and_never_to_an_unencrypted_address() {
        let base = uri("https://h:8443/a/b?c=d");
        for (location, target) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            ("/x?y=https://z", "https://h:8443/x?y=https://z"),
            ("x", "https://h:8443/a/x"),
        ] {
            assert_eq!(redirected(&base, location).expect("an address").to_string(), target, "{location}");
        }
        let error = redirected(&base, "http://other/x").expect_err("it is not encrypted");
        assert_eq!(error.to_string(), "h redirects to other, which is not encrypted");
        assert!(redirected(&uri("http://h/a"), "http://other/x").is_ok(), "nothing was encrypted before");
    }
}
