//! The why: one short page per decision, what was given up for it, and an entry for every error code.
//!
//! | to read | page |
//! | --- | --- |
//! | what happens, in order | [`frame`], [`delivery`], [`withdrawal`], [`proxy`], [`several`], [`disclosure`] |
//! | who decides | [`agreement`], [`presence`], [`floors`], [`policy`] |
//! | what a recipient learns | [`projection`], [`oracle`], [`treatments`], [`pseudonyms`], [`selectors`], [`foreign`] |
//! | for other programs, to the byte | [`sealed`], [`signing`], [`subscriber`], [`log`], [`fhir`] |
//! | running it | [`errors`], [`limits`], [`reload`], [`web`], [`traces`], [`clock`], [`rest`] |
//! | how it is built | [`house`], [`http2`] |

macro_rules! pages {
    ($($page:ident),+ $(,)?) => {
        $(pub mod $page {
            #![doc = include_str!(concat!(stringify!($page), ".md"))]
        })+
    };
}

pages! {
    agreement, clock, delivery, disclosure, errors, fhir, floors, foreign, frame, house, http2, limits, log, oracle, policy, presence, projection, proxy,
    pseudonyms, reload, rest, sealed, selectors, several, signing, subscriber, traces, treatments, web, withdrawal,
}
