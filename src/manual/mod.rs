//! The why: one short page per decision, what was given up for it, and an entry for every error code.
//!
//! | to read | page |
//! | --- | --- |
//! | what happens, in order | [`frame`], [`delivery`], [`withdrawal`], [`proxy`], [`several`], [`disclosure`] |
//! | who decides | [`agreement`], [`presence`], [`floors`], [`policy`], [`demand`], [`assets`] |
//! | what a recipient learns | [`projection`], [`oracle`], [`treatments`], [`pseudonyms`], [`selectors`], [`foreign`], [`risk`] |
//! | for other programs, to the byte | [`sealed`], [`signing`], [`subscriber`], [`log`], [`fhir`] |
//! | who might mean ill | [`threats`], [`one_identity`] |
//! | demanding and telling | [`report`] |
//! | running it | [`errors`], [`limits`], [`reload`], [`web`], [`traces`], [`clock`], [`rest`] |
//! | how it is built | [`house`], [`http2`], [`cost`] |

macro_rules! pages {
    ($($page:ident),+ $(,)?) => {
        $(pub mod $page {
            #![doc = include_str!(concat!(stringify!($page), ".md"))]
        })+
    };
}

pub mod one_identity {
    #![doc = include_str!("one-identity.md")]
}

pages! {
    agreement, assets, clock, cost, delivery, demand, disclosure, errors, fhir, floors, foreign, frame, house, http2, limits, log, oracle,
    policy, presence, projection, proxy, pseudonyms, reload, report, rest, risk, sealed, selectors, several, signing, subscriber,
    threats, traces, treatments, web, withdrawal,
}
