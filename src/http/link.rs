//! The `Link` header of a paged listing (RFC 8288, as the OCI distribution specification uses it). Pure.

use url::Url;

/// The target of the first link with `rel="next"`, exactly as written.
///
/// If the header does not match the grammar or its target is empty: a listing whose next page cannot be determined must
/// fail, not end early.
pub fn next(header: &str) -> Result<Option<&str>, &'static str> {
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (target, after) = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .ok_or("the Link header does not start with <URL>")?;
        let (is_next, after) = parameters(after)?;
        if is_next {
            let target = target.trim();
            return if target.is_empty() { Err("the Link header has no URL") } else { Ok(Some(target)) };
        }
        rest = after;
    }
    Ok(None)
}

/// Maximum length of a URL that is followed; cursors of real registries have up to a few hundred characters.
const MAX_TARGET: usize = 8 * 1024;

/// The URL of a listing's next page: `target` resolved against `page`, as in a browser. If it leads to another host, as
/// behind a proxy that does not know its own name, its query identifies the page, which is then requested from where
/// this page was.
///
/// # Errors
/// If it is not valid, or leads elsewhere without a query.
pub fn resolve(page: &Url, target: &str) -> Result<Url, String> {
    if target.len() > MAX_TARGET {
        return Err(format!("the Link header's URL is longer than {MAX_TARGET} characters"));
    }
    let mut next = page.join(target).map_err(|_| "the Link header's URL is not valid".to_owned())?;
    let plain = next.username().is_empty() && next.password().is_none();
    if next.origin() == page.origin() && next.path() == page.path() && plain {
        return Ok(next);
    }
    let elsewhere = super::origin(&next);
    let query = next.query().filter(|query| !query.is_empty()).map(str::to_owned);
    let query =
        query.ok_or_else(|| format!("the Link header leads to another host ({elsewhere}) and identifies no page"))?;
    next.clone_from(page);
    next.set_query(Some(&query));
    Ok(next)
}

/// Parses `; name=value` pairs up to the next link; returns whether one is `rel` with the word `next`.
fn parameters(text: &str) -> Result<(bool, &str), &'static str> {
    let mut is_next = false;
    let mut rest = text.trim_start();
    loop {
        if rest.is_empty() {
            return Ok((is_next, rest));
        }
        if let Some(after) = rest.strip_prefix(',') {
            return Ok((is_next, after.trim_start()));
        }
        rest = rest.strip_prefix(';').ok_or("the Link header has text where ; or , belongs")?.trim_start();
        let name_end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let name = rest[..name_end].trim();
        rest = &rest[name_end..];
        if let Some(after) = rest.strip_prefix('=') {
            let (value, after) = value(after.trim_start())?;
            let words = &mut value.split_ascii_whitespace();
            is_next |= name.eq_ignore_ascii_case("rel") && words.any(|word| word.eq_ignore_ascii_case("next"));
            rest = after.trim_start();
        }
    }
}

fn value(text: &str) -> Result<(&str, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        // No relation type contains an escaped quote; a backslash elsewhere does not matter.
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok((&quoted[..at], &quoted[at + 1..])),
                _ => {}
            }
        }
        return Err("the Link header has an open quote");
    }
    let end = text.find([';', ',']).unwrap_or(text.len());
    Ok((text[..end].trim(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_link_is_found_verbatim() {
        for (header, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>; rel=next", Some("x")),
            ("<x>;rel=\"prev\", <y>; title=\"a, <b>; c\"; REL=\"last Next\"", Some("y")),
            ("<x?a=%2F,b;c>; rel=\"next\"", Some("x?a=%2F,b;c")),
            ("<x>; rel=\"prev\"", None),
            ("<x>", None),
            ("<x>; next", None),
            ("<x>; title=\"rel=next\"", None),
            ("", None),
        ] {
            assert_eq!(next(header), Ok(expected), "{header}");
        }
    }

    #[test]
    fn an_unreadable_link_is_an_error_and_not_an_end() {
        for header in
            ["<>; rel=\"next\"", "< >; rel=next", "/v2/a; rel=next", "<x; rel=next", "<x>; rel=\"next", "<x> y"]
        {
            assert!(next(header).is_err(), "{header}");
        }
    }

    #[test]
    fn the_next_page_is_asked_for_where_this_one_was() {
        let page = Url::parse("https://r.example.com/v2/a/tags/list?n=2").unwrap();
        for (target, query) in [
            ("/v2/a/tags/list?last=%2Bb", "last=%2Bb"),
            ("?last=b", "last=b"),
            ("https://r.example.com:443/v2/a/tags/list?n=2&last=b", "n=2&last=b"),
            // Nexus behind a proxy, another host, another port, a login: only the query counts.
            ("/repository/docker/v2/a/tags/list?last=b", "last=b"),
            ("http://nexus.internal:8081/v2/a/tags/list?n=2&last=b", "n=2&last=b"),
            ("https://user:secret@r.example.com/v2/a/tags/list?last=b", "last=b"),
            ("//evil.example.com/x?last=b", "last=b"),
        ] {
            let next = resolve(&page, target).unwrap();
            assert_eq!(next.as_str(), format!("https://r.example.com/v2/a/tags/list?{query}"), "{target}");
        }
        for target in
            ["https://evil.example.com/v2/a/tags/list", "//evil.example.com/x", "/x", "file:///etc/passwd", "https://"]
        {
            let error = resolve(&page, target).unwrap_err();
            assert!(!error.contains("passwd"), "{error}");
        }
        assert!(resolve(&page, &"x".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(header in "[<>;,=\"\\\\ a-z/?é]{0,40}") {
            if let Ok(Some(target)) = next(&header) {
                prop_assert!(!target.is_empty());
            }
        }

        #[test]
        fn what_is_written_is_found(target in "[a-zA-Z0-9/?&=%._~-]{1,60}") {
            let header = format!("<first>; rel=\"prev\", <{target}>; rel=\"next\"");
            prop_assert_eq!(next(&header), Ok(Some(target.as_str())));
        }
    }
}
