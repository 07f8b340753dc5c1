//! The few plain pages that a user's browser sees. Every text is escaped; nothing is loaded from anywhere.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::flow::connect::{Consent, Section};

/// Headers of every page: not kept, not framed, nothing loaded, and no code leaks in a referrer.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
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

fn paragraphs(texts: &[String]) -> String {
    texts.iter().map(|text| format!("<p>{}</p>\n", escaped(text))).collect::<Vec<_>>().concat()
}

/// A page with a headline and paragraphs, all of them plain text.
pub(super) fn page(status: StatusCode, headline: &str, texts: &[String]) -> Response {
    laid_out(status, headline, &paragraphs(texts))
}

/// What the form of the consent page brings back beside the user's tick.
pub(super) struct Hidden<'a> {
    /// The name of each field, and its value.
    pub fields: &'a [(&'a str, &'a str)],
    /// Whether an account with real money may come of it, so that the second tick is asked.
    pub live: bool,
}

/// The consent page: the whole text, part by part, and below it the form that agrees to it.
pub(super) fn consent_page(consent: &Consent, form: &Hidden<'_>) -> Response {
    let part =
        |section: &Section| format!("<h2>{}</h2>\n{}", escaped(section.headline), paragraphs(&section.paragraphs));
    let mut body: Vec<String> = consent.sections.iter().map(part).collect();
    body.push("<form method=\"post\" action=\"/connect\">\n".to_owned());
    body.extend(form.fields.iter().map(|(name, value)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escaped(name), escaped(value))
    }));
    let tick = |name: &str, required: &str, text: &str| {
        format!(
            "<p><label><input type=\"checkbox\" name=\"{name}\" value=\"yes\"{required}> {}</label></p>\n",
            escaped(text)
        )
    };
    body.push(tick("read", " required", "I have read this and want to connect my account."));
    if form.live {
        body.push(tick(
            "live",
            "",
            "I agree to live trading: this strategy may send orders with my real money, by itself, as described above.",
        ));
    }
    body.push("<p><button type=\"submit\">Go on to Alpaca</button></p>\n</form>\n".to_owned());
    laid_out(StatusCode::OK, &consent.title, &body.concat())
}

fn laid_out(status: StatusCode, headline: &str, body: &str) -> Response {
    let headline = escaped(headline);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{headline}</title>\n\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}}h2{{font-size:1.2rem}}</style>\n\
         <h1>{headline}</h1>\n{body}</html>\n"
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
