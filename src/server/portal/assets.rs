//! Styles, script and pictures: inside the binary, each under a name that its content gives it, so a
//! browser may keep it for ever and never keeps an old one.

use std::fmt::Write as _;
use std::sync::LazyLock;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use ring::digest;

use crate::server::http::answer;

/// Where the files are, for templates: `/assets/<first 16 hex digits of SHA-256>.<name>`.
pub(super) struct Assets {
    pub(super) icons: Asset,
    pub(super) mark: Asset,
    pub(super) script: Asset,
    pub(super) style: Asset,
}

pub(super) struct Asset {
    path: String,
    content_type: &'static str,
    bytes: Bytes,
}

macro_rules! joined {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        concat!($(include_str!(concat!("assets/", $folder, "/", $file)), "\n"),+)
    };
}

/// In this order: later ones win.
const STYLES: &str = joined!("styles":
    "tokens.css", "base.css", "shell.css", "head.css", "buttons.css", "badges.css", "table.css", "menus.css",
    "panels.css", "forms.css", "wizard.css", "charts.css", "empty.css", "door.css", "dialog.css", "small.css",
    "reader.css",
);

/// One module: the files share their names with each other and with nobody else. Each listens after
/// those before it, and the last says that all of them run.
const SCRIPTS: &str = joined!("scripts":
    "page.js", "copy.js", "dialog.js", "fetch.js", "ticks.js", "menus.js", "leave.js", "start.js",
);

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    icons: Asset::new("icons.svg", "image/svg+xml", include_str!("assets/icons.svg")),
    mark: Asset::new("mark.svg", "image/svg+xml", include_str!("assets/mark.svg")),
    script: Asset::new("muster.js", "text/javascript; charset=utf-8", SCRIPTS),
    style: Asset::new("muster.css", "text/css; charset=utf-8", STYLES),
});

impl Assets {
    /// The file at a path of ours, as an answer.
    pub(super) fn find(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        // What browsers ask for when no page told them better.
        if path == "/favicon.ico" {
            return Some(self.mark.answer());
        }
        let all = [&self.icons, &self.mark, &self.script, &self.style];
        let mut response = all.into_iter().find(|asset| asset.path == path)?.answer();
        let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, for_ever);
        Some(response)
    }
}

impl Asset {
    fn new(name: &str, content_type: &'static str, text: &'static str) -> Self {
        let bytes = Bytes::from_static(text.as_bytes());
        let mut path = String::from("/assets/");
        for byte in &digest::digest(&digest::SHA256, &bytes).as_ref()[..8] {
            write!(path, "{byte:02x}").expect("a String takes everything");
        }
        path.push('.');
        path.push_str(name);
        Self { path, content_type, bytes }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        answer(StatusCode::OK, self.content_type, self.bytes.clone())
    }
}
