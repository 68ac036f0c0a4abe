//! What the files under test name of the room `domain`.

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

pub mod address {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SourcePrefix(pub u32);
}
