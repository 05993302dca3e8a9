//! Who may ask: the bearer token of `admin.token`.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::model::Secret;

/// Whether a request carries the token. How long the answer takes tells nothing of the token: digests are compared,
/// which are of equal length, and always to their end.
pub(super) fn admits(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(given) = bearer(headers) else {
        return false;
    };
    let given = Sha256::digest(given);
    let expected = Sha256::digest(token.expose().as_bytes());
    given.as_slice().ct_eq(expected.as_slice()).into()
}

/// The credentials of an `Authorization: Bearer` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| credentials.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_token_itself_is_admitted() {
        let check = |header: &'static str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(header));
            assert_eq!(admits(&headers, &Secret::new("s3cret")), expect, "{header}");
        };
        check("Bearer s3cret", true);
        check("bearer s3cret", true);
        check("Bearer  s3cret ", true);
        check("Bearer s3cre", false);
        check("Bearer s3cret2", false);
        check("Bearer S3CRET", false);
        check("Bearer ", false);
        check("Bearer", false);
        check("Basic s3cret", false);
        check("s3cret", false);
        check("", false);
        assert!(!admits(&HeaderMap::new(), &Secret::new("s3cret")));
    }
}
