//! The why: one short page per decision, what was given up for it, and an entry for every error code.
//!
//! | to read | page |
//! | --- | --- |
//! | what happens, in order | [`frame`], [`delivery`], [`withdrawal`], [`proxy`], [`several`] |
//! | who decides | [`agreement`], [`presence`], [`floors`], [`policy`], [`demand`] |
//! | what a recipient learns | [`projection`], [`oracle`], [`treatments`], [`pseudonyms`], [`selectors`], [`foreign`] |
//! | for other programs, to the byte | [`sealed`], [`signing`], [`subscriber`], [`log`], [`fhir`] |
//! | what is told to everybody | [`report`] |
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
    agreement, clock, delivery, demand, errors, fhir, floors, foreign, frame, house, http2, limits, log, oracle, policy, presence, projection,
    proxy, pseudonyms, reload, report, rest, sealed, selectors, several, signing, subscriber, traces, treatments, web, withdrawal,
}
