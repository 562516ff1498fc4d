//! What carriers' codes say, in words for people: Chinese and English.

/// One meaning in two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// In Chinese.
    pub zh: &'static str,
    /// In English.
    pub en: &'static str,
}

/// Constants of a code's values, and their words.
macro_rules! codes {
    ($of:ty: $($name:ident = $code:literal $zh:literal $en:literal)+) => {
        $(#[doc = concat!($en, " (", $zh, ")")] pub const $name: $of = $code;)+

        /// What a value says; `None` for those left to vendors.
        pub fn words(code: $of) -> Option<$crate::words::Words> {
            match code {
                $($name => Some($crate::words::Words { zh: $zh, en: $en }),)+
                _ => None,
            }
        }
    };
}
pub(crate) use codes;
