//! What the server does, and leaves undone, for what it has committed.

use super::errors::Error;
use super::migrations::{self, Schema};
use super::session::Session;
use crate::store::Remark;

pub(super) async fn list_remarks(session: &Session) -> Result<Vec<Remark>, Error> {
    // Servers that only behave like PostgreSQL do not know all of these.
    let row = session
        .row(
            "SELECT current_setting('fsync', true), current_setting('full_page_writes', true),
                 current_setting('synchronous_commit', true), current_setting('synchronous_standby_names', true),
                 current_setting('server_encoding', true), current_setting('server_version', true),
                 current_setting('data_checksums', true)",
            &[],
        )
        .await?;
    let setting = |column| row.get::<Option<String>>(column);
    let is_off = |column| setting(column).map(|value| value.is_some_and(|value| value == "off"));
    let mut remarks = Vec::new();
    for (is_so, text) in [
        (is_off(0)?, "fsync is off: a crash of its machine loses what was answered, or the whole database"),
        (is_off(1)?, "full_page_writes is off: a crash of its machine may damage it"),
        (is_off(2)?, "synchronous_commit is off: a crash loses what was answered in the moment before"),
    ] {
        if is_so {
            remarks.push(Remark { is_grave: true, text: text.to_owned() });
        }
    }
    if let Some(encoding) = setting(4)?.filter(|encoding| encoding != "UTF8") {
        let text = format!("its encoding is {encoding}, which has not all characters; make one with ENCODING 'UTF8'");
        remarks.push(Remark { is_grave: true, text });
    }
    let waits_for_none =
        setting(3)?.is_some_and(|names| names.is_empty()) || setting(2)?.is_some_and(|is| is == "local");
    if waits_for_none {
        let text = "no standby is waited for: one that takes over may lack what was answered last".to_owned();
        remarks.push(Remark { is_grave: false, text });
    }
    if is_off(6)? {
        let text = "data checksums are off: damage on its disk is found late".to_owned();
        remarks.push(Remark { is_grave: false, text });
    }
    if let Schema::Version { version, .. } = migrations::schema(session).await? {
        let text = format!("PostgreSQL {}, schema {version}", setting(5)?.unwrap_or_default());
        remarks.push(Remark { is_grave: false, text });
    }
    Ok(remarks)
}
