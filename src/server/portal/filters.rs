//! What templates write in one word that HTML takes a line for.

use askama::Values;
use askama::filters::{Html, Safe, escape};

use super::assets::ASSETS;
use super::words::{Cut, Instant};

/// `{{ "copy"|icon }}`: a symbol of the sprite, hidden from screen readers, as a word stands beside it.
#[askama::filter_fn]
pub(super) fn icon(name: &str, _: &dyn Values) -> askama::Result<Safe<String>> {
    let sprite = ASSETS.icons.path();
    Ok(Safe(format!("<svg class=\"i\" aria-hidden=\"true\"><use href=\"{sprite}#{name}\"/></svg>")))
}

/// `{{ row.used|time }}`: what is read, and the exact instant for whoever points at it.
#[askama::filter_fn]
pub(super) fn time(at: &Instant, _: &dyn Values) -> askama::Result<Safe<String>> {
    let Instant { text, exact, machine } = at;
    Ok(Safe(format!("<time datetime=\"{machine}\" title=\"{exact}\">{text}</time>")))
}

/// `{{ row.name|cut }}`: the end stays when there is no room. Read out as one text, which the two parts are not.
#[askama::filter_fn]
pub(super) fn cut(text: &Cut, _: &dyn Values) -> askama::Result<Safe<String>> {
    let [whole, head, tail] = [&text.whole, &text.head, &text.tail].map(|part| escape(part, Html));
    let (whole, head, tail) = (whole?, head?, tail?);
    Ok(Safe(if text.head.is_empty() {
        format!("<span title=\"{whole}\">{whole}</span>")
    } else {
        format!(
            "<span class=\"cut\" title=\"{whole}\" aria-hidden=\"true\"><span>{head}</span><span>{tail}</span></span>\
             <span class=\"vh\">{whole}</span>"
        )
    }))
}
