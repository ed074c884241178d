//! Languages of texts.

use serde::{Deserialize, Serialize};

macro_rules! languages {
    ($($variant:ident $name:literal)*) => {
        /// The language that texts are in: it decides how words are stemmed (by the Snowball algorithms)
        /// and which are stop words. `none` is for texts of any language: neither is done.
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            utoipa::ToSchema,
        )]
        #[serde(rename_all = "lowercase")]
        #[allow(missing_docs)]
        pub enum Language {
            $($variant,)*
            #[default]
            English,
            None,
        }

        impl Language {
            /// Every language.
            pub const ALL: &[Self] = &[$(Self::$variant,)* Self::English, Self::None];

            /// The name in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::English => "english",
                    Self::None => "none",
                }
            }
        }
    };
}

languages! {
    Arabic "arabic"
    Armenian "armenian"
    Basque "basque"
    Catalan "catalan"
    Czech "czech"
    Danish "danish"
    Dutch "dutch"
    Esperanto "esperanto"
    Estonian "estonian"
    Finnish "finnish"
    French "french"
    German "german"
    Greek "greek"
    Hindi "hindi"
    Hungarian "hungarian"
    Indonesian "indonesian"
    Irish "irish"
    Italian "italian"
    Lithuanian "lithuanian"
    Nepali "nepali"
    Norwegian "norwegian"
    Persian "persian"
    Polish "polish"
    Portuguese "portuguese"
    Romanian "romanian"
    Russian "russian"
    Serbian "serbian"
    Spanish "spanish"
    Swedish "swedish"
    Tamil "tamil"
    Turkish "turkish"
    Yiddish "yiddish"
}
