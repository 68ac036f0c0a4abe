//! Route tables: rows of method, path and endpoint, from which dispatch, 404 and 405 follow.

use hyper::Method;
use hyper::header::HeaderValue;

/// One row. `pattern` is a path whose last segment may be `{…}`, which stands for any one
/// non-empty segment.
#[derive(Clone, Debug)]
pub struct Route<E> {
    pub method: Method,
    pub pattern: &'static str,
    pub endpoint: E,
}

/// What a table says about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'p, E> {
    /// With the segment that the pattern left open; empty if it left none.
    Endpoint(E, &'p str),
    /// The path is there for other methods, listed for the `Allow` header (RFC 9110 §10.2.1).
    MethodNotAllowed(Vec<Method>),
    NotFound,
}

/// Looks a request up. Paths are compared as they are: no decoding, no trailing slash, no case
/// folding, so that there is one spelling of every path.
pub fn find<'p, E: Copy>(routes: &[Route<E>], method: &Method, path: &'p str) -> Found<'p, E> {
    let mut allowed = Vec::new();
    for route in routes {
        if let Some(open_segment) = matches(route.pattern, path) {
            if route.method == *method {
                return Found::Endpoint(route.endpoint, open_segment);
            }
            allowed.push(route.method.clone());
        }
    }
    if allowed.is_empty() { Found::NotFound } else { Found::MethodNotAllowed(allowed) }
}

/// The value of an `Allow` header.
pub fn allow(methods: &[Method]) -> HeaderValue {
    let text = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).expect("methods are tokens")
}

fn matches<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    match pattern.strip_suffix('}').and_then(|pattern| pattern.rsplit_once('{')) {
        None => (pattern == path).then_some(""),
        Some((before, _)) => path.strip_prefix(before).filter(|segment| !segment.is_empty() && !segment.contains('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_decide_what_is_found() {
        let routes = [
            Route { method: Method::GET, pattern: "/a", endpoint: 1 },
            Route { method: Method::PUT, pattern: "/a", endpoint: 2 },
            Route { method: Method::GET, pattern: "/a/{id}", endpoint: 3 },
        ];
        let find = |method, path| find(&routes, &method, path);
        assert_eq!(find(Method::PUT, "/a"), Found::Endpoint(2, ""));
        assert_eq!(find(Method::GET, "/a/7"), Found::Endpoint(3, "7"));
        assert_eq!(find(Method::POST, "/a"), Found::MethodNotAllowed(vec![Method::GET, Method::PUT]));
        assert_eq!(find(Method::POST, "/a/7"), Found::MethodNotAllowed(vec![Method::GET]));
        for path in ["", "/", "/A", "/a/", "/a/7/", "/a/7/8", "//a", "/a%2f7", "/b"] {
            assert_eq!(find(Method::GET, path), Found::NotFound, "{path}");
        }
        assert_eq!(allow(&[Method::GET, Method::PUT]), "GET, PUT");
    }
}
