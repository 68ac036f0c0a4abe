//! Route tables: rows of method, path and endpoint, from which dispatch, 404 and 405 follow.

use hyper::Method;
use hyper::header::HeaderValue;

/// One row.
///
/// ```text
/// pattern = path            a segment of it may be {…}, which stands for any one non-empty segment
///         / "*" path        anything may stand in front; the path begins with the open segment
/// ```
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
    let Some((before, (_, after))) =
        pattern.split_once('{').and_then(|(before, open)| Some((before, open.split_once('}')?)))
    else {
        return (pattern == path).then_some("");
    };
    let path = path.strip_suffix(after)?;
    let segment = match before.strip_prefix('*') {
        Some(_) => path.rsplit_once('/').map(|(_, segment)| segment),
        None => path.strip_prefix(before),
    };
    segment.filter(|segment| !segment.is_empty() && !segment.contains('/'))
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
            Route { method: Method::GET, pattern: "/c/{id}.crl", endpoint: 4 },
        ];
        let find = |method, path| find(&routes, &method, path);
        assert_eq!(find(Method::PUT, "/a"), Found::Endpoint(2, ""));
        assert_eq!(find(Method::GET, "/c/7.crl"), Found::Endpoint(4, "7"));
        assert_eq!(find(Method::GET, "/a/7"), Found::Endpoint(3, "7"));
        assert_eq!(find(Method::POST, "/a"), Found::MethodNotAllowed(vec![Method::GET, Method::PUT]));
        assert_eq!(find(Method::POST, "/a/7"), Found::MethodNotAllowed(vec![Method::GET]));
        for path in [
            "",
            "/",
            "/A",
            "/a/",
            "/a/7/",
            "/a/7/8",
            "//a",
            "/a%2f7",
            "/b",
            "/c/.crl",
            "/c/7",
            "/c/7/8.crl",
            "/c/7.crl/",
        ] {
            assert_eq!(find(Method::GET, path), Found::NotFound, "{path}");
        }
        assert_eq!(allow(&[Method::GET, Method::PUT]), "GET, PUT");
    }

    #[test]
    fn a_segment_may_be_open_in_the_middle_and_behind_anything() {
        let routes = [
            Route { method: Method::GET, pattern: "/a/{id}/b", endpoint: 1 },
            Route { method: Method::GET, pattern: "*/{id}/a/b", endpoint: 2 },
        ];
        let find = |path| find(&routes, &Method::GET, path);
        assert_eq!(find("/a/7/b"), Found::Endpoint(1, "7"));
        for path in ["/7/a/b", "/x/7/a/b", "/x/y/7/a/b", "//7/a/b"] {
            assert_eq!(find(path), Found::Endpoint(2, "7"), "{path}");
        }
        for path in ["/a/b", "//a/b", "/x//a/b", "7/a/b", "/a/7/8/b", "/a//b", "/a/7/b/", "/x/a/7/b"] {
            assert_eq!(find(path), Found::NotFound, "{path}");
        }
    }
}
