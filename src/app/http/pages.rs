//! The few plain pages that a user's browser sees. Every text is escaped; nothing is loaded from anywhere.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// Headers of every page: not kept, not framed, nothing loaded, and no code leaks in a referrer.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'")),
];

/// The headers that guard a page or a redirect.
pub(super) fn guarded() -> HeaderMap {
    HEADERS.into_iter().collect()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut page, c| {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            c => page.push(c),
        }
        page
    })
}

/// A page with a headline and paragraphs, all of them plain text.
pub(super) fn page(status: StatusCode, headline: &str, paragraphs: &[String]) -> Response {
    let body = paragraphs.iter().map(|text| format!("<p>{}</p>", escaped(text))).collect::<Vec<_>>().join("\n");
    let headline = escaped(headline);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{headline}</title>\n\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}}</style>\n\
         <h1>{headline}</h1>\n{body}\n</html>\n"
    );
    (status, guarded(), Html(html)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_hostile_text_as_text() {
        assert_eq!(escaped("<b a='1'>&\"</b>"), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;&lt;/b&gt;");
    }
}
