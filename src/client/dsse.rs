//! The envelope as it crosses gRPC (`io.intoto.Envelope`) and as the veil reads it.

use crate::proto::intoto;
use crate::veil::consent::envelope::{Envelope, Signature};

/// For the wire.
pub fn to_proto(envelope: &Envelope) -> intoto::Envelope {
    let signatures = envelope.signatures.iter();
    intoto::Envelope {
        payload: envelope.payload.clone().into(),
        payload_type: envelope.payload_type.clone(),
        signatures: signatures.map(|one| intoto::Signature { sig: one.sig.clone().into(), keyid: one.keyid.clone() }).collect(),
    }
}

/// From the wire: still unverified, and of any size; `veil::consent::envelope::Signed` looks at both.
pub fn from_proto(envelope: &intoto::Envelope) -> Envelope {
    let signatures = envelope.signatures.iter();
    Envelope {
        payload: envelope.payload.to_vec(),
        payload_type: envelope.payload_type.clone(),
        signatures: signatures.map(|one| Signature { keyid: one.keyid.clone(), sig: one.sig.to_vec() }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::veil::consent::testing;

    #[test]
    fn an_envelope_crosses_the_wire_byte_for_byte() {
        let envelope = testing::grant(1, 1, None, |_| ());
        let wire = to_proto(&envelope).encode_to_vec();
        assert_eq!(from_proto(&intoto::Envelope::decode(&wire[..]).expect("just encoded")), envelope);
    }
}
